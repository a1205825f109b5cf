"""Light about a place that neither stars nor sky explain: a host galaxy, above all.

The photometer takes a galaxy for stars, and what it does not take for stars, for sky; a flux at a
place upon it is wrong by as much as fluxes of nothing are about it. That error is in all exposures
alike, so that no mean makes it smaller.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hst_assets.photometry.light_curve.measured_places import MeasuredPlaces

__all__ = ["places_about", "structure_ujy"]

Floats = NDArray[np.float64]

#: Places of a grid of triangles, so many pixels of the finest detector apart, are measured out to
#: two steps from the place: 18. Of 40 simulated transients on galaxies (benchmarks/light_curves.py)
#: the pulls then had a width of 1.03; of 4 pixels, 1.16, of 5, 1.43; without any of it, some 5.
STEP_PIX = 3.5
_RINGS = 2.1
#: Not so near to another place, or to a star of the catalogue, pixels of the finest detector.
_CLEAR_OF_PLACES_PIX, _CLEAR_OF_STARS_PIX = 2.5, 1.0
_FEWEST = 5
#: The mean square of fluxes over their errors from which there is structure: by chance, of 18
#: places, in one case of 170.
_LEAST_CHI2 = 2.0
#: Standard deviation of a normal distribution over its mean absolute value.
_OF_MEAN = 1.2533
#: Errors so many times their median are of places beside stars.
_MUCH = 3.0


def places_about(
    x: Floats, y: Floats, stars_x: Floats, stars_y: Floats, *, finest_pix: float
) -> list[tuple[Floats, Floats]]:
    """The places about each place at which the structure is measured.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        The places, pixels of the reference.
    stars_x, stars_y : ndarray, shape (m,)
        The catalogue's stars.
    finest_pix : float
        A pixel of the finest detector, in pixels of the reference.

    Returns
    -------
    list of (ndarray, ndarray)
        X and Y, for each place; none about a place that is not finite.
    """
    i, j = np.mgrid[-2:3, -2:3]
    grid = np.column_stack([(i + 0.5 * j).ravel(), (np.sin(np.pi / 3) * j).ravel()])
    distance = np.hypot(*grid.T)
    grid = grid[(distance > 0.5) & (distance < _RINGS)] * STEP_PIX * finest_pix
    known = np.isfinite(x) & np.isfinite(y)
    limits = []
    for others, clear in (
        (np.column_stack([x[known], y[known]]), _CLEAR_OF_PLACES_PIX),
        (np.column_stack([stars_x, stars_y]), _CLEAR_OF_STARS_PIX),
    ):
        if len(others):
            limits.append((KDTree(others), clear * finest_pix))
    return [
        _clear(grid + place, limits) if here else (np.empty(0), np.empty(0))
        for place, here in zip(np.column_stack([x, y]), known, strict=True)
    ]


def _clear(places: Floats, limits: Sequence[tuple[KDTree, float]]) -> tuple[Floats, Floats]:
    kept = np.ones(len(places), dtype=bool)
    for tree, least in limits:
        kept &= tree.query(places)[0] >= least
    return places[kept, 0], places[kept, 1]


def structure_ujy(
    measured: MeasuredPlaces, chips: NDArray[np.int64], about: slice, *, flag_mask: int
) -> float:
    """How wrong a flux at a place is by the structure about it, microjansky; 0 if there is none.

    Parameters
    ----------
    measured : MeasuredPlaces
        Of the places about it, among others.
    chips : ndarray of int
        Those of one band.
    about : slice
        The places about it.
    flag_mask : int
        Fluxes with any of these flags do not count.
    """
    flux, error = measured.means(chips, about, flag_mask)
    if len(flux) < _FEWEST:
        return 0.0
    usual = error <= _MUCH * np.median(error)
    flux, error = flux[usual], error[usual]
    if len(flux) < _FEWEST or np.mean((flux / error) ** 2) <= _LEAST_CHI2:
        return 0.0
    apart = _OF_MEAN * float(np.mean(np.abs(flux)))
    return float(np.sqrt(max(apart**2 - float(np.mean(error**2)), 0.0)))
