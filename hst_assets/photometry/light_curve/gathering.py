"""What all methods measured at the places of a target, and what could not be measured and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands
from hst_assets.photometry.catalog.reading import beside
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.light_curve.averages import averaged
from hst_assets.photometry.light_curve.catalog_points import catalog_points, ujy_per_electron
from hst_assets.photometry.light_curve.matching import Match, match_places, stars_within
from hst_assets.photometry.light_curve.measured_catalog import (
    MeasuredCatalog,
    open_measured_catalog,
)
from hst_assets.photometry.light_curve.places import wanted_places
from hst_assets.photometry.light_curve.points import Place, Point
from hst_assets.photometry.light_curve.table import PointLimits
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
    """Collects why methods measured nothing."""

    told: list[str] = field(default_factory=list)

    def attempt(self, name: str, measure: Callable[[], Found], otherwise: Found) -> Found:
        """What a method gives; where its inputs are missing or damaged, the reason is kept."""
        try:
            return measure()
        except (MissingProduct, UnusableInput) as error:
            self.told.append(f"{name}: {NOT_MEASURED}: {error.brief}")
            return otherwise


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
    """
    places = wanted_places(workdir, settings)
    lacking = _Lacking()
    measured = lacking.attempt("catalog", lambda: open_measured_catalog(workdir, settings), None)
    points: list[Point] = []
    per_electron: Mapping[str, float] = {}
    match = None
    if measured is not None:
        kept = _kept(measured, workdir, settings)
        matches = match_places(measured, places, kept, settings.light_curve)
        match = matches[0]
        around = _around(measured, places, matches, kept, settings)
        per_electron = ujy_per_electron(measured)
        points += catalog_points(measured, [*places, *around[0]], [*matches, *around[1]])
        places = [*places, *around[0]]
    found = averaged(points, per_electron)
    return Gathered(
        tuple(places),
        tuple(found),
        tuple(PointLimits() for _ in found),
        match,
        tuple(lacking.told),
        measured.notes if measured is not None else (),
    )


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
