"""Footprints as the archive writes them: one or several polygons or circles, in many dialects."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.exposures.footprint import field_centre, signed_distance_arcsec
from hst_assets.sky_geometry import direction_of, separation_deg, unit_vectors

__all__ = ["Region", "parse_region"]

_ARCSEC_PER_DEG = 3600.0
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_SHAPES = frozenset({"POLYGON", "CIRCLE"})
#: Frames that agree with ICRS within a few arcsec (that of the first guide-star catalogue, GSC1,
#: is off by up to about two), and words without a meaning for a position on the sky.
_PASSED_OVER = frozenset(
    ("UNION", "ICRS", "J2000", "FK5", "GSC1", "GSC2", "TOPOCENTER", "GEOCENTER", "BARYCENTER")
)
_CIRCLE_NUMBERS = 3
_FEWEST_NUMBERS = 6
#: Points of a circle where it is taken for a polygon.
_CIRCLE_POINTS = 36


@dataclass(frozen=True)
class Region:
    """A union of shapes on the sky.

    Attributes
    ----------
    polygons : tuple of ndarray, shape (n, 2)
        RA and Dec of the corners, degrees.
    circles : tuple of tuple of float
        RA, Dec and radius, degrees.
    """

    polygons: tuple[NDArray[np.float64], ...]
    circles: tuple[tuple[float, float, float], ...] = ()

    def depth_arcsec(self, ra_deg: float, dec_deg: float) -> float:
        """How deep a position lies inside, in arcsec; negative outside."""
        depths = [
            (radius - float(separation_deg((ra, dec), (ra_deg, dec_deg)))) * _ARCSEC_PER_DEG
            for ra, dec, radius in self.circles
        ]
        if self.polygons:
            depths.append(signed_distance_arcsec(self.polygons, ra_deg, dec_deg))
        return max(depths)

    def centre(self) -> tuple[float, float]:
        """RA and Dec of the middle of their area, degrees."""
        return field_centre([*self.polygons, *(_outline(*circle) for circle in self.circles)])


def _outline(ra_deg: float, dec_deg: float, radius_deg: float) -> NDArray[np.float64]:
    """Points of a circle, RA and Dec in degrees."""
    ra, dec, radius = np.radians([ra_deg, dec_deg, radius_deg])
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    (centre,) = unit_vectors(np.array([[ra_deg, dec_deg]]))
    angle = np.linspace(0.0, 2.0 * np.pi, _CIRCLE_POINTS, endpoint=False)[:, None]
    ring = np.cos(radius) * centre + np.sin(radius) * (np.cos(angle) * east + np.sin(angle) * north)
    return direction_of(ring)


def parse_region(text: str | None) -> Region | None:
    """Read an s_region; None if it is missing, broken, or of a kind that is not understood.

    Parameters
    ----------
    text : str or None
        ``POLYGON ICRS ra dec ...``, several of them, ``POLYGON GSC1 ...``, ``CIRCLE ICRS ra dec
        radius``, ``UNION ICRS (...)``; degrees.
    """
    words = re.sub(r"[(),]", " ", text).split() if isinstance(text, str) else []
    shapes: list[tuple[str, list[float]]] = []
    for word in words:
        if word.upper() in _SHAPES:
            shapes.append((word.upper(), []))
        elif _NUMBER.fullmatch(word) and shapes:
            shapes[-1][1].append(float(word))
        elif word.upper() not in _PASSED_OVER:
            return None
    if not shapes or not all(_is_whole(kind, numbers) for kind, numbers in shapes):
        return None
    return Region(
        tuple(np.reshape(numbers, (-1, 2)) for kind, numbers in shapes if kind == "POLYGON"),
        tuple((n[0], n[1], n[2]) for kind, n in shapes if kind == "CIRCLE"),
    )


def _is_whole(kind: str, numbers: list[float]) -> bool:
    if not all(math.isfinite(number) for number in numbers):
        return False
    if kind == "CIRCLE":
        return (
            len(numbers) == _CIRCLE_NUMBERS
            and _on_the_sky(numbers[0], numbers[1])
            and 0 < numbers[2] <= 180
        )
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    return (
        len(numbers) >= _FEWEST_NUMBERS
        and len(numbers) % 2 == 0
        and all(_on_the_sky(*pair) for pair in pairs)
        and len(set(pairs)) > 2
    )


def _on_the_sky(ra_deg: float, dec_deg: float) -> bool:
    return -360.0 <= ra_deg <= 720.0 and -90.0 <= dec_deg <= 90.0
