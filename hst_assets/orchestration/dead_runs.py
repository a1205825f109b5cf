"""Runs whose process is gone: found by host and process, and cleared, so that nothing waits.

A run that was killed with its process stays "started" in the instance for ever. Which process ran
it is told by a tag, for those of ``hst-assets`` (`runs.PROCESS_TAG`), else by Dagster's own events;
on which host, by that tag or by `HOST_TAG`. What ran on another host, or on one that is not known,
is left alone.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

from hst_assets.orchestration.runs import HOST_TAG, PROCESS_TAG, UNFINISHED
from hst_assets.orchestration.unchanged import restate_run

__all__ = ["bury_dead_runs"]

logger = logging.getLogger(__name__)

_PARTITION_TAG = "dagster/partition"
#: In Dagster's words, before the run itself says that it has begun.
_STARTED_PROCESS = re.compile(r"Started process for run \(pid: (\d+)\)")
#: A process with the number of the run's that began so much later is another one, seconds.
_LATER_S = 5.0


@dataclass(frozen=True)
class _Process:
    """What works on a run.

    Attributes
    ----------
    host : str
        Where; empty if nobody says.
    pid : int
        Its number.
    seen_at : float
        When it was there for sure (s).
    """

    host: str
    pid: int
    seen_at: float


def bury_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process was killed on this host, so that nothing waits for them.

    The slots of pools that they held are freed: without a daemon nobody else does it.

    Returns
    -------
    list of str
        What was found of each, in a sentence.
    """
    told = []
    for record in instance.get_run_records(RunsFilter(statuses=list(UNFINISHED))):
        run = record.dagster_run
        process = _process_of(instance, run, record.create_timestamp.timestamp())
        if process is None or process.host != socket.gethostname() or not _is_gone(process):
            continue
        partition = run.tags.get(_PARTITION_TAG, "")
        said = (
            f"run {run.run_id[:8]} ({run.job_name}{' ' + partition if partition else ''}) was "
            f"killed with its process {process.pid}; it is marked as failed"
        )
        logger.warning(said)
        told.append(said)
        instance.report_run_failed(run, f"the process {process.pid} that ran it is gone")
        restate_run(instance, run.run_id)
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return told


def _process_of(
    instance: dg.DagsterInstance, run: dg.DagsterRun, created_at: float
) -> _Process | None:
    """The process of a run; None where there is none yet, or nobody says which."""
    host, _, pid = run.tags.get(PROCESS_TAG, "").partition(":")
    if pid.isdecimal():
        return _Process(host, int(pid), created_at)
    if run.status in (DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED):
        return None
    host = run.tags.get(HOST_TAG, "")
    kinds = {DagsterEventType.RUN_START, DagsterEventType.ENGINE_EVENT}
    for entry in instance.all_logs(run.run_id, of_type=kinds) if host else ():
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == DagsterEventType.RUN_START and event.pid:
            return _Process(host, event.pid, entry.timestamp)
        if found := _STARTED_PROCESS.search(event.message or ""):
            return _Process(host, int(found[1]), entry.timestamp)
    return None


def _is_gone(process: _Process) -> bool:
    if process.pid == os.getpid():
        return False
    if not Path("/proc/self/stat").exists():
        return not _signals(process.pid)
    try:
        state, began_at = _state_of(process.pid)
    except (OSError, ValueError, IndexError):
        return not _signals(process.pid)
    # A zombie is what its parent has not asked about; a later process took over the number.
    return state in "ZX" or began_at > process.seen_at + _LATER_S


def _state_of(pid: int) -> tuple[str, float]:
    """The state of a process, as a letter, and when it began (s)."""
    # The name, in brackets, may hold anything.
    after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    ticks = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return after_name[0], time.time() - uptime + ticks


def _signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
