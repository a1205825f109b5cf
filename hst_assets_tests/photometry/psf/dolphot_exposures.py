"""What DOLPHOT 2.0 measured on four simulated exposures, and ours of the same stars.

Its catalogue holds the stars above S/N = 3.5; it had subtracted fainter ones, too, which are not
known. That may be most of the scatter of crowding and roundness; it was not shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from astropy.io import fits

from hst_assets.photometry.psf.star_quality import StarQuality
from hst_assets_tests.photometry.catalog.reference_runs import CROWDED
from hst_assets_tests.photometry.psf.star_frames import Frame, pixel_psf

#: Places on an exposure are those on the first plus this (CRPIX); its pixel 0 is the catalogue's
#: 12.5.
OFFSETS = ((0.0, 0.0), (3.33, 2.67), (-5.25, 4.52), (2.61, -6.41))
_FIRST_PIXEL = 12.5
EXPTIME_S = 500.0
#: Columns (from 0): of the object, of the filter, of the first image; an image has 13.
OBJECT = {"snr": 5, "chi": 4, "sharpness": 6, "roundness": 7, "angle": 8, "crowding": 9, "type": 10}
FILTER = {"chi": 18, "sharpness": 20, "roundness": 21, "crowding": 22, "flag": 23}
IMAGE = {
    "counts": 24, "sky": 25, "chi": 31, "snr": 32, "sharpness": 33, "roundness": 34,
    "crowding": 35, "flag": 36,
}  # fmt: skip
_COLUMNS_OF_IMAGE = 13


@dataclass(frozen=True)
class Measured:
    """One exposure: its frame, our quality of the stars, and DOLPHOT's."""

    frame: Frame
    ours: StarQuality
    theirs: dict[str, np.ndarray]


@cache
def catalogue() -> np.ndarray:
    return np.loadtxt(CROWDED.catalog)


@cache
def exposure(number: int) -> Measured:
    """An exposure, 0 to 3."""
    rows = catalogue()
    theirs = {key: rows[:, at + _COLUMNS_OF_IMAGE * number] for key, at in IMAGE.items()}
    x, y = (rows[:, 2 + axis] - _FIRST_PIXEL + OFFSETS[number][axis] for axis in (0, 1))
    with fits.open(CROWDED.catalog.with_name(f"sim{number + 1}_flc.fits.gz")) as hdus:
        data = hdus["SCI"].data.astype(float)
    good = np.ones(data.shape, bool)
    frame = Frame(pixel_psf(), x, y, theirs["counts"], data, good, ~good)
    return Measured(frame, frame.quality(), theirs)
