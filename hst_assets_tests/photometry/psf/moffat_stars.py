"""Stars that no spline made: mixtures of Moffat profiles, integrated over pixels, with noise.

The tables have 12 values a pixel, each the integral over a pixel by 5 x 5 Gauss-Legendre points.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter

from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf, spline_psf
from hst_assets.photometry.psf.star_stamps import StarStamps

STEP, REACH = 12, 15
SHAPE = (2051, 4096)
SKY_E, READ_NOISE_E = 60.0, 3.1


def _moffat(square, fwhm, beta):
    a = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    return (beta - 1) / (np.pi * a * a) * (1 + square / a / a) ** (-beta)


def _surface(dx, dy, fwhm):
    square = dx * dx + dy * dy
    core = _moffat((1.03 * dx) ** 2 + (dy / 1.03) ** 2, fwhm, 3.5)
    return 0.82 * core + 0.15 * _moffat(square, 2.5 * fwhm, 2.6) + 0.03 * _moffat(square, 16, 3)


@cache
def truth(fwhm: float) -> Callable:
    """Share of light in pixels dx, dy away from the star."""
    grid = np.arange(-(REACH + 2) * STEP, (REACH + 2) * STEP + 1) / STEP
    dx, dy = np.meshgrid(grid, grid)
    points, weights = np.polynomial.legendre.leggauss(5)
    table = sum(
        wa * wb / 4 * _surface(dx + a / 2, dy + b / 2, fwhm)
        for a, wa in zip(points, weights, strict=True)
        for b, wb in zip(points, weights, strict=True)
    )
    coefficients = spline_filter(table, order=3)

    def share(dx, dy):
        middle = (REACH + 2) * STEP
        places = [np.asarray(dy) * STEP + middle, np.asarray(dx) * STEP + middle]
        return map_coordinates(coefficients, places, order=3, prefilter=False)

    return share


def prior_of(fwhm: float, radius_pix: int = 10) -> SplinePsf:
    n = 2 * (radius_pix + 2) * OVERSAMPLING + 1
    grid = (np.arange(n) - n // 2) / OVERSAMPLING
    return spline_psf(truth(fwhm)(*np.meshgrid(grid, grid)), radius_pix=radius_pix)


def stamps_of(psf, rng, *, n, exposures=2, flux=(5e3, 1e5), radius=10, varying=False) -> StarStamps:
    """n stars, each in some exposures; first estimates are 0.01 pixel and 2 % off."""
    x0, y0 = rng.uniform(20, SHAPE[1] - 20, n), rng.uniform(20, SHAPE[0] - 20, n)
    flux_e = np.tile(10 ** rng.uniform(*np.log10(flux), n), exposures)
    shift = np.repeat(rng.uniform(-5, 5, (2, exposures)), n, axis=1)
    x, y = np.tile(x0, exposures) + shift[0], np.tile(y0, exposures) + shift[1]
    x_first, y_first = np.round(x).astype(int) - radius, np.round(y).astype(int) - radius
    offset = np.arange(2 * radius + 1)
    dx = (x_first - x)[:, None, None] + offset + 0 * offset[:, None]
    dy = (y_first - y)[:, None, None] + offset[:, None] + 0 * offset
    share = psf(dx, dy, x[:, None, None] + 0 * dx) if varying else psf(dx, dy)
    expected = flux_e[:, None, None] * share + SKY_E
    values = rng.poisson(expected) + rng.normal(0, READ_NOISE_E, expected.shape) - SKY_E
    return StarStamps(
        values,
        expected + READ_NOISE_E**2,
        np.ones(values.shape, bool),
        x + rng.normal(0, 0.01, len(x)),
        y + rng.normal(0, 0.01, len(x)),
        x_first,
        y_first,
        flux_e * rng.normal(1, 0.02, len(x)),
        np.tile(np.arange(n), exposures),
    )


def core_error(psf: SplinePsf, share, cell=(0, 0), radius=3.0) -> float:
    """RMS of the PSF minus truth within the core, in units of the truth's peak."""
    grid = np.arange(-radius, radius + 0.01, 0.25)
    dx, dy = np.meshgrid(grid, grid)
    error = (psf.at(dx, dy, cell=cell) - share(dx, dy))[np.hypot(dx, dy) <= radius]
    return float(np.sqrt(np.mean(error**2)) / share(np.zeros(1), np.zeros(1))[0])


def light_within(psf, radius: float) -> float:
    grid = np.arange(-radius, radius + 0.01, 1 / 8)
    dx, dy = np.meshgrid(grid, grid)
    return float(psf(dx, dy)[np.hypot(dx, dy) <= radius].sum() / 64)


def fitted(psf: SplinePsf, share, rng, *, n=40, cell=(0, 0)) -> np.ndarray:
    """Light and place that the PSF finds for noiseless stars of all phases (n, 3)."""
    offset, results, h = np.arange(-4, 5), [], 1e-3
    for a, b in rng.uniform(-0.5, 0.5, (n, 2)):
        dx, dy = np.meshgrid(offset - a, offset - b)
        data = share(dx, dy)
        weight = (1 / (data * 2e4 + 70)).ravel()
        flux, x, y = 1.0, 0.0, 0.0
        for _ in range(4):
            model = psf.at(dx - x, dy - y, cell=cell)
            by_x = (psf.at(dx - x - h, dy - y, cell=cell) - model) / h
            by_y = (psf.at(dx - x, dy - y - h, cell=cell) - model) / h
            columns = np.stack([model, flux * by_x, flux * by_y]).reshape(3, -1)
            step = np.linalg.solve(
                (columns * weight) @ columns.T, (columns * weight) @ (data - flux * model).ravel()
            )
            flux, x, y = flux + step[0], x + step[1], y + step[2]
        results.append((flux, x, y))
    return np.array(results)
