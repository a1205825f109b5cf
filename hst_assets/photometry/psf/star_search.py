"""The stars of a piece of the sky: found, and fitted on all of its images at once.

Stars are found in passes: those above a first threshold, then twice what is left above a second.
After each, all stars are fitted together, the sky is measured on what is left, and stars that came
to nothing are dropped, and so are those that one exposure shows and others of its epoch do not.
Stars with saturated middles come first, and are fitted to their wings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hst_assets.photometry.psf.background import fine_structure, without_local_level
from hst_assets.photometry.psf.consistency import core_rates, is_seen, seen_once
from hst_assets.photometry.psf.field_fit import (
    SPOILS_PIX,
    FieldFit,
    finest_scale,
    pixel_scales,
)
from hst_assets.photometry.psf.fitted_stars import FitParameters, Stars
from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.peaks import (
    Lattice,
    Matched,
    matched_filter,
    new_peaks,
    phases_of_pixel,
)
from hst_assets.photometry.psf.saturated_stars import (
    fills_saturated,
    saturated_seeds,
    with_trail_ends,
)
from hst_assets.photometry.psf.star_light import places_on_images

__all__ = ["fit_field", "lattice_over"]

Planes = NDArray[np.float32]

#: A star of a blend is doubtful if its error grows by the first factor with its neighbours free
#: and its signal-to-noise ratio is then below 5, or if it grows by the second: pairs of stars 1.2
#: pixels apart have 4, three stars in the place of two 7 to 30. Of those nearer to each other than
#: so many pixels of the finest image, the least certain goes, in so many rounds.
_BLENDED, _INSEPARABLE, _SURE_SNR, _BLEND_PIX, _BLEND_ROUNDS = 2.0, 6.0, 5.0, 3.0, 3
#: What of a cosmic ray's pixels stands out, by the sky's noise.
_STANDS_OUT = 3.0
#: Saturated stars are placed to a pixel or two, and move by a quarter of one in a sweep.
_SWEEPS_OF_SATURATED = 16
#: Relative error of a PSF's wings.
_WING_ERROR = 0.07


def fit_field(
    stack: ImageStack,
    box: tuple[float, float, float, float],
    parameters: FitParameters | None = None,
    *,
    bright_only: bool = False,
    sky_is_known: bool = False,
) -> FieldFit:
    """Find and fit the stars of a piece of the sky.

    Parameters
    ----------
    stack : ImageStack
        Its images.
    box : tuple of float
        First and last X, first and last Y on the reference where stars are looked for.
    parameters : FitParameters, optional
        How.
    bright_only : bool, optional
        One search, and no more.
    sky_is_known : bool, optional
        The sky is that of the images, and not measured on what is left.
    """
    parameters = parameters or FitParameters()
    fit = _begun(stack, parameters, sky_is_known=sky_is_known)
    _add_saturated(fit)
    fine = _points_in_a_pixel(stack)
    lattice = lattice_over(stack, box, fine=fine)
    n_passes = 1 if bright_only else parameters.n_passes
    for at in range(n_passes):
        threshold = parameters.first_snr if at == 0 else parameters.final_snr
        _find(fit, lattice, threshold, apart=fine)
        fit.render()
        last = at == n_passes - 1
        more = 4 if last and not bright_only else 0
        fit.sweep(parameters.n_sweeps + more, refine_at=(2, 5, 9))
        fit.prune(parameters.final_snr - 0.5 if last else 2.5)
        fit.render()
        _drop_seen_once(fit)
    if bright_only:
        return fit
    for _ in range(_BLEND_ROUNDS):
        if not _drop_doubtful(fit):
            break
        fit.sweep(parameters.n_sweeps)
    fit.sweep(parameters.n_sweeps)
    fit.prune(parameters.final_snr)
    fit.render()
    _drop_seen_once(fit)
    fit.sweep(4)
    fit.render()
    return fit


def lattice_over(
    stack: ImageStack, box: tuple[float, float, float, float], *, fine: int = 1
) -> Lattice:
    """Points one pixel of the finest image apart, or `fine` in a pixel."""
    step = 1.0 / (fine * finest_scale(stack))
    return Lattice(
        box[0],
        box[2],
        step,
        int(np.ceil((box[1] - box[0]) / step)) + 1,
        int(np.ceil((box[3] - box[2]) / step)) + 1,
    )


def _points_in_a_pixel(stack: ImageStack) -> int:
    """At how many places in a pixel of the finest image, along each axis, stars are looked for.

    2 if an image whose pixels are divided would have its half pixels between them; 1 otherwise.
    """
    phases = np.array([phases_of_pixel(stack, k) for k in range(len(stack))])
    return 2 if (phases * pixel_scales(stack)).max() > 1.5 * finest_scale(stack) else 1


def _begun(stack: ImageStack, parameters: FitParameters, *, sky_is_known: bool) -> FieldFit:
    sky = stack.sky_e.copy()
    zero = np.zeros_like(sky)
    stars = Stars.at(np.empty(0), np.empty(0), np.empty((len(stack.bands), 0)))
    fit = FieldFit(stack, stars, sky, zero, stack.data_e - sky, parameters, sky_is_known)
    fit.residual_e[~stack.good] = 0
    variance = fit.variance_e2()
    noise = np.array(
        [
            np.sqrt(np.median(variance[k, ::7, ::7])) if stack.good[k].any() else 1.0
            for k in range(len(stack))
        ]
    )
    fit.faintest_e = 0.15 * noise
    fit.refine_sky(fine=False)
    return fit


def _add_saturated(fit: FieldFit) -> None:
    """Begin with the stars whose middles are saturated."""
    stack = fit.stack
    x, y = saturated_seeds(stack)
    for k in range(len(stack)):
        stack.good[k] &= ~with_trail_ends(stack.saturated[k])
    fit.residual_e[~stack.good] = 0
    if not len(x):
        return
    fit.stars = Stars.at(x, y, np.zeros((len(stack.bands), len(x))), wide=True)
    fit.sweep(_SWEEPS_OF_SATURATED)
    fit.stars = fit.stars.select(_would_saturate(fit))
    fit.render()


def _would_saturate(fit: FieldFit) -> NDArray[np.bool_]:
    """Which stars are as bright as the saturated pixels where they lie."""
    stack, stars, optics = fit.stack, fit.stars, fit.stack.optics
    believed = np.zeros(len(stars), dtype=bool)
    counts = fit.counts()
    xs, ys = places_on_images(optics.lattice, optics.knots, stars.x, stars.y)
    for k, s in zip(*np.nonzero(np.isfinite(xs + ys)), strict=True):
        ny, nx = stack.shapes[k]
        i, j = round(xs[k, s]), round(ys[k, s])
        part = (k, slice(max(j - 2, 0), min(j + 3, ny)), slice(max(i - 2, 0), min(i + 3, nx)))
        if i < 0 or j < 0 or i >= nx or j >= ny or not stack.saturated[part].any():
            continue
        level = float(np.median(stack.data_e[part][stack.saturated[part]]))
        peak = counts[k, s] * optics.profiles[k][0]
        believed[s] |= fills_saturated(peak, level)
    return believed


def _find(fit: FieldFit, lattice: Lattice, threshold: float, *, apart: int) -> int:
    """Add the stars that are seen in what is left; their number.

    Each is the highest peak within `apart` points of the lattice.
    """
    weight = _weight_for_search(fit)
    seen = matched_filter(fit.stack, _without_structure(fit, weight), weight, lattice)
    light: Matched | None = None
    if len(fit.stars):
        model = np.where(fit.stack.good, fit.model_e, np.float32(0))
        light = matched_filter(fit.stack, model, weight, lattice)
    x, y, rate = new_peaks(
        seen,
        lattice,
        threshold=threshold,
        apart=apart,
        starlight=light,
        least_share=fit.parameters.least_share,
        known=(fit.stars.x, fit.stars.y),
        least_distance_pix=1.0 / fit.scale(),
    )
    optics = fit.stack.optics
    xs, ys = places_on_images(optics.lattice, optics.knots, x, y)
    wanted = is_seen(fit.stack.good, fit.stack.shapes, xs, ys)
    fit.stars = fit.stars.joined(Stars.at(x[wanted], y[wanted], rate[:, wanted]))
    return int(np.count_nonzero(wanted))


def _without_structure(fit: FieldFit, weight: Planes) -> Planes:
    """What is left, less what is wider than stars: it is not sky yet, but no stars either."""
    left = fit.residual_e.copy()
    for k, (ny, nx) in enumerate(fit.stack.shapes):
        part = (k, slice(0, ny), slice(0, nx))
        good = fit.stack.good[part]
        # Once stars were fitted, the sky has it.
        structure = None if len(fit.stars) else fine_structure(left[part], good)
        if structure is not None:
            left[part] -= np.where(good, structure, 0)
        left[part] = without_local_level(left[part], weight[part])
    return left


def _weight_for_search(fit: FieldFit) -> Planes:
    """One over the variance, that by the errors of saturated stars' wings included."""
    weight = fit.weight()
    if fit.stars.wide.any():
        counts = np.where(fit.stars.wide, fit.counts(), 0.0)
        errors = np.float32(_WING_ERROR) * fit.rendered(counts)
        weight /= 1 + weight * errors**2
    return weight


def _drop_doubtful(fit: FieldFit) -> int:
    """Drop stars that only share the light of a blend with others; their number.

    The first search finds a pair as one star between both, the next what is left on its sides:
    three stars for two. Of those whose brightness is not known once their neighbours' is not,
    the least certain goes, and the others are fitted again.
    """
    inflation = fit.inflation()
    snr = fit.total_snr(inflation)
    unsure = (inflation > _BLENDED) & (snr < _SURE_SNR)
    doubtful = np.flatnonzero(unsure | (inflation > _INSEPARABLE))
    if not len(doubtful):
        return 0
    places = np.column_stack([fit.stars.x, fit.stars.y])[doubtful]
    keep = np.ones(len(fit.stars), dtype=bool)
    least = np.ones(len(doubtful), dtype=bool)
    pairs = KDTree(places).query_pairs(_BLEND_PIX / fit.scale(), output_type="ndarray")
    for a, b in pairs:
        least[a if snr[doubtful[a]] > snr[doubtful[b]] else b] = False
    keep[doubtful[least]] = False
    fit.stars = fit.stars.select(keep)
    fit.render()
    return int(np.count_nonzero(least))


def _drop_seen_once(fit: FieldFit) -> int:
    """Drop what one exposure shows and others of its epoch do not, and mask it there."""
    stars, stack = fit.stars, fit.stack
    if len(stack) < 2 or not len(stars):
        return 0
    rate, variance = core_rates(stack, fit.residual_e, fit.weight(), stars.x, stars.y, fit.counts())
    false, struck = seen_once(rate, variance, stack.band_of, stack.mjd)
    if false.any():
        _mask(fit, struck)
        fit.stars = stars.select(~false)
        fit.render()
    return int(np.count_nonzero(false))


def _mask(fit: FieldFit, struck: NDArray[np.bool_]) -> None:
    """Pixels of what passed for stars are not good: those that stand out on that image."""
    optics, stack = fit.stack.optics, fit.stack
    xs, ys = places_on_images(optics.lattice, optics.knots, fit.stars.x, fit.stars.y)
    for k, s in zip(*np.nonzero(struck), strict=True):
        ny, nx = stack.shapes[k]
        i, j = round(xs[k, s]), round(ys[k, s])
        part = (
            k,
            slice(max(j - SPOILS_PIX, 0), max(min(j + SPOILS_PIX + 1, ny), 0)),
            slice(max(i - SPOILS_PIX, 0), max(min(i + SPOILS_PIX + 1, nx), 0)),
        )
        noise = np.sqrt(np.maximum(fit.sky_e[part], 0) + stack.read_noise_e[k] ** 2)
        stack.good[part] &= stack.data_e[part] - fit.sky_e[part] < _STANDS_OUT * noise
