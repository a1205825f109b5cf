"""Footprints on the sky: polygons that follow a chip's distorted edge, and who lies inside.

A chip's polygon has great-circle sides between points on its outer pixel edge (pixel coordinates
-0.5 and n-0.5, counted from 0), so many that no side leaves the true edge by more than
`EDGE_TOLERANCE_PIX`. All tests are done on the tangent plane at the polygon's own centre, where
great circles are straight lines: nothing special happens at RA 0 or at the poles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.sky_geometry import TangentPlane, direction_of, separation_deg, unit_vectors

__all__ = [
    "chip_polygon",
    "field_centre",
    "format_footprint",
    "parse_footprint",
    "position_angle_deg",
    "signed_distance_arcsec",
]

Array = NDArray[np.float64]
PixelToSky = Callable[[Array, Array], tuple[Array, Array]]

#: The polygon keeps to the true edge within this many native pixels.
EDGE_TOLERANCE_PIX = 0.2
_FIRST_SEGMENTS = 4
_MOST_SEGMENTS = 256
#: Beyond this separation, and for outlines as large as that, a target is measured from the centre.
_PLANE_LIMIT_DEG = 10.0


def chip_polygon(pixel_to_sky: PixelToSky, shape: tuple[int, int]) -> Array:
    """The outline of a chip.

    Parameters
    ----------
    pixel_to_sky : callable
        Takes x and y (0-based pixels) to RA and Dec in degrees, distortion included.
    shape : tuple of int
        (ny, nx).

    Returns
    -------
    ndarray, shape (n, 2)
        RA (0 <= RA < 360) and Dec in degrees, counter-clockwise as seen on the sky with North up
        and East to the left; the first point is not repeated.

    Raises
    ------
    UnusableInput
        If the WCS gives positions that are not finite.
    """
    ny, nx = shape
    corners = np.array([[-0.5, -0.5], [nx - 0.5, -0.5], [nx - 0.5, ny - 0.5], [-0.5, ny - 0.5]])
    sides = [_edge(pixel_to_sky, corners[index], corners[(index + 1) % 4]) for index in range(4)]
    polygon = np.concatenate(sides)
    if not np.all(np.isfinite(polygon)):
        raise UnusableInput("its WCS has no position for part of the edge")
    polygon[:, 0] = polygon[:, 0] % 360.0
    x, y = TangentPlane.about(polygon, 1.0).project(polygon).T
    area = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    return polygon if area > 0 else polygon[::-1].copy()


def _edge(pixel_to_sky: PixelToSky, start: Array, end: Array) -> Array:
    """Points from `start` up to, but without, `end`; twice as many until they are enough."""
    length_pix = float(np.hypot(*(end - start)))
    segments = _FIRST_SEGMENTS
    while True:
        fraction = np.linspace(0.0, 1.0, 2 * segments + 1)[:, None]
        x, y = (start + fraction * (end - start)).T
        points = np.column_stack(pixel_to_sky(x, y))
        if segments >= _MOST_SEGMENTS or _departure_pix(points, length_pix) < EDGE_TOLERANCE_PIX:
            # The points between were good within the tolerance: leave them out.
            return points[:-1:2]
        segments *= 2


def _departure_pix(points: Array, length_pix: float) -> float:
    """How far the odd points lie from the great circle of their even neighbours, in pixels."""
    unit = unit_vectors(points)
    middle = unit[:-1:2] + unit[2::2]
    middle /= np.linalg.norm(middle, axis=1)[:, None]
    length_rad = float(np.linalg.norm(np.diff(unit, axis=0), axis=1).sum())
    gap = np.linalg.norm(unit[1::2] - middle, axis=1).max()
    return float(gap / (length_rad / length_pix)) if length_rad else 0.0


def position_angle_deg(pixel_to_sky: PixelToSky, shape: tuple[int, int]) -> float:
    """Position angle of the y axis at the chip's centre, degrees East of North, 0 to 360."""
    ny, nx = shape
    x = np.full(2, (nx - 1) / 2.0)
    y = (ny - 1) / 2.0 + np.array([-0.5, 0.5])
    points = np.column_stack(pixel_to_sky(x, y))
    below, above = TangentPlane.about(points, 1.0).project(points)
    west, north = above - below
    return float(np.degrees(np.arctan2(-west, north)) % 360.0)


def field_centre(polygons: Sequence[Array]) -> tuple[float, float]:
    """RA and Dec (degrees) of the centroid of the area of several polygons.

    Not that of their vertices, of which a distorted edge has more than a straight one. Polygons
    without area, such as points, count where there are no others.
    """
    parts = [_area_and_moment(unit_vectors(polygon)) for polygon in polygons]
    middle = np.sum([moment for _, moment in parts], axis=0)
    if not any(area > 0 for area, _ in parts):
        middle = np.sum([unit_vectors(polygon).mean(axis=0) for polygon in polygons], axis=0)
    ra_deg, dec_deg = direction_of(middle)
    return float(ra_deg), float(dec_deg)


def _area_and_moment(vertices: Array) -> tuple[float, Array]:
    """Area of a polygon of unit vectors, and the sum of its points over it.

    By the flat triangles between its sides and the mean of its vertices, signed as they go round,
    so that a polygon may be concave. They lie under the sphere, but this moves no direction: for
    an outline of a degree, by less than 1e-5 of it.
    """
    middle = vertices.mean(axis=0)
    after = np.roll(vertices, -1, axis=0)
    areas = 0.5 * np.cross(vertices - middle, after - middle) @ middle
    total = float(areas.sum())
    centroids = (middle + vertices + after) / 3.0
    return abs(total), np.sign(total) * areas @ centroids


def signed_distance_arcsec(polygons: Sequence[Array], ra_deg: float, dec_deg: float) -> float:
    """How deep a position lies inside the nearest of several polygons.

    Positive inside, negative outside; the distance to the nearest edge point, in arcsec. A
    position in the gap between two chips is outside both.
    """
    target = np.array([[ra_deg, dec_deg]])
    return max(_signed_distance(polygon, target) for polygon in polygons)


def _signed_distance(polygon: Array, target: Array) -> float:
    plane = TangentPlane.about(polygon, 1.0)
    centre = (plane.ra_deg, plane.dec_deg)
    radius = float(np.max(separation_deg(polygon, centre)))
    separation = float(separation_deg(target, centre)[0])
    if max(separation, radius) > _PLANE_LIMIT_DEG:
        return (radius - separation) * 3600.0
    (point,) = plane.project(target)
    start = plane.project(polygon)
    end = np.roll(start, -1, axis=0)
    side = end - start
    length_squared = np.maximum(np.sum(side**2, axis=1), np.finfo(float).tiny)
    along = np.clip(np.sum((point - start) * side, axis=1) / length_squared, 0.0, 1.0)
    nearest = start + along[:, None] * side
    distance = float(np.min(np.hypot(*(nearest - point).T)))
    return distance if _is_inside(point, start, end) else -distance


def _is_inside(point: Array, start: Array, end: Array) -> bool:
    """Count the sides that a ray to the right of `point` crosses."""
    x, y = point
    straddles = (start[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(straddles, end[:, 1] - start[:, 1], 1.0)
    crossing = start[:, 0] + (y - start[:, 1]) / rise * (end[:, 0] - start[:, 0])
    return bool(np.count_nonzero(straddles & (crossing > x)) % 2)


def format_footprint(polygons: Sequence[Array]) -> str:
    """The polygons as the archive's S_REGION writes them: ``POLYGON ICRS ra dec ra dec ...``.

    Seven decimals of a degree are 0.4 mas.
    """
    return " ".join(
        "POLYGON ICRS " + " ".join(f"{ra:.7f} {dec:.7f}" for ra, dec in polygon)
        for polygon in polygons
    )


_REGION = re.compile(r"POLYGON\s+(?:ICRS|FK5|J2000)?\s*((?:[-+0-9.eE]+\s*)+)", re.IGNORECASE)


def parse_footprint(text: str) -> list[Array]:
    """Read an S_REGION text of one or several polygons; the inverse of `format_footprint`.

    Raises
    ------
    UnusableInput
        If it is anything else.
    """
    polygons = []
    for match in _REGION.finditer(text.strip()):
        try:
            numbers = np.array(match[1].split(), dtype=float)
        except ValueError:
            numbers = np.array([])
        if numbers.size < 6 or numbers.size % 2:
            raise UnusableInput("not a footprint polygon", where=repr(text[:60]))
        polygons.append(numbers.reshape(-1, 2))
    if not polygons or _REGION.sub("", text.strip()).strip():
        raise UnusableInput("not a footprint of polygons", where=repr(text[:60]))
    return polygons
