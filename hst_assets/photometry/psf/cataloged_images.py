"""What the catalogue says of the images: zero points, alignment, aperture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.magnitudes import ab_zero_point
from hst_assets.photometry.catalog.vega import vega_band
from hst_assets.photometry.encircled_energy import WFPC2_RADIUS_ARCSEC
from hst_assets.photometry.psf.catalog_files import CatalogedImage
from hst_assets.photometry.psf.chips_in import ChipFile
from hst_assets.settings import Settings

__all__ = ["aperture_radius_arcsec", "cataloged_images"]


def aperture_radius_arcsec(chips: Sequence[ChipFile], settings: Settings) -> float:
    """Radius of the aperture corrections, arcsec; where WFPC2 is, that of its one known share."""
    if any(chip.image.detector.key == "wfpc2" for chip in chips):
        return WFPC2_RADIUS_ARCSEC
    return settings.embedded.aperture_radius_arcsec


def cataloged_images(
    chips: Sequence[ChipFile], radius_arcsec: float
) -> tuple[list[CatalogedImage], tuple[str, ...]]:
    """What the catalogue says of the images, and what is to be said of that."""
    remarks: dict[str, None] = {}
    images = []
    for chip in chips:
        zero_point, fault = _vega_zero_point(chip)
        if fault:
            remarks[f"{chip.band} has no Vega magnitudes: {fault}"] = None
        if not math.isfinite(chip.encircled(radius_arcsec)):
            remarks[
                f"no table of encircled energy of {chip.band}: magnitudes are of the light within "
                f"{radius_arcsec:g} arcsec"
            ] = None
        images.append(
            CatalogedImage(
                alias=chip.image.alias,
                detector=chip.image.detector,
                filter=chip.image.filter,
                exptime_s=chip.exptime_s,
                mjd=chip.mjd,
                gain=chip.gain,
                chip_code=chip.chip_code,
                zero_point_mag=zero_point,
                ab_zero_point_mag=_ab_zero_point(chip),
                alignment=_alignment(chip),
            )
        )
    return images, tuple(remarks)


def _ab_zero_point(chip: ChipFile) -> float:
    """AB magnitude of one count per second by the header; NaN if it has none of this filter."""
    known = chip.photometry
    return math.nan if known.fault else ab_zero_point(known.flam, known.plam)


def _vega_zero_point(chip: ChipFile) -> tuple[float, str]:
    """Vega magnitude of one count per second by the header, or why there is none."""
    known = chip.photometry
    if known.fault:
        return math.nan, known.fault
    try:
        vega = vega_band(chip.image.detector.key, chip.image.filter)
    except UnusableInput as error:
        return math.nan, error.what
    return ab_zero_point(known.flam, known.plam) - vega.ab_mag(), ""


def _alignment(chip: ChipFile) -> tuple[float, float, float, float, float]:
    """Shift, scale and rotation from the reference in the middle of the chip, as in ``.info``.

    The shift is that of the map there, continued as if it had no distortion, which is not among
    these five numbers.
    """
    x_first, x_last, y_first, y_last = chip.box
    place = np.array([(x_first + x_last) / 2, (y_first + y_last) / 2])
    x, y = place[0] + np.array([0.0, 1.0, 0.0]), place[1] + np.array([0.0, 0.0, 1.0])
    there = np.column_stack(chip.pixel_map(x, y))
    along, up = there[1] - there[0], there[2] - there[0]
    scale = math.sqrt(abs(along[0] * up[1] - along[1] * up[0]))
    shift = there[0] - place
    rotation = math.degrees(math.atan2(along[1], along[0]))
    return float(shift[0]), float(shift[1]), scale, 0.0, rotation
