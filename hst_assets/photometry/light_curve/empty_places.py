"""Empty places about a place: where nothing is, to see how far fluxes of nothing scatter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

__all__ = ["empty_places"]

Floats = NDArray[np.float64]

#: Stars of the catalogue are farther than the first of these that leaves places enough, in steps.
_CLEAR_STEPS = (1.0, 0.75, 0.5)


def empty_places(
    x: float,
    y: float,
    stars_x: Floats,
    stars_y: Floats,
    *,
    step_pix: float,
    within_pix: float,
    n_places: int,
) -> tuple[Floats, Floats]:
    """The empty places nearest to a place, on a grid of triangles about it.

    Parameters
    ----------
    x, y : float
        The place, pixels of the reference.
    stars_x, stars_y : ndarray, shape (m,)
        The catalogue's stars.
    step_pix : float
        Distance between places, and to the place itself.
    within_pix : float
        How far to go.
    n_places : int
        How many are wanted. Where stars leave fewer, those at 0.75 and then at 0.5 steps from stars
        are taken, too.

    Returns
    -------
    x, y : ndarray
        Places, the nearest first; fewer than wanted where there are no more, and none about a place
        that is not finite.
    """
    if not (np.isfinite(x) and np.isfinite(y)):
        return np.empty(0), np.empty(0)
    grid_x, grid_y = _grid(step_pix, within_pix)
    grid_x, grid_y = grid_x + x, grid_y + y
    if len(stars_x) == 0:
        return grid_x[:n_places], grid_y[:n_places]
    stars = KDTree(np.column_stack([stars_x, stars_y]))
    distance, _ = stars.query(np.column_stack([grid_x, grid_y]))
    for clear in _CLEAR_STEPS:
        empty = np.flatnonzero(distance >= clear * step_pix)[:n_places]
        if len(empty) == n_places:
            break
    return grid_x[empty], grid_y[empty]


def _grid(step: float, within: float) -> tuple[Floats, Floats]:
    """A grid of equal triangles about zero, by distance; zero itself is not of it."""
    n = int(np.ceil(within / step / np.sin(np.pi / 3))) + 1
    i, j = np.mgrid[-n : n + 1, -n : n + 1]
    x, y = ((i + 0.5 * j) * step).ravel(), (np.sin(np.pi / 3) * j * step).ravel()
    distance = np.hypot(x, y)
    chosen = np.flatnonzero((distance > 0.5 * step) & (distance <= within))
    in_order = chosen[np.lexsort((np.arctan2(y, x)[chosen], np.round(distance[chosen], 6)))]
    return x[in_order], y[in_order]
