"""Stars that moved between epochs and were found several times: they are joined to one.

All exposures share a star's place. One that moves by its PSF's width or more between epochs is
found at each place, bright in one epoch and dark in the others. Detections near to each other whose
fluxes change from epoch to epoch are therefore tested together: does one star of constant
brightness that moves uniformly describe the pixels better than several stars at rest, with fluxes
that are constant or free on each image? They are compared by chi-squared and number of parameters
(Bayesian information criterion, Schwarz 1978, Ann. Statist. 6, 461). Two variable stars side by
side stay two: both are there in all epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from hst_assets.photometry.psf.consistency import EPOCH_DAYS
from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.fitted_stars import Stars
from hst_assets.photometry.psf.group_pixels import GroupPixels, pixels_about
from hst_assets.photometry.psf.image_fluxes import ForcedFit

__all__ = ["join_moving"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Detections of one star in successive epochs are no farther apart, pixels of the finest image.
_LINK_PIX = 5.0
#: A star's flux changes if chi-squared about its mean over the epochs is above that of 5 sigma;
#: errors of the PSF and of crowding are this share of it.
_CHANGES, _SHARE_OF_FLUX = 25.0, 0.05
#: Pixels within so many of a detection are compared; the PSF is wrong by this share.
_ABOUT_PIX, _SHARE_OF_LIGHT = 4.0, 0.05
#: The criterion must be better by this: odds of e^5.
_MARGIN = 10.0
_EVALUATIONS = 100


@dataclass(frozen=True)
class _Motion:
    """A star that moves: its place at the date, how far it goes, its rates, and what is left."""

    values: Floats
    rates: Floats
    chi2: float
    covariance: Floats


def join_moving(fit: FieldFit, forced: ForcedFit, *, date_mjd: float) -> int:
    """Put one moving star in the place of several detections.

    Parameters
    ----------
    fit : FieldFit
        Its stars, and with them model and residual, are changed.
    forced : ForcedFit
        Fluxes on single images; to be measured anew if stars were joined.
    date_mjd : float
        When moving stars are at the places that are given.

    Returns
    -------
    int
        How many stars were made of several.
    """
    stack, stars = fit.stack, fit.stars
    epochs = _epochs(stack.mjd)
    if len(epochs) < 2 or len(stars) < 2:
        return 0
    dropped = np.zeros(len(stars), dtype=bool)
    variance = fit.variance_e2()
    n = 0
    for members in _groups(fit, _changing(fit, forced, epochs)):
        motion = _one_star(fit, forced, members, epochs, variance, date_mjd)
        if motion is None:
            continue
        brightest = members[np.argmax(stars.rate[:, members].sum(axis=0))]
        dropped[members] = True
        dropped[brightest] = False
        _put(stars, brightest, motion, _span(stack.mjd))
        n += 1
    if n:
        fit.date_mjd = date_mjd
        fit.stars = stars.select(~dropped)
        fit.render()
    return n


def _epochs(mjd: Floats) -> list[Indices]:
    """Images of each epoch."""
    order = np.argsort(mjd, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(mjd[order]) > EPOCH_DAYS) + 1)


def _span(mjd: Floats) -> float:
    return float(np.ptp(mjd))


def _of_epochs(
    fit: FieldFit, forced: ForcedFit, epochs: Sequence[Indices]
) -> tuple[Floats, Floats]:
    """Rates of each band and epoch, and variances, shape (bands, epochs, n); infinite: none."""
    stack = fit.stack
    exptime = stack.exptime_s[:, None]
    rate = forced.counts_e / exptime
    weight = (exptime / forced.counts_error_e) ** 2  # 0 where nothing was measured
    shape = len(stack.bands), len(epochs), rate.shape[1]
    mean, variance = np.zeros(shape), np.full(shape, np.inf)
    for band in range(shape[0]):
        for at, images in enumerate(epochs):
            rows = images[stack.band_of[images] == band]
            total = weight[rows].sum(axis=0)
            known = total > 0
            sums = np.where(weight[rows] > 0, weight[rows] * rate[rows], 0).sum(axis=0)
            mean[band, at, known] = sums[known] / total[known]
            variance[band, at, known] = 1 / total[known]
    return mean, variance


def _changing(fit: FieldFit, forced: ForcedFit, epochs: Sequence[Indices]) -> NDArray[np.bool_]:
    """Stars whose flux is not that of other epochs."""
    rate, variance = _of_epochs(fit, forced, epochs)
    expected = fit.stars.rate[:, None]
    weight = 1 / (variance + (_SHARE_OF_FLUX * expected) ** 2)
    total = weight.sum(axis=1, keepdims=True)
    mean = (weight * rate).sum(axis=1, keepdims=True) / np.where(total > 0, total, 1)
    chi2 = (weight * (rate - mean) ** 2).sum(axis=(0, 1))
    return np.asarray((chi2 > _CHANGES) & ~fit.stars.wide)


def _groups(fit: FieldFit, changing: NDArray[np.bool_]) -> list[Indices]:
    """Changing stars that are near to each other."""
    rows = np.flatnonzero(changing)
    if len(rows) < 2:
        return []
    places = np.column_stack([fit.stars.x, fit.stars.y])[rows]
    pairs = KDTree(places).query_pairs(_LINK_PIX / fit.scale(), output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(rows),) * 2)
    _, group = connected_components(links, directed=False)
    order = np.argsort(group, kind="stable")
    edges = [0, *(np.flatnonzero(np.diff(group[order])) + 1), len(order)]
    parts = [rows[order[first:last]] for first, last in pairwise(edges)]
    return [part for part in parts if len(part) > 1]


def _one_star(
    fit: FieldFit,
    forced: ForcedFit,
    members: Indices,
    epochs: Sequence[Indices],
    variance: NDArray[np.float32],
    date_mjd: float,
) -> _Motion | None:
    """The moving star that a group is, or None if it is none."""
    stars = fit.stars.select(members)
    pixels = pixels_about(
        fit, stars, variance, about_pix=_ABOUT_PIX, share_of_light=_SHARE_OF_LIGHT
    )
    start = _start(fit, forced, members, epochs, date_mjd)
    if start is None or len(pixels) < 2:
        return None
    log_pixels = np.log(sum(len(each.left) for each in pixels))
    bands = fit.stack.band_of[[each.image for each in pixels]]
    n_bands = len(np.unique(bands))
    at_rest = _criterion(
        [each.left / each.error for each in pixels], log_pixels, len(stars) * (2 + n_bands)
    )
    of_images = _criterion(
        [_left(forced, each) / each.error for each in pixels],
        log_pixels,
        len(stars) * (2 + len(pixels)),
    )
    motion = _fitted(fit, pixels, bands, start, date_mjd)
    criterion = motion.chi2 + (4 + n_bands) * log_pixels
    if (motion.rates <= 0).all() or criterion > min(at_rest, of_images) - _MARGIN:
        return None
    return motion


def _criterion(left: Sequence[Floats], log_pixels: float, n_parameters: int) -> float:
    return float(sum((each**2).sum() for each in left) + n_parameters * log_pixels)


def _left(forced: ForcedFit, pixels: GroupPixels) -> Floats:
    """What is left of the group's pixels when each image has fluxes of its own."""
    x, y = pixels.corner
    left: Floats = forced.residual_e[pixels.image, y + pixels.rows, x + pixels.columns].astype(
        float
    )
    return left


def _start(
    fit: FieldFit,
    forced: ForcedFit,
    members: Indices,
    epochs: Sequence[Indices],
    date_mjd: float,
) -> Floats | None:
    """Place at the date and way over all epochs, by the middles of the light of each epoch."""
    rate, variance = _of_epochs(fit, forced, epochs)
    light = np.where(np.isfinite(variance), np.maximum(rate, 0), 0)[..., members].sum(axis=0)
    seen = light.sum(axis=1) > 0
    if np.count_nonzero(seen) < 2:
        return None
    mjd = np.array([fit.stack.mjd[images].mean() for images in epochs])[seen]
    share = light[seen] / light[seen].sum(axis=1, keepdims=True)
    middles = share @ np.column_stack([fit.stars.x[members], fit.stars.y[members]])
    when = (mjd - date_mjd) / _span(fit.stack.mjd)
    design = np.column_stack([np.ones_like(when), when])
    (place, way), *_ = np.linalg.lstsq(design, middles, rcond=None)
    return np.concatenate([place, way])


def _fitted(
    fit: FieldFit,
    pixels: Sequence[GroupPixels],
    bands: Indices,
    start: Floats,
    date_mjd: float,
) -> _Motion:
    """The best uniform motion, with the best rate in each band."""
    when = (fit.stack.mjd[[each.image for each in pixels]] - date_mjd) / _span(fit.stack.mjd)
    wanted = [(each.light + each.left) / each.error for each in pixels]

    def described(values: Floats) -> tuple[Floats, Floats]:
        place, way = values[:2], values[2:]
        drawn = [
            _drawn(each, *(place + way * at)) / each.error
            for each, at in zip(pixels, when, strict=True)
        ]
        rates = np.zeros(len(fit.stack.bands))
        for band in np.unique(bands):
            rows = np.flatnonzero(bands == band)
            norm = sum(float(drawn[row] @ drawn[row]) for row in rows)
            share = sum(float(drawn[row] @ wanted[row]) for row in rows)
            rates[band] = max(share, 0.0) / max(norm, 1e-30)
        left = [
            data - rates[band] * light
            for data, band, light in zip(wanted, bands, drawn, strict=True)
        ]
        return np.concatenate(left), rates

    found = least_squares(
        lambda values: described(values)[0], start, method="lm", diff_step=1e-4,
        x_scale=np.ones(4), max_nfev=_EVALUATIONS,
    )  # fmt: skip
    _, rates = described(found.x)
    covariance = np.linalg.pinv(found.jac.T @ found.jac)
    return _Motion(found.x, rates, 2 * float(found.cost), covariance)


def _drawn(pixels: GroupPixels, x: float, y: float) -> Floats:
    """A star of one electron a second on the pixels of a group; 0 beyond its PSF."""
    stamp, (first_x, first_y), _ = pixels.star(x, y)
    rows, columns = pixels.rows - first_y, pixels.columns - first_x
    inside = (rows >= 0) & (columns >= 0) & (rows < len(stamp[0])) & (columns < len(stamp[0]))
    drawn = np.zeros(len(rows))
    drawn[inside] = stamp[0][rows[inside], columns[inside]]
    return drawn * pixels.exptime_s


def _put(stars: Stars, row: int, motion: _Motion, span_days: float) -> None:
    """A star has this motion."""
    stars.x[row], stars.y[row] = motion.values[:2]
    stars.motion[row] = motion.values[2:] / span_days
    stars.rate[:, row] = motion.rates
    covariance = motion.covariance
    stars.place_covariance[row] = covariance[0, 0], covariance[1, 1], covariance[0, 1]
