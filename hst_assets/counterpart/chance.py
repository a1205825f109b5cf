"""The probability that an unrelated source lies where a candidate does.

Unrelated sources are taken to be strewn at random with the density that is found around the place.
The probability of at least one within a radius r is ``1 - exp(-pi r^2 n)`` (as Bloom, Kulkarni &
Djorgovski 2002, AJ 123, 1111, use it), where r is at least the radius of the error circle, for a
source anywhere in it would have been taken, and n counts sources at least as bright as the
candidate. Whoever finds a source of brightness m near the place thus reads how often one like it
would be found by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Surroundings", "chance_probability", "surroundings_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The sources about a place from which densities are.

    Attributes
    ----------
    flux : ndarray, shape (n,)
        Of each; NaN where it was not measured.
    area_arcsec2 : float
        The area that they were looked for on.
    """

    flux: Floats
    area_arcsec2: float

    def density(self, at_least: float = -math.inf) -> float:
        """Sources of at least this flux per square arcsecond, half a source more than are seen.

        That is the mean of what the density may be after n were counted (a Poisson rate by
        Jeffreys' prior): where none was seen it is not zero, which would make any source certain.
        """
        every = math.isinf(at_least)
        n = len(self.flux) if every else int(np.count_nonzero(self.flux >= at_least))
        return (n + 0.5) / self.area_arcsec2 if self.area_arcsec2 > 0 else math.nan


def surroundings_of(
    east_arcsec: Floats,
    north_arcsec: Floats,
    flux: Floats,
    *,
    inner_arcsec: float,
    outer_arcsec: float,
    covered: float = 1.0,
) -> Surroundings:
    """The sources in a ring about a place.

    Parameters
    ----------
    east_arcsec, north_arcsec : ndarray, shape (n,)
        Of all sources, from the place.
    flux : ndarray, shape (n,)
        Theirs.
    inner_arcsec, outer_arcsec : float
        The ring; inside of it lie the candidates, which must not count themselves.
    covered : float, optional
        Share of the ring that was looked at.
    """
    distance = np.hypot(east_arcsec, north_arcsec)
    inside = (distance > inner_arcsec) & (distance <= outer_arcsec)
    area = math.pi * (outer_arcsec**2 - inner_arcsec**2) * covered
    return Surroundings(np.asarray(flux, dtype=float)[inside], area)


def chance_probability(separation: float, circle: float, density: float) -> float:
    """Probability of at least one unrelated source as near as a candidate.

    Parameters
    ----------
    separation, circle : float
        Of the candidate from the place, and the radius of the error circle, arcseconds: the larger
        counts.
    density : float
        Sources like it per square arcsecond.
    """
    return -math.expm1(-math.pi * max(separation, circle) ** 2 * density)
