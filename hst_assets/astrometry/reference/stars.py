"""The star catalogues that exposures are matched with: of an exposure, of a reference image."""

from __future__ import annotations

from pathlib import Path

from hst_assets.astrometry.alignment_result import ExposureToAlign
from hst_assets.astrometry.shape_limits import ShapeVerdict
from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.isolation import run_isolated
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["catalogue_of_exposure", "catalogue_of_image"]

_TASKS = "hst_assets.astrometry.reference.stars_task"


def catalogue_of_exposure(
    exposure: ExposureToAlign, output: Path, *, settings: Settings, workdir: WorkDir, scratch: Path
) -> tuple[int, ShapeVerdict]:
    """Write the star catalogue of an exposure by its own WCS; return how many, and their shapes."""
    folder = scratch / f"{exposure.rootname}.catalogue"
    folder.mkdir()
    copy = make_working_copy(exposure.raw, folder)
    found = run_isolated(
        f"{_TASKS}:catalogue_exposure",
        {
            "exposure": str(copy.science),
            "output": str(output),
            "detector": exposure.detector_key,
            "alignment": settings.alignment.as_recipe(),
            "gate": settings.gate.as_recipe(),
        },
        scratch=folder,
        log_path=workdir.log("reference_image", exposure.rootname),
        timeout_s=settings.machine.timeout_s("stars"),
    )
    return int(found["n_stars"]), ShapeVerdict.from_json(found["shapes"])


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
        f"{_TASKS}:catalogue_image",
        {"image": str(image), "output": str(output), "fwhm_arcsec": fwhm_arcsec},
        scratch=folder,
        log_path=workdir.log("reference_image", image.stem),
        timeout_s=settings.machine.timeout_s("stars"),
    )
    return found
