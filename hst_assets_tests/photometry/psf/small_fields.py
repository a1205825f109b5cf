"""Small fields of stars on dithered images: made with scipy alone, without the compiled kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import erf

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.image_stack import ImageStack, image_stack
from hst_assets.photometry.psf.pixel_map import PixelMap
from hst_assets.photometry.psf.spline_psf import SplinePsf, spline_psf
from hst_assets_tests.photometry.psf.star_frames import READ_NOISE_E, SKY_E, models, pixel_psf

EXPTIME_S = 500.0
BAND = "wfc3_uvis F814W"
DITHERS = ((0.0, 0.0), (3.37, 1.62), (-2.21, 4.54), (5.13, -3.29))


@cache
def psf() -> SplinePsf:
    return pixel_psf(10)


#: WFC3/IR's PSF in its pixels: FWHM 1.15 without the pixel.
_NARROW_SIGMA_PIX = 1.15 / 2.355


def gaussian_over_pixels(offset: np.ndarray) -> np.ndarray:
    """A narrow Gaussian, integrated over pixels whose middles are so far from it."""
    edge = (offset[..., None] + [-0.5, 0.5]) / (np.sqrt(2) * _NARROW_SIGMA_PIX)
    return np.diff(erf(edge), axis=-1)[..., 0] / 2


@cache
def narrow_psf() -> SplinePsf:
    """A PSF for which pixels are wide."""
    along = gaussian_over_pixels(np.arange(-48, 49) / 4)
    return spline_psf(np.ascontiguousarray(np.outer(along, along)), radius_pix=10)


def shifted_map(dx: float, dy: float, side: int, *, scale: float = 1.0) -> PixelMap:
    """From the reference to an image: a scale and a shift."""
    at = np.arange(-64.0, side / scale + 80, 16.0)
    x, y = np.meshgrid(at, at)
    return PixelMap(-64.0, -64.0, 16.0, np.stack([scale * x + dx, scale * y + dy], axis=-1))


@dataclass(frozen=True)
class SmallField:
    """Images of stars, and the truth."""

    images: list[ChipImage]
    x: np.ndarray
    y: np.ndarray
    counts: np.ndarray
    side: int
    star_psf: SplinePsf | None = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        return (-6.0, self.side + 6.0, -6.0, self.side + 6.0)

    def stack(self) -> ImageStack:
        psfs = {image.band: self.star_psf or psf() for image in self.images}
        return image_stack(self.images, psfs, box=self.box)


def field(
    x: np.ndarray,
    y: np.ndarray,
    counts: np.ndarray,
    *,
    side: int,
    n_images: int = 2,
    bands: tuple[str, ...] = (BAND,),
    seed: int | None = 1,
    sky: np.ndarray | float = SKY_E,
    errors: tuple[tuple[float, float], ...] | None = None,
    star_psf: SplinePsf | None = None,
) -> SmallField:
    """Images of stars: counts electrons in an exposure of `EXPTIME_S`; without noise if no seed.

    `errors` are added to where stars are on each image, and the maps do not know. Stars have
    `star_psf`, by default `psf`.
    """
    rng = np.random.default_rng(seed)
    images = []
    for k, (dx, dy) in enumerate(DITHERS[:n_images]):
        ex, ey = errors[k] if errors else (0.0, 0.0)
        expected = models((side, side), star_psf or psf(), x + dx + ex, y + dy + ey, counts) + sky
        data = expected
        if seed is not None:
            data = rng.poisson(expected) + rng.normal(0, READ_NOISE_E, expected.shape)
        images.append(
            ChipImage(
                name=f"image{k}",
                band=bands[k % len(bands)],
                data_e=data.astype(np.float32),
                good=np.ones((side, side), dtype=bool),
                saturated=np.zeros((side, side), dtype=bool),
                sky_e=np.full((side, side), SKY_E, dtype=np.float32),
                area=np.ones((side, side), dtype=np.float32),
                read_noise_e=READ_NOISE_E,
                exptime_s=EXPTIME_S,
                mjd=58000.0 + k,
                pixel_map=shifted_map(dx, dy, side),
            )
        )
    return SmallField(images, x, y, counts, side, star_psf)


def scattered(n: int, side: int, *, faintest: float, brightest: float, seed: int = 3) -> tuple:
    """X, y and counts of stars at random places, as many in each magnitude."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(4, side - 4, (2, n))
    return x, y, np.exp(rng.uniform(np.log(faintest), np.log(brightest), n))


def jittered(n: int, step: float, *, faintest: float, brightest: float, seed: int = 3) -> tuple:
    """X, y and counts of n x n stars, each anywhere in the middle of a cell of `step` pixels."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid((np.arange(n) + 0.5) * step, (np.arange(n) + 0.5) * step)
    x, y = (each.ravel() + rng.uniform(-0.3, 0.3, n * n) * step for each in (x, y))
    return x, y, np.exp(rng.uniform(np.log(faintest), np.log(brightest), n * n))


def matched(x, y, true_x, true_y, within: float = 0.7) -> np.ndarray:
    """Index of the found star of each true one, mutually nearest; -1 where there is none."""
    from scipy.spatial import KDTree

    found, true = np.column_stack([x, y]), np.column_stack([true_x, true_y])
    distance, index = KDTree(found).query(true)
    _, back = KDTree(true).query(found)
    mutual = back[index] == np.arange(len(true))
    return np.where(mutual & (distance < within), index, -1)
