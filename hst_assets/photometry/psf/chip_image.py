"""One chip of one exposure as it is measured, and what was measured on all of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.pixel_map import PixelMap

if TYPE_CHECKING:
    from hst_assets.photometry.psf.measurement_file import MeasurementFile

__all__ = ["ChipImage", "MeasuredStars"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChipImage:
    """One chip of one exposure, or a part of it.

    Attributes
    ----------
    name : str
        How messages call it, such as ``idxy01abq.chip2``.
    band : str
        Detector and filter, such as ``wfc3_uvis F814W``: images of a band share a flux.
    data_e : ndarray of float32, shape (ny, nx)
        Electrons of the whole exposure, times the pixel area: a star has the same sum anywhere.
    good : ndarray of bool, shape (ny, nx)
        Pixels that are neither bad nor saturated nor hit by a cosmic ray.
    saturated : ndarray of bool, shape (ny, nx)
        Saturated pixels; they are not good.
    sky_e : ndarray of float32, shape (ny, nx)
        A first estimate of the sky under the stars, in the unit of `data_e`.
    area : ndarray of float32, shape (ny, nx)
        Pixel areas that `data_e` was multiplied by.
    read_noise_e : float
        Electrons RMS.
    exptime_s : float
        Exposure time, seconds.
    mjd : float
        Middle of the exposure.
    pixel_map : PixelMap
        From the reference to this image's pixels.
    origin : tuple of int
        X and Y of the first pixel on the whole chip, where the PSF's place on the chip is known.
    """

    name: str
    band: str
    data_e: NDArray[np.float32]
    good: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    sky_e: NDArray[np.float32]
    area: NDArray[np.float32]
    read_noise_e: float
    exptime_s: float
    mjd: float
    pixel_map: PixelMap
    origin: tuple[int, int] = (0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.data_e.shape
        return ny, nx


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
    kept: MeasurementFile | None = None

    def __len__(self) -> int:
        return len(self.x)

    def of(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> MeasuredStars:
        """Some of the stars."""
        one: dict[str, Any] = {name: getattr(self, name)[rows] for name in _OF_STARS}
        many: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[:, rows]
            for name in _OF_IMAGES
        }
        return replace(self, **one, **many)


_OF_STARS = ("x", "y", "x_error", "y_error", "object_type")
_OF_IMAGES = (
    "counts_e", "counts_error_e", "sky_e", "chi", "sharpness", "roundness",
    "position_angle_deg", "crowding_mag", "flag", "chip_x", "chip_y",
)  # fmt: skip
