"""Corners of what an image covers, by the algorithm that drizzlepac 3.11 takes, in less time.

``cell_utils.SkyFootprint.find_corners`` thins the traced edge of each region, thousands of points,
to three by areas of triangles (Visvalingam & Whyatt 1993), and adds points until none is further
away than ten pixels (Douglas & Peucker 1973). ``simplify_polyline`` keeps a sorted list of objects
for the first step; here it is a heap of numbers. Where areas are equal, it takes the point whose
object has the lower address, so that two runs of drizzlepac differ; here it is the earlier point.
Only child processes use this, through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["corners_of"]

Points = NDArray[np.float64]

_FEWEST = 3


def corners_of(vertices: ArrayLike, min_dist: float) -> Points:
    """In place of ``simplify_polyline.simplify`` for closed polygons.

    Parameters
    ----------
    vertices : array_like, shape (n, 2)
        A polygon; the last point repeats the first.
    min_dist : float
        No point is further from the result than this, in the unit of `vertices`.

    Returns
    -------
    ndarray, shape (m, 2)
        Some of the points, in their order; the last repeats the first.

    Raises
    ------
    ValueError
        If there are fewer than three different points.
    """
    points = np.asarray(vertices, dtype=float)[:-1]
    if len(points) < _FEWEST:
        raise ValueError("At least 3 points are required to form a polygon")
    first, *others = _last_three(points)
    kept: list[int] = []
    around = [first, *others, first + len(points)]
    for start, end in pairwise(around):
        kept += [start, *_between(points, start, end, min_dist)]
    return points[[index % len(points) for index in [*kept, first]]]


def _last_three(points: Points) -> list[int]:
    """The points that are left when that of the smallest triangle goes, again and again."""
    n = len(points)
    before = [*range(-1, n - 1)]
    before[0] = n - 1
    after = [*range(1, n), 0]
    x, y = points.T.tolist()

    def area(index: int) -> float:
        low, high = before[index], after[index]
        doubled: float = abs(
            (x[index] - x[low]) * (y[high] - y[low]) - (x[high] - x[low]) * (y[index] - y[low])
        )
        return doubled

    areas = [area(index) for index in range(n)]
    heap = [(value, index) for index, value in enumerate(areas)]
    heapq.heapify(heap)
    left = n
    while left > _FEWEST:
        value, index = heapq.heappop(heap)
        if value != areas[index]:
            continue  # an entry of before a neighbour went
        low, high = before[index], after[index]
        areas[index] = np.nan
        after[low], before[high] = high, low
        left -= 1
        for neighbour in (low, high):
            areas[neighbour] = area(neighbour)
            heapq.heappush(heap, (areas[neighbour], neighbour))
    return [index for index, value in enumerate(areas) if not np.isnan(value)]


def _between(points: Points, start: int, end: int, min_dist: float) -> list[int]:
    """Which points between two are needed; `end` may lie beyond the last, which is the first."""
    if end - start <= 1:
        return []
    inside = np.arange(start + 1, end) % len(points)
    distances = _distances(points[inside], points[start % len(points)], points[end % len(points)])
    if distances.max() < min_dist:
        return []
    furthest = start + 1 + int(np.argmax(distances))
    return [
        *_between(points, start, furthest, min_dist),
        furthest,
        *_between(points, furthest, end, min_dist),
    ]


def _distances(points: Points, one: Points, other: Points) -> Points:
    """From each point to the line between two."""
    along = other - one
    length = float(np.hypot(*along))
    if length == 0.0:
        from_one: Points = np.hypot(*(points - one).T)
        return from_one
    direction = along / length
    offset = points - one
    beyond = np.maximum.reduce(
        [-(offset @ direction), (points - other) @ direction, np.zeros(len(points))]
    )
    distances: Points = np.hypot(beyond, offset[:, 0] * direction[1] - offset[:, 1] * direction[0])
    return distances
