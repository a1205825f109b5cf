"""Which points lie on the arc of a great circle, with few of them looked at closely.

``great_circle_arc.intersects_point`` of spherical_geometry 1.4 computes three lengths with 64
digits for each point, 0.2 ms. The union of the outlines of a visit's exposures, which tweakwcs asks
for, has it look at all corners for each edge, although nearly none lies on an edge of others. Only
child processes use this, through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["near_points_only"]

#: Detour by a point, radians, from which on it is certainly off an arc: spherical_geometry's own
#: limit is 1e-10, double precision gives the detour to 1e-15.
_OFF_THE_ARC = 1e-8


def near_points_only(method: Callable[..., Any]) -> Callable[..., Any]:
    """An ``intersects_point`` that asks spherical_geometry about points near the arc alone.

    Parameters
    ----------
    method : callable
        That of spherical_geometry.
    """

    def intersects_point(
        start: NDArray[np.float64], end: NDArray[np.float64], points: NDArray[np.float64]
    ) -> Any:
        if np.ndim(start) != 1 or np.ndim(end) != 1 or np.ndim(points) != 2:
            return method(start, end, points)
        detour = _length(start, points) + _length(points, end) - _length(start, end)
        near = np.flatnonzero(~(detour > _OFF_THE_ARC))  # what is not a number, too
        lies = np.zeros(len(points), dtype=bool)
        if len(near):
            lies[near] = method(start, end, points[near])
        return lies

    return intersects_point


def _length(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle between vectors, also of very near ones."""
    chord = np.sqrt(np.square(_unit(one) - _unit(other)).sum(axis=-1))
    length: NDArray[np.float64] = 2.0 * np.arcsin(np.minimum(0.5 * chord, 1.0))
    return length


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    return unit
