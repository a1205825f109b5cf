"""The probability that an unrelated source lies where a candidate does.

Unrelated sources are taken to be strewn at random with the density that is found around the place.
The probability of at least one within a radius r is ``1 - exp(-pi r^2 n)`` (as Bloom, Kulkarni &
Djorgovski 2002, AJ 123, 1111, use it), where r is at least the radius of the error circle, for a
source anywhere in it would have been taken, and n counts sources at least as bright as the
candidate. Whoever finds a source of brightness m near the place thus reads how often one like it
would be found by chance.

Few or none are so bright within the ring from which the density is. Where none is by chance, that
number alone would state a density up to ten times too low. What is expected there, all sources of
the ring times the share of the whole field that is so bright, counts as a few more sources
(`_PRIOR`): the mean of a Poisson rate whose prior is a Gamma distribution (any text on Bayesian
statistics: Gelman et al. 2013, ch. 2.6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Surroundings", "chance_probability", "surroundings_of"]

Floats = NDArray[np.float64]

#: Sources that the expectation is worth: it holds to half of itself (1 / sqrt(4)), as stars of one
#: field differ in brightness from place to place.
_PRIOR = 4.0


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The sources about a place from which densities are.

    Attributes
    ----------
    flux : ndarray, shape (n,)
        Of each; NaN where it was not measured.
    area_arcsec2 : float
        The area that they were looked for on.
    field_flux : ndarray, shape (m,), optional
        Of all sources of the field, which tell what share of them is bright; by default those
        about the place.
    """

    flux: Floats
    area_arcsec2: float
    field_flux: Floats | None = None

    def density(self, at_least: float = -math.inf) -> float:
        """Sources of at least this flux per square arcsecond.

        Half a source more than are seen is the mean of what the density may be after n were counted
        (a Poisson rate by Jeffreys' prior): where none was seen it is not zero, which would make
        any source certain. Of bright sources, the field's share of them has a weight as well.
        """
        if not self.area_arcsec2 > 0:
            return math.nan
        seen = _number(self.flux, at_least) + 0.5
        field = self.flux if self.field_flux is None else self.field_flux
        share = _number(field, at_least) / len(field) if len(field) else 0.0
        expected = len(self.flux) * share + 0.5
        weight = _PRIOR / (_PRIOR + expected)
        return ((1.0 - weight) * seen + weight * expected) / self.area_arcsec2


def _number(flux: Floats, at_least: float) -> int:
    return len(flux) if math.isinf(at_least) else int(np.count_nonzero(flux >= at_least))


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
        Of all sources of the field, from the place.
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
    every = np.asarray(flux, dtype=float)
    return Surroundings(every[inside], area, every[distance > inner_arcsec])


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
