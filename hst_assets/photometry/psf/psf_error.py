"""Errors of fluxes for a PSF that is not a star's own: how PSF stars differ in width.

A PSF varies over a chip by more than a few stars can tell. To first order it is the width that
counts: a PSF that is too wide makes stars too bright, faint ones the more, as their fluxes hang on
the core. Elongation cancels. Each PSF star is fitted with its width free; what the widths scatter
by beyond noise is what a star's PSF is off by. All exposures have it in common.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.image_fluxes import ForcedFit
from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.spline_psf import SplinePsf, widened

__all__ = ["enlarged", "flux_of_width", "psf_error_scale", "width_share"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

#: Ratios of a star's electrons to the variance of a pixel of the sky for which it is reckoned by
#: how much the width changes its flux: from faint to bright stars.
_RATIOS = np.logspace(-1.0, 6.0, 15)


def flux_of_width(psf: SplinePsf, *, fit_radius_pix: int) -> Floats:
    """Relative change of fluxes by the change of a PSF's width, for stars of `_RATIOS`.

    Parameters
    ----------
    psf : SplinePsf
        The PSF; its first cell is looked at.
    fit_radius_pix : int
        Pixels within so many of a star are fitted.

    Returns
    -------
    ndarray
        By pixel squared of half the PSF's second moment, as `SplinePsf.width_error_pix2`.
    """
    offset = np.arange(-fit_radius_pix, fit_radius_pix + 1, dtype=float)
    dx, dy = np.meshgrid(offset, offset)
    inside = np.hypot(dx, dy) <= fit_radius_pix + 0.5
    model, wider = psf.at(dx, dy)[inside], widened(psf).at(dx, dy)[inside]
    weight = 1.0 / (1.0 + _RATIOS[:, None] * np.maximum(model, 0.0))
    return np.asarray((weight * model * wider).sum(axis=1) / (weight * model**2).sum(axis=1))


def width_share(
    stack: ImageStack,
    sky_e: Planes,
    psfs: Sequence[SplinePsf],
    counts_e: Floats,
    *,
    fit_radius_pix: int,
) -> Floats:
    """Relative error of fluxes by what the widths of PSFs are off by, on each of k images.

    Parameters
    ----------
    stack : ImageStack
        The images.
    sky_e : ndarray of float32, shape (k, ny, nx)
        Their sky.
    psfs : sequence of SplinePsf
        Of the images.
    counts_e : ndarray, shape (k, n)
        Electrons of the stars: bright ones are weighted otherwise than faint ones.
    fit_radius_pix : int
        Pixels within so many of a star are fitted.

    Returns
    -------
    ndarray, shape (k, n)
        0 where the PSF's error is not known.
    """
    share = np.zeros(counts_e.shape)
    known: dict[int, Floats] = {}
    for k, psf in enumerate(psfs):
        if psf.width_error_pix2 == 0.0:
            continue
        change = known.setdefault(id(psf), flux_of_width(psf, fit_radius_pix=fit_radius_pix))
        ny, nx = stack.shapes[k]
        sky = float(np.median(sky_e[k, :ny, :nx])) + stack.read_noise_e[k] ** 2
        ratio = np.clip(counts_e[k] / max(sky, 1.0), _RATIOS[0], _RATIOS[-1])
        share[k] = psf.width_error_pix2 * np.interp(np.log(ratio), np.log(_RATIOS), abs(change))
    return share


def psf_error_scale(
    fit: FieldFit, forced: ForcedFit, psfs: Sequence[SplinePsf], rows: NDArray[np.int64]
) -> Floats:
    """By how much errors by noise are to be multiplied to hold that of the PSF.

    It is the same on all images of a band: each is given as much as makes the error of their mean
    right.

    Parameters
    ----------
    fit : FieldFit
        The stars, fitted.
    forced : ForcedFit
        Their fluxes on the k images.
    psfs : sequence of SplinePsf
        Of the images.
    rows : ndarray of int, shape (n,)
        Which stars.

    Returns
    -------
    ndarray, shape (k, n)
        At least 1; 1 for stars that are fitted by their wings, whose errors hold the PSF's.
    """
    stack = fit.stack
    counts, error = forced.counts_e[:, rows], forced.counts_error_e[:, rows]
    snr2 = np.where(np.isfinite(error), counts / np.where(error > 0, error, np.inf), 0.0) ** 2
    radius = fit.parameters.fit_radius_pix
    share = width_share(stack, fit.sky_e, psfs, counts, fit_radius_pix=radius)
    scale2 = np.ones(counts.shape)
    for band in range(len(stack.bands)):
        of_band = np.flatnonzero(stack.band_of == band)
        scale2[of_band] += share[of_band] ** 2 * snr2[of_band].sum(axis=0)
    scale2[:, fit.stars.wide[rows]] = 1.0
    return np.sqrt(scale2)


def enlarged(misfit: Floats, by_psf: Floats) -> Floats:
    """By how much errors by noise grow for what is left about a star, and for its PSF."""
    return np.asarray(np.sqrt(misfit**2 + by_psf**2 - 1.0))
