"""Footprints on the sky: polygons that follow a chip's distorted edge, and who lies inside.

A chip's polygon has great-circle sides between points on its outer pixel edge (pixel coordinates
-0.5 and n-0.5, counted from 0), so many that no side leaves the true edge by more than
`EDGE_TOLERANCE_PIX`. All tests are done on the tangent plane at the polygon's own centre, where
great circles are straight lines: nothing special happens at RA 0 or at the poles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hst_assets.failures import UnusableInput

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
#: Beyond this separation a target is measured from the field's centre.
_PLANE_LIMIT_DEG = 10.0
_ARCSEC = math.degrees(1.0) * 3600.0


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
    xi, eta = _tangent_plane(polygon, _unit(polygon).mean(axis=0))
    area = float(np.sum(xi * np.roll(eta, -1) - np.roll(xi, -1) * eta))
    # xi grows to the East, which is to the left: seen on the sky the sense is the opposite.
    return polygon if area < 0 else polygon[::-1].copy()


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
    unit = _unit(points)
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
    unit = _unit(points)
    east, north = _axes(unit.sum(axis=0))
    step = unit[1] - unit[0]
    return float(np.degrees(np.arctan2(step @ east, step @ north)) % 360.0)


def field_centre(polygons: Sequence[Array]) -> tuple[float, float]:
    """RA and Dec (degrees) of the middle of several polygons, each weighing the same."""
    middle = np.sum([_unit(polygon).mean(axis=0) for polygon in polygons], axis=0)
    x, y, z = middle / np.linalg.norm(middle)
    # The modulo of a tiny negative angle is 360 itself.
    ra_deg = float(np.degrees(np.arctan2(y, x)) % 360.0)
    return (0.0 if ra_deg == 360.0 else ra_deg), float(np.degrees(np.arcsin(np.clip(z, -1, 1))))


def signed_distance_arcsec(polygons: Sequence[Array], ra_deg: float, dec_deg: float) -> float:
    """How deep a position lies inside the nearest of several polygons.

    Positive inside, negative outside; the distance to the nearest edge point, in arcsec. A
    position in the gap between two chips is outside both.
    """
    target = np.array([[ra_deg, dec_deg]])
    return max(_signed_distance(polygon, target) for polygon in polygons)


def _signed_distance(polygon: Array, target: Array) -> float:
    centre = _unit(polygon).mean(axis=0)
    centre /= np.linalg.norm(centre)
    separation = float(np.arctan2(*_sine_cosine(centre, _unit(target)[0])))
    if np.degrees(separation) > _PLANE_LIMIT_DEG:
        radius = max(float(np.arctan2(*_sine_cosine(centre, vertex))) for vertex in _unit(polygon))
        return float(radius - separation) * _ARCSEC
    point = np.column_stack(_tangent_plane(target, centre))[0]
    start = np.column_stack(_tangent_plane(polygon, centre))
    end = np.roll(start, -1, axis=0)
    side = end - start
    length_squared = np.maximum(np.sum(side**2, axis=1), np.finfo(float).tiny)
    along = np.clip(np.sum((point - start) * side, axis=1) / length_squared, 0.0, 1.0)
    nearest = start + along[:, None] * side
    distance = float(np.min(np.hypot(*(nearest - point).T)) * _ARCSEC)
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


# ------------------------------------------------------------------------------- the sphere


def _unit(points: ArrayLike) -> Array:
    """Unit vectors of (RA, Dec) rows in degrees."""
    ra, dec = np.radians(np.asarray(points, dtype=float)).T
    return np.column_stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)))


def _axes(centre: Array) -> tuple[Array, Array]:
    """Unit vectors to the East and to the North at `centre` (need not be normalised)."""
    x, y, z = centre / np.linalg.norm(centre)
    ra = np.arctan2(y, x)  # 0 on the pole itself: any meridian serves there
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    radius = np.hypot(x, y)
    north = np.array([-z * np.cos(ra), -z * np.sin(ra), radius])
    return east, north


def _tangent_plane(points: Array, centre: Array) -> tuple[Array, Array]:
    """Gnomonic projection: xi to the East and eta to the North, in radians."""
    centre = centre / np.linalg.norm(centre)
    east, north = _axes(centre)
    unit = _unit(points)
    depth = unit @ centre
    return unit @ east / depth, unit @ north / depth


def _sine_cosine(one: Array, other: Array) -> tuple[float, float]:
    return float(np.linalg.norm(np.cross(one, other))), float(one @ other)
