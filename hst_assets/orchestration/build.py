"""`build_defs`: the one place where everything is joined, and the seam for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from hst_assets.orchestration.archive_sensor import new_mast_data_sensor
from hst_assets.orchestration.assets import (
    alignment,
    archive,
    drizzling,
    exposures,
    reference,
)
from hst_assets.orchestration.executors import executor_from_environment
from hst_assets.orchestration.io_managers import WorkDirIOManager
from hst_assets.orchestration.jobs import left_failed_job, level_jobs
from hst_assets.orchestration.left_failed import left_failed
from hst_assets.orchestration.resources import HstRoot, MastAccess
from hst_assets.orchestration.schedules import nightly_schedules
from hst_assets.orchestration.sensors import interval_from_environment, level_sensors

__all__ = ["build_defs"]

ASSETS = [
    archive.archive_exposures,
    exposures.raw_exposures,
    exposures.exposure_table,
    exposures.target_exposures,
    reference.reference_image,
    reference.visit_reference,
    alignment.aligned_exposures,
    alignment.target_alignment,
    drizzling.epoch_drizzles,
    drizzling.drizzled_stacks,
    drizzling.epoch_differences,
]


def build_defs(
    *,
    root: str = "",
    resources: Mapping[str, Any] | None = None,
    executor: dg.ExecutorDefinition | None = None,
    sensor_interval_s: int | None = None,
) -> dg.Definitions:
    """Join assets, checks, jobs, sensors, schedules and resources.

    Parameters
    ----------
    root : str, optional
        The folder of work directories; empty: ``$HST_ASSETS_ROOT``, or data/.
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
        assets=ASSETS,
        asset_checks=[left_failed],
        jobs=[*level_jobs(), left_failed_job()],
        sensors=[new_mast_data_sensor(interval_s), *level_sensors(interval_s)],
        schedules=nightly_schedules(),
        resources={
            "hst_root": HstRoot(root=root),
            "mast": MastAccess(),
            "ecsv": WorkDirIOManager(root=root, format="ecsv"),
            "hdf5": WorkDirIOManager(root=root, format="hdf5"),
            "fits": WorkDirIOManager(root=root, format="fits"),
            **(resources or {}),
        },
        executor=executor or executor_from_environment(),
    )
