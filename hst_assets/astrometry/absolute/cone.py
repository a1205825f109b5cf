"""A circle on the sky: the field that a catalogue is wanted for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cone"]

#: Beyond the outermost corner: pointing errors, the search radius and the motion of the stars.
_MARGIN_ARCMIN = 1.0
#: No field is smaller: one that holds a position fits whole into this, whatever the detector.
_LEAST_ARCMIN = 6


@dataclass(frozen=True)
class Cone:
    """A circle on the sky (ICRS).

    Attributes
    ----------
    ra_deg, dec_deg : float
        Its centre, rounded to four decimals.
    radius_arcmin : int
        Its radius in whole arcminutes, so that equal fields are equal.
    """

    ra_deg: float
    dec_deg: float
    radius_arcmin: int

    @classmethod
    def around(
        cls, polygons: Sequence[NDArray[np.float64]], *, ra_deg: float, dec_deg: float
    ) -> Cone:
        """The cone about a position that holds outlines (RA/Dec rows, deg) with a margin."""
        centre = cls(round(ra_deg, 4) % 360.0, round(dec_deg, 4), 0)
        corners = np.vstack(polygons) if polygons else np.zeros((0, 2))
        furthest = float(np.max(centre.separations_arcmin(corners), initial=0.0))
        radius = max(math.ceil(furthest + _MARGIN_ARCMIN), _LEAST_ARCMIN)
        return cls(centre.ra_deg, centre.dec_deg, radius)

    def as_json(self) -> dict[str, Any]:
        """For records; the inverse of ``Cone(**values)``."""
        return asdict(self)

    def separations_arcmin(self, sky: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of RA/Dec (n, 2) in degrees from the centre."""
        ra, dec = np.radians(sky).T
        ra0, dec0 = math.radians(self.ra_deg), math.radians(self.dec_deg)
        # Vincenty's form is exact at all distances.
        east = np.cos(dec) * np.sin(ra - ra0)
        north = math.cos(dec0) * np.sin(dec) - math.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)
        along = math.sin(dec0) * np.sin(dec) + math.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
        return np.asarray(np.degrees(np.arctan2(np.hypot(east, north), along)) * 60.0)

    def contains(self, sky: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of RA/Dec (n, 2) in degrees lie inside."""
        return np.asarray(self.separations_arcmin(sky) <= self.radius_arcmin)

    def covers(self, other: Cone) -> bool:
        """Whether all of another cone lies inside."""
        apart = float(self.separations_arcmin(np.array([[other.ra_deg, other.dec_deg]]))[0])
        return apart + other.radius_arcmin <= self.radius_arcmin + 1e-6
