"""A task of a child process: TweakReg on simulated star lists."""

from pathlib import Path

import numpy as np

from hst_assets.astrometry.exposure_field import Field
from hst_assets.astrometry.methods.tweakreg_fit import run_tweakreg
from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.detection import image_planes
from hst_assets.detectors import DETECTORS
from hst_assets.settings import AlignmentSettings
from hst_assets.simulate.star_lists import (
    ListPlan,
    make_star_lists,
    median_error_pix,
    write_headers,
)
from hst_assets.sky_geometry import TangentPlane


def fit_lists(detector, n_common, error_arcsec, search_arcsec, most_by_chip):
    """Median error (pixels) of the written WCS; `most_by_chip`: stars that a chip may keep."""
    science = write_headers(detector, Path.cwd())
    wcs_of = image_planes.wcs_by_extver(science)
    lists = make_star_lists(ListPlan(detector, n_common, error_arcsec=error_arcsec), wcs_of)
    extver = np.asarray(lists.stars["extver"])
    most = {int(chip): count for chip, count in most_by_chip.items()}
    kept = [np.count_nonzero(extver[:i] == v) < most.get(v, i + 1) for i, v in enumerate(extver)]
    nothing = np.zeros((1, 1))
    planes = [
        image_planes.Plane(nothing, nothing > 0, nothing > 0, nothing > 0, wcs, chip)
        for chip, wcs in wcs_of.items()
    ]
    row = DETECTORS[detector]
    plane = TangentPlane.about(lists.reference_sky, row.pixel_scale_arcsec)
    copy = WorkingCopy(science, science)
    field = Field(copy, row, planes, [None] * len(planes), plane, lists.reference_sky, "ulst01aaq")
    folder = Path("fit")
    folder.mkdir()
    fit = run_tweakreg(
        field,
        lists.stars[kept],
        lists.reference_sky,
        folder.absolute(),
        how=AlignmentSettings(),
        tolerance=row.match_tolerance_pix,
        search_pix=round(search_arcsec / row.pixel_scale_arcsec),
    )
    return median_error_pix(
        image_planes.wcs_by_extver(fit.aligned), lists.truth, row.pixel_scale_arcsec
    )
