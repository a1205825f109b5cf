"""Measured stars against the true ones: completeness, bias, scatter, pulls, spurious ones.

The rule of a match: true stars, the brightest first, take the nearest measured one within
`MATCH_PIX` whose flux is within `MATCH_MAG` of theirs and that no brighter one took. A measured
star is spurious if it was not taken and no true star of at least half its flux lies within
`MATCH_PIX`. Bias and scatter are the median of measured minus true magnitude and 1.4826 times the
median deviation from it, pulls the latter of (measured - true flux) / error. (The rule of the study
whose figures are in `STUDY_10K`.)

A catalogue has of faint stars those that noise made bright enough, and no others. Fluxes forced at
the true places of the same stars, found or not, tell what of its bias and its pulls that is:
`Forced`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.measured_stars import MeasuredStars

__all__ = [
    "BINS_E",
    "STUDY_10K",
    "Bin",
    "Check",
    "Forced",
    "Judged",
    "Tolerances",
    "checks",
    "combined",
    "judged",
    "judged_forced",
]

#: Edges of the bins of true flux, electrons an exposure.
BINS_E = (2e5, 2e4, 5e3, 2e3, 1e3, 500.0, 250.0, 125.0, 60.0)
MATCH_PIX = 1.0
#: So near, a star that was missed adds to the flux of another: at 3 pixels, of WFC3/UVIS's width,
#: 4 % of its light.
MISSED_PIX = 3.0
MATCH_MAG = 0.75
#: True stars so near the edge of the reference are not looked for; pixels.
EDGE_PIX = 10.0
#: Fewer matched stars than this tell nothing of scatter, bias or pulls.
ENOUGH = 10
#: Flags of `FlagMask` 7: what DOLPHOT leaves out of a filter's mean.
_LEFT_OUT = 7


@dataclass(frozen=True)
class Bin:
    """What became of the true stars of a bin of flux.

    Attributes
    ----------
    brightest_e, faintest_e : float
    n : int
        True stars.
    matched : int
    bias_mag, scatter_mag, pull, position_pix : float
        NaN of fewer than three matched stars.
    outliers : float
        Share of the matched beyond 5 times the scatter.
    pull_alone : float
        Of stars without a true star within `MISSED_PIX` that was missed: the light of one that
        nobody sees is no error of the fit.
    """

    brightest_e: float
    faintest_e: float
    n: int
    matched: int
    bias_mag: float = np.nan
    scatter_mag: float = np.nan
    pull: float = np.nan
    position_pix: float = np.nan
    outliers: float = np.nan
    pull_alone: float = np.nan

    @property
    def completeness(self) -> float:
        """Share of the true stars that were matched."""
        return self.matched / self.n if self.n else np.nan


@dataclass(frozen=True, eq=False)
class Judged:
    """A catalogue against the truth.

    Attributes
    ----------
    bins : tuple of Bin
    spurious, n_measured : int
        Within the edges.
    area_mpx : float
        Millions of pixels within the edges.
    match : ndarray of int
        Index of the measured star of each true one, or -1.
    error_mag : ndarray
        Measured minus true magnitude of each true star; NaN of one that was not matched.
    bin_of : ndarray of int
        Number of each true star's bin; -1 outside of all, or of the edges.
    """

    bins: tuple[Bin, ...]
    spurious: int
    n_measured: int
    area_mpx: float
    match: np.ndarray
    error_mag: np.ndarray
    bin_of: np.ndarray

    def table(self, forced: Forced | None = None) -> str:
        """As lines for people, with forced fluxes of the same stars beside it if there are some."""
        more = ("",) * len(self.bins) if forced is None else forced.columns()
        headings = "" if forced is None else FORCED_HEADINGS
        heading = f"| flux e- | N | compl | bias | scatter | pull | alone | dpos | outl |{headings}"
        lines = [heading, "|---" * (heading.count("|") - 1) + "|"]
        lines += [
            f"| {b.brightest_e:.0f}-{b.faintest_e:.0f} | {b.n} | {b.completeness:.3f} "
            f"| {b.bias_mag:+.4f} | {b.scatter_mag:.4f} | {b.pull:.2f} | {b.pull_alone:.2f} "
            f"| {b.position_pix:.3f} | {b.outliers:.3f} |{beside}"
            for b, beside in zip(self.bins, more, strict=True)
            if b.n
        ]
        total = sum(b.n for b in self.bins)
        matched = sum(b.matched for b in self.bins)
        per_mpx = self.spurious / self.area_mpx
        lines.append(
            f"{self.n_measured} measured, {total} true, {matched} matched, "
            f"{self.spurious} spurious ({per_mpx:.0f} a Mpx)"
        )
        return "\n".join(lines)


#: Of `Forced.columns`: of all stars of a bin, then of those that a catalogue would have.
FORCED_HEADINGS = " forced N | bias | pull | selected N | bias | pull |"


@dataclass(frozen=True)
class Forced:
    """Fluxes forced at the true places of a catalogue's true stars.

    Attributes
    ----------
    everyone : tuple of Bin
        Of all true stars of each bin that have a flux, which may be negative.
    selected : tuple of Bin
        Of those whose flux a catalogue would have: above its limit of signal to noise, and near
        enough to the truth to be a match.
    """

    everyone: tuple[Bin, ...]
    selected: tuple[Bin, ...]

    def columns(self) -> list[str]:
        """Of each bin, for `Judged.table`."""
        return [
            "".join(
                f" {each.matched} | {each.bias_mag:+.4f} | {each.pull:.2f} |" for each in of_bin
            )
            for of_bin in zip(self.everyone, self.selected, strict=True)
        ]


def judged_forced(
    flux_e: np.ndarray,
    error_e: np.ndarray,
    true_flux_e: np.ndarray,
    catalogue: Judged,
    *,
    least_snr: float,
) -> Forced:
    """Look at forced fluxes of the true stars in each bin.

    Parameters
    ----------
    flux_e, error_e : ndarray, shape (n,)
        At the true places, electrons an exposure; not finite where nothing was measured.
    true_flux_e : ndarray, shape (n,)
        The truth.
    catalogue : Judged
        Of the same n true stars: which are in which bin.
    least_snr : float
        From which the catalogue has stars.
    """
    known = np.isfinite(flux_e) & np.isfinite(error_e)
    off_mag = abs(2.5 * np.log10(np.maximum(np.where(known, flux_e, 0.0), 1e-3) / true_flux_e))
    found = known & (off_mag < MATCH_MAG)
    found[known] &= flux_e[known] >= least_snr * error_e[known]
    values = flux_e, error_e, true_flux_e
    return Forced(*(_forced_bins(values, catalogue, some) for some in (known, found)))


def _forced_bins(
    values: tuple[np.ndarray, ...], catalogue: Judged, some: np.ndarray
) -> tuple[Bin, ...]:
    bins = []
    for number, of_catalogue in enumerate(catalogue.bins):
        flux, error, true_flux = (each[some & (catalogue.bin_of == number)] for each in values)
        edges = of_catalogue.brightest_e, of_catalogue.faintest_e
        one = Bin(*edges, of_catalogue.n, len(flux))
        if len(flux) >= 3:
            # The magnitude of the median is the median magnitude, and has one if some are negative.
            share, spread = _middle_and_spread(flux / true_flux)
            bias = -2.5 * np.log10(share) if share > 0 else np.inf
            _, pull = _middle_and_spread((flux - true_flux) / error)
            one = replace(one, bias_mag=bias, scatter_mag=_MAG_OF_SHARE * spread, pull=pull)
        bins.append(one)
    return tuple(bins)


#: Magnitudes by relative flux, of small ones.
_MAG_OF_SHARE = 2.5 / np.log(10)


def judged(
    measured: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    true: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    shape: tuple[int, int],
    edge_pix: float = EDGE_PIX,
    not_spurious: np.ndarray | None = None,
    not_spurious_pix: float = 15.0,
) -> Judged:
    """Match, and look at each bin.

    Parameters
    ----------
    measured : tuple of ndarray
        X, Y (0-based pixels of the reference), flux and its error, electrons an exposure.
    true : tuple of ndarray
        X, Y, flux.
    shape : tuple of int
        (ny, nx) of the reference.
    not_spurious : ndarray, shape (m, 2), optional
        Places (of galaxies) about which nothing counts as spurious.
    """
    x, y, flux, error = (np.asarray(each, dtype=float) for each in measured)
    tx, ty, tflux = (np.asarray(each, dtype=float) for each in true)
    match = _match(np.column_stack([x, y]), flux, np.column_stack([tx, ty]), tflux)
    inside = _inside(tx, ty, shape, edge_pix)
    bin_of = np.where(inside, np.searchsorted(-np.array(BINS_E), -tflux) - 1, -1)
    bin_of[bin_of >= len(BINS_E) - 1] = -1
    alone = _alone(tx, ty, match)
    bins = []
    for number, (brightest, faintest) in enumerate(pairwise(BINS_E)):
        here = bin_of == number
        pairs = np.nonzero(here & (match >= 0))[0]
        one = _bin(
            brightest, faintest, here.sum(), (x, y, flux, error), (tx, ty, tflux), match, pairs
        )
        bins.append(
            replace(one, pull_alone=_pull((flux, error), tflux, match, pairs[alone[pairs]]))
        )
    seen = _inside(x, y, shape, edge_pix)
    false = seen & _spurious(x, y, flux, tx, ty, tflux, match)
    if not_spurious is not None and len(not_spurious):
        distance, _ = cKDTree(not_spurious).query(np.column_stack([x, y]))
        false &= distance > not_spurious_pix
    area = (shape[0] - 2 * edge_pix) * (shape[1] - 2 * edge_pix) / 1e6
    errors = np.full(len(tx), np.nan)
    taken = match >= 0
    errors[taken] = -2.5 * np.log10(flux[match[taken]] / tflux[taken])
    return Judged(tuple(bins), int(false.sum()), int(seen.sum()), area, match, errors, bin_of)


def _inside(x: np.ndarray, y: np.ndarray, shape: tuple[int, int], edge: float) -> np.ndarray:
    ny, nx = shape
    return (x > edge) & (x < nx - 1 - edge) & (y > edge) & (y < ny - 1 - edge)


def _match(
    places: np.ndarray, flux: np.ndarray, true_places: np.ndarray, true_flux: np.ndarray
) -> np.ndarray:
    match = np.full(len(true_flux), -1)
    if not len(flux):
        return match
    near = cKDTree(places).query_ball_point(true_places, MATCH_PIX)
    used = np.zeros(len(flux), dtype=bool)
    for i in np.argsort(-true_flux):
        found = np.array([j for j in near[i] if not used[j]], dtype=int)
        off = np.abs(2.5 * np.log10(np.maximum(flux[found], 1e-3) / true_flux[i]))
        found = found[off < MATCH_MAG]
        if len(found):
            apart = np.sum((places[found] - true_places[i]) ** 2, axis=1)
            match[i] = found[np.argmin(apart)]
            used[match[i]] = True
    return match


def _bin(brightest, faintest, n, measured, true, match, pairs) -> Bin:
    if len(pairs) < 3:
        return Bin(brightest, faintest, int(n), len(pairs))
    x, y, flux, error = (each[match[pairs]] for each in measured)
    tx, ty, tflux = (each[pairs] for each in true)
    magnitude = -2.5 * np.log10(flux / tflux)
    bias, scatter = _middle_and_spread(magnitude)
    _, pull = _middle_and_spread((flux - tflux) / error)
    return Bin(
        brightest,
        faintest,
        int(n),
        len(pairs),
        bias,
        scatter,
        pull,
        float(np.median(np.hypot(x - tx, y - ty))),
        float(np.mean(np.abs(magnitude - bias) > 5 * max(scatter, 0.002))),
    )


def _alone(x: np.ndarray, y: np.ndarray, match: np.ndarray) -> np.ndarray:
    """Which true stars have no other within `MISSED_PIX` that was missed."""
    places, missed = np.column_stack([x, y]), match < 0
    if not missed.any():
        return np.ones(len(x), dtype=bool)
    # Of a missed star the first is itself.
    distance, _ = cKDTree(places[missed]).query(places, k=np.array([1, 2]))
    return np.where(missed, distance[:, 1], distance[:, 0]) > MISSED_PIX


def _pull(measured, true_flux, match, pairs) -> float:
    if len(pairs) < 3:
        return np.nan
    flux, error = (each[match[pairs]] for each in measured)
    return _middle_and_spread((flux - true_flux[pairs]) / error)[1]


def _middle_and_spread(values: np.ndarray) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, float(1.4826 * np.median(np.abs(values - middle)))


def _spurious(x, y, flux, tx, ty, tflux, match) -> np.ndarray:
    taken = np.zeros(len(x), dtype=bool)
    taken[match[match >= 0]] = True
    near = cKDTree(np.column_stack([tx, ty])).query_ball_point(np.column_stack([x, y]), MATCH_PIX)
    of_a_star = [bool(np.any(tflux[each] > flux[j] / 2)) for j, each in enumerate(near)]
    return ~taken & ~np.array(of_a_star, dtype=bool)


def combined(
    stars: MeasuredStars, images: Sequence[ChipImage], band: str, *, nominal_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Flux of a band over its images, and its error: electrons in the nominal time.

    The mean of count rates weighted by 1 / error**2 where flags allow, as DOLPHOT forms it. The
    aperture correction is not in it. NaN, and an infinite error, where there is no image.
    """
    rate = np.zeros(len(stars))
    weight = np.zeros(len(stars))
    for k, image in enumerate(images):
        if image.band != band:
            continue
        error = stars.counts_error_e[k] / image.exptime_s
        flag = stars.flag[k]
        used = np.isfinite(error) & (error > 0) & (flag < 8) & ((flag & _LEFT_OUT) == 0)
        w = np.where(used, 1 / np.where(used, error, 1.0) ** 2, 0.0)
        rate += np.where(used, w * stars.counts_e[k] / image.exptime_s, 0.0)
        weight += w
    some = weight > 0
    safe = np.where(some, weight, 1.0)
    flux = np.where(some, rate / safe * nominal_s, np.nan)
    return flux, np.where(some, nominal_s / np.sqrt(safe), np.inf)


@dataclass(frozen=True)
class Tolerances:
    """How good is good enough.

    Attributes
    ----------
    bright_e, faint_e : float
        Bins down to the first have `bias_bright_mag`, further ones down to the second
        `bias_faint_mag`; of fainter ones the bias is not judged.
    scatter : float
        Times the reference's.
    spurious : float
        Times the reference's.
    pull : tuple of float
        Least and largest.
    """

    bright_e: float = 500.0
    faint_e: float = 125.0
    bias_bright_mag: float = 0.01
    bias_faint_mag: float = 0.03
    scatter: float = 1.05
    spurious: float = 0.5
    pull: tuple[float, float] = (0.9, 1.1)


@dataclass(frozen=True)
class Check:
    """One figure against its limit.

    Attributes
    ----------
    what : str
    value, limit : float
    excess : float
        How far it is beyond the limit; 0 or less within.
    sampling : float
        Standard error of the value by the number of stars (and of the reference's, if that is of
        another field).
    """

    what: str
    value: float
    limit: float
    excess: float
    sampling: float

    @property
    def verdict(self) -> str:
        """`ok`, `near` (beyond, by less than two standard errors), `beyond` or `not checked`."""
        if not np.isfinite(self.excess):
            return "not checked"
        if self.excess <= 1e-9:
            return "ok"
        return "near" if self.excess <= 2 * self.sampling else "beyond"


def checks(
    found: Judged,
    reference: Judged | None,
    *,
    same_field: bool = True,
    tolerances: Tolerances | None = None,
    forced: Forced | None = None,
) -> list[Check]:
    """All figures against their limits; those of forced fluxes, too, if there are some.

    Without a reference its limits are not checked, and say so. If it measured the same field, the
    sampling errors of the comparison are those of pairs: of stars that only one of them found, and
    of the ratio of scatters when the stars found by both are drawn anew (bootstrap, seeded).
    """
    limits = tolerances or Tolerances()
    made = []
    for number, each in enumerate(found.bins):
        if not each.n:
            continue
        other = reference.bins[number] if reference is not None else None
        made += _own_checks(each, limits)
        chance = (np.nan, np.nan)
        if reference is not None and other is not None and other.n:
            chance = (_paired if same_field else _apart)(found, reference, number)
        made += _against(each, other, limits, chance)
    limit, value = np.nan, found.spurious / found.area_mpx
    if reference is not None:
        limit = limits.spurious * reference.spurious / reference.area_mpx
    sampling = np.sqrt(max(found.spurious, 1)) / found.area_mpx
    made.append(Check("spurious a Mpx", value, limit, value - limit, sampling))
    for each in forced.everyone if forced is not None else ():
        if each.n:
            own = _own_checks(each, limits)
            made += [replace(check, what=f"forced {check.what}") for check in own]
    return made


def _own_checks(each: Bin, limits: Tolerances) -> list[Check]:
    where = f"{each.brightest_e:.0f}-{each.faintest_e:.0f}"
    enough = each.matched >= ENOUGH
    made = []
    if each.faintest_e >= limits.faint_e:
        bright = each.faintest_e >= limits.bright_e
        limit = limits.bias_bright_mag if bright else limits.bias_faint_mag
        sampling = 1.253 * each.scatter_mag / np.sqrt(max(each.matched, 1))
        excess = abs(each.bias_mag) - limit if enough else np.nan
        made.append(Check(f"bias {where}", each.bias_mag, limit, excess, sampling))
    low, high = limits.pull
    excess = max(low - each.pull, each.pull - high) if enough else np.nan
    limit = low if each.pull < 1 else high
    # Of the limit's, not of the value's: the question is whether such pulls could give the value.
    sampling = _SPREAD_ERROR * limit / np.sqrt(max(each.matched, 1))
    made.append(Check(f"pull {where}", each.pull, limit, excess, sampling))
    return made


#: Relative standard error of 1.4826 times the median deviation of n Gaussian numbers, times the
#: root of n: its efficiency is 0.37 of the standard deviation's, whose figure is 0.71.
_SPREAD_ERROR = 1.17


def _apart(found: Judged, reference: Judged, number: int) -> tuple[float, float]:
    """Standard errors of the difference of completeness, and of the ratio of scatters."""
    each, other = found.bins[number], reference.bins[number]
    share = other.completeness
    completeness = np.sqrt(share * (1 - share) * (1 / each.n + 1 / other.n))
    counts = max(each.matched, 1), max(other.matched, 1)
    return float(completeness), float(_SPREAD_ERROR * np.sqrt(1 / counts[0] + 1 / counts[1]))


def _paired(found: Judged, reference: Judged, number: int) -> tuple[float, float]:
    """The same of two catalogues of the same true stars."""
    here = found.bin_of == number
    ours, theirs = found.error_mag[here], reference.error_mag[here]
    only_one = np.isfinite(ours) != np.isfinite(theirs)
    both = np.isfinite(ours) & np.isfinite(theirs)
    completeness = np.sqrt(only_one.sum()) / max(len(ours), 1)
    if both.sum() < ENOUGH:
        return float(completeness), np.nan
    pairs = np.column_stack([ours[both], theirs[both]])
    rng = np.random.default_rng(0)
    drawn = pairs[rng.integers(0, len(pairs), (200, len(pairs)))]
    spread = np.median(np.abs(drawn - np.median(drawn, axis=1, keepdims=True)), axis=1)
    ratio = spread[:, 0] / np.maximum(spread[:, 1], 1e-9)
    return float(completeness), float(np.std(ratio))


def _against(
    each: Bin, other: Bin | None, limits: Tolerances, chance: tuple[float, float]
) -> list[Check]:
    where = f"{each.brightest_e:.0f}-{each.faintest_e:.0f}"
    if other is None or not other.n:
        return [
            Check(f"completeness {where}", each.completeness, np.nan, np.nan, np.nan),
            Check(f"scatter {where}", each.scatter_mag, np.nan, np.nan, np.nan),
        ]
    missing = other.completeness - each.completeness
    complete = Check(
        f"completeness {where}", each.completeness, other.completeness, missing, chance[0]
    )
    enough = min(each.matched, other.matched) >= ENOUGH
    limit = limits.scatter * other.scatter_mag
    excess = each.scatter_mag - limit if enough else np.nan
    sampling = chance[1] * other.scatter_mag
    return [complete, Check(f"scatter {where}", each.scatter_mag, limit, excess, sampling)]


#: DOLPHOT 2.0 on 10,000 stars in 1025 x 1024 pixels, four exposures, S/N of at least 3.5, with the
#: exact PSF: completeness, bias, scatter; 543 spurious; 132 CPU seconds (1,000 stars: 93). The
#: numbers of stars are those of the luminosity function.
_STUDY = (
    (1.000, -0.001, 0.0028),
    (0.996, +0.002, 0.0082),
    (1.000, +0.005, 0.0152),
    (0.996, +0.011, 0.026),
    (0.992, +0.018, 0.044),
    (0.986, +0.031, 0.078),
    (0.931, +0.050, 0.151),
    (0.559, +0.027, 0.225),
)


def _study() -> Judged:
    slope, n = 0.75, 10_000
    edges = np.array(BINS_E) ** -slope
    counts = np.round(n * np.diff(edges) / (edges[-1] - edges[0])).astype(int)
    bins = tuple(
        Bin(BINS_E[k], BINS_E[k + 1], int(counts[k]), round(counts[k] * row[0]), row[1], row[2])
        for k, row in enumerate(_STUDY)
    )
    none = np.zeros(0, dtype=int)
    return Judged(bins, 543, 0, 1.005 * 1.004, none, np.zeros(0), none)


STUDY_10K = _study()
