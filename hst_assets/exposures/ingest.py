"""Bring exposures into raw/: verified, under lock, read-only, written down in the ledger.

Every file goes the same way: its name and bytes are looked at; it is copied (or linked) into the
work directory's staging folder (and unpacked, if it is gzip-compressed); *the staged copy* is
verified whole, in a process of its own; it is made read-only; one rename gives it its name in raw/;
the ledger is replaced. A killed ingest leaves raw/ and the
ledger whole, and the next one clears its staging folder.

One rejected file never stops the rest. Sources are never changed, except that a hard link shares
its permissions with its source.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from hst_assets.exposures.bounded_verification import Verified, begin_verification
from hst_assets.exposures.raw import (
    LEDGER_LOCK,
    RawFile,
    exposure_key,
    raw_ledger,
    suffix_of,
    write_ledger,
)
from hst_assets.exposures.sources import (
    Mode,
    Unit,
    bring,
    is_in_raw,
    is_packed,
    passed_over_in,
    units_of,
    unpacked_name,
)
from hst_assets.exposures.target_position import (
    Elsewhere,
    elsewhere,
    fields_of,
    median_position,
    spread_deg,
)
from hst_assets.failures import BadConfiguration, TransientFailure, UnusableInput
from hst_assets.machine.failures import machine_failure
from hst_assets.provenance import sha256_of_file
from hst_assets.settings import TargetSettings, load_settings, write_settings
from hst_assets.workdir import WorkDir, move_into_place

__all__ = ["IngestReport", "Mode", "Rejected", "ingest"]

logger = logging.getLogger(__name__)

_READ_ONLY = 0o444
_STAGING_PREFIX = "ingest."


@dataclass(frozen=True)
class Rejected:
    """A file that was not taken, and why.

    Attributes
    ----------
    path : `~pathlib.Path`
        The file.
    reason : str
        Why.
    by_machine : bool
        The machine could not take it (disk full, no permission); nothing is said of the file.
    in_the_way : bool
        Another file of raw/ has its place; nothing is said of this one.
    """

    path: Path
    reason: str
    by_machine: bool = False
    in_the_way: bool = False


class _InTheWay(UnusableInput):
    """Another file of raw/ has the place of a file that is good in itself."""


@dataclass(frozen=True)
class IngestReport:
    """What became of the files.

    Attributes
    ----------
    accepted : list of RawFile
        New in raw/ (or replaced, or restored).
    rejected : list of Rejected
        Left where they were, each with its reason.
    passed_over : list of (Path, str)
        Folders of the sources that were not looked into, and why.
    unchanged : list of RawFile
        Already in raw/ with the same bytes.
    verified : list of Verified
        The exposures among them that were read; those whose bytes are known are not read again.
    elsewhere : list of Elsewhere
        Of these, the exposures of another field than the target's, the farthest first.
    fields : list of list of Verified
        The exposures by field, where they are of several and none is the target's: no position
        is known, and none was set.
    visits : list of str
        Visits of the accepted and unchanged files, sorted.
    """

    accepted: list[RawFile] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    passed_over: list[tuple[Path, str]] = field(default_factory=list)
    unchanged: list[RawFile] = field(default_factory=list)
    verified: list[Verified] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)
    fields: list[list[Verified]] = field(default_factory=list)

    @property
    def visits(self) -> list[str]:
        """Visits of the accepted and unchanged files, sorted."""
        return sorted({file.visit for file in (*self.accepted, *self.unchanged)})


def ingest(
    sources: Iterable[Path],
    workdir: WorkDir,
    *,
    mode: Mode = "copy",
    ra_deg: float | None = None,
    dec_deg: float | None = None,
    replace: bool = False,
) -> IngestReport:
    """Verify exposures and bring them into a target's raw/.

    Parameters
    ----------
    sources : iterable of path
        Files, and folders that are searched recursively for ``*.fits`` (also archive trees).
        A c1m file beside its c0m comes along by itself. The target's own raw/ may be given:
        its files are then verified where they are.
    workdir : WorkDir
        The target's work directory; made where there is none.
    mode : {"copy", "symlink", "hardlink"}, optional
        How files come into raw/. A linked file is as safe as its source is.
    ra_deg, dec_deg : float, optional
        The target's position (ICRS). By default what target.toml says, and where it says
        nothing the median of RA_TARG and DEC_TARG of the files in hand, if they are of one field.
    replace : bool, optional
        Let a file with other bytes take the place of one of the same exposure.

    Returns
    -------
    IngestReport

    Raises
    ------
    BadConfiguration
        If a source does not exist, the mode is unknown, the position is impossible, or the
        ledger is damaged.
    """
    if mode not in get_args(Mode):
        raise BadConfiguration(
            f"unknown ingest mode {mode!r}", next_step=f"Use one of {', '.join(get_args(Mode))}"
        )
    position = _position(ra_deg, dec_deg)
    places = [Path(source) for source in sources]
    units, odd = units_of(places, workdir)
    report = IngestReport(
        rejected=[Rejected(path, reason) for path, reason in odd],
        passed_over=[each for place in places if place.is_dir() for each in passed_over_in(place)],
    )
    workdir.create()
    with workdir.lock(LEDGER_LOCK), _staging_folder(workdir) as staging:
        known = load_settings(workdir).target.position()
        # Without a position, and for a new one, the headers of all files are wanted.
        skip_known = known["ra_deg"] is not None and position in (None, known)
        job = _Ingest(workdir, staging, mode, replace, report, skip_known)
        for unit in units:
            job.take(unit)
        if report.accepted or report.unchanged:  # a call that takes nothing changes nothing
            _settle_position(workdir, position, report)
    for rejected in report.rejected:
        logger.warning("rejected %s: %s", rejected.path, rejected.reason)
    for path, reason in report.passed_over:
        logger.warning("passed over %s: %s", path, reason)
    for other in report.elsewhere:
        logger.warning("%s is of another field: %.4g deg off", other.rootname, other.distance_deg)
    return report


def _position(ra_deg: float | None, dec_deg: float | None) -> dict[str, float] | None:
    if ra_deg is None and dec_deg is None:
        return None
    try:
        target = TargetSettings(ra_deg=ra_deg, dec_deg=dec_deg)
    except ValueError as error:
        raise BadConfiguration(
            f"not a position: ra_deg={ra_deg!r}, dec_deg={dec_deg!r}",
            next_step="Give both, in degrees: 0 <= RA < 360 and -90 <= Dec <= 90",
        ) from error
    return target.position()


def _settle_position(
    workdir: WorkDir, position: dict[str, float] | None, report: IngestReport
) -> None:
    """Write target.toml: the given position, or if none is known yet, the median of one field."""
    if position is None and load_settings(workdir).target.ra_deg is None and report.verified:
        fields = fields_of(report.verified)
        if len(fields) > 1:
            report.fields.extend(fields)
            apart = spread_deg([members[0] for members in fields])
            logger.warning("no target position: %d fields, %.4g deg apart", len(fields), apart)
            return
        position = median_position(report.verified)
        logger.info("target position from headers: RA %(ra_deg).6f Dec %(dec_deg).6f", position)
    if position is not None:
        write_settings(workdir, {"target": position})
    target = load_settings(workdir).target
    if target.ra_deg is not None and target.dec_deg is not None:
        report.elsewhere.extend(elsewhere(report.verified, target.ra_deg, target.dec_deg))


def _why(error: OSError | TransientFailure) -> object:
    """What the machine says, in the words of the project where it has some."""
    if isinstance(error, TransientFailure):
        return error.what
    machine = machine_failure(error)
    return machine.what if machine else error.strerror or error


# -------------------------------------------------------------------------------- staging


@contextmanager
def _staging_folder(workdir: WorkDir) -> Iterator[Path]:
    """A fresh folder; those of killed ingests are removed (the lock says that none is alive)."""
    for left_over in workdir.staging.glob(f"{_STAGING_PREFIX}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=workdir.staging))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ------------------------------------------------------------------------- taking one unit


class _Ingest:
    """One ingest under way: what it has taken so far decides what is a duplicate."""

    def __init__(
        self,
        workdir: WorkDir,
        staging: Path,
        mode: Mode,
        replace: bool,  # noqa: FBT001
        report: IngestReport,
        skip_known: bool,  # noqa: FBT001
    ) -> None:
        self._workdir = workdir
        self._staging = staging
        self._mode = mode
        self._replace = replace
        self._report = report
        self._ledger = {file.key: file for file in raw_ledger(workdir)}
        self._taken: dict[str, Path] = {}
        self._skip_known = skip_known

    def take(self, unit: Unit) -> None:
        """Accept or reject one unit, and write down which."""
        try:
            self._take(unit)
        except UnusableInput as error:
            in_the_way = isinstance(error, _InTheWay)
            self._report.rejected.append(Rejected(unit.path, error.what, in_the_way=in_the_way))
        except (OSError, TransientFailure) as error:
            reason = f"cannot be brought into raw/: {_why(error)}"
            self._report.rejected.append(Rejected(unit.path, reason, by_machine=True))
        finally:
            # What was not taken would fill the disk until the end.
            for left_over in self._staging.iterdir():
                left_over.unlink(missing_ok=True)

    def _take(self, unit: Unit) -> None:
        if self._is_known(unit):
            return
        staged = self._stage(unit)
        verdict = begin_verification(*staged)
        sums = [sha256_of_file(path) for path in staged]  # meanwhile
        exposure = verdict()
        files = [
            self._entry(path, exposure, source, sha256)
            for path, source, sha256 in zip(staged, unit.paths, sums, strict=True)
        ]
        self._refuse_duplicate(unit, exposure.rootname, files)
        self._report.verified.append(exposure)
        if all(self._stands(file) for file in files):
            self._report.unchanged.extend(self._ledger[file.key] for file in files)
        else:
            self._accept(staged, files)
        self._taken[exposure_key(exposure.rootname)] = unit.path

    def _accept(self, staged: Sequence[Path], files: Sequence[RawFile]) -> None:
        # The companion first: a c0m is never seen in raw/ without it.
        for path, file in reversed(list(zip(staged, files, strict=True))):
            self._publish(path, file)
        write_ledger(self._workdir, self._ledger.values())
        self._report.accepted.extend(self._ledger[file.key] for file in files)
        logger.info("verified raw/%s", files[0].name)

    def _is_known(self, unit: Unit) -> bool:
        """Settle a unit whose very bytes are in raw/ without copying and verifying it again."""
        if not self._skip_known:
            return False
        files = [self._same_bytes(path) for path in unit.paths]
        known = [file for file in files if file is not None and self._stands(file)]
        if len(known) < len(files):
            return False
        self._refuse_duplicate(unit, known[0].rootname, known)
        self._report.unchanged.extend(known)
        self._taken[exposure_key(known[0].rootname)] = unit.path
        return True

    def _same_bytes(self, path: Path) -> RawFile | None:
        """The ledger's entry with the bytes of a file; the file is read only if it may be one."""
        suffix = suffix_of(path.name)
        if not path.is_file():
            return None
        size = path.stat().st_size
        alike = [
            file for file in self._ledger.values() if (file.size, file.suffix) == (size, suffix)
        ]
        if not alike:
            return None
        sha256 = sha256_of_file(path)
        return next((file for file in alike if file.sha256 == sha256), None)

    def _stage(self, unit: Unit) -> list[Path]:
        """Copies or links in the staging folder; what lies in raw/ already stays where it is."""
        if all(self._in_raw(path) and not is_packed(path) for path in unit.paths):
            return unit.paths
        return [
            bring(path, self._staging, self._mode)
            for path in unit.paths
            if path.is_file() or path == unit.path
        ]

    def _in_raw(self, path: Path) -> bool:
        return is_in_raw(path, self._workdir)

    def _entry(self, staged: Path, exposure: Verified, source: Path, sha256: str) -> RawFile:
        """The ledger entry of a verified file. An exposure known already keeps its name."""
        suffix = str(suffix_of(staged.name))
        known = self._ledger.get((exposure_key(exposure.rootname), suffix))
        if self._in_raw(source):
            name = unpacked_name(source)
        else:
            name = known.name if known else f"{exposure.rootname}_{suffix}.fits"
        if not name.isprintable():
            raise UnusableInput("its name has characters that the ledger cannot store")
        status = staged.stat()
        return RawFile(
            name=name,
            rootname=exposure.rootname,
            visit=exposure.visit,
            suffix=suffix,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            sha256=sha256,
        )

    def _refuse_duplicate(self, unit: Unit, rootname: str, files: Sequence[RawFile]) -> None:
        taken = self._taken.get(exposure_key(rootname))
        if taken is not None:
            known = self._ledger[files[0].key]
            same = "identical bytes" if known.sha256 == files[0].sha256 else "different content"
            raise UnusableInput(f"duplicate of {taken}: the same exposure {rootname}, {same}")
        if self._replace:
            return
        for file in files:
            old = self._ledger.get(file.key)
            if old is not None and old.sha256 != file.sha256:
                raise _InTheWay(
                    f"raw/{old.name} holds exposure {old.rootname} with different content "
                    f"(sha256 {old.sha256[:12]}, this one {file.sha256[:12]}); "
                    "use --clobber to replace it"
                )
            self._refuse_overwriting(file, unit)

    def _refuse_overwriting(self, file: RawFile, unit: Unit) -> None:
        """Whatever lies in raw/ under this name without being in the ledger is not ours."""
        path = self._workdir.raw / file.name
        if file.key in self._ledger or self._in_raw(unit.path) or not path.exists():
            return
        if sha256_of_file(path) != file.sha256:
            raise _InTheWay(
                f"raw/{file.name} was not ingested and has different content: remove it, "
                "ingest it in place, or replace it with --clobber"
            )

    def _stands(self, file: RawFile) -> bool:
        """Whether raw/ holds these bytes under the ledger's name already."""
        known = self._ledger.get(file.key)
        if known is None or known.sha256 != file.sha256:
            return False
        path = self._workdir.raw / known.name
        return path.is_file() and sha256_of_file(path) == known.sha256

    def _publish(self, staged: Path, file: RawFile) -> None:
        if not staged.is_symlink():
            staged.chmod(_READ_ONLY)
        path = self._workdir.raw / file.name
        if staged.is_symlink() and path.exists() and path.samefile(staged):
            raise UnusableInput(f"a link to it would take the place of raw/{file.name} itself")
        if staged != path:
            move_into_place(staged, path)
        status = path.stat()
        self._ledger[file.key] = replace(file, mtime_ns=status.st_mtime_ns)
