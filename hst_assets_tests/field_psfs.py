"""PSFs of simulated star fields: tables of 20 steps a pixel, made from their formulas."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import convolve1d, gaussian_filter
from scipy.special import j1

__all__ = ["REACH_PIX", "STEPS", "corner_weights", "psf_tables"]

#: Steps of a PSF's table a pixel, and its reach in pixels.
STEPS = 20
REACH_PIX = 45


@lru_cache(maxsize=4)
def psf_tables(family: str, fwhm_pix: float, *, varying: bool = False) -> np.ndarray:
    """Light in a pixel by its distance from the star: one table, or those of four corners.

    Returns
    -------
    ndarray of float32, shape (1 or 4, n, n)
        Corners in the order of `corner_weights`; n = 2 `REACH_PIX` `STEPS` + 1.
    """
    corners = [(1.0, 1.03)]
    if varying:
        corners = [(0.95, 1.0), (1.05, 1.0), (0.95, 1.06), (1.05, 1.06)]
    return np.array([_table(family, fwhm_pix * width, stretch) for width, stretch in corners])


def corner_weights(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Weights of the corners' tables at shares u, v of the chip's width and height."""
    u, v = np.clip(u, 0, 1), np.clip(v, 0, 1)
    return np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], axis=-1)


def _table(family: str, fwhm_pix: float, stretch: float) -> np.ndarray:
    half = (REACH_PIX + 1) * STEPS
    side = np.arange(-half, half + 1) / STEPS
    dx, dy = np.meshgrid(side, side)
    made = _moffats if family == "moffat" else _airy
    light = made(dx, dy, fwhm_pix, stretch)
    box = np.full(STEPS + 1, 1.0 / STEPS)
    box[[0, -1]] /= 2
    pixels = convolve1d(convolve1d(light, box, axis=0), box, axis=1)
    return pixels[STEPS:-STEPS, STEPS:-STEPS].astype(np.float32)


def _moffats(dx: np.ndarray, dy: np.ndarray, fwhm: float, stretch: float) -> np.ndarray:
    """Core, skirt and halo; only the core is elliptical."""
    core = (dx * stretch) ** 2 + (dy / stretch) ** 2
    round_ = dx**2 + dy**2
    wide = fwhm / 1.8
    return (
        0.82 * _moffat(core, fwhm, 3.5)
        + 0.15 * _moffat(round_, 4.5 * wide, 2.6)
        + 0.03 * _moffat(round_, 16.0 * wide, 3.0)
    )


def _moffat(r2: np.ndarray, fwhm: float, beta: float) -> np.ndarray:
    a2 = fwhm**2 / 4 / (2 ** (1 / beta) - 1)
    return (beta - 1) / (np.pi * a2) * (1 + r2 / a2) ** -beta


def _airy(dx: np.ndarray, dy: np.ndarray, fwhm: float, stretch: float) -> np.ndarray:
    """An annular aperture, a third of it obscured, and a charge diffusion of 0.3 pixel.

    The pattern is ((2 J1(v)/v - e^2 2 J1(ev)/(ev)) / (1 - e^2))^2, v = pi r D / lambda, and its
    integral over the plane 4 / (pi (1 - e^2)) (lambda/D)^2 (Born & Wolf, section 8.6.2).
    """
    obscured = 0.33
    resolution = fwhm / 1.0
    v = np.pi * np.hypot(dx * stretch, dy / stretch) / resolution
    v[v == 0] = 1e-9
    amplitude = 2 * j1(v) / v - obscured**2 * 2 * j1(obscured * v) / (obscured * v)
    peak = np.pi * (1 - obscured**2) / 4 / resolution**2
    pattern = peak * (amplitude / (1 - obscured**2)) ** 2
    return gaussian_filter(pattern, 0.3 * STEPS)
