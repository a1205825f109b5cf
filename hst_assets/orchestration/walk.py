"""Walk a target through all levels in this process: what ``hst-assets materialize`` does.

Each level of each partition is one Dagster run, recorded like any other. A visit that fails costs
itself: the walk goes on with the others, and says so at the end.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.errors import (
    DagsterAssetCheckFailedError,
    DagsterExecutionInterruptedError,
)
from dagster._core.execution.plan.objects import StepFailureData

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.jobs import LEVELS, Level
from hst_assets.orchestration.partitions import register, visits_of
from hst_assets.orchestration.resources import Redo
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir

__all__ = ["Outcome", "walk"]

_PROCESS_TAG = "hst_assets/process"
_WITHOUT_CONFIG = {"visit_reference"}
_UNFINISHED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


@dataclass(frozen=True)
class Outcome:
    """What became of one level of one partition.

    Attributes
    ----------
    level, partition : str
        The job's name and the partition key.
    made, unchanged : tuple of str
        Assets that were made now, and those that stood.
    failures : tuple of str
        Why steps failed, in the words of the failure.
    warnings : tuple of str
        Checks that did not pass: ``asset: what was found``.
    """

    level: str
    partition: str
    made: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    run_id: str = field(default="", compare=False)

    @property
    def misconfigured(self) -> bool:
        """Whether a step failed for what the settings say: the same again would fail again."""
        kind = f": {BadConfiguration.__name__}: "  # as `as_dagster_failure` writes it
        return any(kind in text for text in self.failures)


def walk(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    workdir: WorkDir,
    *,
    assets: Collection[str] = (),
    visits: Collection[str] = (),
    redo: Redo | None = None,
    started: Callable[[Level, str], None] = lambda _level, _partition: None,
) -> Iterator[Outcome]:
    """Materialize a target's assets in the order of the levels.

    Parameters
    ----------
    definitions : Definitions
        As `build_defs` makes them.
    instance : DagsterInstance
        Where runs and partitions are recorded.
    workdir : WorkDir
        The target's work directory; its visits are registered first.
    assets : collection of str, optional
        Only these; all by default.
    visits : collection of str, optional
        Only these at the visit level; all by default.
    redo : Redo, optional
        What is made again although nothing changed.
    started : callable, optional
        Told of each level and partition before it runs.

    Yields
    ------
    outcome : Outcome
        One a level and partition, as it ends.

    Raises
    ------
    BadConfiguration
        If an asset or a visit does not exist, or the settings are not valid.
    KeyboardInterrupt
        If the user interrupted a step; nothing is started after it.
    """
    from hst_assets.exposures.raw import visits_in

    load_settings(workdir.existing())
    register(instance, workdir.target, visits_in(workdir))
    _bury_dead_runs(instance)
    known = {asset for level in LEVELS for asset in level.assets}
    _refuse_unknown("asset", set(assets) - known, known)
    all_visits = {key.visit for key in visits_of(instance, workdir.target)}
    _refuse_unknown("visit", set(visits) - all_visits, all_visits)
    for level in LEVELS:
        selected = [asset for asset in level.assets if not assets or asset in assets]
        if not selected:
            continue
        for partition in _partitions(instance, workdir, level, visits):
            started(level, partition)
            outcome = _run(definitions, instance, level, selected, partition, redo or Redo())
            yield outcome
            if outcome.failures and not level.by_visit:
                return  # what follows stands on it


def _refuse_unknown(what: str, unknown: set[str], known: set[str]) -> None:
    if unknown:
        raise BadConfiguration(
            f"no {what} {', '.join(sorted(unknown))}",
            next_step=f"There are: {', '.join(sorted(known)) or 'none'}",
        )


def _partitions(
    instance: dg.DagsterInstance, workdir: WorkDir, level: Level, visits: Collection[str]
) -> list[str]:
    if not level.by_visit:
        return [workdir.target]
    keys = visits_of(instance, workdir.target)
    return [str(key) for key in keys if not visits or key.visit in visits]


def _run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    level: Level,
    assets: list[str],
    partition: str,
    redo: Redo,
) -> Outcome:
    job = definitions.resolve_job_def(level.job)
    result = job.execute_in_process(
        partition_key=partition,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        instance=instance,
        run_config=_run_config(assets, redo),
        tags={_PROCESS_TAG: _this_process()},
        raise_on_error=False,
    )
    return _outcome(level, assets, partition, result)


def _run_config(assets: list[str], redo: Redo) -> dict[str, Any]:
    config = redo.model_dump()
    return {
        "ops": {asset: {"config": config} for asset in assets if asset not in _WITHOUT_CONFIG},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


def _outcome(
    level: Level, assets: list[str], partition: str, result: dg.ExecuteInProcessResult
) -> Outcome:
    made: list[str] = []
    unchanged: list[str] = []
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        executed = materialization.metadata.get("executed")
        is_new = executed is not None and str(executed.value).startswith("made")
        (made if is_new else unchanged).append(materialization.asset_key.path[-1])
    warnings = [
        f"{check.asset_key.path[-1]}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]
    if any(_was_interrupted(event) for event in result.all_events):
        raise KeyboardInterrupt
    failures = dict(_failures(result))
    lost = [asset for asset in assets if asset not in {*made, *unchanged, *failures}]
    failures |= dict.fromkeys(lost, "not made, because what it stands on failed")
    return Outcome(
        level=level.job,
        partition=partition,
        made=tuple(made),
        unchanged=tuple(unchanged),
        failures=tuple(f"{asset}: {text}" for asset, text in failures.items()),
        warnings=tuple(warnings),
        run_id=result.run_id,
    )


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[tuple[str, str]]:
    """Each failed step, with the words of its failure rather than Dagster's."""
    for event in result.all_events:
        if event.is_step_failure and event.step_key:
            yield event.step_key, _reason(event.step_failure_data)


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    if not event.is_step_failure:
        return False
    error = event.step_failure_data.error
    while error is not None:
        if error.cls_name in {DagsterExecutionInterruptedError.__name__, "KeyboardInterrupt"}:
            return True
        error = error.cause
    return False


def _reason(failure: StepFailureData) -> str:
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    if failure.error is None:
        return "failed"
    if failure.error.cls_name == DagsterAssetCheckFailedError.__name__:
        return "made, but its blocking check did not pass (see the note)"
    return failure.error.message.strip()


# --------------------------------------------------------- runs of processes that are gone


def _this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _bury_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs as failed whose process was killed on this host, so that nothing waits for them."""
    for record in instance.get_run_records(RunsFilter(statuses=_UNFINISHED)):
        run = record.dagster_run
        host, _, pid = run.tags.get(_PROCESS_TAG, "").partition(":")
        if host == socket.gethostname() and pid != str(os.getpid()) and not _alive(int(pid)):
            logging.getLogger(__name__).info("run %s was killed with its process", run.run_id)
            instance.report_run_failed(run, "the process that ran it is gone")


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
