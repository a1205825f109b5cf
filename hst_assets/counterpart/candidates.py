"""The sources near the place: which may be the object, by where they are and by chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hst_assets.counterpart.chance import chance_probability, surroundings_of
from hst_assets.counterpart.earlier_sources import EarlierSources, centroid_error_mas
from hst_assets.counterpart.error_circle import ErrorBudget, circle_radius, probability_beyond

__all__ = ["INNER_SHARE", "OUTER_SHARE", "Candidate", "find_candidates"]

#: The circles that are drawn and judged by: one sigma of a Gaussian in one dimension, and 99 %.
INNER_SHARE, OUTER_SHARE = 0.6827, 0.99


@dataclass(frozen=True)
class Candidate:
    """A source that may be the object; errors are standard deviations on an axis.

    Attributes
    ----------
    number : int
        Rank, from 1: the nearest in errors first.
    row : int
        Row in the catalogue, from 0.
    ra_deg, dec_deg : float
        ICRS.
    object_type : int
        As in DOLPHOT's catalogues.
    east_mas, north_mas, separation_mas : float
        From the place of the object.
    own_error_mas, error_mas : float
        Of its centroid; total, the object's and the alignment's with it.
    sigma : float
        Separation over the total error.
    offset_probability : float
        Of the object itself to lie at least so far off.
    is_inside : bool
        Whether it lies within the circle of 99 %, its own error included.
    best_band : str
        Band of the earlier images in which it is most significant.
    snr : float
        There.
    density_arcsec2 : float
        Sources at least as bright in that band per square arcsecond, around.
    chance_probability : float
        Of at least one such source within the separation, or within the circle of 99 % where that
        is larger.
    """

    number: int
    row: int
    ra_deg: float
    dec_deg: float
    object_type: int
    east_mas: float
    north_mas: float
    separation_mas: float
    own_error_mas: float
    error_mas: float
    sigma: float
    offset_probability: float
    is_inside: bool
    best_band: str
    snr: float
    density_arcsec2: float
    chance_probability: float


def find_candidates(
    sources: EarlierSources,
    place: tuple[float, float],
    budget: ErrorBudget,
    *,
    floor_mas: float,
    search_sigma: float,
    detection_snr: float,
    density_radius_arcsec: float,
    covered: Callable[[float, float], float] | None = None,
) -> list[Candidate]:
    """The sources of the earlier images within so many total errors of a place.

    Parameters
    ----------
    sources : EarlierSources
        Of the whole field.
    place : (float, float)
        RA and Dec of the object, degrees.
    budget : ErrorBudget
        Errors of the place against the earlier images, without those of a source.
    floor_mas : float
        As of `hst_assets.counterpart.earlier_sources.centroid_error_mas`.
    search_sigma : float
        In total errors.
    detection_snr : float
        Sources of less in every earlier band do not count.
    density_radius_arcsec : float
        Within which the density is measured.
    covered : callable, optional
        From the inner and outer radius of a ring about the place (arcsec) to the share of it that
        was measured; by default all of it.
    """
    seen = np.flatnonzero(sources.seen(detection_snr))
    if seen.size == 0:
        return []
    offsets = sources.offsets_arcsec(place)
    own = centroid_error_mas(sources, floor_mas)
    total = np.hypot(own, budget.error_mas)
    separation = np.hypot(*offsets.T) * 1e3
    near = seen[separation[seen] <= search_sigma * total[seen]]
    near = near[np.argsort(separation[near] / total[near])]
    inner = max(search_sigma * budget.error_mas * 1e-3, 0.1)
    outer = max(density_radius_arcsec, 3.0 * inner)
    share = covered(inner, outer) if covered is not None else 1.0
    found = []
    for number, row in enumerate(near.tolist(), 1):
        band = sources.bands[sources.best_band(row)]
        around = surroundings_of(
            offsets[seen, 0],
            offsets[seen, 1],
            band.flux_ujy[seen],
            inner_arcsec=inner,
            outer_arcsec=outer,
            covered=share,
        )
        density = around.density(float(band.flux_ujy[row]))
        circle = circle_radius(float(total[row]), OUTER_SHARE)
        apart = float(separation[row])
        found.append(
            Candidate(
                number=number,
                row=int(sources.number[row]),
                ra_deg=float(sources.ra_deg[row]),
                dec_deg=float(sources.dec_deg[row]),
                object_type=int(sources.object_type[row]),
                east_mas=float(offsets[row, 0] * 1e3),
                north_mas=float(offsets[row, 1] * 1e3),
                separation_mas=apart,
                own_error_mas=float(own[row]),
                error_mas=float(total[row]),
                sigma=apart / float(total[row]) if total[row] > 0 else math.inf,
                offset_probability=probability_beyond(apart, float(total[row])),
                is_inside=apart <= circle,
                best_band=band.band,
                snr=float(band.snr[row]),
                density_arcsec2=density,
                chance_probability=chance_probability(apart / 1e3, circle / 1e3, density),
            )
        )
    return found
