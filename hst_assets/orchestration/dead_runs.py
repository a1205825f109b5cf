"""Runs whose process is gone: found by host and process, and cleared, so that nothing waits.

A run that was killed with its process stays "started" in the instance for ever. Which process ran
it is told by a tag, for those of ``hst-assets`` (`runs.PROCESS_TAG`), else by Dagster's own events;
on which host, by that tag or by `HOST_TAG`. What ran on another host, or on one that is not known,
is left alone: Dagster asks the launcher of runs about it, once it has begun. What was launched and
has not begun is asked about here, where the launcher can tell.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Protocol, runtime_checkable

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus, RunRecord, RunsFilter

from hst_assets.orchestration.processes import Process, is_gone, this_host
from hst_assets.orchestration.runs import HOST_TAG, PARTITION_TAG, UNFINISHED, process_tag
from hst_assets.orchestration.unchanged import restate_run

__all__ = ["bury_dead_runs"]

logger = logging.getLogger(__name__)

#: In Dagster's words, before the run itself says that it has begun.
_STARTED_PROCESS = re.compile(r"Started process for run \(pid: (\d+)\)")


@runtime_checkable
class _AsksWorkers(Protocol):
    """A launcher that finds out why a run will not begin (`celery_launcher.RunsOnWorkers`)."""

    def lost_on_the_way(self, run: dg.DagsterRun, waiting_s: float) -> str: ...


def bury_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed that will not end by themselves, so that nothing waits for them.

    Their process was killed on this host, or was lost before it began.

    The slots of pools that they held are freed: without a daemon nobody else does it.

    Returns
    -------
    list of str
        What was found of each, in a sentence.
    """
    told = []
    for record in instance.get_run_records(RunsFilter(statuses=list(UNFINISHED))):
        run = record.dagster_run
        why = _killed(instance, run, record) or _lost(instance, run, record)
        if not why or not _is_unfinished(instance, run.run_id):  # it ended since
            continue
        partition = run.tags.get(PARTITION_TAG, "")
        said = (
            f"run {run.run_id[:8]} ({run.job_name}{' ' + partition if partition else ''}) {why}; "
            "it is marked as failed"
        )
        logger.warning(said)
        told.append(said)
        instance.report_run_failed(run, f"the run {why}")
        restate_run(instance, run.run_id)
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return told


def _killed(instance: dg.DagsterInstance, run: dg.DagsterRun, record: RunRecord) -> str:
    """Which process of this host did a run and is gone; empty where that is not so."""
    process = _process_of(instance, run, record.create_timestamp.timestamp())
    if process is None or process.host != this_host() or not is_gone(process):
        return ""
    return f"was killed with its process {process.pid}"


def _lost(instance: dg.DagsterInstance, run: dg.DagsterRun, record: RunRecord) -> str:
    """Why a run that was launched on another machine will not begin; empty where it may."""
    launcher = instance.run_launcher
    if run.status != DagsterRunStatus.STARTING or not isinstance(launcher, _AsksWorkers):
        return ""
    why = launcher.lost_on_the_way(run, time.time() - record.update_timestamp.timestamp())
    return f"was lost: {why}" if why else ""


def _process_of(
    instance: dg.DagsterInstance, run: dg.DagsterRun, created_at: float
) -> Process | None:
    """The process of a run; None where there is none yet, or nobody says which."""
    host, _, numbers = process_tag(run).partition(":")
    pid, _, tick = numbers.partition(":")
    if pid.isdecimal():
        return Process(host, int(pid), created_at, int(tick) if tick.isdecimal() else 0)
    if run.status in (DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED):
        return None
    host = run.tags.get(HOST_TAG, "")
    kinds = {DagsterEventType.RUN_START, DagsterEventType.ENGINE_EVENT}
    for entry in instance.all_logs(run.run_id, of_type=kinds) if host else ():
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == DagsterEventType.RUN_START and event.pid:
            return Process(host, event.pid, entry.timestamp)
        if found := _STARTED_PROCESS.search(event.message or ""):
            return Process(host, int(found[1]), entry.timestamp)
    return None


def _is_unfinished(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in UNFINISHED
