"""Jobs: the assets of one level that are made together, in the order of the levels.

`LEVELS` is the walk from raw exposures to stacks and their differences; the command line and the
sensors follow it.
"""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

__all__ = ["LEVELS", "Level", "level_jobs"]


@dataclass(frozen=True)
class Level:
    """Assets that share one set of partitions and follow each other within one run."""

    job: str
    by_visit: bool
    assets: tuple[str, ...]


LEVELS = (
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


def level_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """One job a level."""
    return [
        dg.define_asset_job(
            level.job,
            selection=dg.AssetSelection.assets(*level.assets),
            description=" → ".join(level.assets)
            + (" of a visit" if level.by_visit else " of a target"),
        )
        for level in LEVELS
    ]
