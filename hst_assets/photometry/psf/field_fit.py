"""The stars of a piece of the sky while they are fitted on all of its images at once.

Brightnesses and places of all stars together, in sweeps; the sky is measured on what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import KDTree

from hst_assets.photometry.psf.background import fine_structure, residual_sky
from hst_assets.photometry.psf.covariance import error_inflation
from hst_assets.photometry.psf.fitted_stars import FitParameters, Stars
from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.saturated_stars import halo_of
from hst_assets.photometry.psf.star_light import add_stars, places_on_images
from hst_assets.photometry.psf.sweeps import fit_sweep

__all__ = ["SPOILS_PIX", "FieldFit", "finest_scale", "pixel_scales"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

#: Pixels about a place that a saturated pixel, or a cosmic ray, spoils.
SPOILS_PIX = 2
#: An image that is not saturated decides of a star if it has this signal-to-noise ratio.
_DECIDES_SNR = 20.0
#: Pixels with so many times what need not be taken off have starlight.
_STARLIGHT = 5.0
#: A star's light beyond the PSF is looked for if the PSF's last pixel has so many times what need
#: not be taken off.
_HALO = 3.0
#: Relative error of a flux that is fitted to a PSF's wings (with a PSF from the data, fluxes of
#: stars saturated over 10 to 100 pixels were off by 0.2 to 0.7 % in simulations).
_FLUX_BY_WINGS = 0.01


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
    date_mjd : float
        When stars that move are at their places.
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
    date_mjd: float = 0.0

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
        """Compute model and residual from the stars again."""
        self.model_e = self.rendered(self.counts())
        self.residual_e = self.stack.data_e - self.sky_e - self.model_e
        self.residual_e[~self.stack.good] = 0

    def rendered(self, counts: Floats) -> Planes:
        """Light of the stars if they have these electrons, shape (k, n), on each image."""
        model = np.zeros_like(self.stack.data_e)
        moving = np.flatnonzero(self.stars.motion.any(axis=1))
        at_rest = counts.copy()
        at_rest[:, moving] = 0
        self._add(model, self.stars.x, self.stars.y, at_rest)
        for k in range(len(self.stack)) if len(moving) else ():
            there = np.zeros((len(counts), len(moving)))
            there[k] = counts[k, moving]
            self._add(model, *self._when(k, moving), there)
        return model

    def _add(self, model: Planes, x: Floats, y: Floats, counts: Floats) -> None:
        optics = self.stack.optics
        add_stars(
            model, self.stack.shapes, optics.lattice, optics.knots, optics.splines, optics.cells,
            optics.cell_pix, optics.origin, optics.middle, optics.profiles, x, y,
            np.ascontiguousarray(counts), self.faintest_e, self.parameters.fit_radius_pix + 1,
        )  # fmt: skip

    def _when(self, k: int, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Places of some stars on the reference when an image was taken."""
        way = self.stars.motion[rows] * (self.stack.mjd[k] - self.date_mjd)
        return self.stars.x[rows] + way[:, 0], self.stars.y[rows] + way[:, 1]

    def places(self) -> tuple[Floats, Floats]:
        """X and Y of the stars on each image when it was taken, shape (k, n)."""
        optics, stars = self.stack.optics, self.stars
        xs, ys = places_on_images(optics.lattice, optics.knots, stars.x, stars.y)
        moving = np.flatnonzero(stars.motion.any(axis=1))
        for k in range(len(self.stack)) if len(moving) else ():
            there = places_on_images(
                optics.lattice, optics.knots[k : k + 1], *self._when(k, moving)
            )
            xs[k, moving], ys[k, moving] = there[0][0], there[1][0]
        return xs, ys

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
        """Fit all stars n times; stars that no longer change are skipped in between."""
        optics, stack, stars = self.stack.optics, self.stack, self.stars
        weight = self.weight()
        change = np.full(len(stars), np.inf)
        largest_step = 0.25 / self.scale()
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
            near = maximum_filter(stack.saturated[k, :ny, :nx], 2 * SPOILS_PIX + 1)
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
        reach = (2 * self.parameters.fit_radius_pix) / self.scale()
        distance, _ = KDTree(places[moving]).query(places, distance_upper_bound=reach)
        near: NDArray[np.bool_] = np.isfinite(distance)
        return near

    def scale(self) -> float:
        """Pixels of the finest detector in one of the reference."""
        return finest_scale(self.stack)

    def prune(self, least_snr: float) -> None:
        """Drop stars that came to nothing, lie off all images, or are one with a brighter one."""
        stars = self.stars
        keep = (stars.snr > least_snr) & np.isfinite(stars.x) & np.isfinite(stars.y)
        light = np.where(keep, np.nanmax(stars.rate, axis=0, initial=0), -np.inf)
        apart = self.parameters.least_distance_pix / self.scale()
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
                self.counts()[:, members], fit_radius_pix=radius, scale=self.scale(),
            )  # fmt: skip
        return inflation

    def total_snr(self, inflation: Floats) -> Floats:
        """Signal-to-noise ratio of all bands in quadrature."""
        each = np.maximum(self.stars.rate, 0) / np.sqrt(self.stars.rate_variance)
        total: Floats = np.sqrt((each**2).sum(axis=0)) / inflation
        return total


def finest_scale(stack: ImageStack) -> float:
    """Pixels of the finest image in one pixel of the reference, from the maps' middle."""
    return float(pixel_scales(stack).max())


def pixel_scales(stack: ImageStack) -> Floats:
    """Pixels of each image along one pixel of the reference, from the maps' middle."""
    knots = stack.optics.knots
    j, i = knots.shape[1] // 2 - 1, knots.shape[2] // 2 - 1
    along = knots[:, j, i + 1] - knots[:, j, i]
    up = knots[:, j + 1, i] - knots[:, j, i]
    area = np.abs(along[:, 0] * up[:, 1] - along[:, 1] * up[:, 0])
    scales: Floats = np.sqrt(area) / stack.optics.lattice[2]
    return scales
