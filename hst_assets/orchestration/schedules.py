"""Schedules: a nightly safety net under the sensors.

Each level is swept once a night: every partition that has its inputs but not its last product
(its run failed, or was killed) is tried again. What stands is not run at all.
"""

from collections.abc import Iterator

import dagster as dg

from hst_assets.orchestration.jobs import LEVELS, Level
from hst_assets.orchestration.resources import HstRoot
from hst_assets.workdir import targets_in

__all__ = ["nightly_sweeps"]

_FIRST_HOUR_UTC = 1


def nightly_sweeps() -> list[dg.ScheduleDefinition]:
    """One schedule a level, an hour apart, in the order of the levels."""
    return [_sweep(level, _FIRST_HOUR_UTC + number) for number, level in enumerate(LEVELS)]


def _sweep(level: Level, hour: int) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"nightly_{level.job}",
        job_name=level.job,
        cron_schedule=f"0 {hour} * * *",
        execution_timezone="UTC",
        description=f"Tries again every partition of {level.job} that has no product.",
    )
    def sweep(
        context: dg.ScheduleEvaluationContext, hst_root: HstRoot
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        wanting = _without_product(hst_root, level)
        if not wanting:
            yield dg.SkipReason("every product stands")
        for key in wanting:
            yield dg.RunRequest(
                run_key=f"{key}@{context.scheduled_execution_time.isoformat()}", partition_key=key
            )

    return sweep


def _without_product(hst_root: HstRoot, level: Level) -> list[str]:
    from hst_assets.orchestration.pending import input_versions, last_product

    return [
        key
        for target in targets_in(hst_root.path)
        for key in input_versions(hst_root.workdir(target), level)
        if not last_product(hst_root.workdir(target), level, key).is_file()
    ]
