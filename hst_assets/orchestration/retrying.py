"""Request again all that has failed, such as after a night with a full disk.

A sensor requests a run of a partition when the version of its inputs differs from the one that it
requested last. To retry a failed partition, a mark is added to its version, so that the sensor of
its level requests a run at its next tick: like any other run it goes through the queue, may run on
any machine, and waits for what runs wait for.

A mark is a row of its own in Dagster's table of dynamic partitions, in a set that belongs to no
asset: two commands at once add rows, and neither overwrites what the other wrote.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

from hst_assets.failures import HstAssetsError
from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.in_the_way import never_made
from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.orchestration.partition_keys import targets_of
from hst_assets.orchestration.runs import PARTITION_TAG, chosen_assets, makes_something_of
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir

__all__ = ["ask_again", "failed_since", "is_asked_again", "retry_marks", "without_inputs"]

logger = logging.getLogger(__name__)

_SET = "hst_assets/asked_again/"
_MARK = "#again"


def failed_since(
    instance: dg.DagsterInstance, table: AssetTable, since: datetime, targets: Collection[str]
) -> dict[str, list[str]]:
    """Partitions of which the last run of a level has failed since a moment.

    A run of assets of several levels counts in those whose steps failed.

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
        if partition.partition("/")[0] not in targets:
            continue
        for job, has_failed in _outcomes(instance, run, table).items():
            is_last = (job, partition) not in seen
            seen.add((job, partition))
            if is_last and has_failed:
                found.setdefault(job, []).append(partition)
    order = [level.job for level in table.levels_from_raw]
    return {job: sorted(found[job]) for job in order if job in found}


def _outcomes(
    instance: dg.DagsterInstance, run: dg.DagsterRun, table: AssetTable
) -> dict[str, bool]:
    """The levels of a run, by job, and whether each failed; one that was not tried is left out."""
    levels = [level for level in table.levels_from_raw if makes_something_of(run, level)]
    has_failed = run.status == DagsterRunStatus.FAILURE
    if not has_failed or len(levels) == 1:
        return {level.job: has_failed for level in levels}
    failed = _steps(instance, run, DagsterEventType.STEP_FAILURE)
    if not failed:  # such as one that was killed
        return {level.job: True for level in levels}
    made = _steps(instance, run, DagsterEventType.STEP_SUCCESS)
    chosen = chosen_assets(run)
    return {
        level.job: not failed.isdisjoint(level.assets)
        for level in levels
        if not failed.isdisjoint(level.assets) or chosen & {*level.assets} <= made
    }


def _steps(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: DagsterEventType) -> set[str]:
    """The steps of a run of which there is an event: one an asset, with its name."""
    events = (entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=kind))
    return {event.step_key for event in events if event and event.step_key}


def ask_again(instance: dg.DagsterInstance, job: str, partitions: Iterable[str]) -> None:
    """Have the sensor of a level request partitions, whatever it has requested before."""
    wanted = {*partitions}
    former = [each for each in _rows(instance, job) if each.partition(_MARK)[0] in wanted]
    rows = [f"{key}{_MARK}{uuid.uuid4().hex[:12]}" for key in sorted(wanted)]
    instance.add_dynamic_partitions(_SET + job, rows)
    # Last: without a mark, the sensor would ask for what it asked for before.
    for row in former:
        instance.delete_dynamic_partition(_SET + job, row)


def retry_marks(instance: dg.DagsterInstance, job: str) -> dict[str, str]:
    """What a level's sensor adds to the version of partitions that are requested again.

    Of several marks the last counts. A row that is none is passed over with a warning.
    """
    marks = {}
    for row in _rows(instance, job):
        key, mark, name = row.partition(_MARK)
        if key and name:
            marks[key] = mark + name
        else:
            logger.warning("%r is no mark of a partition of %s: it is ignored", row, job)
    return marks


def is_asked_again(version: str, before: str) -> bool:
    """Whether a version has a mark that another, which was requested before, has not."""
    mark = version.partition(_MARK)[2]
    return bool(mark) and mark != before.partition(_MARK)[2]


def _rows(instance: dg.DagsterInstance, job: str) -> list[str]:
    return [*instance.get_dynamic_partitions(_SET + job)]  # in the order in which they were added


def without_inputs(
    root: Path, level: Level, partitions: Iterable[str], table: AssetTable
) -> dict[str, str]:
    """Of some partitions, those of which a level's sensor asks for no run now, each with why.

    Parameters
    ----------
    root : Path
        Of the targets.
    level : Level
        Whose inputs are looked for.
    partitions : iterable of str
        Targets, or visits of them.
    table : AssetTable
        What is made from what.
    """
    from hst_assets.orchestration.input_versions import input_versions

    keys = [*partitions]
    found: dict[str, str] = {}
    for target in sorted(targets_of(keys)):
        workdir = WorkDir(root, target)
        own = [key for key in keys if targets_of([key]) == {target}]
        try:
            ready = input_versions(workdir, level, table)
            found |= {k: _why_lacking(workdir, level, k, table) for k in own if k not in ready}
        except (HstAssetsError, OSError) as error:
            found |= dict.fromkeys(own, f"cannot be read: {error}")
    return found


def _why_lacking(workdir: WorkDir, level: Level, partition: str, table: AssetTable) -> str:
    """Why a level cannot work on a partition that has no version of inputs."""
    from hst_assets.orchestration.input_versions import raw_visits

    if not table.is_wanted(level, load_settings(workdir)):
        return f"not wanted by the setting {level.wanted}"
    if level.by_visit and VisitKey.parse(partition).visit not in raw_visits(workdir):
        return "raw/ has no verified exposure of it"
    lacking = never_made(table, workdir, level.assets, partition).values()
    names = dict.fromkeys(name for each in lacking for name in each)
    if names:
        return f"never made: {', '.join(names)}"
    return "its inputs are not all made and up to date"
