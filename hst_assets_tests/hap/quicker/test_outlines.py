"""Corners of outlines against the package that drizzlepac asks for them."""

import itertools

import numpy as np
import pytest
from simplify_polyline import simplify

from hst_assets.hap.quicker.outlines import corners_of

#: What drizzlepac asks for, pixels.
MIN_DIST = 10.0


def _irregular(seed, n=400):
    """A closed polygon in which no two triangles are equal."""
    random = np.random.default_rng(seed)
    angle = np.sort(random.uniform(0, 2 * np.pi, n))
    radius = 300 * (1 + 0.3 * np.cos(3 * angle)) + random.normal(0, 4, n)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.vstack([points, points[:1]])


def _traced(corners):
    """The pixels along the edges between corners."""
    edges = []
    for one, other in itertools.pairwise(corners):
        n = int(np.abs(np.subtract(other, one)).max())
        edges.append(np.rint(np.linspace(one, other, n, endpoint=False)).astype(np.int32))
    points = np.vstack(edges)
    return np.vstack([points, points[:1]])


@pytest.mark.parametrize("seed", range(6))
def test_without_equal_triangles_the_points_are_those_of_the_package(seed):
    polygon = _irregular(seed)
    np.testing.assert_array_equal(corners_of(polygon, MIN_DIST), simplify(polygon, MIN_DIST))


@pytest.mark.parametrize(
    "corners",
    [
        [(10, 10), (410, 10), (410, 205), (10, 205), (10, 10)],
        [(200, 10), (390, 150), (250, 340), (60, 200), (200, 10)],
        [(10, 10), (400, 10), (400, 200), (250, 200), (250, 390), (10, 390), (10, 10)],
    ],
)
def test_traced_edges_keep_their_corners(corners):
    edge = _traced(corners)
    found = corners_of(edge, MIN_DIST)
    assert tuple(found[0]) == tuple(found[-1])
    for point in edge:
        assert _distance(point, found) < MIN_DIST
    for corner in corners:
        # Three points of the edge are chosen before any corner: one can stand in for it.
        assert np.hypot(*(found - corner).T).min() < MIN_DIST


def test_the_result_is_the_same_each_time():
    edge = _traced([(10, 10), (410, 10), (410, 205), (10, 205), (10, 10)])
    np.testing.assert_array_equal(corners_of(edge, MIN_DIST), corners_of(edge.copy(), MIN_DIST))


def test_two_points_are_no_polygon():
    with pytest.raises(ValueError, match="polygon"):
        corners_of([(0, 0), (5, 5), (0, 0)], MIN_DIST)


def _distance(point, outline):
    return min(_from_line(point, one, other) for one, other in itertools.pairwise(outline))


def _from_line(point, one, other):
    along = other - one
    place = np.clip(np.dot(point - one, along) / np.dot(along, along), 0, 1)
    return np.hypot(*(point - one - place * along))
