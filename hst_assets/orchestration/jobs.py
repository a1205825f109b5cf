"""Jobs: the assets of one level that are made together, in the order of the levels.

`LEVELS` is the walk from the archive to stacks and their differences; the command line and the
sensors follow it. The first level asks the archive, and concerns archive targets only; the others
work on what raw/ holds (`LEVELS_FROM_RAW`).
"""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

__all__ = [
    "ARCHIVE_LEVEL",
    "DELIVERED_CHECK",
    "FAILED_CHECK",
    "LEFT_FAILED_JOB",
    "LEVELS",
    "LEVELS_FROM_RAW",
    "Level",
    "left_failed_job",
    "level_jobs",
    "overall",
]

LEFT_FAILED_JOB = "left_failed"
FAILED_CHECK = "no_partition_left_failed"
DELIVERED_CHECK = "everything_delivered"


@dataclass(frozen=True)
class Level:
    """Assets that share one set of partitions and follow each other within one run."""

    job: str
    by_visit: bool
    assets: tuple[str, ...]


ARCHIVE_LEVEL = Level("target_archive", by_visit=False, assets=("archive_exposures",))

#: The levels that follow raw/: each has a sensor and a nightly sweep of its own.
LEVELS_FROM_RAW = (
    Level("visit_exposures", by_visit=True, assets=("raw_exposures", "exposure_table")),
    Level("target_frame", by_visit=False, assets=("target_exposures", "reference_image")),
    Level(
        "visit_images",
        by_visit=True,
        assets=("visit_reference", "aligned_exposures", "epoch_drizzles"),
    ),
    Level(
        "target_stacks",
        by_visit=False,
        assets=("target_alignment", "drizzled_stacks", "epoch_differences"),
    ),
)

LEVELS = (ARCHIVE_LEVEL, *LEVELS_FROM_RAW)


def level_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """One job a level."""
    return [
        dg.define_asset_job(
            level.job,
            selection=dg.AssetSelection.assets(*level.assets)
            # A run of one partition has no part in the checks over all.
            - dg.AssetSelection.checks(*overall(level)),
            description=" → ".join(level.assets)
            + (" of a visit" if level.by_visit else " of a target"),
        )
        for level in LEVELS
    ]


def left_failed_job() -> dg.UnresolvedAssetJobDefinition:
    """The job of the checks over all partitions, alone."""
    return dg.define_asset_job(
        LEFT_FAILED_JOB,
        selection=dg.AssetSelection.checks(*(key for level in LEVELS for key in overall(level))),
        description="Checks that no partition is left failed, and everything listed is in raw/",
    )


def overall(level: Level) -> list[dg.AssetCheckKey]:
    """The checks of a level's assets that judge all partitions together."""
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), FAILED_CHECK) for asset in level.assets]
    if level == ARCHIVE_LEVEL:
        keys.append(dg.AssetCheckKey(dg.AssetKey(level.assets[0]), DELIVERED_CHECK))
    return keys
