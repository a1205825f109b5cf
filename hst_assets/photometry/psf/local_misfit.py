"""How much worse than noise the fit is about a star: by structure of the sky, by stars not found.

The photon noise knows nothing of light that is neither a star of the list nor smooth sky. Such
light leaves its mark about a star: what is left there, filtered with the PSF as a star's flux is,
scatters by more than noise. Errors are enlarged by the root of that ratio, a reduced chi squared
(Birge 1932, Phys. Rev. 40, 207; the scale factor of the Particle Data Group's averages). The ratio
itself is known to some ten per cent only: all stars of the field tell what of it is noise
(`hst_assets.photometry.psf.misfit_prior`). The images of a band are taken together, as such light
is in all of them: errors of single images are enlarged alike, so that the error of their mean is
right.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from hst_assets.compiling import compiled
from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.misfit_prior import MisfitPrior, MisfitRatios
from hst_assets.photometry.psf.peaks import filter_kernel, matched_filter
from hst_assets.photometry.psf.star_search import lattice_over

__all__ = ["misfit_prior", "misfit_reach", "misfit_scale"]

Floats = NDArray[np.float64]

#: Radii within which the ratio is looked at, in radii of the fit: what is as near as the fitted
#: pixels (a star that was not found, a wrong PSF), and the surroundings (a galaxy, nebulosity). The
#: larger ratio counts. Chosen, among five pairs, on 15 simulated fields (uvis_1k, uvis_10k,
#: galaxies, varying and everything of benchmarks/photometer_cases.py at seeds from 101).
_NEAR, _ABOUT = 1.0, 3.0
#: What fits leave of the noise, at least: where stars overlap more, their shares do not add up.
_LEAST_LEFT = 0.1
#: Steps of the table of what a star's fit takes, to a pixel.
_STEPS = 8


def misfit_scale(
    fit: FieldFit,
    box: tuple[float, float, float, float],
    rows: NDArray[np.int64] | None = None,
    *,
    prior: MisfitPrior | None = None,
) -> Floats:
    """By how much errors of stars are to be multiplied, for all images of a band alike.

    Parameters
    ----------
    fit : FieldFit
        Fitted, and rendered.
    box : tuple of float
        First and last X, first and last Y on the reference of what was fitted.
    rows : ndarray of int, optional
        Which stars; by default all.
    prior : MisfitPrior, optional
        Of the field (`misfit_prior`); by default by all stars of the fit.

    Returns
    -------
    ndarray, shape (bands, n)
        At least 1; 1 for a band without an image, and for stars that are fitted by their wings.
    """
    everyone = np.arange(len(fit.stars))
    rows = everyone if rows is None else rows
    if prior is None:
        of_all = _misfit_ratios(fit, box, everyone)
        prior, measured = MisfitPrior.of(of_all.of(~fit.stars.wide)), of_all.of(rows)
    else:
        measured = _misfit_ratios(fit, box, rows)
    scale = np.sqrt(prior.ratios(measured).max(axis=0))
    # Errors of fluxes by the wings hold what the PSF may be wrong by, which is what is left there.
    scale[:, fit.stars.wide[rows]] = 1.0
    return np.asarray(scale)


def misfit_prior(fit: FieldFit, box: tuple[float, float, float, float]) -> MisfitPrior:
    """How what is left is distributed among the stars of a fit; see `misfit_scale`."""
    return MisfitPrior.of(_misfit_ratios(fit, box, np.flatnonzero(~fit.stars.wide)))


def _misfit_ratios(
    fit: FieldFit, box: tuple[float, float, float, float], rows: NDArray[np.int64]
) -> MisfitRatios:
    """What is left about some of the stars, near and about each."""
    stack, stars = fit.stack, fit.stars
    radii = [each * fit.parameters.fit_radius_pix for each in (_NEAR, _ABOUT)]
    ratio = np.zeros((len(radii), len(stack.bands), len(rows)))
    freedom = np.zeros(ratio.shape)
    lattice = lattice_over(stack, box)
    snr = matched_filter(stack, fit.residual_e, fit.weight(), lattice, nearest=True).snr
    x, y = (stars.x - lattice.x0) / lattice.step, (stars.y - lattice.y0) / lattice.step
    here = np.isfinite(x) & np.isfinite(y)
    for band in range(len(stack.bands)):
        of_band = np.flatnonzero(stack.band_of == band)
        if not len(of_band):  # a window beyond the band's last image
            continue
        image = int(of_band[0])
        taken, alike = _taken_by_fit(filter_kernel(stack, image))
        pixels = _pixels_of_points(stack, image, lattice.step)
        left = np.ones(snr[band].shape)
        _take(left, x[here], y[here], taken, pixels)
        left = np.maximum(left, _LEAST_LEFT)
        for at, radius in enumerate(radii):
            into = ratio[at, band], freedom[at, band]
            _ratios(snr[band], left, x[rows], y[rows], radius / pixels, *into)
        freedom[:, band] *= pixels**2 / alike
    return MisfitRatios(ratio, freedom)


def misfit_reach(stack: ImageStack, fit_radius_pix: int) -> Floats:
    """How far from a star `misfit_scale` looks, pixels of the reference, by band.

    0 for a band without an image.
    """
    reach = np.zeros(len(stack.bands))
    for band in range(len(stack.bands)):
        of_band = np.flatnonzero(stack.band_of == band)
        if len(of_band):
            pixels = _pixels_of_points(stack, int(of_band[0]), 1.0)
            reach[band] = _ABOUT * fit_radius_pix / pixels
    return reach


def _pixels_of_points(stack: ImageStack, image: int, step: float) -> float:
    """Pixels of an image between two points of the lattice."""
    knots = stack.optics.knots[image]
    j, i = knots.shape[0] // 2 - 1, knots.shape[1] // 2 - 1
    along, up = knots[j, i + 1] - knots[j, i], knots[j + 1, i] - knots[j, i]
    area = abs(along[0] * up[1] - along[1] * up[0]) / stack.optics.lattice[2] ** 2
    return float(math.sqrt(area) * step)


def _taken_by_fit(kernel: NDArray[np.float32]) -> tuple[Floats, float]:
    """What the fit of a star takes of the variance of filtered noise about it.

    The fit of flux and place takes from the noise all that is along the PSF and its two slopes: of
    the filtered noise at a distance, the squared correlations of the PSF there with these.

    Returns
    -------
    ndarray
        By distance, in steps of a pixel over `_STEPS`; beyond, it is 0.
    float
        Pixels that are alike: the sum of the squared correlations of filtered noise.
    """
    wide = np.pad(kernel.astype(float), kernel.shape[0] // 2 + 1)
    psf = wide / math.sqrt((wide**2).sum())
    squared = fftconvolve(psf, psf[::-1, ::-1], mode="same") ** 2
    alike = float(squared.sum())
    for slope in np.gradient(psf):
        across = slope - (slope * psf).sum() * psf
        across /= math.sqrt((across**2).sum())
        squared += fftconvolve(across, psf[::-1, ::-1], mode="same") ** 2
    offset = np.arange(len(wide)) - len(wide) // 2
    distance = np.hypot(*np.meshgrid(offset, offset))
    radii, of_radius = np.unique(np.round(distance, 3), return_inverse=True)
    mean = np.bincount(of_radius.ravel(), squared.ravel()) / np.bincount(of_radius.ravel())
    table = np.interp(np.arange(len(wide) // 2 * _STEPS) / _STEPS, radii, mean)
    return table, alike


@compiled
def _take(left: Any, x: Any, y: Any, table: Any, pixels: float) -> None:
    """Take what the fits of stars take of the noise at each point of the lattice."""
    ny, nx = left.shape
    reach = int((table.size - 1) / _STEPS / pixels)
    for s in range(x.size):
        for j in range(max(int(y[s]) - reach, 0), min(int(y[s]) + reach + 2, ny)):
            for i in range(max(int(x[s]) - reach, 0), min(int(x[s]) + reach + 2, nx)):
                distance = pixels * math.sqrt((i - x[s]) ** 2 + (j - y[s]) ** 2)
                step = int(distance * _STEPS + 0.5)
                if step < table.size:
                    left[j, i] -= table[step]


@compiled
def _ratios(
    snr: Any, left: Any, x: Any, y: Any, radius: float, ratio: Any, squares_expected: Any
) -> None:
    """Squares of filtered noise over what they should be, within a radius of each star; or 0."""
    ny, nx = snr.shape
    for s in range(x.size):
        if not (math.isfinite(x[s]) and math.isfinite(y[s])):
            continue
        squares, expected = 0.0, 0.0
        first, last = max(int(y[s] - radius), 0), min(int(y[s] + radius) + 2, ny)
        for j in range(first, last):
            for i in range(max(int(x[s] - radius), 0), min(int(x[s] + radius) + 2, nx)):
                apart = (i - x[s]) ** 2 + (j - y[s]) ** 2
                # Where no image has a good pixel, it is 0.
                if apart <= radius**2 and snr[j, i] != 0.0:
                    squares += snr[j, i] ** 2
                    expected += left[j, i]
        if expected > 0.0:
            ratio[s] = squares / expected
            squares_expected[s] = expected
