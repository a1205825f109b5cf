"""The alignment method ``jhat`` as callers see it: targets and a catalogue in, outcomes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign
from hst_assets.astrometry.methods.isolated_alignment import align_isolated
from hst_assets.astrometry.methods.registry import methods_named
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
    """Align exposures to a catalogue with JHAT; see `hst_assets.astrometry.methods.registry.Align`.

    Raises
    ------
    BadConfiguration
        If JHAT is not installed; no exposure was tried then.
    """
    methods_named(["jhat"])  # is it there? Importing it to see would open connections
    return align_isolated(
        "hst_assets.astrometry.methods.jhat_task:align_exposure",
        "jhat",
        targets,
        catalogue,
        settings=settings,
        workdir=workdir,
        scratch=scratch,
        stage=stage,
        own_nursery=True,  # its module takes the process off the network
    )
