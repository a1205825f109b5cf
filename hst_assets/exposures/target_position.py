"""Where a target is, by its exposures; and which exposures are of another field.

Exposures share a field if their footprints overlap, or those of exposures between them do: a
mosaic is one field, two galaxies are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hst_assets.exposures.bounded_verification import Verified
from hst_assets.exposures.footprint import field_centre, signed_distance_arcsec
from hst_assets.sky_geometry import separation_deg

__all__ = ["Elsewhere", "elsewhere", "fields_of", "median_position", "spread_deg"]

_ARCSEC_PER_DEG = 3600.0


@dataclass(frozen=True)
class Elsewhere:
    """An exposure that is of another field than the target.

    Attributes
    ----------
    rootname : str
        Of the exposure.
    distance_deg : float
        From the target to its footprint.
    """

    rootname: str
    distance_deg: float


def median_position(exposures: Sequence[Verified]) -> dict[str, float]:
    """The median of RA_TARG and DEC_TARG, as settings name them; nothing special happens at RA 0.

    Parameters
    ----------
    exposures : sequence of Verified
        Of one field.
    """
    ra = np.array([exposure.ra_target_deg for exposure in exposures])
    dec = np.array([exposure.dec_target_deg for exposure in exposures])
    # Measured from the first.
    offset = (ra - ra[0] + 180.0) % 360.0 - 180.0
    median = float((ra[0] + np.median(offset)) % 360.0)
    return {"ra_deg": 0.0 if median >= 360.0 else median, "dec_deg": float(np.median(dec))}


def elsewhere(exposures: Sequence[Verified], ra_deg: float, dec_deg: float) -> list[Elsewhere]:
    """The exposures that are further off a position than their own field is large.

    Parameters
    ----------
    exposures : sequence of Verified
        Any.
    ra_deg, dec_deg : float
        The target.

    Returns
    -------
    list of Elsewhere
        The farthest first.
    """
    found = []
    for exposure in exposures:
        outside_deg = -signed_distance_arcsec(exposure.polygons, ra_deg, dec_deg) / _ARCSEC_PER_DEG
        if outside_deg > _circle(exposure)[1]:
            found.append(Elsewhere(exposure.rootname, outside_deg))
    return sorted(found, key=lambda each: (-each.distance_deg, each.rootname))


def fields_of(exposures: Sequence[Verified]) -> list[list[Verified]]:
    """Exposures by field, the field with most exposures first."""
    circles = [_circle(exposure) for exposure in exposures]
    centres = np.array([centre for centre, _ in circles])
    radii = np.array([radius for _, radius in circles])
    left = np.ones(len(circles), dtype=bool)
    fields = []
    while left.any():
        due = [int(np.argmax(left))]
        left[due] = False
        members = []
        while due:
            index = due.pop()
            members.append(index)
            apart = separation_deg(centres, centres[index])
            touching = np.flatnonzero(left & (apart <= radii + radii[index]))
            left[touching] = False
            due += touching.tolist()
        fields.append([exposures[index] for index in sorted(members)])
    return sorted(fields, key=lambda field: -len(field))


def spread_deg(exposures: Sequence[Verified]) -> float:
    """Largest distance between the middle of the first field and that of another, degrees."""
    centres = [field_centre(exposure.polygons) for exposure in exposures]
    return float(np.max(separation_deg(np.array(centres), centres[0])))


def _circle(exposure: Verified) -> tuple[tuple[float, float], float]:
    """Middle of a field, and its radius: that of the farthest corner (degrees)."""
    centre = field_centre(exposure.polygons)
    return centre, float(np.max(separation_deg(np.concatenate(exposure.polygons), centre)))
