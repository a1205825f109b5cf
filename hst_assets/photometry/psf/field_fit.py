"""The stars of a piece of the sky: found, and fitted on all of its images at once.

Stars are found in passes: those above a first threshold, then twice what is left above a second.
After each, all stars are fitted together, the sky is measured on what is left, and stars that came
to nothing are dropped, and so are those that one exposure shows and others of its epoch do not.
Stars with saturated middles come first, and are fitted to their wings. At the end each image is
fitted for itself, with the places fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import KDTree

from hst_assets.photometry.psf.background import fine_structure, local_level, residual_sky
from hst_assets.photometry.psf.consistency import core_rates, is_seen, seen_once
from hst_assets.photometry.psf.covariance import error_inflation
from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.peaks import Lattice, Matched, matched_filter, new_peaks
from hst_assets.photometry.psf.saturated_stars import halo_of, saturated_seeds, with_trail_ends
from hst_assets.photometry.psf.sweeps import add_stars, fit_sweep, forced_sweep, places_on_images

__all__ = ["FieldFit", "FitParameters", "ForcedFit", "Stars", "fit_field", "forced_fit"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

#: A star of a blend is doubtful if its error grows by the first factor with its neighbours free
#: and its signal-to-noise ratio is then below 5, or if it grows by the second: pairs of stars 1.2
#: pixels apart have 4, three stars in the place of two 7 to 30. Of those nearer to each other than
#: so many pixels of the finest image, the least certain goes, in so many rounds.
_BLENDED, _INSEPARABLE, _SURE_SNR, _BLEND_PIX, _BLEND_ROUNDS = 2.0, 6.0, 5.0, 3.0, 3
#: Pixels about a place that a saturated pixel, or a cosmic ray, spoils; what stands out there.
_SPOILS_PIX, _STANDS_OUT = 2, 3.0
#: An image that is not saturated decides of a star if it has this signal-to-noise ratio.
_DECIDES_SNR = 20.0
#: Saturated stars are placed to a pixel or two, and move by a quarter of one in a sweep.
_SWEEPS_OF_SATURATED = 16
#: A star has at least this share of the light of the saturated pixels in its middle.
_AS_BRIGHT = 0.5
#: Pixels with so many times what need not be taken off have starlight.
_STARLIGHT = 5.0
#: A star's light beyond the PSF is looked for if the PSF's last pixel has so many times what need
#: not be taken off.
_HALO = 3.0
#: Relative error of a PSF's wings; of a flux that is fitted to them (with a PSF from the data,
#: fluxes of stars saturated over 10 to 100 pixels were off by 0.2 to 0.7 % in simulations).
_FLUX_BY_WINGS = 0.01
_WING_ERROR = 0.07


@dataclass(frozen=True)
class FitParameters:
    """How stars are found and fitted.

    Attributes
    ----------
    first_snr, final_snr : float
        Least signal-to-noise ratio of stars in the first pass, and in the others and at the end.
    n_passes : int
        Searches, the first included.
    fit_radius_pix : int
        Pixels within so many of a star are fitted.
    least_share : float
        A star found beside others must have so much of their light at its place.
    least_distance_pix : float
        Stars nearer to each other than this (pixels of the detector) are one.
    n_sweeps : int
        Sweeps over the stars after each search.
    """

    first_snr: float = 5.0
    final_snr: float = 3.5
    n_passes: int = 3
    fit_radius_pix: int = 4
    least_share: float = 0.12
    least_distance_pix: float = 0.6
    n_sweeps: int = 8


@dataclass(eq=False)
class Stars:
    """Stars while they are fitted.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        On the reference, 0-based pixels.
    rate, rate_variance : ndarray, shape (bands, n)
        Electrons a second, by the PSF, and their variance.
    place_covariance : ndarray, shape (n, 3)
        Variance of x, of y and covariance, pixels squared.
    wide : ndarray of bool, shape (n,)
        Saturated somewhere: fitted to all pixels that the PSF reaches.
    """

    x: Floats
    y: Floats
    rate: Floats
    rate_variance: Floats
    place_covariance: Floats
    wide: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def at(cls, x: Floats, y: Floats, rate: Floats, *, wide: bool = False) -> Stars:
        """Stars that are not fitted yet."""
        infinite = np.full((len(x), 3), np.inf)
        return cls(
            np.array(x, dtype=float),
            np.array(y, dtype=float),
            np.array(rate, dtype=float),
            np.full(rate.shape, np.inf),
            infinite,
            np.full(len(x), wide),
        )

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Stars:
        """Some of them."""
        return Stars(
            self.x[rows],
            self.y[rows],
            np.ascontiguousarray(self.rate[:, rows]),
            np.ascontiguousarray(self.rate_variance[:, rows]),
            self.place_covariance[rows],
            self.wide[rows],
        )

    def joined(self, others: Stars) -> Stars:
        """These and others."""
        return Stars(
            np.concatenate([self.x, others.x]),
            np.concatenate([self.y, others.y]),
            np.concatenate([self.rate, others.rate], axis=1),
            np.concatenate([self.rate_variance, others.rate_variance], axis=1),
            np.concatenate([self.place_covariance, others.place_covariance]),
            np.concatenate([self.wide, others.wide]),
        )

    @property
    def snr(self) -> Floats:
        """Signal-to-noise ratio of all bands together, as `Matched.together` has it."""
        each = self.rate / np.sqrt(self.rate_variance)
        best: Floats = each.max(axis=0, initial=-np.inf)
        together: Floats = np.maximum(best, each.sum(axis=0) / np.sqrt(len(each)))
        return together


@dataclass(eq=False)
class FieldFit:
    """A piece of the sky while it is fitted.

    Attributes
    ----------
    stack : ImageStack
        The images.
    stars : Stars
        What was found.
    sky_e, model_e, residual_e : ndarray of float32, shape (k, ny, nx)
        Sky, light of the stars, and what is left.
    parameters : FitParameters
        How.
    """

    stack: ImageStack
    stars: Stars
    sky_e: Planes
    model_e: Planes
    residual_e: Planes
    parameters: FitParameters
    #: Whether the sky is not to be measured.
    sky_is_known: bool = False
    #: Light of a pixel that need not be taken off, electrons, by image.
    faintest_e: Floats = field(default_factory=lambda: np.empty(0))

    # ------------------------------------------------------------------------- steps

    def variance_e2(self) -> Planes:
        """Variance of each pixel."""
        return self.stack.variance_e2(self.sky_e, self.model_e)

    def weight(self) -> Planes:
        """One over the variance; 0 of pixels that are not fitted."""
        return self.stack.weight(self.sky_e, self.model_e)

    def counts(self) -> Floats:
        """Electrons of each star on each image, shape (k, n)."""
        counts: Floats = self.stars.rate[self.stack.band_of] * self.stack.exptime_s[:, None]
        return counts

    def render(self) -> None:
        """Make model and residual anew from the stars."""
        self.model_e = self._rendered(self.counts())
        self.residual_e = self.stack.data_e - self.sky_e - self.model_e
        self.residual_e[~self.stack.good] = 0

    def _rendered(self, counts: Floats) -> Planes:
        optics, stars = self.stack.optics, self.stars
        model = np.zeros_like(self.stack.data_e)
        add_stars(
            model, self.stack.shapes, optics.lattice, optics.knots, optics.splines, optics.cells,
            optics.cell_pix, optics.origin, optics.middle, optics.profiles, stars.x, stars.y,
            np.ascontiguousarray(counts), self.faintest_e, self.parameters.fit_radius_pix + 1,
        )  # fmt: skip
        return model

    def refine_sky(self, *, fine: bool = True) -> None:
        """Measure what of the sky is left, and take it off."""
        if self.sky_is_known:
            return
        self._take_halos()
        for k in range(len(self.stack)):
            ny, nx = self.stack.shapes[k]
            part = (k, slice(0, ny), slice(0, nx))
            self._take(part, residual_sky(self.residual_e[part], self.stack.good[part]))
            if fine:
                # Between the stars: what is left under them is errors of their fluxes.
                dark = self._model_now(part) < _STARLIGHT * self.faintest_e[k]
                more = fine_structure(self.residual_e[part], self.stack.good[part] & dark)
                if more is not None:
                    self._take(part, more)

    def _model_now(self, part: Any) -> Planes:
        """Light of the stars at good pixels of a part of the images, while they are fitted."""
        model: Planes = self.stack.data_e[part] - self.sky_e[part] - self.residual_e[part]
        return model

    def _take(self, part: Any, more: Planes) -> None:
        """Light of a part of the images is sky."""
        self.sky_e[part] += more
        self.residual_e[part] -= np.where(self.stack.good[part], more, 0)

    def with_halo(self) -> NDArray[np.bool_]:
        """Which stars are so bright that what shines beyond the PSF is taken for sky."""
        edge = self.stack.optics.profiles[:, -1:] * self.counts()
        return np.asarray((edge > _HALO * self.faintest_e[:, None]).any(axis=0))

    def _take_halos(self) -> None:
        """Take off what shines around bright stars beyond the PSF."""
        optics = self.stack.optics
        wide = np.flatnonzero(self.with_halo())
        if not len(wide):
            return
        xs, ys = places_on_images(
            optics.lattice, optics.knots, self.stars.x[wide], self.stars.y[wide]
        )
        counts = self.counts()[:, wide]
        for k in range(len(self.stack)):
            ny, nx = self.stack.shapes[k]
            whole = (k, slice(0, ny), slice(0, nx))
            seen = counts[k] * optics.profiles[k][-1] > _HALO * self.faintest_e[k]
            for at in np.flatnonzero(seen & np.isfinite(xs[k] + ys[k])):
                part, light = halo_of(
                    self.residual_e[whole], self.stack.good[whole], xs[k, at], ys[k, at],
                    first_pix=optics.radius_pix,
                )  # fmt: skip
                self._take((k, *part), light)

    def sweep(self, n: int, *, move: bool = True, refine_at: tuple[int, ...] = ()) -> None:
        """Fit all stars n times; stars that no longer change are passed over in between."""
        optics, stack, stars = self.stack.optics, self.stack, self.stars
        weight = self.weight()
        change = np.full(len(stars), np.inf)
        largest_step = 0.25 / self._scale()
        used = self._used()
        for at in range(n):
            due = np.argsort(-stars.rate.sum(axis=0), kind="stable")
            if at % 3 != 0 and at < n - 1:
                due = due[self._restless(change)[due]]
            for radius, members in self.by_radius(due):
                fit_sweep(
                    self.residual_e, weight, stack.shapes, stack.exptime_s, stack.band_of,
                    optics.lattice, optics.knots, optics.splines, optics.cells, optics.cell_pix,
                    optics.origin, optics.middle, optics.profiles, stars.x, stars.y, stars.rate,
                    stars.rate_variance, stars.place_covariance, change, members, used, radius,
                    self.faintest_e, largest_step, 0.9 if move and at > 0 else 0.0,
                )  # fmt: skip
            if at in refine_at:
                self.model_e = stack.data_e - self.sky_e - self.residual_e
                self.refine_sky(fine=at == max(each for each in refine_at if each < n))
                weight = self.weight()

    def by_radius(self, due: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
        """Radii to which stars are fitted, with those of `due` that are; the widest first."""
        wide = self.stars.wide[due]
        each = (
            (self.stack.optics.radius_pix, due[wide]),
            (self.parameters.fit_radius_pix, due[~wide]),
        )
        return [(radius, members) for radius, members in each if len(members)]

    def _used(self) -> NDArray[np.bool_]:
        """Which images decide of each star: not where it is saturated if another has its middle."""
        stars, stack = self.stars, self.stack
        used = np.ones((len(stack), len(stars)), dtype=bool)
        wide = np.flatnonzero(stars.wide)
        if not len(wide):
            return used
        inside, saturated = self._saturated_at(wide)
        bright = self.counts()[:, wide] > _DECIDES_SNR**2
        whole = inside & ~saturated & bright
        for band in range(len(stack.bands)):
            members = np.flatnonzero(stack.band_of == band)
            decided = whole[members].any(axis=0)
            used[np.ix_(members, wide)] = ~(saturated[members] & decided)
        return used

    def _saturated_at(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether some of the stars lie on each image, and whether they are saturated there."""
        stars, stack, optics = self.stars, self.stack, self.stack.optics
        xs, ys = places_on_images(optics.lattice, optics.knots, stars.x[rows], stars.y[rows])
        inside, saturated = np.zeros(xs.shape, dtype=bool), np.zeros(xs.shape, dtype=bool)
        for k, (ny, nx) in enumerate(stack.shapes):
            near = maximum_filter(stack.saturated[k, :ny, :nx], 2 * _SPOILS_PIX + 1)
            x, y = np.rint(xs[k]), np.rint(ys[k])
            inside[k] = (x >= 0) & (y >= 0) & (x < nx) & (y < ny)
            at = y[inside[k]].astype(int), x[inside[k]].astype(int)
            saturated[k, inside[k]] = near[at]
        return inside, saturated

    def error_of_wings(self, counts: Floats) -> Floats:
        """Error of fluxes that only wings tell, electrons, shape (k, n); 0 of others."""
        error = np.zeros(counts.shape)
        wide = np.flatnonzero(self.stars.wide)
        if len(wide):
            _, saturated = self._saturated_at(wide)
            error[:, wide] = np.where(saturated, _FLUX_BY_WINGS * np.abs(counts[:, wide]), 0)
        return error

    def _restless(self, change: Floats) -> NDArray[np.bool_]:
        """Stars that still change, and their neighbours."""
        moving = change > 0.02
        if moving.all() or not moving.any():
            return moving
        places = np.column_stack([self.stars.x, self.stars.y])
        reach = (2 * self.parameters.fit_radius_pix) / self._scale()
        distance, _ = KDTree(places[moving]).query(places, distance_upper_bound=reach)
        near: NDArray[np.bool_] = np.isfinite(distance)
        return near

    def _scale(self) -> float:
        """Pixels of the finest detector in one of the reference."""
        return finest_scale(self.stack)

    def prune(self, least_snr: float) -> None:
        """Drop stars that came to nothing, lie off all images, or are one with a brighter one."""
        stars = self.stars
        keep = (stars.snr > least_snr) & np.isfinite(stars.x) & np.isfinite(stars.y)
        light = np.where(keep, np.nanmax(stars.rate, axis=0, initial=0), -np.inf)
        apart = self.parameters.least_distance_pix / self._scale()
        places = np.column_stack([stars.x, stars.y])
        places = np.where(np.isfinite(places), places, -1e9)
        for a, b in KDTree(places).query_pairs(apart, output_type="ndarray"):
            if keep[a] and keep[b]:
                keep[b if light[a] >= light[b] else a] = False
        self.stars = stars.select(keep)

    def inflation(self) -> Floats:
        """Marginal over conditional error of each star's brightness."""
        stars, weight = self.stars, self.weight()
        inflation = np.ones(len(stars))
        for radius, members in self.by_radius(np.arange(len(stars))):
            inflation[members] = error_inflation(
                self.stack, weight, stars.x[members], stars.y[members],
                self.counts()[:, members], fit_radius_pix=radius, scale=self._scale(),
            )  # fmt: skip
        return inflation

    def drop_doubtful(self) -> int:
        """Drop stars that only share the light of a blend with others; their number.

        The first search finds a pair as one star between both, the next what is left on its sides:
        three stars for two. Of those whose brightness is not known once their neighbours' is not,
        the least certain goes, and the others are fitted again.
        """
        inflation = self.inflation()
        snr = _total_snr(self, inflation)
        unsure = (inflation > _BLENDED) & (snr < _SURE_SNR)
        doubtful = np.flatnonzero(unsure | (inflation > _INSEPARABLE))
        if not len(doubtful):
            return 0
        places = np.column_stack([self.stars.x, self.stars.y])[doubtful]
        keep = np.ones(len(self.stars), dtype=bool)
        least = np.ones(len(doubtful), dtype=bool)
        pairs = KDTree(places).query_pairs(_BLEND_PIX / self._scale(), output_type="ndarray")
        for a, b in pairs:
            least[a if snr[doubtful[a]] > snr[doubtful[b]] else b] = False
        keep[doubtful[least]] = False
        self.stars = self.stars.select(keep)
        self.render()
        return int(np.count_nonzero(least))

    def drop_seen_once(self) -> int:
        """Drop what one exposure shows and others of its epoch do not, and mask it there."""
        stars, stack = self.stars, self.stack
        if len(stack) < 2 or not len(stars):
            return 0
        rate, variance = core_rates(
            stack, self.residual_e, self.weight(), stars.x, stars.y, self.counts()
        )
        false, struck = seen_once(rate, variance, stack.band_of, stack.mjd)
        if false.any():
            self._mask(struck)
            self.stars = stars.select(~false)
            self.render()
        return int(np.count_nonzero(false))

    def _mask(self, struck: NDArray[np.bool_]) -> None:
        """Pixels of what passed for stars are not good: those that stand out on that image."""
        optics, stack = self.stack.optics, self.stack
        xs, ys = places_on_images(optics.lattice, optics.knots, self.stars.x, self.stars.y)
        for k, s in zip(*np.nonzero(struck), strict=True):
            ny, nx = stack.shapes[k]
            i, j = round(xs[k, s]), round(ys[k, s])
            part = (
                k,
                slice(max(j - _SPOILS_PIX, 0), max(min(j + _SPOILS_PIX + 1, ny), 0)),
                slice(max(i - _SPOILS_PIX, 0), max(min(i + _SPOILS_PIX + 1, nx), 0)),
            )
            noise = np.sqrt(np.maximum(self.sky_e[part], 0) + stack.read_noise_e[k] ** 2)
            stack.good[part] &= stack.data_e[part] - self.sky_e[part] < _STANDS_OUT * noise

    def add_saturated(self) -> None:
        """Begin with the stars whose middles are saturated."""
        stack = self.stack
        x, y = saturated_seeds(stack)
        for k in range(len(stack)):
            stack.good[k] &= ~with_trail_ends(stack.saturated[k])
        self.residual_e[~stack.good] = 0
        if not len(x):
            return
        self.stars = Stars.at(x, y, np.zeros((len(stack.bands), len(x))), wide=True)
        self.sweep(_SWEEPS_OF_SATURATED)
        self.stars = self.stars.select(self._would_saturate())
        self.render()

    def _would_saturate(self) -> NDArray[np.bool_]:
        """Which stars are as bright as the saturated pixels where they lie: no trail is."""
        stack, stars, optics = self.stack, self.stars, self.stack.optics
        believed = np.zeros(len(stars), dtype=bool)
        counts = self.counts()
        xs, ys = places_on_images(optics.lattice, optics.knots, stars.x, stars.y)
        for k, s in zip(*np.nonzero(np.isfinite(xs + ys)), strict=True):
            ny, nx = stack.shapes[k]
            i, j = round(xs[k, s]), round(ys[k, s])
            part = (k, slice(max(j - 2, 0), min(j + 3, ny)), slice(max(i - 2, 0), min(i + 3, nx)))
            if i < 0 or j < 0 or i >= nx or j >= ny or not stack.saturated[part].any():
                continue
            level = np.median(stack.data_e[part][stack.saturated[part]])
            peak = counts[k, s] * optics.profiles[k][0]
            believed[s] |= peak > max(_AS_BRIGHT * level, 0.0)
        return believed

    def find(self, lattice: Lattice, threshold: float) -> int:
        """Add the stars that are seen in what is left; their number."""
        weight = self._weight_for_search()
        seen = matched_filter(self.stack, self._without_structure(weight), weight, lattice)
        light: Matched | None = None
        if len(self.stars):
            model = np.where(self.stack.good, self.model_e, np.float32(0))
            light = matched_filter(self.stack, model, weight, lattice)
        x, y, rate = new_peaks(
            seen,
            lattice,
            threshold=threshold,
            starlight=light,
            least_share=self.parameters.least_share,
            known=(self.stars.x, self.stars.y),
            least_distance_pix=1.0 / self._scale(),
        )
        optics = self.stack.optics
        xs, ys = places_on_images(optics.lattice, optics.knots, x, y)
        wanted = is_seen(self.stack.good, self.stack.shapes, xs, ys)
        self.stars = self.stars.joined(Stars.at(x[wanted], y[wanted], rate[:, wanted]))
        return int(np.count_nonzero(wanted))

    def _without_structure(self, weight: Planes) -> Planes:
        """What is left, less what is wider than stars: it is not sky yet, but no stars either."""
        left = self.residual_e.copy()
        for k, (ny, nx) in enumerate(self.stack.shapes):
            part = (k, slice(0, ny), slice(0, nx))
            good = self.stack.good[part]
            # Once stars were fitted, the sky has it.
            structure = None if len(self.stars) else fine_structure(left[part], good)
            if structure is not None:
                left[part] -= np.where(good, structure, 0)
            for _ in range(2):
                left[part] -= local_level(left[part], weight[part])
        return left

    def _weight_for_search(self) -> Planes:
        """One over the variance, that by the errors of saturated stars' wings included."""
        weight = self.weight()
        if self.stars.wide.any():
            counts = np.where(self.stars.wide, self.counts(), 0.0)
            errors = np.float32(_WING_ERROR) * self._rendered(counts)
            weight /= 1 + weight * errors**2
        return weight


def finest_scale(stack: ImageStack) -> float:
    """Pixels of the finest image in one pixel of the reference, from the maps' middle."""
    knots = stack.optics.knots
    j, i = knots.shape[1] // 2 - 1, knots.shape[2] // 2 - 1
    along = knots[:, j, i + 1] - knots[:, j, i]
    up = knots[:, j + 1, i] - knots[:, j, i]
    area = np.abs(along[:, 0] * up[:, 1] - along[:, 1] * up[:, 0]) / stack.optics.lattice[2] ** 2
    return float(np.sqrt(area.max()))


def lattice_over(stack: ImageStack, box: tuple[float, float, float, float]) -> Lattice:
    """Points one pixel of the finest image apart."""
    step = 1.0 / finest_scale(stack)
    return Lattice(
        box[0],
        box[2],
        step,
        int(np.ceil((box[1] - box[0]) / step)) + 1,
        int(np.ceil((box[3] - box[2]) / step)) + 1,
    )


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
    fit.add_saturated()
    lattice = lattice_over(stack, box)
    n_passes = 1 if bright_only else parameters.n_passes
    for at in range(n_passes):
        fit.find(lattice, parameters.first_snr if at == 0 else parameters.final_snr)
        fit.render()
        last = at == n_passes - 1
        more = 4 if last and not bright_only else 0
        fit.sweep(parameters.n_sweeps + more, refine_at=(2, 5, 9))
        fit.prune(parameters.final_snr - 0.5 if last else 2.5)
        fit.render()
        fit.drop_seen_once()
    if bright_only:
        return fit
    for _ in range(_BLEND_ROUNDS):
        if not fit.drop_doubtful():
            break
        fit.sweep(parameters.n_sweeps)
    fit.sweep(parameters.n_sweeps)
    fit.prune(parameters.final_snr)
    fit.render()
    fit.drop_seen_once()
    fit.sweep(4)
    fit.render()
    return fit


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


def _debiased(fit: FieldFit, inflation: Floats) -> Floats:
    """Share of each flux that is not the gain of having looked for the best place.

    The place with the largest flux is taken among places that differ by noise, which adds
    1 / (S/N)^2 of the flux, on all images alike, where two coordinates are fitted (by expanding the
    matched filter about the true place: half of it for each; Portillo et al. 2020, AJ 159, 165).
    """
    snr2 = np.maximum(_total_snr(fit, inflation), 2.0) ** 2
    share: Floats = 1.0 - 1.0 / snr2
    return share


def _total_snr(fit: FieldFit, inflation: Floats) -> Floats:
    """Signal-to-noise ratio of all bands in quadrature."""
    each = np.maximum(fit.stars.rate, 0) / np.sqrt(fit.stars.rate_variance)
    total: Floats = np.sqrt((each**2).sum(axis=0)) / inflation
    return total


@dataclass(frozen=True, eq=False)
class ForcedFit:
    """Fluxes on single images, with the places fixed.

    Attributes
    ----------
    counts_e, counts_error_e : ndarray, shape (k, n)
        Electrons, may be negative; the error is infinite where no pixel was fitted.
    residual_e : ndarray of float32, shape (k, ny, nx)
        What is left with these fluxes.
    xs, ys : ndarray, shape (k, n)
        Places on the images.
    """

    counts_e: Floats
    counts_error_e: Floats
    residual_e: Planes
    xs: Floats
    ys: Floats


def forced_fit(fit: FieldFit, *, n_sweeps: int = 12) -> ForcedFit:
    """Fit each image for itself, all stars at the places of `fit`, neighbours together.

    Variances are those of the common fit's model, so that a faint star's error does not follow its
    own noise.
    """
    stack, stars, optics = fit.stack, fit.stars, fit.stack.optics
    weight = fit.weight()
    xs, ys = places_on_images(optics.lattice, optics.knots, stars.x, stars.y)
    counts = np.ascontiguousarray(fit.counts())
    variance = np.full_like(counts, np.inf)
    residual = fit.residual_e.copy()
    order = np.argsort(-stars.rate.sum(axis=0), kind="stable")
    for k in range(len(stack)):
        for _ in range(n_sweeps):
            largest = max(
                [
                    forced_sweep(
                        residual[k], weight[k], k, stack.shapes, optics.splines, optics.cells,
                        optics.cell_pix, optics.origin, optics.middle, optics.profiles, xs[k],
                        ys[k], counts[k], variance[k], members, radius, fit.faintest_e[k],
                    )
                    for radius, members in fit.by_radius(order)
                ],
                default=0.0,
            )  # fmt: skip
            if largest < 0.01:
                break
    inflation = fit.inflation()
    share = _debiased(fit, inflation)
    error = np.hypot(np.sqrt(variance) * inflation, fit.error_of_wings(counts))
    return ForcedFit(counts * share, error, residual, xs, ys)
