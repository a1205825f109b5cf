"""The ledger of raw/: which verified files are there, and whether they still are what they were.

The ledger is the text file ``raw/.checksums``. It is also a valid input of ``sha256sum -c``::

    # hst_assets raw ledger 1; check by hand: cd raw && sha256sum -c .checksums
    #= <size in bytes> <mtime in ns> <rootname>
    <sha256>  <file name>

with the last two lines once per file, sorted by file name. It is replaced as a whole, under the
work directory's lock ``raw``, so a reader always sees a complete one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from hst_assets.failures import BadConfiguration, MissingProduct
from hst_assets.identifiers import visit_of_rootname
from hst_assets.provenance import sha256_of_file
from hst_assets.workdir import WorkDir, fresh_stamp, write_atomically

__all__ = [
    "COMPANION_SUFFIX",
    "RawFile",
    "check_raw",
    "exposure_key",
    "fault_of",
    "files_of_visit",
    "format_ledger",
    "parse_ledger",
    "raw_ledger",
    "suffix_of",
    "visits_in",
    "write_ledger",
]

LEDGER_LOCK = "raw"
#: WFPC2 data quality: not an exposure, but a c0m file is nothing without it.
COMPANION_SUFFIX = "c1m"

_TITLE = "# hst_assets raw ledger 1; check by hand: cd raw && sha256sum -c .checksums"
_FACTS = re.compile(r"#= (\d+) (\d+) ([a-z][a-z0-9]{7,8})")
_SUM = re.compile(r"([0-9a-f]{64})  ([^/\0\r\n]+)")
_SUFFIX = re.compile(r".+_([a-z0-9]{3})\.fits", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class RawFile:
    """One verified file of raw/.

    Attributes
    ----------
    name : str
        File name in raw/.
    rootname : str
        ROOTNAME of the exposure it belongs to, lower case.
    visit : str
        IPPPSS visit id.
    suffix : str
        flc, flt, c0m or c1m.
    size : int
        Bytes.
    mtime_ns : int
        Modification time when it was verified, in nanoseconds.
    sha256 : str
        Of its bytes, hexadecimal.
    """

    name: str
    rootname: str
    visit: str
    suffix: str
    size: int
    mtime_ns: int
    sha256: str

    @property
    def is_companion(self) -> bool:
        """Whether it is the data-quality file of an exposure rather than an exposure."""
        return self.suffix == COMPANION_SUFFIX

    @property
    def key(self) -> tuple[str, str]:
        """What makes two files the same product of the same exposure."""
        return exposure_key(self.rootname), self.suffix


def exposure_key(rootname: str) -> str:
    """The first eight characters of a rootname (IPPPSSOO), which name the exposure.

    The ninth tells how the data came down from the telescope; Hubble Advanced Products leave it
    out of their file names.
    """
    return rootname.lower()[:8]


def suffix_of(name: str) -> str | None:
    """The three characters before ``.fits`` that tell the kind of product; None without any."""
    match = _SUFFIX.fullmatch(name)
    return match[1].lower() if match else None


def parse_ledger(text: str, *, where: object = None) -> list[RawFile]:
    """Read the ledger's text.

    Raises
    ------
    BadConfiguration
        If a line is not of the documented form, or a file is named twice.
    """
    files: dict[str, RawFile] = {}
    facts: re.Match[str] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or (line.startswith("#") and not line.startswith("#=")):
            continue
        if facts is None:
            facts = _FACTS.fullmatch(line)
            entry = None if facts else "the size, time and rootname of a file"
        else:
            checksum = _SUM.fullmatch(line)
            entry = None if checksum else "the checksum and name of a file"
            if checksum:
                file = _raw_file(checksum[2], facts, checksum[1])
                if file is None or file.name in files:
                    entry = "a product name that was not there before"
                else:
                    files[file.name] = file
            facts = None
        if entry:
            raise _bad_ledger(f"line {number} is not {entry}: {line[:80]!r}", where)
    if facts is not None:
        raise _bad_ledger("it ends within an entry", where)
    return sorted(files.values())


def _raw_file(name: str, facts: re.Match[str], sha256: str) -> RawFile | None:
    suffix = suffix_of(name)
    if suffix is None:
        return None
    rootname = facts[3]
    return RawFile(
        name=name,
        rootname=rootname,
        visit=visit_of_rootname(rootname),
        suffix=suffix,
        size=int(facts[1]),
        mtime_ns=int(facts[2]),
        sha256=sha256,
    )


def _bad_ledger(what: str, where: object) -> BadConfiguration:
    return BadConfiguration(
        f"the ledger of raw files cannot be read: {what}",
        where=where,
        next_step="Remove the ledger and ingest raw/ again: the files are then verified again",
    )


def format_ledger(files: Iterable[RawFile]) -> str:
    """The ledger's text; the inverse of `parse_ledger`."""
    lines = [_TITLE]
    for file in sorted(files):
        lines.append(f"#= {file.size} {file.mtime_ns} {file.rootname}")
        lines.append(f"{file.sha256}  {file.name}")
    return "\n".join(lines) + "\n"


def raw_ledger(workdir: WorkDir) -> list[RawFile]:
    """The verified files of a target, sorted by name; empty where nothing was ingested.

    Raises
    ------
    BadConfiguration
        If the ledger is damaged.
    """
    return list(_read(workdir).files)


def files_of_visit(workdir: WorkDir, visit: str) -> list[RawFile]:
    """The verified files of one visit, sorted by name.

    Raises
    ------
    BadConfiguration
        If the ledger is damaged.
    """
    return list(_read(workdir).by_visit.get(visit, ()))


@dataclass(frozen=True)
class _Ledger:
    files: tuple[RawFile, ...] = ()
    by_visit: Mapping[str, Sequence[RawFile]] = field(default_factory=dict)


def _read(workdir: WorkDir) -> _Ledger:
    try:
        return _read_once(workdir.checksums, fresh_stamp(workdir.checksums))
    except FileNotFoundError:
        return _Ledger()


@lru_cache(maxsize=4)
def _read_once(path: Path, _stamp: tuple[int, int, int]) -> _Ledger:
    """The ledger; read again when it was replaced.

    What looks at each visit in turn would otherwise parse the entries of all as often.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _bad_ledger(str(error), path) from error
    files = parse_ledger(text, where=path)
    by_visit: dict[str, list[RawFile]] = {}
    for file in files:
        by_visit.setdefault(file.visit, []).append(file)
    return _Ledger(tuple(files), by_visit)


def write_ledger(workdir: WorkDir, files: Iterable[RawFile]) -> None:
    """Replace the ledger. The caller holds ``workdir.lock(LEDGER_LOCK)``."""
    with write_atomically(workdir.checksums) as part:
        part.write_text(format_ledger(files), encoding="utf-8")


def visits_in(workdir: WorkDir) -> list[str]:
    """The visits that have verified exposures, sorted."""
    return sorted(_read(workdir).by_visit)


def check_raw(workdir: WorkDir, visit: str | None = None, *, full: bool = False) -> list[RawFile]:
    """Return the verified files of a visit (or of all) after seeing that they are unchanged.

    Parameters
    ----------
    workdir : WorkDir
        Whose raw/ is checked.
    visit : str, optional
        Only this visit.
    full : bool, optional
        Read every byte. Otherwise size and modification time are believed when both agree, and
        only files whose time differs (a copied work directory) are read.

    Raises
    ------
    MissingProduct
        If there is no verified file at all, or one is gone or has changed; all such are named.
    """
    files = raw_ledger(workdir) if visit is None else files_of_visit(workdir, visit)
    if not files:
        raise MissingProduct(
            f"no verified exposure of visit {visit}" if visit else "no verified exposure",
            where=workdir.raw,
            next_step=f"Run 'hst-assets ingest FOLDER --target {workdir.target}'",
        )
    faults = [
        fault for file in files if (fault := fault_of(workdir.raw / file.name, file, full=full))
    ]
    if faults:
        raise MissingProduct(
            "raw files have changed since they were verified: " + "; ".join(faults),
            where=workdir.raw,
            next_step="Ingest the original files again; the damaged ones are then replaced",
        )
    return files


def fault_of(path: Path, file: RawFile, *, full: bool = False) -> str | None:
    """Why a file is not what the ledger says; None if it is.

    Parameters
    ----------
    path : `~pathlib.Path`
        Where it lies.
    file : RawFile
        Its entry.
    full : bool, optional
        Read it even if size and modification time are right.
    """
    try:
        status = path.stat()
    except OSError as error:
        return f"{file.name} is gone ({error.strerror})"
    if status.st_size != file.size:
        return f"{file.name} has {status.st_size} bytes, not {file.size}"
    if (full or status.st_mtime_ns != file.mtime_ns) and sha256_of_file(path) != file.sha256:
        return f"{file.name} has different bytes of the same length"
    return None
