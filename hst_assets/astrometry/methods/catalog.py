"""The alignment method ``catalog``: onto stars whose positions are known by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign
from hst_assets.astrometry.methods.isolated_alignment import align_isolated
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["align"]


def align(
    targets: Sequence[ExposureToAlign],
    catalogue: Path,
    *,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
    stage: str,
) -> list[AlignmentResult]:
    """Align exposures to an absolute catalogue; see `hst_assets.astrometry.methods.registry.Align`.

    Parameters
    ----------
    targets
        As for every method.
    catalogue : `~pathlib.Path`
        With the columns of `hst_assets.astrometry.absolute.stars.STAR_COLUMNS`. The stars are
        moved to where they were in the middle of each exposure.
    settings : Settings
        Sections alignment, gate, catalog (`max_position_error_mas`) and machine.
    workdir, scratch, stage
        As for every method.
    """
    return align_isolated(
        "hst_assets.astrometry.methods.catalog_task:align_exposure",
        "catalog",
        targets,
        catalogue,
        settings=settings,
        workdir=workdir,
        scratch=scratch,
        stage=stage,
        arguments={"max_position_error_mas": settings.catalog.max_position_error_mas},
    )
