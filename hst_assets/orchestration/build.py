"""`build_defs`: the one place where everything is joined, and the seam for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from hst_assets.orchestration.alerts import alert_sensor
from hst_assets.orchestration.archive_sensor import new_mast_data_sensor
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.assets.from_row import assets_of
from hst_assets.orchestration.executors import executor_from_environment
from hst_assets.orchestration.io_managers import WorkDirIOManager
from hst_assets.orchestration.jobs import left_failed_job, level_jobs
from hst_assets.orchestration.left_failed import left_failed
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.resources import HstRoot, MastAccess, Onlooker
from hst_assets.orchestration.schedules import nightly_schedules
from hst_assets.orchestration.sensors import interval_from_environment, level_sensors
from hst_assets.orchestration.whole_jobs import whole_jobs

__all__ = ["build_defs"]


def build_defs(
    *,
    root: str = "",
    table: AssetTable = ASSETS,
    resources: Mapping[str, Any] | None = None,
    executor: dg.ExecutorDefinition | None = None,
    sensor_interval_s: int | None = None,
) -> dg.Definitions:
    """Join assets, checks, jobs, sensors, schedules and resources.

    Parameters
    ----------
    root : str, optional
        The folder of work directories; empty: ``$HST_ASSETS_ROOT``, or data/.
    table : AssetTable, optional
        Which assets there are.
    resources : mapping, optional
        Resources that take the place of the ordinary ones.
    executor : ExecutorDefinition, optional
        Instead of the one that ``$HST_ASSETS_EXECUTOR`` names.
    sensor_interval_s : int, optional
        Least number of seconds between two ticks of a sensor, instead of what
        ``$HST_ASSETS_SENSOR_INTERVAL_S`` says; by default 60 for the one that asks the archive
        and 30 for the others.
    """
    interval_s = sensor_interval_s or interval_from_environment()
    return dg.Definitions(
        assets=assets_of(table),
        asset_checks=[left_failed(table)],
        jobs=[*whole_jobs(table, build_defs), *level_jobs(table), left_failed_job(table)],
        sensors=[
            new_mast_data_sensor(interval_s),
            *level_sensors(table, interval_s),
            alert_sensor(interval_s),
        ],
        schedules=nightly_schedules(table),
        resources={
            "hst_root": HstRoot(root=root),
            "mast": MastAccess(),
            "onlooker": Onlooker(),
            "io_manager": WorkDirIOManager(HstRoot(root=root), table),
            **(resources or {}),
        },
        executor=executor or executor_from_environment(),
    )
