"""Frames of stars for tests of shapes: made with scipy alone, without the compiled kernels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import uniform_filter1d

from hst_assets.photometry.psf.spline_psf import SplinePsf, spline_psf
from hst_assets.photometry.psf.star_quality import StarQuality, star_quality

SKY_E, READ_NOISE_E = 60.0, 3.1
FINE = 20


def moffat(r2: np.ndarray, fwhm: float, beta: float) -> np.ndarray:
    a2 = fwhm**2 / 4 / (2 ** (1 / beta) - 1)
    return (beta - 1) / (np.pi * a2) * (1 + r2 / a2) ** -beta


def light(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """The star of the reference exposures: a core, a shoulder and a halo; UVIS-like."""
    squeezed = (dx * 1.03) ** 2 + (dy / 1.03) ** 2
    r2 = dx**2 + dy**2
    return (
        0.82 * moffat(squeezed, 1.8, 3.5) + 0.15 * moffat(r2, 4.5, 2.6) + 0.03 * moffat(r2, 16, 3)
    )


def pixel_psf(radius_pix: int = 13) -> SplinePsf:
    """The same as a PSF: integrated over pixels, on steps of a quarter."""
    half = (radius_pix + 3) * FINE
    steps = np.arange(-half, half + 1) / FINE
    fine = light(*np.meshgrid(steps, steps))
    # Over FINE + 1 points, the outer ones half: the mean of two running means, half a step apart.
    for axis in (0, 1):
        before = uniform_filter1d(fine, FINE, axis=axis, origin=0)
        after = uniform_filter1d(fine, FINE, axis=axis, origin=-1)
        fine = (before + after) / 2
    cut = FINE
    return spline_psf(np.ascontiguousarray(fine[cut:-cut:5, cut:-cut:5]), radius_pix=radius_pix)


def share_within(radius_pix: float) -> float:
    """Share of all light within a circle, of the star of `light`."""
    r = np.linspace(0, radius_pix, 4001)
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)[:, None]
    around = light(r * np.cos(angle), r * np.sin(angle)).mean(axis=0)
    return float(np.trapezoid(around * 2 * np.pi * r, r))


def models(
    shape: tuple[int, int], psf: SplinePsf, x: np.ndarray, y: np.ndarray, flux: np.ndarray
) -> np.ndarray:
    """The light of stars out to the PSF's radius."""
    image = np.zeros((shape[0] + 2 * 40, shape[1] + 2 * 40))
    r = psf.radius_pix
    for xk, yk, fk in zip(x, y, flux, strict=True):
        ix, iy = int(np.floor(xk + 0.5)), int(np.floor(yk + 0.5))
        if not (-20 < ix < shape[1] + 20 and -20 < iy < shape[0] + 20) or fk == 0:
            continue
        dy, dx = np.mgrid[iy - r : iy + r + 1, ix - r : ix + r + 1].astype(float)
        stamp = psf.at(dx - xk, dy - yk)
        image[iy - r + 40 : iy + r + 41, ix - r + 40 : ix + r + 41] += fk * stamp
    return image[40:-40, 40:-40]


@dataclass
class Frame:
    """Stars on a sky, and what is known of them."""

    psf: SplinePsf
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    data: np.ndarray
    good: np.ndarray
    saturated: np.ndarray
    sky: float = SKY_E

    @property
    def model(self) -> np.ndarray:
        return models(self.data.shape, self.psf, self.x, self.y, self.flux).astype(np.float32)

    @property
    def residual(self) -> np.ndarray:
        return (self.data - self.sky - self.model).astype(np.float32)

    @property
    def variance(self) -> np.ndarray:
        above = np.maximum(self.data - self.sky, 0)
        return (above + self.sky + READ_NOISE_E**2).astype(np.float32)

    def quality(self, **options) -> StarQuality:
        return star_quality(
            self.residual,
            self.variance,
            self.good,
            self.saturated,
            self.psf,
            self.x,
            self.y,
            self.flux,
            model_e=self.model,
            **options,
        )

    def fitted(self) -> Frame:
        """The same with fluxes fitted to the data, each star alone."""
        without = replace(self, flux=np.zeros(len(self.x)))
        return replace(self, flux=without.quality().star.flux_e)


def frame_of(
    image: np.ndarray, psf: SplinePsf, x: np.ndarray, y: np.ndarray, flux: np.ndarray, *, seed: int
) -> Frame:
    """A frame of an image without noise: electrons above the sky."""
    rng = np.random.default_rng(seed)
    data = rng.poisson(image + SKY_E) + rng.normal(0, READ_NOISE_E, image.shape)
    good = np.ones(image.shape, bool)
    return Frame(psf, x, y, np.asarray(flux, dtype=float), data, good, ~good)


def lattice(n: int = 10, step: int = 30, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """n x n places, at random within their pixels, far from each other and from the edge."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(1, n + 1) * step, np.arange(1, n + 1) * step)
    return x.ravel() + rng.uniform(-0.5, 0.5, n * n), y.ravel() + rng.uniform(-0.5, 0.5, n * n)


def stars(flux: float, *, n: int = 10, seed: int = 5) -> Frame:
    """n x n single stars of one flux, which is known."""
    psf = pixel_psf()
    x, y = lattice(n, seed=seed)
    fluxes = np.full(len(x), flux)
    side = (n + 1) * 30
    return frame_of(models((side, side), psf, x, y, fluxes), psf, x, y, fluxes, seed=seed)


def hot_pixels(height: float, *, n: int = 10, seed: int = 5) -> Frame:
    """n x n hot pixels, with the fluxes that a fit of stars gives them."""
    psf = pixel_psf()
    x, y = (np.round(v) for v in lattice(n, seed=seed))
    side = (n + 1) * 30
    image = np.zeros((side, side))
    frame = frame_of(image, psf, x, y, np.zeros(len(x)), seed=seed)
    frame.data[y.astype(int), x.astype(int)] += height
    return frame.fitted()


def galaxies(
    flux: float,
    fwhm_pix: float,
    *,
    ratio: float = 1.0,
    angle_deg: float = 0.0,
    n: int = 10,
    seed: int = 5,
) -> Frame:
    """n x n Gaussian galaxies, with the fluxes that a fit of stars gives them."""
    psf = pixel_psf()
    x, y = lattice(n, seed=seed)
    side = (n + 1) * 30
    rows, columns = np.mgrid[:side, :side]
    image = np.zeros((side, side))
    sigma = fwhm_pix / 2.3548
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    for xk, yk in zip(x, y, strict=True):
        along = (columns - xk) * c + (rows - yk) * s
        across = (rows - yk) * c - (columns - xk) * s
        shape = np.exp(-(along**2 + (across / ratio) ** 2) / 2 / sigma**2)
        image += flux * shape / (2 * np.pi * sigma**2 * ratio)
    return frame_of(image, psf, x, y, np.zeros(len(x)), seed=seed).fitted()
