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
import time
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

from hst_assets.orchestration.runs import (
    HOST_TAG,
    UNFINISHED,
    began_at_tick,
    process_tag,
    this_host,
)
from hst_assets.orchestration.unchanged import restate_run

__all__ = ["bury_dead_runs"]

logger = logging.getLogger(__name__)

_PARTITION_TAG = "dagster/partition"
#: In Dagster's words, before the run itself says that it has begun.
_STARTED_PROCESS = re.compile(r"Started process for run \(pid: (\d+)\)")
#: A process with the number of the run's that began so much later may be another one, seconds.
_LATER_S = 5.0
#: What runs Dagster's runs has one of these in its command line.
_OF_RUNS = (b"python", b"dagster", b"hst-assets")


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
    tick : int
        When it began, clock ticks from the start of the machine; 0 if nobody says.
    """

    host: str
    pid: int
    seen_at: float
    tick: int = 0


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
        if process is None or process.host != this_host() or not _is_gone(process):
            continue
        if not _is_unfinished(instance, run.run_id):  # it ended since
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
    host, _, numbers = process_tag(run).partition(":")
    pid, _, tick = numbers.partition(":")
    if pid.isdecimal():
        return _Process(host, int(pid), created_at, int(tick) if tick.isdecimal() else 0)
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


def _is_unfinished(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in UNFINISHED


def _is_gone(process: _Process) -> bool:
    if process.pid == os.getpid():
        return False
    if not Path("/proc/self/stat").exists():
        return not _signals(process.pid)
    try:
        state, tick = _state_of(process.pid), began_at_tick(process.pid)
    except (OSError, ValueError, IndexError):
        return not _signals(process.pid)
    if state in "ZX":  # a zombie is what its parent has not asked about
        return True
    if process.tick:
        return tick != process.tick
    return _began_at(tick) > process.seen_at + _LATER_S and not _may_run(process.pid)


def _state_of(pid: int) -> str:
    """The state of a process, as a letter."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]


def _began_at(tick: int) -> float:
    """When a process began (s), by today's clock."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - tick / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def _may_run(pid: int) -> bool:
    """Whether a process could be that of a run: a clock that was set is no death."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return any(name in command for name in _OF_RUNS)


def _signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
