"""Which star of a catalogue is the one at a place; a neighbour is never taken for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hst_assets.photometry.catalog.quantities import OBJECT_TYPES
from hst_assets.photometry.light_curve.measured_catalog import MeasuredCatalog
from hst_assets.photometry.light_curve.points import NOT_IN_CATALOG, Place
from hst_assets.settings.light_curve import LightCurveSettings

__all__ = ["Match", "match_places", "stars_within"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Neighbours that are looked at: with the nearest may come cut objects.
_N_NEIGHBOURS = 32
#: An object that the cuts leave out is likelier the one at the place than a star whose chi2
#: (the square of the offset over its error) is larger by more: 1.6 times or more.
_LIKELIER = 1.0
#: From here on a distance is told in degrees: the place is off the images.
_FAR_ARCSEC = 3600.0
_ARCSEC_PER_DEG = 3600.0


@dataclass(frozen=True)
class Match:
    """The star at a place.

    Attributes
    ----------
    row : int
        Of the catalogue; -1: there is none.
    offset_arcsec, offset_sigma : float
        From the place to the star, and over its error on one axis; NaN without one.
    note : str
        Why there is none, with its nearest neighbour, or how the star was chosen; that it moves.
    """

    row: int
    offset_arcsec: float
    offset_sigma: float
    note: str = ""

    @property
    def found(self) -> bool:
        """Whether there is a star."""
        return self.row >= 0


def match_places(
    measured: MeasuredCatalog, places: Sequence[Place], kept: Mask, settings: LightCurveSettings
) -> list[Match]:
    """The star of a catalogue at each place.

    A star is the one at a place if it is within the radius, if its offset is within what the errors
    of the place, of the alignment and of the star itself allow, and if no object that the cuts
    leave out is likelier there: by a difference of chi2 above 1. The nearest of such stars is
    taken. With `settings.brightest` it is the brightest within the radius.

    Parameters
    ----------
    measured : MeasuredCatalog
        The catalogue.
    places : sequence of Place
        Where.
    kept : ndarray of bool, shape (n,)
        Which objects of the catalogue pass the quality cuts.
    settings : LightCurveSettings
        Radius, errors and what is to be taken.
    """
    if not len(measured.catalog):
        return [Match(-1, np.nan, np.nan, f"{NOT_IN_CATALOG}: it is empty") for _ in places]
    errors = _errors_arcsec(measured, settings)
    tree = KDTree(_unit_vectors(measured.catalog["ra"], measured.catalog["dec"]))
    where = _unit_vectors(
        np.array([place.ra_deg for place in places]), np.array([place.dec_deg for place in places])
    )
    found = []
    for vector in where:
        if settings.brightest:
            rows = _within(tree, vector, settings.scrape_radius_arcsec)
            match = _brightest(measured, rows[kept[rows]], settings)
            if match is not None:
                offset = _offsets_arcsec(tree, vector, match.row)
                found.append(Match(match.row, offset, offset / errors[match.row], match.note))
                continue
        found.append(_nearest(measured, tree, vector, kept, errors, settings))
    return [_with_motion(match, measured) for match in found]


def stars_within(
    measured: MeasuredCatalog, place: Place, kept: Mask, radius_arcsec: float
) -> NDArray[np.int64]:
    """Objects that pass the cuts within a radius of a place: indices, the nearest first."""
    if not len(measured.catalog):
        return np.zeros(0, dtype=np.int64)
    tree = KDTree(_unit_vectors(measured.catalog["ra"], measured.catalog["dec"]))
    (vector,) = _unit_vectors(np.array([place.ra_deg]), np.array([place.dec_deg]))
    rows = _within(tree, vector, radius_arcsec)
    rows = rows[kept[rows]]
    return rows[np.argsort([_offsets_arcsec(tree, vector, row) for row in rows], kind="stable")]


def _errors_arcsec(measured: MeasuredCatalog, settings: LightCurveSettings) -> Floats:
    """Error of the offset of each star on one axis."""
    alignment = measured.alignment
    own = alignment.star_error_arcsec(measured.catalog["snr"])
    square = own**2 + alignment.error_arcsec**2 + settings.position_error_arcsec**2
    return np.asarray(np.sqrt(square))


def _nearest(
    measured: MeasuredCatalog,
    tree: KDTree,
    vector: Floats,
    kept: Mask,
    errors: Floats,
    settings: LightCurveSettings,
) -> Match:
    n = min(_N_NEIGHBOURS, len(measured.catalog))
    rows = np.atleast_1d(tree.query(vector, k=n)[1])
    offsets = np.array([_offsets_arcsec(tree, vector, row) for row in rows])
    sigmas = offsets / errors[rows]
    fits = (offsets <= settings.scrape_radius_arcsec) & (sigmas <= settings.max_offset_sigma)
    allowed = np.flatnonzero(fits & kept[rows])
    first = int(np.argmax(fits)) if fits.any() else 0
    chosen = int(allowed[0]) if allowed.size else first
    likelier = sigmas[chosen] ** 2 - sigmas[first] ** 2 > _LIKELIER
    if allowed.size and not likelier:
        note = "" if chosen == first else _left_out(measured, rows, offsets, sigmas, first)
        return Match(int(rows[chosen]), float(offsets[chosen]), float(sigmas[chosen]), note)
    if fits.any():
        left_out = _left_out(measured, rows, offsets, sigmas, first)
        note = f"{NOT_IN_CATALOG}: {left_out}; light_curve.no_cuts takes it"
        return Match(-1, np.nan, np.nan, note)
    at = _told(offsets[0], sigmas[0])
    note = f"{NOT_IN_CATALOG}: the nearest object, {int(rows[0]) + 1}, is {at}"
    return Match(-1, np.nan, np.nan, note)


def _with_motion(match: Match, measured: MeasuredCatalog) -> Match:
    if match.row not in measured.moving:
        return match
    moves = (
        f"object {match.row + 1} moves between epochs: the catalogue's fluxes follow it, those at "
        "one place have its light only while it is there"
    )
    return replace(match, note="; ".join(filter(None, (match.note, moves))))


def _left_out(
    measured: MeasuredCatalog, rows: NDArray[np.int64], offsets: Floats, sigmas: Floats, which: int
) -> str:
    kind = OBJECT_TYPES[int(measured.catalog["object_type"][rows[which]])]
    at = _told(offsets[which], sigmas[which])
    return f"object {int(rows[which]) + 1}, {at}, is left out by the cuts ({kind})"


def _told(offset_arcsec: float, sigma: float) -> str:
    if offset_arcsec >= _FAR_ARCSEC:
        return f"{offset_arcsec / _ARCSEC_PER_DEG:.1f} deg away"
    return f"{offset_arcsec:.3f} arcsec away ({sigma:.1f} sigma)"


def _brightest(
    measured: MeasuredCatalog, rows: NDArray[np.int64], settings: LightCurveSettings
) -> Match | None:
    """The brightest of some objects in the first band in which any was measured."""
    bands: dict[str, list[int]] = {}
    for image in measured.images if rows.size else ():
        bands.setdefault(image.filter_name, []).append(image.image.number)
    for filter_name, numbers in bands.items():
        rate = np.full((len(numbers), rows.size), np.nan)
        for at, number in enumerate(numbers):
            seen = measured.catalog.measured(image=number)[rows]
            mag = measured.catalog.values("vega_mag", image=number)[rows]
            rate[at, seen] = 10.0 ** (-0.4 * mag[seen])
        known = np.isfinite(rate).any(axis=0)
        if known.any():
            mean = np.full(rows.size, -np.inf)
            mean[known] = np.nanmean(rate[:, known], axis=0)
            note = (
                f"the brightest of {rows.size} stars within {settings.scrape_radius_arcsec:g} "
                f"arcsec in {filter_name}"
            )
            return Match(int(rows[np.argmax(mean)]), np.nan, np.nan, note)
    return None


def _within(tree: KDTree, vector: Floats, radius_arcsec: float) -> NDArray[np.int64]:
    chord = 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0)
    return np.array(sorted(tree.query_ball_point(vector, chord)), dtype=np.int64)


def _offsets_arcsec(tree: KDTree, vector: Floats, row: int) -> float:
    chord = float(np.linalg.norm(tree.data[row] - vector))
    return float(np.degrees(2.0 * np.arcsin(chord / 2.0)) * 3600.0)


def _unit_vectors(ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Directions, shape (n, 3): chords between them are right at the poles and at 0 h, too."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
