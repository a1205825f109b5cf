"""What failed is asked for again, all of it at once, such as after a night with a full disk.

Sensors ask for a partition when the version of its inputs is another one than they asked for. Who
wants a failed partition tried again adds a mark to its version, and the sensor of its level asks
at its next tick: through the queue, on whatever machine, with all that holds a run up.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.orchestration.runs import PARTITION_TAG

__all__ = ["ask_again", "failed_since", "retry_marks"]

_KEY = "hst_assets/asked_again/"


def failed_since(
    instance: dg.DagsterInstance, table: AssetTable, since: datetime, targets: Collection[str]
) -> dict[str, list[str]]:
    """Partitions of which the last run of a level has failed since a moment.

    Parameters
    ----------
    instance : DagsterInstance
        The runs.
    table : AssetTable
        Whose levels count, without that of the archive: its sensor asks again by itself.
    since : datetime
        With its time zone.
    targets : collection of str
        Those of others are left out.

    Returns
    -------
    dict
        By the level's job, sorted. What was made since, or is queued or at work, is not in it.
    """
    runs = instance.get_runs(RunsFilter(updated_after=since.astimezone(UTC)))
    seen: set[tuple[str, str]] = set()
    found: dict[str, list[str]] = {}
    for run in runs:  # the latest first
        partition = run.tags.get(PARTITION_TAG, "")
        for level in _levels_of(run, table):
            is_last = (level.job, partition) not in seen
            seen.add((level.job, partition))
            is_wanted = partition.partition("/")[0] in targets
            if is_last and is_wanted and run.status == DagsterRunStatus.FAILURE:
                found.setdefault(level.job, []).append(partition)
    order = [level.job for level in table.levels_from_raw]
    return {job: sorted(found[job]) for job in order if job in found}


def _levels_of(run: dg.DagsterRun, table: AssetTable) -> list[Level]:
    """The levels of which a run makes something: by its job, or by assets that were chosen."""
    chosen = {key.path[-1] for key in run.asset_selection or ()}
    return [
        level
        for level in table.levels_from_raw
        if run.job_name == level.job or not chosen.isdisjoint(level.assets)
    ]


def ask_again(instance: dg.DagsterInstance, job: str, partitions: Iterable[str]) -> None:
    """Have the sensor of a level ask for partitions, whatever it has asked for."""
    marks = _times(instance, job)
    for partition in partitions:
        marks[partition] = marks.get(partition, 0) + 1
    instance.daemon_cursor_storage.set_cursor_values({_KEY + job: json.dumps(marks)})


def retry_marks(instance: dg.DagsterInstance, job: str) -> dict[str, str]:
    """What a level's sensor adds to the version of partitions that were asked for again."""
    return {key: f"#again{times}" for key, times in _times(instance, job).items()}


def _times(instance: dg.DagsterInstance, job: str) -> dict[str, int]:
    text = instance.daemon_cursor_storage.get_cursor_values({_KEY + job}).get(_KEY + job)
    return json.loads(text) if text else {}
