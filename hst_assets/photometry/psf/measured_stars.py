"""What was measured of the stars of a target, on all of its images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.measurement_file import MeasurementFile

__all__ = ["DAYS_A_YEAR", "MeasuredStars"]

Floats = NDArray[np.float64]

#: Of the Julian year.
DAYS_A_YEAR = 365.25


@dataclass(frozen=True, eq=False)
class MeasuredStars:
    """What was measured: n stars on k images.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        Place on the reference, 0-based pixels.
    x_error, y_error : ndarray, shape (n,)
        Its standard error, pixels.
    object_type : ndarray of int, shape (n,)
        `hst_assets.photometry.catalog.quantities.OBJECT_TYPES`.
    counts_e, counts_error_e : ndarray, shape (k, n)
        Electrons of the whole exposure under the PSF, without aperture correction; may be
        negative. The error is infinite where nothing was measured.
    sky_e : ndarray, shape (k, n)
        Sky under the star, electrons a pixel.
    chi, sharpness, roundness, position_angle_deg, crowding_mag : ndarray, shape (k, n)
        Quality of the fit, as DOLPHOT defines it.
    flag : ndarray of int, shape (k, n)
        Photometry quality flag; 9 off the image.
    image_names : tuple of str
        The k images.
    aperture_correction_mag, aperture_correction_error_mag : ndarray, shape (k,)
        Added to a magnitude by the PSF.
    remarks : tuple of str
        What is to be said: priors used, images without PSF stars and so on.
    chip_x, chip_y : ndarray, shape (k, n), or None
        Place on each chip, 0-based pixels of the whole chip.
    motion_pix_yr : ndarray, shape (n, 2), or None
        Along X and Y, pixels of the reference a year, of stars that were found to move; 0 of
        others. Their places are those at the mean of the images' dates.
    kept : MeasurementFile or None
        What artificial stars and forced photometry need later.
    """

    x: Floats
    y: Floats
    x_error: Floats
    y_error: Floats
    object_type: NDArray[np.int32]
    counts_e: Floats
    counts_error_e: Floats
    sky_e: Floats
    chi: Floats
    sharpness: Floats
    roundness: Floats
    position_angle_deg: Floats
    crowding_mag: Floats
    flag: NDArray[np.int32]
    image_names: tuple[str, ...]
    aperture_correction_mag: Floats
    aperture_correction_error_mag: Floats
    remarks: tuple[str, ...] = field(default=())
    chip_x: Floats | None = None
    chip_y: Floats | None = None
    motion_pix_yr: Floats | None = None
    kept: MeasurementFile | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def n_moving(self) -> int:
        """How many stars were found to move."""
        return len(self.moving)

    @property
    def moving(self) -> NDArray[np.int64]:
        """Which stars were found to move: their numbers in the order of the stars, from 0."""
        motion = self.motion_pix_yr
        nobody = np.zeros(0, dtype=np.int64)
        return nobody if motion is None else np.flatnonzero(motion.any(axis=1))

    def of(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> MeasuredStars:
        """Some of the stars."""
        one: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in _OF_STARS
        }
        many: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[:, rows]
            for name in _OF_IMAGES
        }
        return replace(self, **one, **many)


_OF_STARS = ("x", "y", "x_error", "y_error", "object_type", "motion_pix_yr")
_OF_IMAGES = (
    "counts_e", "counts_error_e", "sky_e", "chi", "sharpness", "roundness",
    "position_angle_deg", "crowding_mag", "flag", "chip_x", "chip_y",
)  # fmt: skip
