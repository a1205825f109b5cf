"""Jobs: one a level, and the one that looks for what is left failed."""

from __future__ import annotations

import dagster as dg

from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.orchestration.pod_needs import POD_TAG, pod_config
from hst_assets.orchestration.processes import this_host
from hst_assets.orchestration.queues import DEFAULT_QUEUE, QUEUE_TAG, queue_for
from hst_assets.orchestration.runs import HOST_TAG

__all__ = [
    "DELIVERED_CHECK",
    "FAILED_CHECK",
    "LEFT_FAILED_JOB",
    "left_failed_job",
    "level_jobs",
    "overall",
]

LEFT_FAILED_JOB = "left_failed"
FAILED_CHECK = "no_partition_left_failed"
DELIVERED_CHECK = "everything_delivered"


def level_jobs(table: AssetTable) -> list[dg.UnresolvedAssetJobDefinition]:
    """One job a level."""
    return [
        dg.define_asset_job(
            level.job,
            selection=dg.AssetSelection.assets(*level.assets)
            # A run of one partition has no part in the checks over all.
            - dg.AssetSelection.checks(*overall(level, table)),
            description=_description(level),
            # The daemon starts runs on the host where it has read this.
            tags={
                HOST_TAG: this_host(),
                QUEUE_TAG: queue_for(table[asset] for asset in level.assets),
                POD_TAG: pod_config(table[asset] for asset in level.assets),
            },
        )
        for level in table.levels
    ]


def _description(level: Level) -> str:
    """What a level's job is for, and the assets that it makes."""
    assets = " → ".join(level.assets) + (" of a visit" if level.by_visit else " of a target")
    return f"{level.purpose}: {assets}." if level.purpose else assets


def left_failed_job(table: AssetTable) -> dg.UnresolvedAssetJobDefinition:
    """The job of the checks over all partitions, alone."""
    keys = [key for level in table.levels for key in overall(level, table)]
    return dg.define_asset_job(
        LEFT_FAILED_JOB,
        selection=dg.AssetSelection.checks(*keys),
        description="Checks that no partition is left failed, and everything listed is in raw/",
        tags={HOST_TAG: this_host(), QUEUE_TAG: DEFAULT_QUEUE, POD_TAG: pod_config(())},
    )


def overall(level: Level, table: AssetTable) -> list[dg.AssetCheckKey]:
    """The checks of a level's assets that judge all partitions together."""
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), FAILED_CHECK) for asset in level.assets]
    if level == table.archive_level:
        keys.append(dg.AssetCheckKey(dg.AssetKey(level.assets[0]), DELIVERED_CHECK))
    return keys
