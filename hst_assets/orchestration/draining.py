"""A target taken out of work at once: retired, its queued runs cancelled, others told to end."""

from __future__ import annotations

from dataclasses import dataclass, field

import dagster as dg
from dagster import DagsterRunStatus

from hst_assets.orchestration.dead_runs import bury_dead_runs
from hst_assets.orchestration.partition_keys import targets_of
from hst_assets.orchestration.runs import PARTITION_TAG, process_tag, unfinished_runs
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir

__all__ = ["Drained", "drain_target"]

#: So often it is looked again: a sensor's tick may be putting runs into the queue.
_LOOKS = 3


@dataclass
class Drained:
    """What became of the runs of a target.

    Attributes
    ----------
    cancelled : int
        Taken out of the queue: they never began.
    told : list of str
        Job and partition of runs at work that were told to end.
    left : list of str
        Those that nobody could tell, with whose they are.
    """

    cancelled: int = 0
    told: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def drain_target(instance: dg.DagsterInstance, workdir: WorkDir) -> Drained:
    """Retire a target although runs of it are queued or at work, and end these.

    What runs at work have finished stays, and what they are at is not made half.

    Parameters
    ----------
    instance : DagsterInstance
        The runs. Those of other targets are not touched.
    workdir : WorkDir
        Of the target.

    Raises
    ------
    BadConfiguration
        If there is no such target, or its settings are not valid.
    """
    workdir.existing()
    # First: what is cancelled would be asked for again.
    write_settings(workdir, {"target": {"retired": True}})
    bury_dead_runs(instance)
    drained, seen = Drained(), set[str]()
    for _ in range(_LOOKS):
        runs = [run for run in _runs_of(instance, workdir.target) if run.run_id not in seen]
        for run in runs:
            seen.add(run.run_id)
            _end(instance, run, drained)
    return drained


def _runs_of(instance: dg.DagsterInstance, target: str) -> list[dg.DagsterRun]:
    return [
        run
        for run in unfinished_runs(instance)
        if targets_of([run.tags.get(PARTITION_TAG, "")]) == {target}
    ]


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun, drained: Drained) -> None:
    told = f"{run.job_name} {run.tags[PARTITION_TAG]}"
    is_queued = run.status == DagsterRunStatus.QUEUED
    if process := process_tag(run):  # of a command that somebody waits for
        host, _, number = process.partition(":")
        drained.left.append(f"{told} (process {number.partition(':')[0]} on {host})")
    elif run.status == DagsterRunStatus.CANCELING or instance.run_coordinator.cancel_run(
        run.run_id
    ):
        if is_queued:
            drained.cancelled += 1
        else:
            drained.told.append(told)
    else:
        drained.left.append(told)
