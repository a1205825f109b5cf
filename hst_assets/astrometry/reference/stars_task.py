"""What runs in child processes: the star catalogues of exposures and of reference images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
from astropy.table import QTable, Table
from astropy.wcs import WCS

from hst_assets.astrometry.exposure_field import (
    exposure_stars,
    prepared_planes,
    shapes_of_planes,
)
from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.detection import image_planes, sources
from hst_assets.detection.star_or_cosmic_ray import LEAST_FWHM_PIX
from hst_assets.detectors import DETECTORS
from hst_assets.settings import AlignmentSettings, GateSettings
from hst_assets.sky_geometry import pixel_scale_arcsec

#: The reference is found somewhat deeper than the first try, so that every rung finds partners.
REFERENCE_THRESHOLD_SIGMA = 5.0
#: A reference keeps no more stars than this.
MOST_REFERENCE_STARS = 50_000


def catalogue_image(image: str, output: str, *, fwhm_arcsec: float) -> int:
    """Write the star catalogue of a reference image; return the number of stars."""
    plane = image_planes.reference_plane(Path(image))
    scale = pixel_scale_arcsec(plane.wcs)
    fwhm_pix = max(fwhm_arcsec / scale, LEAST_FWHM_PIX)
    table = sources.find_sources(
        sources.prepare(plane, fwhm_pix=fwhm_pix),
        fwhm_pix=fwhm_pix,
        threshold_sigma=REFERENCE_THRESHOLD_SIGMA,
        brightest=MOST_REFERENCE_STARS,
    )
    return _write_catalogue(table, {1: plane.wcs}, Path(output))


def catalogue_exposure(
    exposure: str,
    output: str,
    *,
    detector: str,
    alignment: Mapping[str, Any],
    gate: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the star catalogue of one exposure by its own WCS; return how many, and their shapes.

    ``n_stars``, and ``shapes`` as of `hst_assets.astrometry.shape_limits.ShapeVerdict`.
    """
    how = AlignmentSettings.model_validate(alignment)
    limits = GateSettings.model_validate(gate)
    kind = DETECTORS[detector]
    copy = WorkingCopy.at(Path(exposure))
    planes = image_planes.exposure_planes(copy.science, copy.quality, kind)
    prepared = prepared_planes(planes, kind, how)
    shapes = shapes_of_planes(copy, planes, prepared, kind, how=how, limits=limits)
    table = exposure_stars(
        prepared,
        kind,
        how,
        min(how.threshold_sigma, REFERENCE_THRESHOLD_SIGMA),
    )
    wcs_of = {plane.extver: plane.wcs for plane in planes}
    return {
        "n_stars": _write_catalogue(table, wcs_of, Path(output)),
        "shapes": shapes.as_json(),
    }


def _write_catalogue(table: Table, wcs_of: dict[int, WCS], output: Path) -> int:
    sky = image_planes.sky_positions(table, wcs_of)
    catalogue = QTable(table, units={"x": u.pix, "y": u.pix})
    catalogue["ra"], catalogue["dec"] = sky[:, 0] * u.deg, sky[:, 1] * u.deg
    catalogue.write(output, format="ascii.ecsv", overwrite=True)
    return len(table)
