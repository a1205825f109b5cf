"""Freeing the disk: what a target's work directory can do without.

Nothing that is removed is lost: it is remade from ``raw/`` when needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hst_assets.provenance import former_digests, read_record
from hst_assets.workdir import WorkDir

__all__ = ["Freed", "clean"]

#: Star lists and matches beside an aligned exposure stay: they are small, and the target's table of
#: matches is gathered from them.
_KEPT = {".coo", ".ecsv"}
_ARTIFACTS = "artifacts."


@dataclass(frozen=True)
class Freed:
    """One kind of thing that was removed.

    Attributes
    ----------
    what : str
        In words.
    n_items : int
        Folders, or products with what lies beside them.
    size_bytes : int
        What the file system got back: a file that has another name too frees nothing.
    """

    what: str
    n_items: int
    size_bytes: int


def clean(
    workdir: WorkDir,
    *,
    working_copies: Mapping[str, str] | None = None,
    logs_before: float | None = None,
) -> list[Freed]:
    """Remove what is no longer needed.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    working_copies : mapping, optional
        Stages of provenance whose products in ``workspace/`` are removed as well, and what to call
        them (``{"aligned_exposure": "aligned working copies"}``): they are made again when a level
        downstream of them is materialized.
    logs_before : float, optional
        Logs that nobody has written to since are removed as well, seconds since 1970.

    Returns
    -------
    list of Freed
        Kinds of which there was something.

    Raises
    ------
    TransientFailure
        If a run is in flight in this work directory; nothing is removed then.
    """
    if working_copies:
        former_digests(workdir)  # what is removed is still known by its digest downstream
    with workdir.alone():
        freed = [
            _remove("intermediate files of AstroDrizzle", _artifacts(workdir)),
            _remove("scratch folders of killed runs", _dead_scratch(workdir)),
            _remove("unfinished files", _unfinished(workdir)),
        ]
        freed += [
            _remove(what, _made_by(workdir, stage))
            for stage, what in (working_copies or {}).items()
        ]
        if logs_before is not None:
            freed.append(_remove("logs", _logs(workdir, logs_before)))
    return [kind for kind in freed if kind.n_items]


_Item = tuple[Path, ...]


def _artifacts(workdir: WorkDir) -> Iterator[_Item]:
    for path in sorted(workdir.runfiles.glob(f"{_ARTIFACTS}*")):
        if path.is_dir():
            yield (path,)


def _dead_scratch(workdir: WorkDir) -> Iterator[_Item]:
    """Every other folder there is dead: no process holds a lock."""
    for path in sorted(workdir.runfiles.iterdir()):
        if path.is_dir() and not path.name.startswith(_ARTIFACTS):
            yield path, path.with_name(f"{path.name}.alive")


def _unfinished(workdir: WorkDir) -> Iterator[_Item]:
    of_visits = [workdir.hap, *(path for path in workdir.hap.rglob("*") if path.is_dir())]
    for folder in (workdir.base, workdir.workspace, workdir.drizzle, *of_visits):
        for path in sorted(folder.glob(".part.*")):
            yield (path,)


def _logs(workdir: WorkDir, before: float) -> Iterator[_Item]:
    """What commands and tools said; nothing reads it again."""
    for path in sorted(workdir.logs.rglob("*")):
        if path.is_file() and path.stat().st_mtime < before:
            yield (path,)


def _made_by(workdir: WorkDir, stage: str) -> Iterator[_Item]:
    ending = WorkDir.record(Path("x")).name.removeprefix("x")
    for note in sorted(workdir.workspace.glob(f"*{ending}")):
        product = note.with_name(note.name.removesuffix(ending))
        record = read_record(product)
        if record is not None and record.recipe.get("stage") == stage:
            # The record first: a product without one is never taken for whole.
            outputs = sorted({workdir.absolute(name) for name in record.outputs})
            yield note, *(path for path in outputs if path.suffix not in _KEPT)


def _remove(what: str, items: Iterable[_Item]) -> Freed:
    n_items = size = 0
    for item in items:
        n_items += 1
        for path in item:
            size += _size(path)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return Freed(what, n_items, size)


def _size(path: Path) -> int:
    files = [path, *(path.rglob("*") if path.is_dir() else ())]
    stats = [each.lstat() for each in files if each.is_file()]
    return sum(stat.st_size for stat in stats if stat.st_nlink == 1)
