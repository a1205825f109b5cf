"""Runs of the instance: which are in flight, and which died with their process.

``hst-assets run`` and ``materialize`` run in the user's process and say so in a tag; everything
else is started by the daemon, the web UI or Dagster's own commands.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from hst_assets.orchestration.levels import Level
from hst_assets.orchestration.unchanged import restate_run

__all__ = [
    "PROCESS_TAG",
    "UNFINISHED",
    "bury_dead_runs",
    "partitions_in_flight",
    "targets_of",
    "this_process",
]

#: Runs that may still change what a later one would read.
UNFINISHED = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
#: Host and process of a run that `run_target` does in its own process.
PROCESS_TAG = "hst_assets/process"
_PARTITION_TAG = "dagster/partition"


def partitions_in_flight(instance: dg.DagsterInstance, level: Level | None = None) -> set[str]:
    """Partition keys on which runs are queued or at work; of one level's assets, or of all."""
    records = instance.get_run_records(RunsFilter(statuses=list(UNFINISHED)))
    runs = (record.dagster_run for record in records)
    keys = (run.tags.get(_PARTITION_TAG, "") for run in runs if level is None or _is_of(run, level))
    return {key for key in keys if key}


def _is_of(run: dg.DagsterRun, level: Level) -> bool:
    """Whether a run makes something of a level: by its job, or by assets chosen one by one."""
    chosen = {key.path[-1] for key in run.asset_selection or ()}
    return run.job_name == level.job or not chosen.isdisjoint(level.assets)


def targets_of(partitions: Iterable[str]) -> set[str]:
    """The targets that partition keys (of targets or of visits) belong to."""
    return {key.partition("/")[0] for key in partitions}


# --------------------------------------------------------- runs of processes that are gone


def this_process() -> str:
    """Host and number of this process, for `PROCESS_TAG`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def bury_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs as failed whose process was killed on this host, so that nothing waits for them.

    The slots of pools that they held are freed: without a daemon nobody else does it.
    """
    for record in instance.get_run_records(RunsFilter(statuses=list(UNFINISHED))):
        run = record.dagster_run
        host, _, pid = run.tags.get(PROCESS_TAG, "").partition(":")
        if host == socket.gethostname() and pid != str(os.getpid()) and not _alive(int(pid)):
            logging.getLogger(__name__).info("run %s was killed with its process", run.run_id)
            instance.report_run_failed(run, "the process that ran it is gone")
            restate_run(instance, run.run_id)
            if instance.event_log_storage.supports_global_concurrency_limits:
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() if Path("/proc/self").exists() else _signals(pid)


def _signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
