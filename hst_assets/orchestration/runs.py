"""Runs of the instance: which are in flight, and in which process.

``hst-assets run`` and ``materialize`` run in the user's process and say so in a tag; everything
else is started by the daemon, the web UI or Dagster's own commands.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from hst_assets.orchestration.levels import Level

__all__ = [
    "HOST_TAG",
    "MAX_RETRIES_TAG",
    "PARTITION_TAG",
    "POD_JOB_TAG",
    "PROCESS_TAG",
    "RETRY_TAG",
    "TASK_TAG",
    "UNFINISHED",
    "WITHIN_TAG",
    "chosen_assets",
    "makes_something_of",
    "partitions_in_flight",
    "partitions_of",
    "process_tag",
    "unfinished_runs",
]

#: Runs that may still change what a later one would read.
UNFINISHED = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
#: Host, process and its start (ticks) of a run that `run_target` does in its own process.
PROCESS_TAG = "hst_assets/process"
#: Host of every other run. Its process is in Dagster's events (`orchestration.dead_runs`).
HOST_TAG = "hst_assets/host"
#: Dagster's own, of the partition key of a run.
PARTITION_TAG = "dagster/partition"
#: By which Dagster decides whether a run is tried again after a step failed.
RETRY_TAG = "dagster/retry_on_asset_or_op_failure"
#: How often Dagster tries a run again, whatever it failed of.
MAX_RETRIES_TAG = "dagster/max_retries"
#: The task of Celery that does a run, by which its launcher asks about it.
TASK_TAG = "dagster-celery/task_id"
#: The Job of Kubernetes in whose pod a run is done, by which its launcher asks about it.
POD_JOB_TAG = "hst_assets/pod_job"
#: The run of a whole target or visit in whose process a run is done, and with which it ends.
WITHIN_TAG = "hst_assets/within_run"


def partitions_in_flight(instance: dg.DagsterInstance, level: Level | None = None) -> set[str]:
    """Partition keys with runs queued or in progress; of one level's assets, or of all."""
    return partitions_of(unfinished_runs(instance), level)


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that are queued or in progress: with thousands of runs, in a second."""
    records = instance.get_run_records(RunsFilter(statuses=list(UNFINISHED)))
    return [record.dagster_run for record in records]


def partitions_of(runs: Iterable[dg.DagsterRun], level: Level | None = None) -> set[str]:
    """The partition keys of runs; of those of one level's assets, or of all."""
    of_level = (run for run in runs if level is None or makes_something_of(run, level))
    return {key for run in of_level if (key := run.tags.get(PARTITION_TAG))}


def chosen_assets(run: dg.DagsterRun) -> set[str]:
    """The assets of a run for which assets were selected."""
    return {key.path[-1] for key in run.asset_selection or ()}


def makes_something_of(run: dg.DagsterRun, level: Level) -> bool:
    """Whether a run makes something of a level: by its job, or by assets chosen one by one."""
    return run.job_name == level.job or not chosen_assets(run).isdisjoint(level.assets)


def process_tag(run: dg.DagsterRun) -> str:
    """The tag of the process of ``hst-assets`` that does a run; empty if another does it.

    A run that is executed again from the web UI has the tags of the first.
    """
    return "" if run.parent_run_id else run.tags.get(PROCESS_TAG, "")
