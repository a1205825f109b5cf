"""Jobs for what people do: process one target, or one new visit of it, from first to last.

A run of assets has one partition, and a target is made in runs of itself and of its visits in turn.
These jobs do what ``hst-assets materialize`` does (`hst_assets.orchestration.run_target`): each
level of each partition is a run of its own, which is recorded as ever; what is up to date is not
made again.
"""

from collections.abc import Callable, Collection
from typing import Any

import dagster as dg

from hst_assets.failures import failure_named
from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.partitions import hst_target, hst_visit
from hst_assets.orchestration.pod_needs import POD_TAG, pod_config
from hst_assets.orchestration.processes import this_host
from hst_assets.orchestration.queues import HEAVY_QUEUE, QUEUE_TAG
from hst_assets.orchestration.resources import (
    PASSING,
    Fetching,
    HstRoot,
    MastAccess,
    as_dagster_failure,
)
from hst_assets.orchestration.run_target import LevelResult, run_target
from hst_assets.orchestration.runs import (
    HOST_TAG,
    POD_JOB_TAG,
    RETRY_TAG,
    TASK_TAG,
    WITHIN_TAG,
)

__all__ = ["PROCESS_NEW_VISIT", "PROCESS_TARGET", "whole_jobs"]

PROCESS_TARGET = "process_target"
PROCESS_NEW_VISIT = "process_new_visit"

_TEXTS = {
    PROCESS_TARGET: "Process a target: materialize everything of it and of its visits that is "
    "missing or not up to date, as 'hst-assets materialize TARGET' does.",
    PROCESS_NEW_VISIT: "Process a new visit: its own products, and everything of its target that "
    "follows from it, as 'hst-assets materialize TARGET --visit VISIT' does.",
}


def whole_jobs(table: AssetTable, build: Callable[..., dg.Definitions]) -> list[dg.JobDefinition]:
    """The jobs of a whole target and of a new visit.

    Parameters
    ----------
    table : AssetTable
        Which assets there are.
    build : callable
        `hst_assets.orchestration.build.build_defs`: the runs of the levels have definitions of
        their own, with the resources of the job.
    """
    return [
        _job(PROCESS_TARGET, hst_target, table, build),
        _job(PROCESS_NEW_VISIT, hst_visit, table, build),
    ]


def _job(
    name: str,
    partitions: dg.PartitionsDefinition[Any],
    table: AssetTable,
    build: Callable[..., dg.Definitions],
) -> Any:
    @dg.op(name=f"every_level_of_{name.rpartition('_')[2]}", description=_TEXTS[name])
    def every_level(
        context: dg.OpExecutionContext,
        config: Fetching,
        hst_root: HstRoot,
        mast: dg.ResourceParam[MastAccess],
    ) -> None:
        with as_dagster_failure():
            definitions = build(root=str(hst_root.path), table=table, resources={"mast": mast})
            _process(context, config, hst_root, definitions, table)

    @dg.job(
        name=name,
        description=_TEXTS[name],
        partitions_def=partitions,
        # It fetches and drizzles: a worker for it reaches the archive and has memory.
        # What fails for its data is not tried again where runs are; `_process` tells the rest.
        tags={
            HOST_TAG: this_host(),
            QUEUE_TAG: HEAVY_QUEUE,
            POD_TAG: pod_config(table),
            RETRY_TAG: "false",
        },
    )
    def whole() -> None:
        every_level()

    return whole


def _process(
    context: dg.OpExecutionContext,
    config: Fetching,
    hst_root: HstRoot,
    definitions: dg.Definitions,
    table: AssetTable,
) -> None:
    key = context.partition_key
    target, visits = key, []
    if "/" in key:
        visit = VisitKey.parse(key)
        target, visits = visit.target, [visit.visit]
    failed: list[str] = []
    kinds: set[str] = set()
    for result in run_target(
        definitions,
        context.instance,
        hst_root.workdir(target),
        visits=visits,
        redo=config,
        offline=config.offline,
        table=table,
        tags=_outer(context),
    ):
        _tell(context, result)
        failed += [*result.failures, *result.errors]
        kinds |= result.kinds
    if failed:
        again = str(_may_pass(kinds)).lower()
        context.instance.add_run_tags(context.run_id, {RETRY_TAG: again})
        raise dg.Failure("\n".join(failed), metadata={"n_failed": len(failed)})


def _outer(context: dg.OpExecutionContext) -> dict[str, str]:
    """The tags by which the runs within one are asked about, and end, with it."""
    run = context.instance.get_run_by_id(context.run_id)  # its task is noted after it was launched
    tags = run.tags if run else {}
    of_worker = {tag: tags[tag] for tag in (TASK_TAG, POD_JOB_TAG) if tag in tags}
    return {WITHIN_TAG: context.run_id, **of_worker}


def _may_pass(kinds: Collection[str]) -> bool:
    """Whether something failed that says nothing of the data; others may have failed for it."""
    return any(issubclass(failure_named(kind), PASSING) for kind in kinds)


def _tell(context: dg.OpExecutionContext, result: LevelResult) -> None:
    """One level of one partition, in the log of the run."""
    said = [f"{verb} {', '.join(assets)}" for verb, assets in _done(result) if assets]
    where = f"{result.partition}, {result.level}"
    run = f" (run {result.run_id[:8]})" if result.run_id else ""
    context.log.info(f"{where}: {'; '.join(said) or 'nothing made'}{run}")
    for text in (*result.failures, *result.warnings):
        context.log.warning(f"{where}: {text}")


def _done(result: LevelResult) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("made", result.made),
        ("up to date", result.unchanged),
        ("not tried", tuple(result.skipped)),
    )
