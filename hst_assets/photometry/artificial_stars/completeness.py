"""What artificial stars tell of the real ones: completeness, bias and scatter against magnitude.

Completeness is counted against every star that was put in, whether the photometer mentions it or
not. Counts are binomial: their errors are Jeffreys intervals of 68.27 % (Cameron 2011, PASA 28,
128), which stay honest at 0 and at 1, where the normal approximation has no error at all.

Bias and scatter are a median and a normalised median absolute deviation: a star that falls on a
brighter one is not an error of a Gaussian.

The magnitude at which half (or any other share) of the stars is found is read from a local linear
regression of the single stars (Fan 1992, JASA 87, 998), made monotone (isotonic regression; Barlow
& Brunk 1972, JASA 67, 140), so that it depends on no wide bins and on no model of the curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.stats import binom_conf_interval, mad_std
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from hst_assets.failures import UnusableInput

__all__ = ["CompletenessCurve", "Limit", "completeness_curve", "magnitude_limit"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Fewer recovered stars say nothing of the scatter in a bin.
_FEWEST = 3
#: The standard error of a median of n normal values is this times sigma over the root of n.
_OF_MEDIAN = 1.2533
#: Steps of the curve from which limits are read, and the width of its kernel: a tenth and a half of
#: the width over which completeness falls in an uncrowded field.
_GRID_MAG = 0.02
_KERNEL_MAG = 0.15
#: So many stars lie within one kernel width of each point, or the kernel is widened.
_FEWEST_IN_KERNEL = 30
#: A line through stars that all have one magnitude is not determined.
_SINGULAR = 1e-6


@dataclass(frozen=True)
class CompletenessCurve:
    """Completeness, bias and scatter in bins of input magnitude; arrays of one value a bin.

    Attributes
    ----------
    faint_edge, bright_edge : ndarray
        Edges of each bin, magnitudes.
    n_in, n_recovered : ndarray of int
        Stars put in and recovered.
    completeness, low, high : ndarray
        Their ratio, and its Jeffreys interval of 68.27 %; NaN where none was put in.
    bias, bias_error : ndarray
        Median of measured minus true magnitude and its standard error; NaN below three stars.
    scatter : ndarray
        1.4826 times the median absolute deviation of the same; NaN below three stars.
    """

    bright_edge: Floats
    faint_edge: Floats
    n_in: NDArray[np.int64]
    n_recovered: NDArray[np.int64]
    completeness: Floats
    low: Floats
    high: Floats
    bias: Floats
    bias_error: Floats
    scatter: Floats

    @property
    def centre(self) -> Floats:
        """Middle of each bin, magnitudes."""
        middle: Floats = (self.bright_edge + self.faint_edge) / 2
        return middle


@dataclass(frozen=True)
class Limit:
    """The magnitude at which a share of the stars is recovered.

    Attributes
    ----------
    share : float
        0.5 is the 50 % limit.
    magnitude, error : float
        NaN if it could not be determined; `error` is half of the central 68.27 % of resamples.
    note : str
        Why it could not be determined; empty otherwise.
    """

    share: float
    magnitude: float
    error: float
    note: str = ""


def completeness_curve(
    true: Floats, measured: Floats, recovered: Flags, *, bin_mag: float = 0.5
) -> CompletenessCurve:
    """Count and compare artificial stars in bins of their true magnitude.

    Parameters
    ----------
    true : ndarray of shape (n,)
        Magnitudes put in; every star of the list, in one magnitude system with `measured`.
    measured : ndarray of shape (n,)
        Magnitudes found; used where `recovered`.
    recovered : ndarray of bool of shape (n,)
        Which stars were found and passed the same cuts as real ones.
    bin_mag : float, optional
        Width of the bins; their edges are multiples of it.

    Raises
    ------
    UnusableInput
        If there are no stars, arrays differ in length, or a true magnitude is not finite.
    """
    _refuse_unusable(true, recovered)
    first = np.floor(true.min() / bin_mag)
    which = (np.floor(true / bin_mag) - first).astype(int)
    n_bins = int(which.max()) + 1
    n_in = np.bincount(which, minlength=n_bins)
    n_recovered = np.bincount(which[recovered], minlength=n_bins)
    share, low, high = _binomial(n_recovered, n_in)
    bias, bias_error, scatter = _differences(measured - true, which, recovered, n_bins)
    bright_edge = (first + np.arange(n_bins)) * bin_mag
    return CompletenessCurve(
        bright_edge,
        bright_edge + bin_mag,
        n_in,
        n_recovered,
        share,
        low,
        high,
        bias,
        bias_error,
        scatter,
    )


def magnitude_limit(
    true: Floats, recovered: Flags, share: float, *, n_resamples: int = 200, seed: int = 1
) -> Limit:
    """The magnitude at which the completeness falls below a share.

    Parameters
    ----------
    true : ndarray of shape (n,)
        Magnitudes put in.
    recovered : ndarray of bool of shape (n,)
        Which were found.
    share : float
        Between 0 and 1.
    n_resamples : int, optional
        Bootstrap resamples of the stars for the error.
    seed : int, optional
        Of the resamples.

    Returns
    -------
    limit : Limit
        Without a magnitude where the stars do not reach from above the share to below it: a limit
        that lies outside of what was put in is not extrapolated.

    Raises
    ------
    UnusableInput
        As `completeness_curve`.
    """
    _refuse_unusable(true, recovered)
    smooth = _Smoothing.for_stars(true)
    curve = smooth.curve(true, recovered)
    note = _why_none(smooth.grid, curve, share)
    if note:
        return Limit(share, np.nan, np.nan, note)
    rng = np.random.default_rng(seed)
    resamples = (rng.integers(0, len(true), len(true)) for _ in range(n_resamples))
    again = [
        _crossing(smooth.grid, smooth.curve(true[chosen], recovered[chosen]), share)
        for chosen in resamples
    ]
    low, high = np.nanpercentile(again, [15.865, 84.135])
    return Limit(share, _crossing(smooth.grid, curve, share), float(high - low) / 2)


def _refuse_unusable(true: Floats, recovered: Flags) -> None:
    if len(true) == 0:
        raise UnusableInput("there are no artificial stars", next_step="Ask for more than none")
    if len(true) != len(recovered):
        raise UnusableInput(f"{len(true)} artificial stars, but {len(recovered)} results")
    if not np.isfinite(true).all():
        raise UnusableInput("an artificial star has no magnitude", where="list of artificial stars")


def _binomial(
    n_recovered: NDArray[np.int64], n_in: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    share, low, high = (np.full(len(n_in), np.nan) for _ in range(3))
    some = n_in > 0
    share[some] = n_recovered[some] / n_in[some]
    low[some], high[some] = binom_conf_interval(
        n_recovered[some], n_in[some], confidence_level=0.6827, interval="jeffreys"
    )
    return share, low, high


def _differences(
    difference: Floats, which: NDArray[np.int64], recovered: Flags, n_bins: int
) -> tuple[Floats, Floats, Floats]:
    bias, error, scatter = (np.full(n_bins, np.nan) for _ in range(3))
    for each in range(n_bins):
        found = difference[(which == each) & recovered]
        if len(found) >= _FEWEST:
            bias[each] = np.median(found)
            scatter[each] = mad_std(found)
            error[each] = _OF_MEDIAN * scatter[each] / np.sqrt(len(found))
    return bias, error, scatter


@dataclass(frozen=True)
class _Smoothing:
    """A local linear regression on a grid of magnitudes, with a Gaussian kernel."""

    grid: Floats
    kernel_mag: float

    @classmethod
    def for_stars(cls, true: Floats) -> _Smoothing:
        """A grid over the stars; where they are few the kernel takes in more of them."""
        span = max(float(np.ptp(true)), _GRID_MAG)
        kernel = max(_KERNEL_MAG, _FEWEST_IN_KERNEL * span / (2 * len(true)))
        n_points = int(np.ceil(span / _GRID_MAG)) + 1
        return cls(true.min() + np.arange(n_points) * _GRID_MAG, kernel)

    def curve(self, true: Floats, recovered: Flags) -> Floats:
        """The completeness at each magnitude of the grid, not rising towards the faint."""
        cell = np.rint((true - self.grid[0]) / _GRID_MAG).astype(int)
        n_in = np.bincount(cell, minlength=len(self.grid)).astype(float)
        found = np.bincount(cell[recovered], minlength=len(self.grid)).astype(float)
        reach = int(np.ceil(4 * self.kernel_mag / _GRID_MAG))
        offset = np.arange(-reach, reach + 1) * _GRID_MAG
        weight = np.exp(-0.5 * (offset / self.kernel_mag) ** 2)

        def moment(counts: Floats, power: int) -> Floats:
            # A convolution runs backwards: the kernel at minus the offset of the star.
            total: Floats = np.convolve(counts, weight * (-offset) ** power)[reach:-reach]
            return total

        zeroth, first, second = (moment(n_in, power) for power in range(3))
        numerator = second * moment(found, 0) - first * moment(found, 1)
        determinant = zeroth * second - first**2
        usable = determinant > _SINGULAR * zeroth**2 * self.kernel_mag**2
        local = np.divide(numerator, determinant, out=np.full(len(self.grid), np.nan), where=usable)
        local = np.interp(self.grid, self.grid[usable], local[usable])
        fitted: Floats = isotonic_regression(np.clip(local, 0, 1), increasing=False).x
        return fitted


def _why_none(grid: Floats, curve: Floats, share: float) -> str:
    if curve[0] <= share:
        return (
            f"fewer than {share:.0%} are recovered already at {grid[0]:.2f} mag: put in brighter "
            "ones"
        )
    if curve[-1] >= share:
        return (
            f"more than {share:.0%} are recovered still at {grid[-1]:.2f} mag: put in fainter ones"
        )
    return ""


def _crossing(grid: Floats, curve: Floats, share: float) -> float:
    """Where the curve crosses the share; NaN where a resample lies on one side of it."""
    if curve[0] <= share or curve[-1] >= share:
        return float("nan")
    last = int(np.flatnonzero(curve > share)[-1])
    return float(np.interp(-share, -curve[last : last + 2], grid[last : last + 2]))
