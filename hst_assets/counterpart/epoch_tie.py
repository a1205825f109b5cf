"""How well groups of exposures are tied to each other at one place, from the stars of their fits.

Each exposure was aligned to the reference's stars; what its fit left of star i is
``r = rho - e``: the error of the star's place in the reference minus that of its centroid. A frame
is off by the mean of these over the stars of its fit. Two groups that were aligned to the same
stars share the errors of the reference, which do not move one against the other. With s the
scatter of the groups' mean residuals a star, L the leverage of the place among the stars, c the
covariance of the residuals of the stars that both have,

    sigma^2 = s_A^2 L_A + s_B^2 L_B - 2 c n_AB sqrt(L_A L_B / (n_A n_B)),

the variance of the difference of two means of which some members are correlated (any text on
linear regression: Draper & Smith 1998, ch. 5, for the leverage).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.stats import mad_std
from numpy.typing import NDArray

from hst_assets.astrometry.matching import Geometry
from hst_assets.counterpart.error_circle import ErrorTerm
from hst_assets.sky_geometry import TangentPlane

__all__ = ["ExposureResiduals", "FrameTie", "frame_tie", "tie_terms"]

Floats = NDArray[np.float64]

#: Terms of a fit on one axis: of shift, of shift and rotation, ... (two axes share a rotation).
_TERMS_PER_AXIS: Mapping[Geometry, float] = {
    "shift": 1.0,
    "rshift": 1.5,
    "rscale": 2.0,
    "general": 3.0,
}
#: Fewer stars tell no scatter.
_FEWEST_STARS = 4
#: Share of the stars that are bright, and the fewest of them, that tell the floor of a centroid.
_BRIGHT_SHARE, _FEWEST_BRIGHT = 0.25, 5
#: A median of held-out stars that is off by more than so many of its errors is an error by itself.
_HELD_OUT_ERRORS = 3.0
#: Standard error of a median over that of a mean, of a Gaussian.
_MEDIAN_OVER_MEAN = 1.2533


@dataclass(frozen=True, eq=False)
class ExposureResiduals:
    """What the fit of one exposure left.

    Attributes
    ----------
    rootname : str
        The exposure.
    ra_deg, dec_deg : ndarray, shape (n,)
        Places of the reference's stars, which are the same numbers in every exposure.
    east_mas, north_mas : ndarray, shape (n,)
        Reference minus star.
    held_out_mas : float
        Median residual of stars that had no part in the fit, on the worse axis; NaN: none.
    n_held_out : int
        How many these are.
    rank : ndarray of int, shape (n,), optional
        Of each star by brightness, 0 the brightest; by default they count alike.
    """

    rootname: str
    ra_deg: Floats
    dec_deg: Floats
    east_mas: Floats
    north_mas: Floats
    held_out_mas: float = math.nan
    n_held_out: int = 0
    rank: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class FrameTie:
    """How a group of exposures is tied to the reference at one place.

    Attributes
    ----------
    name : str
        The group.
    n_exposures : int
        Exposures with a fit.
    stars : ndarray of int, shape (n, 2)
        Keys of the reference's stars: RA and Dec in units of 1e-9 degree.
    residual_mas : ndarray, shape (n, 2)
        Mean residual of each star over the exposures: reference minus star, east and north.
    bright : ndarray of bool, shape (n,)
        The brightest quarter of the stars; all where that is not known.
    floor_mas : float
        Scatter of the places of bright stars in the mean of all exposures, below which no centroid
        is known: between exposures, or of one exposure about the reference; NaN: not known.
    scatter_mas : float
        Of `residual_mas` on an axis, corrected for the terms of the fits.
    leverage : float
        Variance of the frame at the place over that of one star.
    held_out_mas : float
        Held-out stars' median offset where it is more than chance; else 0.
    is_anchor : bool
        Whether it defines the frame, and has no error in it.
    """

    name: str
    n_exposures: int
    stars: NDArray[np.int64]
    residual_mas: Floats
    bright: NDArray[np.bool_]
    floor_mas: float
    scatter_mas: float
    leverage: float
    held_out_mas: float = 0.0
    is_anchor: bool = False

    @property
    def error_mas(self) -> float:
        """Of the frame at the place, on an axis; NaN if too few stars tell."""
        if self.is_anchor:
            return 0.0
        return math.hypot(self.scatter_mas * math.sqrt(self.leverage), self.held_out_mas)

    def bright_places(self) -> Floats:
        """Where the exposures have the bright stars: RA and Dec in degrees, shape (m, 2)."""
        sky = self.stars[self.bright] * 1e-9
        apart = self.residual_mas[self.bright] / 3.6e6
        apart[:, 0] /= np.cos(np.radians(sky[:, 1]))
        places: Floats = sky - apart
        return places

    @property
    def told(self) -> str:
        """Where its error is from."""
        if self.is_anchor:
            return f"{self.name} defines the frame"
        if not math.isfinite(self.error_mas):
            return f"{self.name}: {len(self.stars)} stars of fits tell nothing"
        beyond = f", held-out stars off by {self.held_out_mas:.1f} mas" if self.held_out_mas else ""
        return (
            f"{self.name}: residuals of {len(self.stars)} stars in {self.n_exposures} exposures "
            f"scatter by {self.scatter_mas:.1f} mas{beyond}"
        )


def frame_tie(
    name: str,
    exposures: Sequence[ExposureResiduals],
    place: tuple[float, float],
    *,
    geometry: Geometry,
    is_anchor: bool = False,
) -> FrameTie:
    """How a group of exposures is tied to the reference at a place.

    Parameters
    ----------
    name : str
        What the group is called.
    exposures : sequence of ExposureResiduals
        Those with a fit.
    place : (float, float)
        RA and Dec, degrees.
    geometry : {"shift", "rshift", "rscale", "general"}
        What the fits could change.
    is_anchor : bool, optional
        Whether an exposure without a fit is among the group because it defines the frame, and none
        has a fit.
    """
    rows = [
        np.column_stack([one.ra_deg, one.dec_deg, one.east_mas, one.north_mas]) for one in exposures
    ]
    every = np.concatenate(rows) if rows else np.zeros((0, 4))
    keys = np.rint(every[:, :2] * 1e9).astype(np.int64)
    stars, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    which = np.asarray(which).ravel()
    count = np.bincount(which, minlength=len(stars))
    mean = (
        np.column_stack(
            [np.bincount(which, every[:, axis], minlength=len(stars)) for axis in (2, 3)]
        )
        / np.maximum(count, 1)[:, None]
    )
    scatter, leverage = math.nan, math.nan
    if len(stars) >= _FEWEST_STARS:
        freedom = 1.0 - _TERMS_PER_AXIS[geometry] / len(stars)
        scatter = math.sqrt(float(np.mean(mean**2)) / freedom)
        at = TangentPlane(*place, 1.0).project(every[first, :2])
        leverage = _leverage(at, geometry)
    of_bright = _bright(exposures, which)
    bright = np.zeros(len(stars), dtype=bool)
    bright[which[of_bright]] = True
    return FrameTie(
        name=name,
        n_exposures=len(exposures),
        stars=stars,
        residual_mas=mean,
        bright=bright,
        floor_mas=_floor(every[:, 2:], mean, which, count, of_bright),
        scatter_mas=scatter,
        leverage=leverage,
        held_out_mas=_held_out(exposures, scatter),
        is_anchor=is_anchor and not exposures,
    )


def _leverage(at: Floats, geometry: Geometry) -> float:
    """Of the origin among stars (n, 2): the variance of a fit there over that of a star."""
    middle = at.mean(axis=0)
    arms = at - middle
    if geometry == "shift":
        return 1.0 / len(at)
    if geometry == "general":
        spread = np.linalg.pinv(arms.T @ arms)
        return float(1.0 / len(at) + middle @ spread @ middle)
    # Of a rotation the arm across counts on each axis; of rotation and scale, both.
    share = 0.5 if geometry == "rshift" else 1.0
    return float(1.0 / len(at) + share * (middle @ middle) / max(float(np.sum(arms**2)), 1e-12))


def _bright(exposures: Sequence[ExposureResiduals], which: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Of all residuals, which are of the brightest stars; of all stars where that is not known."""
    if not exposures or any(one.rank is None for one in exposures):
        return np.ones(len(which), dtype=bool)
    rank = np.concatenate([one.rank for one in exposures if one.rank is not None])
    stars = np.unique(rank)
    at = max(int(_BRIGHT_SHARE * len(stars)), min(_FEWEST_BRIGHT, len(stars))) - 1
    bright: NDArray[np.bool_] = rank <= stars[at]
    return bright


def _floor(
    every: Floats,
    mean: Floats,
    which: NDArray[np.intp],
    count: NDArray[np.intp],
    bright: NDArray[np.bool_],
) -> float:
    """How well the mean of the exposures tells the place of a bright star."""
    n = count[which].astype(float)
    often = bright & (n > 1)
    if np.count_nonzero(often) >= _FEWEST_BRIGHT:
        apart = (every - mean[which])[often] * np.sqrt(n / np.maximum(n - 1, 1))[often, None]
        return float(mad_std(apart) / math.sqrt(np.mean(n[often])))
    if np.count_nonzero(bright) >= _FEWEST_BRIGHT:
        return float(mad_std(every[bright]))
    return math.nan


def _held_out(exposures: Sequence[ExposureResiduals], scatter_mas: float) -> float:
    """Mean offset of the held-out stars, where it is beyond what their number explains."""
    offsets = []
    for one in exposures:
        if one.n_held_out < _FEWEST_STARS or not math.isfinite(one.held_out_mas):
            continue
        own = math.sqrt(float(np.mean(one.east_mas**2 + one.north_mas**2)) / 2)
        scatter = max(own, scatter_mas if math.isfinite(scatter_mas) else 0.0)
        error = _MEDIAN_OVER_MEAN * scatter / math.sqrt(one.n_held_out)
        offsets.append(abs(one.held_out_mas) if abs(one.held_out_mas) > _HELD_OUT_ERRORS * error
                       else 0.0)  # fmt: skip
    return float(np.mean(offsets)) if offsets else 0.0


def tie_terms(late: FrameTie, early: FrameTie) -> tuple[ErrorTerm, ErrorTerm]:
    """The alignment of two groups to one frame as terms of a position's error.

    Parameters
    ----------
    late, early : FrameTie
        Of the exposures on which the position was measured, and of the earlier ones.

    Returns
    -------
    tuple of ErrorTerm
        The later one's, and the earlier one's, of which what both share is taken off.
    """
    shared = _shared(late, early)
    note = f"; {shared[1]} of its stars are the later one's too" if shared[1] else ""
    return (
        ErrorTerm("alignment of the later images", late.error_mas, late.told),
        ErrorTerm("alignment of the earlier images", early.error_mas, early.told + note, shared[0]),
    )


def _shared(late: FrameTie, early: FrameTie) -> tuple[float, int]:
    """Twice the covariance of the two frames (mas2), and the number of stars in common."""
    if late.is_anchor or early.is_anchor:
        return 0.0, 0
    both = {tuple(key): n for n, key in enumerate(early.stars.tolist())}
    pairs = [
        (n, both[tuple(key)]) for n, key in enumerate(late.stars.tolist()) if tuple(key) in both
    ]
    if len(pairs) < _FEWEST_STARS:
        return 0.0, len(pairs)
    mine, theirs = np.array(pairs).T
    covariance = float(np.mean(late.residual_mas[mine] * early.residual_mas[theirs]))
    n_late, n_early = len(late.stars), len(early.stars)
    weight = len(pairs) * math.sqrt(late.leverage * early.leverage / (n_late * n_early))
    # Never more than the smaller frame's own variance: of few stars the covariance is uncertain.
    most = 2.0 * min(late.scatter_mas**2 * late.leverage, early.scatter_mas**2 * early.leverage)
    return min(max(2.0 * covariance * weight, 0.0), most), len(pairs)
