"""End the work on a target at once: retire it, cancel its queued runs, terminate the others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster import DagsterRunStatus

from hst_assets.orchestration.dead_runs import bury_dead_runs
from hst_assets.orchestration.partition_keys import targets_of
from hst_assets.orchestration.runs import (
    PARTITION_TAG,
    POD_JOB_TAG,
    TASK_TAG,
    WITHIN_TAG,
    process_tag,
    unfinished_runs,
)
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir

__all__ = ["Drained", "drain_target"]

#: A sensor's tick may be putting runs into the queue, some dozens a second: it is looked again so
#: long after the last look (s) until nothing new is there, and at most so often.
_BETWEEN_LOOKS_S = 1.0
_LOOKS = 60
#: What runs have in common that are done in one process, beside the id of the outer one.
_SHARED = (TASK_TAG, POD_JOB_TAG)
#: In Dagster's queue, or handed to whoever will do it.
_BEFORE_BEGIN = (DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING)
#: Why a run could not be told: Dagster calls it "canceling" all the same.
_NOT_TOLD_TAG = "hst_assets/not_told"


@dataclass
class Drained:
    """What became of the runs of a target.

    Runs within one of a whole target or visit end with it, and are not counted.

    Attributes
    ----------
    cancelled : int
        Taken out of the queue, or from the broker: they never began.
    told : list of str
        Job and partition of runs at work that were told to end.
    told_before : list of str
        Those that were told before, by whomever, and have not ended yet.
    of_commands : list of str
        Those that a command of somebody does, with its process: they are not told.
    left : list of str
        Those that could not be told, with the reason.
    """

    cancelled: int = 0
    told: list[str] = field(default_factory=list)
    told_before: list[str] = field(default_factory=list)
    of_commands: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def drain_target(
    instance: dg.DagsterInstance, workdir: WorkDir, *, between_looks_s: float = _BETWEEN_LOOKS_S
) -> Drained:
    """Retire a target although it has runs queued or in progress, and end these.

    What runs at work have finished stays, and what they are at is not made half. A run that cannot
    be told holds up none of the others.

    Parameters
    ----------
    instance : DagsterInstance
        The runs. Those of other targets are not touched.
    workdir : WorkDir
        Of the target.
    between_looks_s : float, optional
        How long is waited (s) before it is looked for runs that have come since.

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
    for look in range(_LOOKS):
        if look:
            time.sleep(between_looks_s)
        runs = _runs_of(instance, workdir.target)
        new = [run for run in runs if run.run_id not in seen]
        if look and not new:
            break
        seen |= {run.run_id for run in new}
        for run in new:
            if not _is_within(run, runs):
                _end(instance, run, drained)
    return drained


def _runs_of(instance: dg.DagsterInstance, target: str) -> list[dg.DagsterRun]:
    """The runs of a target that have not ended, those in the queue first."""
    runs = [
        run
        for run in unfinished_runs(instance)
        if targets_of([run.tags.get(PARTITION_TAG, "")]) == {target}
    ]
    return sorted(runs, key=lambda run: run.status != DagsterRunStatus.QUEUED)


def _is_within(run: dg.DagsterRun, runs: Sequence[dg.DagsterRun]) -> bool:
    """Whether a run is done in the process of another of them."""
    if not process_tag(run):
        return False
    # Workers of an earlier version do not write the outer run down.
    return any(
        other.run_id == run.tags.get(WITHIN_TAG)
        or any(tag in run.tags and other.tags.get(tag) == run.tags[tag] for tag in _SHARED)
        for other in runs
        if not process_tag(other)
    )


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun, drained: Drained) -> None:
    told = f"{run.job_name} {run.tags[PARTITION_TAG]}"
    if process := process_tag(run):  # of a command that somebody waits for
        host, _, number = process.partition(":")
        drained.of_commands.append(f"{told} (process {number.partition(':')[0]} on {host})")
    elif run.status == DagsterRunStatus.CANCELING and not run.tags.get(_NOT_TOLD_TAG):
        drained.told_before.append(told)
    elif why := _refusal(instance, run):
        drained.left.append(f"{told} ({why})")
    elif run.status in _BEFORE_BEGIN and _never_began(instance, run):
        drained.cancelled += 1
    else:
        drained.told.append(told)


def _never_began(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run was still waiting when its turn came: to cancel one takes up to 1 s."""
    now = instance.get_run_by_id(run.run_id)
    return now is None or now.status == DagsterRunStatus.CANCELED


def _refusal(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Why a run could not be told to end; empty if it was. The next command finds it noted."""
    try:
        is_told = instance.run_coordinator.cancel_run(run.run_id)
        why = "" if is_told else "what launched it cannot reach it"
    except Exception as error:  # noqa: BLE001 - one run that cannot be told holds up no other
        lines = str(error).strip().splitlines()
        why = lines[0] if lines else type(error).__name__
    if why != run.tags.get(_NOT_TOLD_TAG, ""):
        instance.add_run_tags(run.run_id, {_NOT_TOLD_TAG: why})
    return why
