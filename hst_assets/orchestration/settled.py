"""Whether what is upstream of a level has settled.

A level that joins branches (`AssetTable.joins`) could be made as soon as one of them has ended, and
again after each of the others. Its sensor therefore waits while anything upstream, however
indirectly, is in flight or due. Due is a version of inputs for which the running sensor of its
level has not requested a run yet. A failed run is neither, so that a branch that fails does not
block the others; nor is a version that a sensor would have to request which is stopped or has long
been silent.

The runs that a sensor requests are not in Dagster's records until some time after its tick. A run
is therefore requested only if the version has not changed from one tick to the next, and no sensor
upstream has requested anything in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from hst_assets.orchestration.archive_sensor import awaited_targets
from hst_assets.orchestration.dagster_private import running_sensor_cursors
from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.orchestration.partition_keys import targets_of
from hst_assets.orchestration.retrying import retry_marks
from hst_assets.orchestration.runs import partitions_of, unfinished_runs
from hst_assets.orchestration.sensor_memory import LevelCursor, read_cursor, written_at
from hst_assets.orchestration.target_roots import forgotten_mark
from hst_assets.orchestration.targets import costing_itself
from hst_assets.provenance import digest_of
from hst_assets.workdir import WorkDir

__all__ = ["Upstream", "sensor_name"]

#: A sensor that has not looked for so long, or for so many of its intervals, asks for nothing.
_SILENCE_S = 900.0
_SILENCE_INTERVALS = 3


def sensor_name(level: Level) -> str:
    """The name of a level's sensor."""
    return f"{level.job}_sensor"


@dataclass(frozen=True)
class Upstream:
    """What is upstream of a level, at one tick of its sensor.

    Attributes
    ----------
    level : Level
        The level.
    table : AssetTable
        What is made from what.
    instance : DagsterInstance
        Runs and sensors.
    interval_s : int
        Between two ticks of sensors.
    """

    level: Level
    table: AssetTable
    instance: dg.DagsterInstance
    interval_s: int

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Those that the level waits for: directly upstream, or all if it joins branches."""
        if self.table.joins(self.level):
            return self.table.upstream_of(self.level)
        return tuple(map(self.table.level_named, self.level.after))

    def in_flight(self) -> tuple[set[str], set[str]]:
        """Targets and partitions of which something is at work, or about to be requested.

        A level of the same partitions holds up its own partition; across a crossing, the target.
        """
        targets: set[str] = set()
        partitions: set[str] = set()
        for before in self.levels:
            found = partitions_of(self._unfinished, before)
            if before.by_visit == self.level.by_visit:
                partitions |= found
            else:
                targets |= targets_of(found)
                if before == self.table.raw_level:
                    targets |= awaited_targets(self.instance)
        return targets, partitions

    def at_work(self) -> set[str]:
        """Partitions of the level itself with runs queued or in progress."""
        return partitions_of(self._unfinished, self.level)

    @cached_property
    def _unfinished(self) -> list[dg.DagsterRun]:
        return unfinished_runs(self.instance)

    def due(self, workdir: WorkDir, warn: Callable[[str], None]) -> set[str]:
        """What of a target running sensors are about to ask for, upstream of a join.

        Returns
        -------
        keys : set of str
            Partitions of the level that have to wait, and the target if all of it has to.
        """
        from hst_assets.orchestration.input_versions import input_versions

        found: set[str] = set()
        mark = forgotten_mark(self.instance, workdir.target)
        for before, cursors in self._cursors:
            again = self._again[before.job]
            versions: dict[str, str] = {}
            # One that cannot be read is passed over by its own sensor as well.
            with costing_itself(workdir.target, warn):
                versions = input_versions(workdir, before, self.table)
            # What one sensor asked for is not due, whatever one of another code location did.
            keys = {
                key
                for key, version in versions.items()
                if cursors
                and all(
                    cursor.asked.get(key) != version + mark + again.get(key, "")
                    for cursor in cursors
                )
            }
            found |= keys if before.by_visit == self.level.by_visit else targets_of(keys)
        return found

    def seen(self, workdir: WorkDir, version: str) -> str:
        """Digest of a version and of all that was requested upstream, of one target."""
        asked = {
            f"{before.job} {key}": of_key
            for before, cursors in self._cursors
            for cursor in cursors
            for key, of_key in cursor.asked.items()
            if targets_of([key]) == {workdir.target}
        }
        return digest_of([version, asked])

    @cached_property
    def _again(self) -> dict[str, dict[str, str]]:
        """What failed upstream and was asked for again, by job: read once a tick."""
        return {before.job: retry_marks(self.instance, before.job) for before in self.levels}

    @cached_property
    def _cursors(self) -> list[tuple[Level, list[LevelCursor]]]:
        """The levels before a join, with the cursors of sensors that run and have looked lately."""
        if not self.table.joins(self.level):
            return []
        since = time.time() - max(_SILENCE_S, _SILENCE_INTERVALS * self.interval_s)
        texts = running_sensor_cursors(self.instance)
        found = []
        for before in self.levels:
            lately = [
                text for text in texts.get(sensor_name(before), []) if written_at(text) >= since
            ]
            found.append((before, [read_cursor(self.instance, text) for text in lately]))
        return [(before, cursors) for before, cursors in found if cursors]
