"""Which files of the given sources are exposures to be ingested, and what belongs together."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.limits import LARGEST_BYTES, refuse_size
from hst_assets.exposures.raw import COMPANION_SUFFIX, suffix_of
from hst_assets.exposures.verification import named_rootname
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.workdir import WorkDir

__all__ = [
    "Mode",
    "Unit",
    "bring",
    "fits_files_in",
    "is_packed",
    "passed_over_in",
    "units_of",
    "unpacked_name",
]

Mode = Literal["copy", "symlink", "hardlink"]

_ROOTNAME_LENGTH = 9
_PACKED = ".gz"
_ENDINGS = (".fits", ".fit", ".fits.gz", ".fits.fz")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Unit:
    """What is accepted or rejected together: one file, or a c0m with its c1m."""

    path: Path
    companion: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """Its files, the exposure first."""
        return [self.path] if self.companion is None else [self.path, self.companion]


def is_packed(path: Path) -> bool:
    """Whether a file is gzip-compressed, by its name: it is unpacked on its way into raw/."""
    return path.name.lower().endswith(_PACKED)


def unpacked_name(path: Path) -> str:
    """The name of a file without ``.gz``."""
    return path.name[: -len(_PACKED)] if is_packed(path) else path.name


def fits_files_in(folder: Path) -> list[Path]:
    """The FITS files below a folder, sorted; hidden files and folders are skipped."""
    return sorted(
        Path(parent, name)
        for parent, _, names in _walk(folder)
        for name in names
        if name.lower().endswith(_ENDINGS) and not name.startswith(".")
    )


def passed_over_in(folder: Path) -> list[tuple[Path, str]]:
    """The folders below a folder that `fits_files_in` does not look into, and why; no hidden ones.

    Links to folders are not followed: they may lead round in a circle, or out of the source.
    """
    found: list[tuple[Path, str]] = []

    def unreadable(error: OSError) -> None:
        found.append((Path(error.filename), f"cannot be looked into: {error.strerror}"))

    for parent, folders, _ in _walk(folder, unreadable):
        paths = [Path(parent, name) for name in folders]
        why = "a link to a folder is not followed: name it among the sources"
        found += [(path, why) for path in paths if path.is_symlink()]
    return sorted(found)


def _walk(
    folder: Path, unreadable: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, without hidden folders."""
    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield parent, folders, names


def units_of(
    sources: Sequence[Path], workdir: WorkDir
) -> tuple[list[Unit], list[tuple[Path, str]]]:
    """Files in the order they are taken, companions put beside their c0m.

    Parameters
    ----------
    sources : sequence of path
        Files and folders.
    workdir : WorkDir
        The target's: its products are none of its sources, and a companion may lie in its raw/.

    Returns
    -------
    units : list of Unit
        What is to be verified.
    odd : list of (path, str)
        Companions that belong to nothing, and why.

    Raises
    ------
    BadConfiguration
        If a source is not there.
    """
    paths = _files(sources, workdir)
    companions = {path.absolute() for path in paths if _suffix(path) == COMPANION_SUFFIX}
    by_name = {unpacked_name(path).lower(): path for path in sorted(companions, reverse=True)}
    units = []
    for path in paths:
        suffix = _suffix(path)
        if suffix == "c0m":
            companion = _companion(path, by_name, workdir)
            companions.discard(companion.absolute())
            units.append(Unit(path, companion))
        elif suffix != COMPANION_SUFFIX:
            units.append(Unit(path))
    used = {unpacked_name(unit.companion).lower() for unit in units if unit.companion}
    odd = []
    for path in sorted(companions):
        reason = (
            "a second copy of a data-quality companion"
            if unpacked_name(path).lower() in used
            else "a data-quality companion without its _c0m.fits"
        )
        odd.append((path, reason))
    return units, odd


def _suffix(path: Path) -> str | None:
    return suffix_of(unpacked_name(path))


def _companion(path: Path, by_name: dict[str, Path], workdir: WorkDir) -> Path:
    """The c1m of a c0m: beside it, else of the right name among the sources, else in raw/."""
    beside = quality_file(path.with_name(unpacked_name(path)))
    if beside.is_file():
        return beside
    packed = beside.with_name(f"{beside.name}{_PACKED}")
    if packed.is_file():
        return packed
    kept = workdir.raw / beside.name.lower()
    return by_name.get(beside.name.lower(), kept if kept.is_file() else beside)


def _files(sources: Sequence[Path], workdir: WorkDir) -> list[Path]:
    """All files of all sources, once each; archive names before those of HAP products."""
    found: dict[Path, None] = {}
    for source in sources:
        if source.is_dir():
            for path in fits_files_in(source):
                if _is_foreign(path, workdir):
                    found.setdefault(path)
        elif source.exists() or source.is_symlink():
            found.setdefault(source)
        else:
            raise BadConfiguration("no such file or folder", where=source)
    return sorted(found, key=lambda path: (_is_hap(unpacked_name(path)), str(path)))


def is_in_raw(path: Path, workdir: WorkDir) -> bool:
    """Whether a file lies in the target's raw/, by whatever way its folder was reached."""
    return path.parent.resolve() == workdir.raw.resolve()


def _is_foreign(path: Path, workdir: WorkDir) -> bool:
    """Whether a file found in a folder is not one of the target's own products."""
    return not path.absolute().is_relative_to(workdir.base) or is_in_raw(path, workdir)


def _is_hap(name: str) -> bool:
    named = named_rootname(name)
    return named is None or len(named) < _ROOTNAME_LENGTH


def bring(source: Path, folder: Path, mode: Mode) -> Path:
    """Copy, link or unpack a file into a staging folder; return it there.

    Parameters
    ----------
    source : `~pathlib.Path`
        The file. One that is gzip-compressed is unpacked, whatever the mode.
    folder : `~pathlib.Path`
        Where it goes, under its name without ``.gz``.
    mode : {"copy", "symlink", "hardlink"}
        How.

    Raises
    ------
    UnusableInput
        If it is no file, larger than any exposure, or not to be unpacked.
    OSError
        If the disk does not take it.
    """
    staged = folder / unpacked_name(source)
    staged.unlink(missing_ok=True)
    if not source.is_file():
        raise UnusableInput("not a file that can be read", where=source)
    refuse_size(source.stat().st_size)
    if is_packed(source):
        _unpack(source, staged)
    elif mode == "symlink":
        staged.symlink_to(source.resolve())
    elif mode == "hardlink":
        os.link(source.resolve(), staged)
    else:
        shutil.copyfile(source, staged)
    return staged


def _unpack(source: Path, staged: Path) -> None:
    n_bytes = 0
    with source.open("rb") as packed, gzip.open(packed) as stream, staged.open("wb") as out:
        while chunk := _unpacked_chunk(stream, source):
            n_bytes += len(chunk)
            if n_bytes > LARGEST_BYTES:
                raise UnusableInput(
                    f"it unpacks to more than {LARGEST_BYTES / 1e6:.0f} MB: no exposure of HST has "
                    "as many",
                    where=source,
                )
            out.write(chunk)


def _unpacked_chunk(stream: gzip.GzipFile, source: Path) -> bytes:
    try:
        return stream.read(_CHUNK_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnusableInput(f"corrupt gzip: {error}", where=source) from error
