"""Geometry on the sky that every stage needs: directions, distances, tangent planes, pixel scales.

Positions are arrays of shape (n, 2), or pairs: right ascension and declination in degrees (ICRS).
The formulae are those of SOFA (`erfa`, on which `astropy.coordinates` stands) and of
`astropy.wcs`; this module gives them plain arrays in degrees. The simulator has its own: a judge
does not share the geometry of what it judges.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import erfa
import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Cone",
    "TangentPlane",
    "direction_of",
    "pixel_area_arcsec2",
    "pixel_scale_arcsec",
    "separation_deg",
    "unit_vectors",
]

Points = NDArray[np.float64]

_ARCSEC_PER_RAD = math.degrees(1.0) * 3600.0
#: A gnomonic projection is used up to this distance from its tangent point (a cosine of 0.1):
#: beyond 90 degrees it folds the sky over.
_PLANE_REACH_RAD = math.acos(0.1)


def unit_vectors(sky: ArrayLike) -> Points:
    """Unit vectors, shape (n, 3), of RA and Dec (n, 2) in degrees."""
    ra, dec = np.radians(np.asarray(sky, dtype=float)).T
    return np.asarray(erfa.s2c(ra, dec))


def direction_of(vectors: ArrayLike) -> Points:
    """RA (0 <= RA < 360) and Dec, degrees, of one vector or of each row; any length will do."""
    ra, dec = erfa.c2s(np.asarray(vectors, dtype=float))
    ra_deg = np.degrees(ra) % 360.0
    # The modulo of a tiny negative angle is 360 itself.
    return np.stack([np.where(ra_deg == 360.0, 0.0, ra_deg), np.degrees(dec)], axis=-1)


def separation_deg(sky: ArrayLike, place: ArrayLike) -> Points:
    """Angle between positions and a place, or position by position, in degrees.

    Parameters
    ----------
    sky, place : array_like, shape (n, 2) or (2,)
        RA and Dec in degrees.

    Returns
    -------
    ndarray, shape (n,) or ()
        Exact at all distances, the smallest and 180 degrees among them.
    """
    ra, dec = np.moveaxis(np.radians(np.asarray(sky, dtype=float)), -1, 0)
    ra0, dec0 = np.moveaxis(np.radians(np.asarray(place, dtype=float)), -1, 0)
    return np.asarray(np.degrees(erfa.seps(ra, dec, ra0, dec0)))


@dataclass(frozen=True)
class TangentPlane:
    """A gnomonic plane in pixels of `scale_arcsec`, its origin where it touches the sky.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Its tangent point (ICRS).
    scale_arcsec : float
        Side of a pixel there.
    orientation_deg : float, optional
        Position angle of the y axis, east of north. With 0, y grows to the north and x to the
        west.
    """

    ra_deg: float
    dec_deg: float
    scale_arcsec: float
    orientation_deg: float = 0.0

    @classmethod
    def about(cls, sky: Points, scale_arcsec: float) -> TangentPlane:
        """The plane that touches at the mean direction of RA/Dec (n, 2) in degrees.

        The mean is one of vectors: that of right ascensions fails where they pass 360 degrees.
        """
        ra_deg, dec_deg = direction_of(unit_vectors(sky).mean(axis=0))
        return cls(float(ra_deg), float(dec_deg), scale_arcsec)

    def project(self, sky: ArrayLike) -> Points:
        """Positions (n, 2) on the plane of RA/Dec (n, 2) in degrees.

        NaN where the plane is not to be had: more than 84 degrees from the tangent point.
        """
        ra, dec = np.radians(np.asarray(sky, dtype=float)).T
        ra0, dec0 = math.radians(self.ra_deg), math.radians(self.dec_deg)
        # Written so that NaN is not near.
        near = erfa.seps(ra, dec, ra0, dec0) < _PLANE_REACH_RAD
        xi, eta = erfa.tpxes(np.where(near, ra, ra0), np.where(near, dec, dec0), ra0, dec0)
        east_north = np.where(near, np.stack([xi, eta]), np.nan)
        turned = self._axes @ east_north * (_ARCSEC_PER_RAD / self.scale_arcsec)
        return np.ascontiguousarray(turned.T)

    def wcs(self, origin: tuple[float, float] = (0.0, 0.0)) -> WCS:
        """The plane as a WCS.

        Parameters
        ----------
        origin : (float, float), optional
            The point of the plane at the middle of the first pixel: by default the tangent point,
            so that pixels counted from 0 are positions on the plane.
        """
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.cunit = ["deg", "deg"]
        wcs.wcs.crval = [self.ra_deg, self.dec_deg]
        wcs.wcs.crpix = [1.0 - origin[0], 1.0 - origin[1]]
        wcs.wcs.cd = self._axes * self.scale_arcsec / 3600.0
        wcs.wcs.set()
        return wcs

    @property
    def _axes(self) -> Points:
        """(xi, eta), east and north, of steps along x and y; its own inverse."""
        angle = math.radians(self.orientation_deg)
        sine, cosine = math.sin(angle), math.cos(angle)
        return np.array([[-cosine, sine], [sine, cosine]])


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

    def as_json(self) -> dict[str, Any]:
        """For records; the inverse of ``Cone(**values)``."""
        return asdict(self)

    def separations_arcmin(self, sky: Points) -> Points:
        """Distance of RA/Dec (n, 2) in degrees from the centre."""
        return separation_deg(sky, (self.ra_deg, self.dec_deg)) * 60.0

    def contains(self, sky: Points) -> NDArray[np.bool_]:
        """Which of RA/Dec (n, 2) in degrees lie inside."""
        return np.asarray(self.separations_arcmin(sky) <= self.radius_arcmin)

    def covers(self, other: Cone) -> bool:
        """Whether all of another cone lies inside."""
        apart = float(self.separations_arcmin(np.array([[other.ra_deg, other.dec_deg]]))[0])
        return apart + other.radius_arcmin <= self.radius_arcmin + 1e-6


def pixel_scale_arcsec(wcs: WCS) -> float:
    """Nominal side of a pixel: the square root of its area by the linear part of a WCS."""
    return math.sqrt(proj_plane_pixel_area(wcs)) * 3600.0


def pixel_area_arcsec2(wcs: WCS, x: float, y: float) -> float:
    """True area of the pixel at (x, y), 0-based, through all distortions of a WCS.

    By the WCS's derivatives over two pixels.
    """
    around = np.array([[x - 1, y], [x + 1, y], [x, y - 1], [x, y + 1]])
    sky = np.column_stack(wcs.all_pix2world(*around.T, 0))
    left, right, below, above = TangentPlane.about(sky, 1.0).project(sky)
    (ax, ay), (bx, by) = right - left, above - below
    return float(abs(ax * by - ay * bx) / 4.0)
