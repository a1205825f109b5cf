"""One chip of one exposure as it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.pixel_map import PixelMap

__all__ = ["ChipImage"]

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
