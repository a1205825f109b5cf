"""How sharp stars can be on an image: what is as wide is spared, what is sharper is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.cosmic_ray_loops import neighbour_shares, peaks_among
from hst_assets.photometry.psf.spline_psf import SplinePsf

__all__ = ["StarShape", "floor_variance", "like_stars", "peaks_of"]

Floats = NDArray[np.float64]
Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int32]

#: A star's neighbours have at least this share of what the PSF gives them. Cosmic rays that are no
#: sharper than that pass for stars.
_STAR_SHARE = 0.6


@dataclass(frozen=True)
class StarShape:
    """How sharp a star can be.

    Attributes
    ----------
    attenuation : float
        Its light in the middle of a pixel by that on the border of two.
    shares : ndarray, shape (4,)
        Light in the neighbours along x, y and the diagonals by that in the middle.
    """

    attenuation: float
    shares: Floats

    @classmethod
    def of(cls, psf: SplinePsf | None, detector: Detector) -> StarShape:
        """From a PSF, the sharpest of its cells, or from the registry's width."""
        dx, dy = np.array([0, 0.5, 1, 0, 1, 1]), np.array([0, 0.5, 0, 1, 1, -1])
        if psf is None:
            sigma = 0.9 * detector.fwhm_pix / np.sqrt(8 * np.log(2))
            cells = np.exp(-(dx**2 + dy**2) / (2 * sigma**2))[None]
        else:
            ny, nx = psf.coefficients.shape[:2]
            cells = np.array([psf.at(dx, dy, cell=(j, i)) for j in range(ny) for i in range(nx)])
        by_middle = (cells / cells[:, :1]).min(axis=0)
        return cls(float(by_middle[1] ** -0.5), by_middle[2:])


def floor_variance(image: ChipImage) -> Reals:
    """Variance of sky and read noise."""
    floor: Reals = np.maximum(image.sky_e, 0) + np.float32(image.read_noise_e) ** 2
    return floor


def peaks_of(found: Mask, height: Reals) -> tuple[Indices, Indices]:
    """X and Y of the found pixels that no other found one within 2 pixels exceeds."""
    y, x = np.nonzero(peaks_among(found, height))
    return x.astype(np.int32), y.astype(np.int32)


def like_stars(image: ChipImage, height: Reals, x: Indices, y: Indices, shape: StarShape) -> Mask:
    """Whether peaks are as wide in all directions as stars are, or may be within 2 sigma."""
    if len(x) == 0:
        return np.zeros(0, bool)
    shares = neighbour_shares(x, y, height, image.good)
    noise = np.sqrt(0.5 * floor_variance(image)[y, x]) / np.maximum(height[y, x], 1e-3)
    wide: Mask = (shares > _STAR_SHARE * shape.shares - 2 * noise[:, None]).all(axis=1)
    return wide
