"""The alignment method ``tweakreg`` as callers see it: targets and a catalogue in, outcomes out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hst_assets.astrometry.gate import FitNumbers
from hst_assets.astrometry.outcome import Outcome, Target, untouched
from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.failures import HstAssetsError, UnusableInput
from hst_assets.isolation import Call, run_isolated, run_many_isolated
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["align", "catalogue_of_exposure", "catalogue_of_image"]

logger = logging.getLogger(__name__)

_ALIGN = "hst_assets.astrometry.tweakreg_task:align_exposure"
_CATALOGUES = "hst_assets.astrometry.catalogue_task"


def align(
    targets: Sequence[Target],
    catalogue: Path,
    *,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
    stage: str,
) -> list[Outcome]:
    """Align exposures to a catalogue with TweakReg, as many at a time as the machine allows.

    Parameters
    ----------
    targets : sequence of Target
        What to align.
    catalogue : `~pathlib.Path`
        ECSV with columns ra, dec (deg), brightest first.
    settings : Settings
        Sections alignment, gate and machine.
    workdir : WorkDir
        For the logs.
    scratch : `~pathlib.Path`
        A folder that outlives the outcomes; each target gets one of its own inside.
    stage : str
        Names the logs.
    """
    calls = []
    for target in targets:
        folder = _folder(scratch, target)
        arguments = {
            "raw": str(target.raw),
            "detector": target.detector_key,
            "rootname": target.rootname,
            "catalogue": str(catalogue),
            "alignment": settings.alignment.as_recipe(),
            "gate": settings.gate.as_recipe(),
        }
        calls.append(Call(arguments, folder, workdir.log(stage, target.rootname)))
    answers = run_many_isolated(
        _ALIGN,
        calls,
        timeout_s=settings.machine.tool_timeout_s,
        max_cores=settings.machine.max_cores,
    )
    return [
        _outcome(target, answer, scratch) for target, answer in zip(targets, answers, strict=True)
    ]


def _folder(scratch: Path, target: Target) -> Path:
    folder = scratch / target.rootname
    folder.mkdir()
    return folder


def _outcome(target: Target, answer: Any, scratch: Path) -> Outcome:
    if isinstance(answer, HstAssetsError):
        logger.warning("%s was not aligned: %s", target.rootname, answer)
        outcome = untouched(target, scratch, status="FAIL", method="tweakreg", reason=answer.what)
        own_fault = isinstance(answer, UnusableInput) or not outcome.files
        return outcome if own_fault else replace(outcome, failure=answer)
    numbers, matches = answer["numbers"], answer["matches"]
    return Outcome(
        files=tuple(Path(path) for path in answer["files"]),
        status=answer["status"],
        method="tweakreg",
        reason=answer["reason"],
        numbers=None if numbers is None else FitNumbers.from_json(numbers),
        tries=tuple(answer["tries"]),
        matches=None if matches is None else Path(matches),
    )


def catalogue_of_exposure(
    target: Target, output: Path, *, settings: Settings, workdir: WorkDir, scratch: Path
) -> int:
    """Write the star catalogue of an exposure by its own WCS; return the number of stars."""
    folder = scratch / f"{target.rootname}.catalogue"
    folder.mkdir()
    copy = make_working_copy(target.raw, folder)
    found: int = run_isolated(
        f"{_CATALOGUES}:catalogue_exposure",
        {
            "exposure": str(copy.science),
            "output": str(output),
            "detector": target.detector_key,
            "alignment": settings.alignment.as_recipe(),
        },
        scratch=folder,
        log_path=workdir.log("reference_image", target.rootname),
        timeout_s=settings.machine.tool_timeout_s,
    )
    return found


def catalogue_of_image(
    image: Path,
    output: Path,
    *,
    fwhm_arcsec: float,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
) -> int:
    """Write the star catalogue of a reference image, which is only read; return the number."""
    folder = scratch / "image.catalogue"
    folder.mkdir()
    found: int = run_isolated(
        f"{_CATALOGUES}:catalogue_image",
        {"image": str(image), "output": str(output), "fwhm_arcsec": fwhm_arcsec},
        scratch=folder,
        log_path=workdir.log("reference_image", image.stem),
        timeout_s=settings.machine.tool_timeout_s,
    )
    return found
