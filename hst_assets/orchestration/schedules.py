"""Schedules: a nightly safety net under the sensors.

First the archive is asked for every archive target, whatever the sensor on new data has seen. Then
each level is swept, by its depth in the graph: every partition that has its inputs but not its last
products, or whose last run failed or was killed (of which older products may be there), is tried
again, and so is every visit of which the archive lists more than raw/ holds (announced late, or not
delivered). Partitions that are complete are not run. At the end, a job checks which partitions are
still failed.
"""

from collections.abc import Callable, Iterator

import dagster as dg

from hst_assets.orchestration.dead_runs import bury_dead_runs
from hst_assets.orchestration.jobs import LEFT_FAILED_JOB
from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.orchestration.partition_states import partitions_left_failed
from hst_assets.orchestration.partitions import registrations
from hst_assets.orchestration.resources import HstRoot, MastAccess
from hst_assets.orchestration.runs import partitions_in_flight
from hst_assets.orchestration.targets import active_targets, archive_targets, costing_itself

__all__ = ["nightly_schedules"]

#: Minutes after midnight (UTC) of the question to the archive and of the first sweep; from one
#: depth of the graph to the next; and from the last sweep to the checks.
_ARCHIVE_AT = 0
_FIRST_SWEEP_AT = 60
_BETWEEN_DEPTHS = 30
_BEFORE_CHECKS = 120

_Requests = Iterator[dg.RunRequest | dg.SkipReason]


def nightly_schedules(table: AssetTable) -> list[dg.ScheduleDefinition]:
    """One schedule a level, upstream ones first; then that of the checks."""
    levels = table.levels_from_raw
    first = min(level.depth for level in levels)
    moments = [_FIRST_SWEEP_AT + _BETWEEN_DEPTHS * (level.depth - first) for level in levels]
    sweeps = [_sweep(level, moment, table) for level, moment in zip(levels, moments, strict=True)]
    return [_archive(table.archive_level), *sweeps, _checks(max(moments) + _BEFORE_CHECKS)]


def _cron(minutes: int) -> str:
    """Every day, so many minutes after midnight."""
    return f"{minutes % 60} {minutes // 60} * * *"


def _archive(level: Level) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"nightly_{level.job}",
        job_name=level.job,
        cron_schedule=_cron(_ARCHIVE_AT),
        execution_timezone="UTC",
        description="Queries the archive for every archive target.",
    )
    def ask(context: dg.ScheduleEvaluationContext, hst_root: HstRoot) -> _Requests:
        targets = list(archive_targets(hst_root.path, context.log.warning))
        yield from _requests(context, targets, "no archive targets")

    return ask


def _sweep(level: Level, minutes: int, table: AssetTable) -> dg.ScheduleDefinition:
    fetches = level == table.raw_level

    @dg.schedule(
        name=f"nightly_{level.job}",
        job_name=level.job,
        cron_schedule=_cron(minutes),
        execution_timezone="UTC",
        description=f"Retries every partition of {level.job} that has no product"
        + (", or of which files of the archive are missing, " if fetches else " ")
        + "or whose last run failed.",
    )
    def sweep(
        context: dg.ScheduleEvaluationContext,
        hst_root: HstRoot,
        mast: dg.ResourceParam[MastAccess],
    ) -> _Requests:
        # Sensors may be stopped: what was killed here would hold up its partition.
        for told in bury_dead_runs(context.instance):
            context.log.warning(told)
        wanting = set(_to_retry(context.instance, hst_root, level, table, context.log.warning))
        if fetches:
            wanting |= set(_undelivered(hst_root, mast, context.log.warning))
        # What waits in the queue already, as behind an archive that was out, is not queued twice.
        wanting -= partitions_in_flight(context.instance, level)
        yield from _requests(context, sorted(wanting), "nothing is missing, or it is being made")

    return sweep


def _checks(minutes: int) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"nightly_{LEFT_FAILED_JOB}",
        job_name=LEFT_FAILED_JOB,
        cron_schedule=_cron(minutes),
        execution_timezone="UTC",
        description="Lists what is still failed or not fetched after the night.",
    )


def _requests(context: dg.ScheduleEvaluationContext, keys: list[str], idle: str) -> _Requests:
    if not keys:
        yield dg.SkipReason(idle)
    for request in registrations(keys):  # a schedule cannot ask for it
        context.instance.add_dynamic_partitions(
            request.partitions_def_name, list(request.partition_keys)
        )
    moment = context.scheduled_execution_time.isoformat()
    for key in keys:
        yield dg.RunRequest(run_key=f"{key}@{moment}", partition_key=key)


def _to_retry(
    instance: dg.DagsterInstance,
    hst_root: HstRoot,
    level: Level,
    table: AssetTable,
    warn: Callable[[str], None],
) -> list[str]:
    """Partitions that have their inputs, and lack a product or whose last run failed."""
    from hst_assets.orchestration.input_versions import input_versions, lacks_product

    failed = {key for name in level.assets for key in partitions_left_failed(instance, table[name])}
    found = []
    for target in active_targets(hst_root.path, warn):
        workdir = hst_root.workdir(target)
        with costing_itself(target, warn):
            keys = input_versions(workdir, level, table)
            found += [
                key for key in keys if key in failed or lacks_product(workdir, level, key, table)
            ]
    return found


def _undelivered(hst_root: HstRoot, mast: MastAccess, warn: Callable[[str], None]) -> list[str]:
    """Visits of which the last listing has files that raw/ lacks and that may be had."""
    from hst_assets.archive.listing import read_listing
    from hst_assets.archive.sync import outstanding

    token = mast.current_token()
    found = []
    for target in archive_targets(hst_root.path, warn):
        workdir = hst_root.workdir(target)
        with costing_itself(target, warn):
            listing = read_listing(workdir)
            missing = outstanding(workdir, listing, refused=False) if listing else {}
            found += [
                f"{target}/{visit}"
                for visit, products in missing.items()
                if token is not None or any(product.is_public for product in products)
            ]
    return found
