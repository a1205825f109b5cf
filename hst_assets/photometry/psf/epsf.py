"""The effective PSF of a band on a chip, from stars whose sky and neighbours are subtracted.

As Anderson & King (2000, PASP 112, 1360) the PSF is what the detector's pixels see, and it is made
of all stars and exposures at once; unlike theirs, it is a penalised least-squares fit of what is to
be added to a prior (`hst_assets.photometry.psf.epsf_correction`), and pixels and stars that do not
agree are left out. In turn with it each star's electrons and place are fitted.

What stars cannot tell is the prior's:

- within `norm_radius_pix` each cell holds the prior's share of a star's light: fluxes by the new
  PSF are tied to all light as by the prior, up to the prior's error in that share, which the
  aperture correction measures;
- the best fit of the prior to the new PSF is centred: the correction has no component along the
  prior's slopes. A symmetric prior's convention is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.epsf_correction import Correction, Offsets
from hst_assets.photometry.psf.epsf_loops import star_models
from hst_assets.photometry.psf.epsf_surface import ChipTerms, CorrectedPsf, on_lattice
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf, widened
from hst_assets.photometry.psf.star_stamps import StarStamps

__all__ = ["MIN_STARS", "EpsfFit", "fit_epsf"]

Floats = NDArray[np.float64]
Reals = NDArray[np.float64] | NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Fewer stamps are not corrected from: among them a bad one is not told from a good one.
MIN_STARS = 5
#: Within this radius stars are fitted and judged, pixels.
_CORE_PIX = 4.0
#: A star is used if so much of its core's inner pixels is good.
_MIN_GOOD = 0.8
_INNER_PIX = 1.5
#: Errors of the model, shares of a star's light in a pixel: in weights, and when pixels are left
#: out. A prior may be far off at first.
_WEIGHT_FLOORS = (0.10, 0.03, 0.01, 0.01, 0.01, 0.01)
_CLIP_FLOORS = (0.50, 0.10, 0.05, 0.03, 0.03, 0.03)
_CLIP_SIGMA = 5.0
#: From the second turn on the PSF goes this much farther than the fit says: it and the places of
#: stars wait for each other. Of an undersampled PSF (FWHM 1.2 pixel) the core's error is 0.6e-3 of
#: the peak after 6 turns so, 1.1e-3 without, and 0.6e-3 after 12 turns either way.
_OVER_RELAXATION = 1.5
#: Stars whose chi is so many robust standard deviations above the median are left out, if it is
#: also so many times the median.
_STAR_CLIP_SIGMA = 4.0
_STAR_CLIP_RATIO = 1.5
#: A star's place is believed to this, pixels.
_PLACE_SIGMA_PIX = 0.1
_MAX_STEP_PIX = 0.2
#: Expected size of the correction in units of the prior's light nearby, and of its variation.
_SHARE = 0.2
_VARIATION_SHARE = 0.1
#: So far from the star the PSF's variation is fitted, pixels.
_VARIATION_PIX = 5
#: For each degree of variation: stars wanted in all, regions along a side, stars in each of them.
_WANTED = {1: (12, 2, 1), 2: (120, 3, 6)}
_FOLDS = 4
#: In which turn the variation begins: the PSF is then as it was before but for its fine points.
_VARIATION_TURN = 3
#: By no more than this share is a faint star's flux changed by its width: 10 % of the FWHM are 8 to
#: 10 % of the flux.
_LARGEST_CHANGE = 0.15
#: Widths of stars beyond so many standard deviations are left out; rounds of it.
_SCATTER_CLIP, _SCATTER_ROUNDS = 4.0, 30
#: Held-out stars must agree better by so many standard errors, by degree. Where the FWHM grows by
#: 10 % over the chip, 25 stars in four exposures agree better by 1.5 to 4.2, and the linear
#: variation takes the error of the peak from 5 to 0.6 %; where there is none, by less than -1.7.
_GAIN_SIGMA = {1: 2.0, 2: 3.0}


@dataclass(frozen=True, eq=False)
class EpsfFit:
    """An effective PSF and how it was made.

    Attributes
    ----------
    psf : SplinePsf
        The PSF; its cells are at most 256 pixels if it varies.
    n_used, n_rejected : int
        Stamps it is made of, and those left out.
    central_residual : float
        Median share of a star's light in its central pixel that the PSF leaves over; NaN without
        stars.
    n_nodes : int
        Terms of the polynomial by which the correction varies over the chip: 0 none was made, 1
        constant, 3 linear, 6 quadratic.
    remark : str
        What is to be said of it.
    """

    psf: SplinePsf
    n_used: int
    n_rejected: int
    central_residual: float
    n_nodes: int
    remark: str


def fit_epsf(
    stamps: StarStamps,
    prior: SplinePsf,
    *,
    shape: tuple[int, int],
    norm_radius_pix: float = 8.0,
    max_degree: int = 2,
) -> EpsfFit:
    """Make the effective PSF of a chip.

    It varies over the chip as the prior does, and in addition linearly, then quadratically, if
    there are stars enough (12 with one in each quarter; 120 with 6 in each ninth of the chip) and
    held-out stars agree better with it, by 2 and 3 standard errors.

    Parameters
    ----------
    stamps : StarStamps
        At best 50 to 300 bright isolated stars.
    prior : SplinePsf
        What is known before.
    shape : tuple of int
        (ny, nx) of the chip.
    norm_radius_pix : float, optional
        Within it each cell of the PSF holds the prior's share of light.
    max_degree : int, optional
        Of the variation over the chip, 0 to 2.
    """
    chosen = stamps.of(_usable(stamps))
    if len(chosen) < MIN_STARS:
        count = f"only {len(chosen)}" if len(chosen) else "no"
        remark = f"{count} PSF star{'s' if len(chosen) != 1 else ''}: prior PSF"
        return EpsfFit(prior, 0, len(stamps), np.nan, 0, remark)
    fit = _Fit(chosen, prior, shape, min(norm_radius_pix, prior.radius_pix))
    for turn, floors in enumerate(zip(_WEIGHT_FLOORS, _CLIP_FLOORS, strict=True)):
        fit.judge_stars(*floors, steps=1 if turn else 3)
        if np.count_nonzero(fit.star_weight) < MIN_STARS:
            remark = f"PSF stars disagree, {len(chosen)} were tried: prior PSF"
            return EpsfFit(prior, 0, len(stamps), np.nan, 0, remark)
        fit.correct(relaxation=_OVER_RELAXATION if turn else 1.0)
        if turn == _VARIATION_TURN:
            for degree in range(1, max_degree + 1):
                if not fit.vary(degree):
                    break
    fit.judge_stars(_WEIGHT_FLOORS[-1], _CLIP_FLOORS[-1])
    n_used = int(np.count_nonzero(fit.star_weight))
    n_terms = sum(correction.n_terms for correction, _ in fit.surface.parts)
    how = {1: "constant", 3: "linear", 6: "quadratic"}[n_terms]
    remark = f"PSF of {n_used} stamps, {how} over the chip"
    residual = fit.central_residual()
    psf = replace(fit.psf, width_error_pix2=fit.width_error_pix2())
    return EpsfFit(psf, n_used, len(stamps) - n_used, residual, n_terms, remark)


def _usable(stamps: StarStamps) -> Mask:
    """Stars with light and with good pixels in the core."""
    distance = _distances(stamps)
    known = stamps.good & np.isfinite(stamps.values_e) & (stamps.variance_e2 > 0)
    inner = distance <= _INNER_PIX
    n_inner = inner.sum(axis=(1, 2))
    n_good = (inner & known).sum(axis=(1, 2))
    usable: Mask = (stamps.flux_e > 0) & (n_inner > 0) & (n_good >= _MIN_GOOD * n_inner)
    return usable


def _distances(stamps: StarStamps) -> Floats:
    """Of each pixel from the star."""
    offset = np.arange(stamps.values_e.shape[-1])
    dx = (stamps.x_first - stamps.x)[:, None] + offset
    dy = (stamps.y_first - stamps.y)[:, None] + offset
    return np.hypot(dx[:, None, :], dy[:, :, None])


class _Fit:
    """The state of a fit: stars, their weights, the PSF."""

    def __init__(
        self, stamps: StarStamps, prior: SplinePsf, shape: tuple[int, int], norm_radius_pix: float
    ) -> None:
        usable = stamps.good & np.isfinite(stamps.values_e) & (stamps.variance_e2 > 0)
        values_e = np.where(usable, stamps.values_e, 0.0).astype(float)
        self.stars = replace(stamps, good=usable, values_e=values_e)
        self.inverse_variance: Floats = np.where(usable, 1.0, 0.0) / np.where(
            usable, stamps.variance_e2.astype(float), 1.0
        )
        self.place = stamps.x, stamps.y
        self.shape = shape
        self.terms: list[Floats] = []
        self._start(prior, norm_radius_pix)

    def _start(self, prior: SplinePsf, norm_radius_pix: float) -> None:
        self.surface = CorrectedPsf(prior, norm_radius_pix)
        self.cells = self.surface.cells_of(*self.place)
        correction = Correction(prior, radius_pix=prior.radius_pix, n_terms=1, share=_SHARE)
        ny, nx = prior.coefficients.shape[:2]
        self.surface.parts.append((correction, np.ones((ny, nx, 1))))
        self.terms.append(np.ones((len(self.stars), 1)))
        self._update()

    def _update(self) -> None:
        self.psf, scale = self.surface.made()
        self.scale = scale[self.cells[:, 0], self.cells[:, 1]]

    @property
    def offsets(self) -> Offsets:
        return Offsets(self.stars.x_first - self.stars.x, self.stars.y_first - self.stars.y)

    def models(self) -> Floats:
        """The PSF and its derivatives by the star's place, at all pixels (3, m, side, side)."""
        models = np.empty((3, *self.stars.values_e.shape))
        at = self.offsets
        coefficients, reach = self.psf.coefficients, self.psf.radius_pix + 0.5
        star_models(coefficients, self.cells, at.dx, at.dy, OVERSAMPLING, reach, models)
        return models

    def judge_stars(self, weight_floor: float, clip_floor: float, *, steps: int = 1) -> None:
        """Fit each star's electrons and place; choose pixels and stars."""
        core = _distances(self.stars) <= _CORE_PIX
        for _ in range(steps):
            self._fit_stars(core, weight_floor, clip_floor)
        weight, residual = self._weighed(self.models()[0], weight_floor, clip_floor)
        used = core & (weight > 0)
        n_used = used.sum(axis=(1, 2))
        squares = (weight * residual**2 * used).sum(axis=(1, 2))
        chi = np.sqrt(squares / np.maximum(n_used, 1))
        whole = n_used >= _MIN_GOOD * (core & self.stars.good).sum(axis=(1, 2))
        self.weight = weight
        self.star_weight = _star_weights(chi, whole & (self.stars.flux_e > 0) & (n_used > 0))

    def _weighed(
        self, model: Floats, weight_floor: float, clip_floor: float
    ) -> tuple[Floats, Floats]:
        """Weights of pixels, those left out 0, and residuals."""
        light = self.stars.flux_e[:, None, None] * model
        residual = self.stars.values_e - light
        square = np.maximum(light, 0.0) ** 2 * self.inverse_variance
        weight = self.inverse_variance / (1.0 + weight_floor**2 * square)
        chi_square = residual**2 * self.inverse_variance / (1.0 + clip_floor**2 * square)
        return np.where(chi_square <= _CLIP_SIGMA**2, weight, 0.0), residual

    def _fit_stars(self, core: Mask, weight_floor: float, clip_floor: float) -> None:
        model, slope_x, slope_y = self.models()
        weight, residual = self._weighed(model, weight_floor, clip_floor)
        weight = weight * core
        flux = self.stars.flux_e[:, None, None]
        columns = np.stack([model, flux * slope_x, flux * slope_y])
        matrix = np.einsum("amji,bmji->mab", columns * weight, columns, optimize=True)
        vector = np.einsum("amji,mji->ma", columns, weight * residual, optimize=True)
        moved = np.column_stack([self.stars.x - self.place[0], self.stars.y - self.place[1]])
        matrix[:, 0, 0] += 1e-30
        matrix[:, [1, 2], [1, 2]] += _PLACE_SIGMA_PIX**-2
        vector[:, 1:] -= moved * _PLACE_SIGMA_PIX**-2
        step = np.linalg.solve(matrix, vector[:, :, None])[:, :, 0]
        dx, dy = np.clip(step[:, 1:], -_MAX_STEP_PIX, _MAX_STEP_PIX).T
        self.stars = replace(
            self.stars,
            flux_e=self.stars.flux_e + step[:, 0],
            x=self.stars.x + dx,
            y=self.stars.y + dy,
        )

    def correct(self, *, relaxation: float = 1.0) -> None:
        """Fit each correction in turn to what the PSF leaves over."""
        for index, (correction, _) in enumerate(self.surface.parts):
            residual = self._residual()
            equations = correction.equations(
                self.terms[index], self.offsets, *self._right(residual)
            )
            step = correction.solved(equations) - correction.coefficients
            correction.coefficients = correction.coefficients + relaxation * step
            self._update()

    def _residual(self) -> Floats:
        left: Floats = self.stars.values_e - self.stars.flux_e[:, None, None] * self.models()[0]
        return left

    def _right(self, residual: Floats) -> tuple[Floats, Floats]:
        """Weights of pixels in the matrix and on the right side of a correction's equations."""
        light = (self.stars.flux_e * self.scale)[:, None, None]
        weight = self.weight * self.star_weight[:, None, None]
        return weight * light**2, weight * light * residual

    def vary(self, degree: int) -> bool:
        """Let the PSF vary by one more degree, if held-out stars agree better; whether it does."""
        if not self._spread_enough(degree):
            return False
        lattice = on_lattice(self.surface.prior, self.shape)
        surface = CorrectedPsf(lattice, self.surface.norm_radius_pix, [])
        cells = surface.cells_of(*self.place)
        x, y = (place[cells[:, 0], cells[:, 1]] for place in surface.cell_places)
        used = self.star_weight > 0
        chip_terms = ChipTerms.over(x[used], y[used])
        terms = chip_terms.at(x, y, degree)
        radius = min(_VARIATION_PIX, lattice.radius_pix)
        correction = Correction(
            lattice, radius_pix=radius, n_terms=terms.shape[1], share=_VARIATION_SHARE
        )
        gain = self._gain_of_held_out(correction, terms)
        if gain < _GAIN_SIGMA[degree]:
            return False
        ny, nx = lattice.coefficients.shape[:2]
        for earlier, earlier_terms in self.surface.parts:
            constant = np.ones((ny, nx, 1))
            surface.parts.append((earlier, constant if earlier.n_terms == 1 else earlier_terms))
        surface.parts.append((correction, chip_terms.at(*surface.cell_places, degree)))
        self.surface, self.cells = surface, cells
        self.terms.append(terms)
        self._update()
        self.correct()
        return True

    def _spread_enough(self, degree: int) -> bool:
        wanted, regions, in_each = _WANTED[degree]
        used = np.flatnonzero(self.star_weight > 0)
        _, first = np.unique(self.stars.stars[used], return_index=True)
        one = used[first]
        edges = [np.linspace(-0.5, size - 0.5, regions + 1) for size in self.shape]
        counts, _, _ = np.histogram2d(self.place[1][one], self.place[0][one], bins=edges)
        return bool(len(one) >= wanted and counts.min() >= in_each)

    def _gain_of_held_out(self, correction: Correction, terms: Floats) -> float:
        """By how many standard errors stars that are left out agree better with the variation."""
        residual, at, side = self._residual(), self.offsets, self.stars.values_e.shape[-1]
        matrix, right = self._right(residual)
        fold = np.unique(self.stars.stars, return_inverse=True)[1] * 7919 % 1013 % _FOLDS
        parts = [
            correction.equations(
                terms[fold == k], at.of(fold == k), matrix[fold == k], right[fold == k]
            )
            for k in range(_FOLDS)
        ]
        gains = np.zeros(len(terms))
        for k in range(_FOLDS):
            others = reduce(add, (parts[other] for other in range(_FOLDS) if other != k))
            out = fold == k
            added = correction.at(correction.solved(others), terms[out], at.of(out), side)
            gains[out] = (2 * right[out] * added - matrix[out] * added**2).sum(axis=(1, 2))
        used = self.star_weight > 0
        stars, index = np.unique(self.stars.stars[used], return_inverse=True)
        by_star = np.bincount(index, weights=gains[used], minlength=len(stars))
        # Roots: the few brightest stars alone would decide of the mean, and of its error.
        signed = np.sign(by_star) * np.sqrt(np.abs(by_star))
        error = signed.std(ddof=1) / np.sqrt(len(stars))
        return float(signed.mean() / error) if error > 0 else 0.0

    def width_error_pix2(self) -> float:
        """By how much the widths of stars differ from the PSF's beyond noise.

        Told by what a star of another width has: its flux is another one by its core than by its
        sum. So it is right for fluxes of faint stars, whatever else comes with the width.
        """
        side = self.stars.values_e.shape[-1]
        wider = np.empty((3, len(self.stars), side, side))
        surface, at, reach = widened(self.psf).coefficients, self.offsets, self.psf.radius_pix + 0.5
        star_models(surface, self.cells, at.dx, at.dy, OVERSAMPLING, reach, wider)
        core = ((_distances(self.stars) <= _CORE_PIX) & (self.weight > 0)).astype(float)
        noise = self.inverse_variance
        faint = self._estimator(core)
        apart = faint - self._estimator(core * noise)
        response = (apart * wider[0] * self.stars.flux_e[:, None, None]).sum(axis=(1, 2))
        response = np.where(response == 0, np.inf, response)
        width = (apart * self._residual()).sum(axis=(1, 2)) / response
        variance = (apart**2 / np.where(noise > 0, noise, np.inf)).sum(axis=(1, 2)) / response**2
        # What would change a faint flux by more than any width of the telescope's is no width.
        # Stars that the PSF's fit left out count: their own PSF may be another one.
        used = abs(width * (faint * wider[0]).sum(axis=(1, 2))) <= _LARGEST_CHANGE
        n_terms = sum(correction.n_terms for correction, _ in self.surface.parts)
        n_stars = len(np.unique(self.stars.stars[used]))
        # The PSF was adjusted to these stars: by chance they agree better than others.
        fitted = np.sqrt(n_stars / max(n_stars - n_terms, 1))
        return float(_beyond_noise(width[used], variance[used]) * fitted)

    def _estimator(self, weight: Floats) -> Floats:
        """By what pixels are multiplied to give the flux, if pixels have these weights."""
        model, slope_x, slope_y = self.models()
        flux = self.stars.flux_e[:, None, None]
        columns = np.stack([model, flux * slope_x, flux * slope_y])
        matrix = np.einsum("amji,bmji->mab", columns * weight, columns, optimize=True)
        first = np.linalg.pinv(matrix, hermitian=True)[:, 0]
        estimator: Floats = np.einsum("ma,amji->mji", first, columns * weight, optimize=True)
        return estimator

    def central_residual(self) -> float:
        """Median share of the light in a star's central pixel that is left over."""
        model = self.models()[0]
        light = self.stars.flux_e[:, None, None] * model
        used = (self.star_weight > 0) & (light.max(axis=(1, 2)) > 0)
        rows = np.flatnonzero(used)
        middle = np.argmax(light[rows].reshape(len(rows), -1), axis=1)
        peak = light[rows].reshape(len(rows), -1)[np.arange(len(rows)), middle]
        left = self._residual()[rows].reshape(len(rows), -1)[np.arange(len(rows)), middle]
        return float(np.median(left / peak))


def _star_weights(chi: Floats, usable: Mask) -> Floats:
    """Weights of stars by their chi: less above the median, 0 for outliers."""
    if not usable.any():
        return np.zeros(len(chi))
    median = np.median(chi[usable])
    scatter = 1.4826 * np.median(np.abs(chi[usable] - median))
    limit = max(median + _STAR_CLIP_SIGMA * scatter, _STAR_CLIP_RATIO * median)
    weight = np.minimum(1.0, (median / np.maximum(chi, 1e-9)) ** 2)
    return np.where(usable & (chi <= limit), weight, 0.0)


def _beyond_noise(values: Floats, variance: Floats) -> float:
    """Scatter about 0 beyond noise: the most likely one of Gaussian numbers, without outliers."""
    # From above, by three quarters of the stars: by noise alone, those that tell most are outliers.
    scatter2 = float(np.quantile(np.abs(values), 0.75) / 1.15) ** 2 if len(values) else 0.0
    for _ in range(_SCATTER_ROUNDS):
        total = variance + scatter2
        weight = (values**2 <= _SCATTER_CLIP**2 * total) / total**2
        if not weight.any():
            break
        scatter2 = max(float((weight * (values**2 - variance)).sum() / weight.sum()), 0.0)
    return float(np.sqrt(scatter2))
