"""Which stars are pieces of one extended object.

A galaxy is fitted with stars side by side, each of which may pass for one. So stars that are near
to each other are tested together: does one smooth elliptical object, convolved with the PSF of each
image, describe their light as well as they do? Its profile is free: a point and Gaussians of one
ellipse, in each band with brightnesses of their own, none negative. Both descriptions are compared
on the pixels of all images by their chi-squared and number of parameters (Bayesian information
criterion, Schwarz 1978, Ann. Statist. 6, 461). A real group of bright stars differs from anything
smooth. For a faint group, both descriptions fit, and its members stay stars.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.optimize import least_squares, nnls
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.fitted_stars import Stars
from hst_assets.photometry.psf.group_pixels import GroupPixels, pixels_about

__all__ = ["pieces_of_extended"]

Floats = NDArray[np.float64]

#: Stars so near to each other are asked together, pixels of the finest image: the pieces of a
#: galaxy are a PSF's width or two apart.
_LINK_PIX = 3.5
#: Two stars tell too little of a shape; beyond so many pieces, or pixels, there is no one object.
_FEWEST, _MOST, _MOST_PIX = 3, 60, 40
#: Pixels within so many of a piece are compared.
_ABOUT_PIX = 4.0
#: Error of either description, a share of the light: no galaxy is an ellipse, no PSF is right.
_SHARE_OF_LIGHT = 0.05
#: Variances of the Gaussians by that of the pieces' places; the point is one of its own.
_WIDTHS = (0.35, 1.0, 2.5, 6.0)
#: The criterion must be better by this: odds of e^5.
_MARGIN = 10.0
#: Of an object whose light is mostly a point, that is a star, with what else is about it.
_MOST_POINT = 0.5
#: Groups that one ellipse by the pieces' places describes so badly are not fitted further:
#: chi-squared by that of the stars.
_HOPELESS = 3.0
_EVALUATIONS = 60


def pieces_of_extended(fit: FieldFit, *, about: int | None = None) -> NDArray[np.bool_]:
    """Which stars are pieces of extended objects.

    Parameters
    ----------
    fit : FieldFit
        Stars that are fitted, with what is left of the images.
    about : int, optional
        Only the group of this star is asked; by default all are.

    Returns
    -------
    ndarray of bool, shape (n,)
        In the order of the stars. Saturated stars, and those with them, are none; nor are stars
        that move, nor those with them, as no object at rest has their light.
    """
    pieces = np.zeros(len(fit.stars), dtype=bool)
    variance = fit.variance_e2()
    for members in _groups(fit):
        if about is not None and about not in members:
            continue
        stars = fit.stars.select(members)
        if stars.wide.any() or stars.motion.any():
            continue
        pixels = pixels_about(
            fit, stars, variance, about_pix=_ABOUT_PIX, share_of_light=_SHARE_OF_LIGHT
        )
        if pixels and _is_extended(fit, stars, pixels):
            pieces[members] = True
    return pieces


def _groups(fit: FieldFit) -> list[NDArray[np.int64]]:
    """Stars that are linked with each other."""
    places = np.column_stack([fit.stars.x, fit.stars.y])
    pairs = KDTree(places).query_pairs(_LINK_PIX / fit.scale(), output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(places),) * 2)
    _, group = connected_components(links, directed=False)
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    limit = _MOST_PIX / fit.scale()
    return [
        part
        for part in parts
        if _FEWEST <= len(part) <= _MOST and np.ptp(places[part], axis=0).max() <= limit
    ]


# --------------------------------------------------------------------------- comparison


def _is_extended(fit: FieldFit, stars: Stars, pixels: list[GroupPixels]) -> bool:
    """Whether one extended object tells the light better than the stars do."""
    bands = fit.stack.band_of[[each.image for each in pixels]]
    log_pixels = np.log(sum(len(each.left) for each in pixels))
    of_stars = sum(float(((each.left / each.error) ** 2).sum()) for each in pixels)
    n_of_stars = len(stars) * (2 + len(np.unique(bands)))
    limit = of_stars + n_of_stars * log_pixels - _MARGIN
    start = _by_places(stars)
    first, _ = _object(start, pixels, bands)
    # An object has a place, an ellipse, and a brightness a band at least.
    fewest = (5 + len(np.unique(bands))) * log_pixels
    if fewest > limit or (first**2).sum() > _HOPELESS * limit:
        return False
    found = least_squares(
        lambda values: _object(values, pixels, bands)[0], start, method="lm", diff_step=1e-3,
        ftol=1e-3, xtol=1e-3,
        x_scale=np.maximum(abs(start), 0.3), max_nfev=_EVALUATIONS,
    )  # fmt: skip
    _, brightness = _object(found.x, pixels, bands)
    n_of_object = 5 + np.count_nonzero(brightness)
    point = brightness[:, 0].sum() / max(brightness.sum(), 1e-9)
    better = 2 * found.cost + n_of_object * log_pixels < limit
    return bool(better and point < _MOST_POINT)


def _by_places(stars: Stars) -> Floats:
    """Place and ellipse of an object by the places of its pieces and their light.

    The ellipse is the lower triangle of a matrix; its product with its transpose is the covariance.
    """
    light = np.maximum(stars.rate.sum(axis=0), 0)
    light /= max(light.sum(), 1e-9)
    x, y = light @ stars.x, light @ stars.y
    about = np.stack([stars.x - x, stars.y - y])
    covariance = (light * about) @ about.T + 0.3 * np.eye(2)
    root = np.linalg.cholesky(covariance)
    return np.array([x, y, root[0, 0], root[1, 0], root[1, 1]])


def _object(
    values: Floats, pixels: list[GroupPixels], bands: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """What is left, by its error, with the best brightnesses, and these, shape (bands, m)."""
    x, y, a, b, c = values
    root = np.array([[a, 0.0], [b, c]])
    covariances = np.multiply.outer(_WIDTHS, root @ root.T)
    left, brightness = [], []
    for band in np.unique(bands):
        members = [each for each, of in zip(pixels, bands, strict=True) if of == band]
        design = np.concatenate([_drawn(m, x, y, covariances) / m.error for m in members], axis=1)
        wanted = np.concatenate([(m.light + m.left) / m.error for m in members])
        rates, _ = nnls(design.T, wanted, maxiter=100)
        left.append(wanted - rates @ design)
        brightness.append(rates)
    return np.concatenate(left), np.array(brightness)


def _drawn(pixels: GroupPixels, x: float, y: float, covariances: Floats) -> Floats:
    """Light of a point and of Gaussians at a place of the reference, shape (m, pixels).

    Each has one electron a second; covariances have shape (m - 1, 2, 2), pixels squared of the
    reference.
    """
    stamp, (first_x, first_y), slopes = pixels.star(x, y)
    side = len(stamp[0])
    # Larger by the PSF's radius, so that what is drawn does not come round the edges.
    size = next_fast_len(max(pixels.shape) + side // 2, real=True)
    psf = np.zeros((size, size))
    rows, columns = _overlap(first_y, side, size), _overlap(first_x, side, size)
    psf[rows[0], columns[0]] = stamp[0][rows[1], columns[1]]
    waves = rfft2(psf)
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)
    drawn = [psf[pixels.rows, pixels.columns]]
    for each in slopes @ covariances @ slopes.T:
        exponent = each[0, 0] * fx**2 + 2 * each[0, 1] * fx * fy + each[1, 1] * fy**2
        smooth = irfft2(waves * np.exp(-2 * np.pi**2 * exponent), s=psf.shape)
        drawn.append(smooth[pixels.rows, pixels.columns])
    return np.array(drawn) * pixels.exptime_s


def _overlap(first: int, n: int, size: int) -> tuple[slice, slice]:
    """The part of n pixels from `first` on that is in a row of `size`: in the row, of the n."""
    begin = min(max(first, 0), size)
    end = max(min(first + n, size), begin)
    return slice(begin, end), slice(begin - first, end - first)
