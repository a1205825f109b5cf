"""What was read of a target at an earlier tick, while modification times are unchanged.

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

#: A file system tells times in steps, and a server of files by a clock of its own, which is not
#: compared with ours: what is read is trusted once the same stamps had been seen so long before by
#: our clock, seconds. What was changed after that, in whatever step, has another time.
_SETTLED_S = 10.0
_Stamp = tuple[int, int, int] | None
_Version = Callable[[Record], str]


@dataclass
class _Kept:
    """Versions, with the stamps of all that they were read from.

    `seen_at` is when these stamps were first seen, and `read_at` when what is kept was read after
    that, both by a clock that nobody sets.
    """

    stamps: dict[Path, _Stamp]
    versions: dict[str, str]
    seen_at: float
    read_at: float

    def stands(self) -> bool:
        """Whether nothing has another stamp, and none was so young that it may hide a change."""
        is_settled = self.read_at - self.seen_at >= _SETTLED_S
        return is_settled and all(stamp_if_there(path) == was for path, was in self.stamps.items())


@dataclass
class InputMemory:
    """Of one process: versions of levels by target, and those of records by their stamps.

    Attributes
    ----------
    clock : callable
        Tells seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _kept: dict[tuple[WorkDir, str], _Kept] = field(default_factory=dict)
    _records: dict[tuple[str, _Version], tuple[_Stamp, str | None]] = field(default_factory=dict)

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
            began = self.clock()
            versions, paths = read()
            stamps = {path: stamp_if_there(path) for path in paths}
            seen_at = self.clock()
            if kept is not None and kept.stamps == stamps:
                seen_at = kept.seen_at
            kept = self._kept[key] = _Kept(stamps, versions, seen_at, began)
        return dict(kept.versions)

    def of_record(self, product: Path, version: _Version) -> str | None:
        """The version that the record of a product has; None where there is none."""
        path = WorkDir.record(product)
        stamp = stamp_if_there(path)
        if stamp is None:
            return None
        key = (str(path), version)
        kept = self._records.get(key)
        if kept is None or kept[0] != stamp:
            record = read_record(product)
            kept = self._records[key] = (stamp, version(record) if record else None)
        return kept[1]
