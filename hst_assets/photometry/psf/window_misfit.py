"""Enlarge errors by the residuals about a star of a window, also by those beyond the window.

The size of a window about an artificial star is set by the finest detector. The residuals that
enlarge errors are taken within a number of pixels of each detector; for coarser detectors that is
beyond the window, where the residuals of the measurement are used. As in the catalogue, the stars
of the measurement tell how much of the residuals is structure: each star counts once, and stars
that were fitted by their wings do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.fitted_stars import FitParameters, Stars
from hst_assets.photometry.psf.local_misfit import misfit_prior, misfit_reach, misfit_scale
from hst_assets.photometry.psf.misfit_prior import MisfitPrior
from hst_assets.photometry.psf.restored_field import RestoredTile, window, within
from hst_assets.photometry.psf.saturated_stars import fills_saturated

__all__ = ["piece_prior", "window_misfit"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Parts = Sequence[tuple[slice, slice]]

#: A band whose surroundings are so much larger than the window is looked at beyond it: distortion
#: changes pixels by some per cent.
_LARGER = 1.2


def window_misfit(
    restored: RestoredTile,
    fit: FieldFit,
    place: tuple[float, float, float],
    images: tuple[Indices, Parts],
    row: int,
    prior: MisfitPrior,
) -> Floats:
    """As `misfit_scale`, of one star of a window.

    Parameters
    ----------
    restored : RestoredTile
        The piece that the window was cut from.
    fit : FieldFit
        The window, fitted.
    place : tuple of float
        X and Y of the window's middle on the reference, and half of its side.
    images : tuple
        Images and parts of the piece that the window has (`restored_field.window`).
    row : int
        Which star of the fit.
    prior : MisfitPrior
        Of the piece's own stars (`piece_prior`).

    Returns
    -------
    ndarray, shape (bands, 1)
        Factor for the errors of the star in each band, at least 1.
    """
    x, y, reach = place
    rows = np.array([row])
    scale = misfit_scale(fit, (x - reach, x + reach, y - reach, y + reach), rows, prior=prior)
    radius = fit.parameters.fit_radius_pix
    wanted = misfit_reach(fit.stack, radius)
    beyond = wanted > _LARGER * reach
    if beyond.any():
        about = _surroundings(restored, fit, (x, y, reach), images, wanted.max())
        far = wanted.max()
        wide = misfit_scale(about, (x - far, x + far, y - far, y + far), rows, prior=prior)
        scale[beyond] = wide[beyond]
    return scale


def piece_prior(restored: RestoredTile, parameters: FitParameters) -> MisfitPrior:
    """How what the measurement left is distributed among its stars in a piece of the field."""
    stack, model = restored.stack, restored.model_e
    residual = np.where(stack.good, stack.data_e - stack.sky_e - model, 0).astype(np.float32)
    x, y, counts = restored.of_stars
    # All may be saturated: the fit is asked which are.
    stars = Stars.at(x, y, np.zeros((len(stack.bands), len(x))), wide=True)
    fit = FieldFit(stack, stars, stack.sky_e, model, residual, parameters, sky_is_known=True)
    fit.stars.wide = _by_wings(fit, counts)
    return misfit_prior(fit, restored.tile.box)


def _by_wings(fit: FieldFit, counts_e: Floats) -> NDArray[np.bool_]:
    """Which stars of the measurement were fitted by their wings: they are saturated somewhere."""
    stack, by_wings = fit.stack, np.zeros(len(fit.stars), dtype=bool)
    saturated = fit.error_of_wings(counts_e) > 0
    for k in np.flatnonzero(saturated.any(axis=1)):
        level = float(np.median(stack.data_e[k][stack.saturated[k]]))
        peak = counts_e[k] * stack.optics.profiles[k][0]
        by_wings |= saturated[k] & fills_saturated(peak, level)
    return by_wings


def _surroundings(
    restored: RestoredTile,
    fit: FieldFit,
    place: tuple[float, float, float],
    images: tuple[Indices, Parts],
    far: float,
) -> FieldFit:
    """The window in wider surroundings, in which all is as the measurement left it."""
    x, y, reach = place
    cut = window(restored.stack, x, y, far, fit.parameters.fit_radius_pix + 1)
    assert cut is not None  # the window is within
    stack, which, parts = cut
    good, model = stack.good.copy(), np.zeros_like(stack.data_e)
    for plane, k, (rows, columns) in zip(model, which, parts, strict=True):
        ny, nx = rows.stop - rows.start, columns.stop - columns.start
        plane[:ny, :nx] = restored.model_e[k, rows, columns]
    residual = np.where(good, stack.data_e - stack.sky_e - model, 0).astype(np.float32)
    light = fit.sky_e + fit.model_e  # what shines into the window is sky there
    for small, (k, (rows, columns)) in enumerate(zip(*images, strict=True)):
        at = int(np.flatnonzero(which == k)[0])
        first_row, first_column = (each.start for each in parts[at])
        ny, nx = rows.stop - rows.start, columns.stop - columns.start
        into = (
            at,
            slice(rows.start - first_row, rows.start - first_row + ny),
            slice(columns.start - first_column, columns.start - first_column + nx),
        )
        residual[into] = fit.residual_e[small, :ny, :nx]
        model[into] = light[small, :ny, :nx] - stack.sky_e[into]
        good[into] = fit.stack.good[small, :ny, :nx]
    xs, ys, _ = restored.of_stars
    outside = ~within(xs, ys, (x - reach, x + reach, y - reach, y + reach))
    outside &= within(xs, ys, (x - far, x + far, y - far, y + far), reach)
    others = Stars.at(xs[outside], ys[outside], np.zeros((len(stack.bands), outside.sum())))
    return FieldFit(
        replace(stack, good=good), fit.stars.joined(others), stack.sky_e, model, residual,
        fit.parameters, sky_is_known=True,
    )  # fmt: skip
