"""The alignment method ``tweakreg`` as callers see it: targets and a catalogue in, outcomes out."""

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
    """Align exposures with TweakReg; see `hst_assets.astrometry.methods.registry.Align`."""
    return align_isolated(
        "hst_assets.astrometry.methods.tweakreg_task:align_exposure",
        "tweakreg",
        targets,
        catalogue,
        settings=settings,
        workdir=workdir,
        scratch=scratch,
        stage=stage,
    )
