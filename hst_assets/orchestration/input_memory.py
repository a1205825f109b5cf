"""What was read of a target at an earlier tick, for as long as modification times stand.

A daemon asks every half minute for the versions of thousands of inputs, of which hardly one has
changed. Records, tables and ledgers are replaced by a rename, so that the time of their folder
changes with them: while no folder and none of the user's files has another time, nothing is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hst_assets.provenance import read_record
from hst_assets.provenance.record import Record
from hst_assets.workdir import WorkDir, stamp_if_there

__all__ = ["InputMemory"]

#: A file system tells times in steps, and a server's clock may go otherwise: what was changed less
#: than this before it was read may have changed once more without a new time, seconds.
_SETTLED_S = 10.0
_Stamp = tuple[int, int, int] | None


@dataclass
class _Kept:
    """Versions, with the stamps of all that they were read from."""

    stamps: dict[Path, _Stamp]
    versions: dict[str, str]
    read_at: float

    def stands(self) -> bool:
        """Whether nothing has another stamp, and none was so young that it may hide a change."""
        newest = max((each[0] for each in self.stamps.values() if each), default=0)
        is_settled = newest / 1e9 < self.read_at - _SETTLED_S
        return is_settled and all(stamp_if_there(path) == was for path, was in self.stamps.items())


@dataclass
class InputMemory:
    """Of one process: versions of levels by target, and those of records by their stamps."""

    _kept: dict[tuple[WorkDir, str], _Kept] = field(default_factory=dict)
    _records: dict[str, tuple[_Stamp, str | None]] = field(default_factory=dict)

    def versions(
        self,
        workdir: WorkDir,
        level: str,
        read: Callable[[], tuple[dict[str, str], Iterable[Path]]],
    ) -> dict[str, str]:
        """The versions of a level's inputs, read only where something has another time.

        Parameters
        ----------
        workdir : WorkDir
            The target's.
        level : str
            Name of the level's job.
        read : callable
            Reads them; returns them with the folders and files that they depend on.
        """
        key = (workdir, level)
        kept = self._kept.get(key)
        if kept is None or not kept.stands():
            before = time.time()
            versions, paths = read()
            # Stamps of afterwards count if they are as old as those of before would have to be.
            stamps = {path: stamp_if_there(path) for path in paths}
            kept = self._kept[key] = _Kept(stamps, versions, before)
        return dict(kept.versions)

    def of_record(self, product: Path, version: Callable[[Record], str]) -> str | None:
        """The version that the record of a product has; None where there is none."""
        path = WorkDir.record(product)
        stamp = stamp_if_there(path)
        if stamp is None:
            return None
        kept = self._records.get(str(path))
        if kept is None or kept[0] != stamp:
            record = read_record(product)
            kept = self._records[str(path)] = (stamp, version(record) if record else None)
        return kept[1]
