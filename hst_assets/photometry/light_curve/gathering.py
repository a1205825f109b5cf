"""What all methods measured at the places of a target, and what could not be measured and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.failures import MissingProduct, NoOverlap, UnusableInput
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands
from hst_assets.photometry.catalog.reading import beside
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.light_curve.averages import averaged
from hst_assets.photometry.light_curve.catalog_points import catalog_points, ujy_per_electron
from hst_assets.photometry.light_curve.charge_notes import charge_notes
from hst_assets.photometry.light_curve.difference_points import difference_points
from hst_assets.photometry.light_curve.forced_points import forced_points
from hst_assets.photometry.light_curve.limits import (
    CompletenessLimit,
    LocalNoise,
    completeness_limits,
    local_noise,
)
from hst_assets.photometry.light_curve.matching import Match, match_places, stars_within
from hst_assets.photometry.light_curve.measured_catalog import (
    MeasuredCatalog,
    open_measured_catalog,
)
from hst_assets.photometry.light_curve.places import wanted_places
from hst_assets.photometry.light_curve.points import Place, Point
from hst_assets.photometry.light_curve.table import PointLimits
from hst_assets.photometry.light_curve.upstream import lost_files, refuse_damage
from hst_assets.photometry.quality_cuts import cuts_of, tally
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["NOT_MEASURED", "Gathered", "gather"]

#: What stands behind the name of a method, before the reason.
NOT_MEASURED = "not measured"

Found = TypeVar("Found")


@dataclass(frozen=True)
class Gathered:
    """All points of all places.

    Attributes
    ----------
    places : tuple of Place
        The target's first, those of the user's table, then the catalogue's stars around.
    points : tuple of Point
        Of exposures, epochs and filters.
    limits : tuple of PointLimits
        Of each point.
    match : Match or None
        The catalogue's star at the target's place; None without a catalogue.
    not_measured : tuple of str
        What was not, with the reason.
    notes : tuple of str
        What else is to be said.
    """

    places: tuple[Place, ...]
    points: tuple[Point, ...]
    limits: tuple[PointLimits, ...]
    match: Match | None
    not_measured: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Lacking:
    """Collects why methods measured nothing.

    What a record tells of and is gone or damaged is no reason: that failure goes out, since it
    would stay with the light curve when the file has been made again.
    """

    workdir: WorkDir
    base: str
    told: list[str] = field(default_factory=list)

    def attempt(self, name: str, measure: Callable[[], list[Found]]) -> list[Found]:
        """What a method gives; where its inputs are missing or damaged, the reason is kept."""
        try:
            return measure()
        except (MissingProduct, NoOverlap, UnusableInput) as error:
            if lost_files(self.workdir, self.base):
                raise
            self.told.append(f"{name}: {NOT_MEASURED}: {error.brief}")
            return []


def gather(workdir: WorkDir, settings: Settings) -> Gathered:
    """Measure with all methods for which there is something to be measured on.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    settings : Settings
        Sections light_curve, target, quality_cuts and those of what is measured on.

    Raises
    ------
    BadConfiguration
        If the target's place is not known, the user's table cannot be read, or a limit of the cuts
        is missing.
    MissingProduct
        If something was not measured while a file of what it is measured on is damaged.
    """
    places = wanted_places(workdir, settings)
    around: tuple[list[Place], list[Match]] = [], []
    lacking = _Lacking(workdir, settings.dolphot.base)
    catalogs = lacking.attempt("catalog", lambda: [open_measured_catalog(workdir, settings)])
    measured = catalogs[0] if catalogs else None
    found: list[Point] = []
    matches: list[Match] = []
    match = None
    if measured is not None:
        kept = _kept(measured, workdir, settings)
        matches = match_places(measured, places, kept, settings.light_curve)
        match = matches[0]
        around = _around(measured, places, matches, kept, settings)
        of_stars = catalog_points(measured, [*places, *around[0]], [*matches, *around[1]])
        found += averaged(of_stars, ujy_per_electron(measured))
    if measured is not None and settings.light_curve.measure_at == "star":
        where = _at_stars(measured, places, matches)
        offsets = {place.source: match for place, match in zip(places, matches, strict=True)}
    else:
        where, offsets = places, {}
    found += [
        _with_offset(point, offsets) for point in _at_places(workdir, settings, where, lacking)
    ]
    found.sort(key=lambda point: point.source)
    limits = _limits(workdir, settings, where, lacking)
    if lacking.told:
        refuse_damage(workdir, settings.dolphot.base)
    notes = charge_notes(workdir, settings, has_differences=_has_differences(found))
    return Gathered(
        (*places, *around[0]),
        tuple(found),
        tuple(limits(point) for point in found),
        match,
        tuple(lacking.told),
        (*(measured.notes if measured is not None else ()), *notes),
    )


def _has_differences(points: Sequence[Point]) -> bool:
    return any(point.method == "difference" for point in points)


def _at_stars(
    measured: MeasuredCatalog, places: Sequence[Place], matches: Sequence[Match]
) -> list[Place]:
    """The places, moved onto their stars where there are some."""
    ra_deg, dec_deg = measured.catalog["ra"], measured.catalog["dec"]
    return [
        replace(place, ra_deg=float(ra_deg[match.row]), dec_deg=float(dec_deg[match.row]))
        if match.found
        else place
        for place, match in zip(places, matches, strict=True)
    ]


def _with_offset(point: Point, matches: Mapping[int, Match]) -> Point:
    """The point, with the offset of the star at which it was measured instead of at its place."""
    match = matches.get(point.source)
    if match is None or not match.found:
        return point
    return replace(point, offset_arcsec=match.offset_arcsec, offset_sigma=match.offset_sigma)


def _at_places(
    workdir: WorkDir, settings: Settings, places: Sequence[Place], lacking: _Lacking
) -> list[Point]:
    """What is measured at places as they are: on exposures, and on differences."""
    forced = lacking.attempt("forced", lambda: forced_points(workdir, settings, places))
    difference = lacking.attempt("difference", lambda: difference_points(workdir, settings, places))
    if not difference and not any(text.startswith("difference:") for text in lacking.told):
        lacking.told.append(f"difference: {NOT_MEASURED}: no difference covers the place")
    return averaged([*forced, *difference], {})


def _limits(
    workdir: WorkDir, settings: Settings, places: Sequence[Place], lacking: _Lacking
) -> Callable[[Point], PointLimits]:
    """What tells the limits of a point.

    Empty places and artificial stars tell of what is measured on exposures. Differences have a
    noise of their own, which is in their errors, and single exposures that of their fluxes.
    """
    noise = lacking.attempt("limits by local noise", lambda: local_noise(workdir, settings, places))
    by_epoch = {(one.source, one.detector, one.filter_name, one.epoch): one for one in noise}
    # Artificial stars cost seconds: they are put in about the target alone.
    half = lacking.attempt(
        "limits by artificial stars",
        lambda: completeness_limits(workdir, settings, places[:1], noise),
    )
    by_band = {(one.source, one.detector, one.filter_name): one for one in half}
    lacking.told += [
        f"limits by local noise, {_band_of(one)}: {one.note}"
        for one in noise
        if one.note.startswith(NOT_MEASURED)
    ]
    lacking.told += [
        f"limits by artificial stars, {_band_of(one)}: {one.note}"
        for one in half
        if one.note.startswith(NOT_MEASURED)
    ]

    def of_point(point: Point) -> PointLimits:
        if point.method == "difference" or point.level == "exposure":
            return PointLimits()
        band = (point.source, point.detector, point.filter_name)
        about = by_epoch.get((*band, point.epoch))
        found = by_band.get(band) if point.level == "filter" else None
        return PointLimits(
            noise_ujy=about.sigma_ujy if about else np.nan,
            half_found_ab_mag=found.ab_mag if found else np.nan,
        )

    return of_point


def _band_of(one: LocalNoise | CompletenessLimit) -> str:
    epoch = "" if one.epoch == NO_EPOCH else f", epoch {one.epoch}"
    return f"{one.filter_name} of {one.detector}{epoch}"


def _kept(measured: MeasuredCatalog, workdir: WorkDir, settings: Settings) -> NDArray[np.bool_]:
    """The objects that may be taken."""
    if settings.light_curve.no_cuts:
        return np.ones(len(measured.catalog), dtype=bool)
    info = read_run_info(beside(workdir.dolphot_catalog(settings.dolphot.base), ".info"))
    detectors = detectors_of_bands(measured.catalog.columns, info)
    return tally(measured.catalog, cuts_of(settings.quality_cuts), detectors).kept


def _around(
    measured: MeasuredCatalog,
    places: Sequence[Place],
    matches: Sequence[Match],
    kept: NDArray[np.bool_],
    settings: Settings,
) -> tuple[list[Place], list[Match]]:
    """The catalogue's other stars around the target, as places with their own stars."""
    if not settings.light_curve.scrape_all:
        return [], []
    radius_arcsec = settings.light_curve.scrape_radius_arcsec
    taken = {match.row for match in matches}
    rows = stars_within(measured, places[0], kept, radius_arcsec)
    others = [int(row) for row in rows if int(row) not in taken]
    first = places[-1].source + 1
    stars = [
        Place(
            source=number,
            name=f"star {row + 1}",
            ra_deg=float(measured.catalog["ra"][row]),
            dec_deg=float(measured.catalog["dec"][row]),
        )
        for number, row in enumerate(others, first)
    ]
    return stars, [Match(row, 0.0, 0.0) for row in others]
