"""Artificial stars about a place: those of the asset, or some that are put in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from hst_assets.failures import HstAssetsError, MissingProduct, UnusableInput
from hst_assets.photometry.artificial_stars.chunks import Chunk, list_beside, measure_chunks
from hst_assets.photometry.artificial_stars.lists import in_order_of_lists
from hst_assets.photometry.artificial_stars.photometers import Embedded
from hst_assets.photometry.artificial_stars.recovery import recovery_table
from hst_assets.photometry.catalog.artificial_stars import (
    ArtificialStars,
    StarsPutIn,
    read_artificial_stars,
    read_stars_put_in,
)
from hst_assets.photometry.catalog.bands import CatalogBand, bands_of
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands
from hst_assets.photometry.catalog.reading import beside, catalog_columns
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.catalog.vega import vega_band
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.light_curve.kept_measurement import kept_of_catalog
from hst_assets.photometry.light_curve.measured_places import reference_wcs
from hst_assets.photometry.light_curve.points import Place
from hst_assets.photometry.psf.forced import places_of
from hst_assets.photometry.quality_cuts import cuts_of
from hst_assets.provenance import Recipe, read_record
from hst_assets.settings import Settings
from hst_assets.sky_geometry import pixel_scale_arcsec
from hst_assets.workdir import WorkDir

__all__ = ["BandStars", "StarsAbout", "measured_about", "of_product_about"]

Floats = NDArray[np.float64]
Band = tuple[str, str]

#: X and Y of a catalogue are the 0-based numpy index plus this, pixels.
_PIXEL_OFFSET = 0.5
#: The only extension and chip of a reference that was split.
_EXTENSION, _CHIP = 0, 1
#: Lists of these have numbers of their own: their photon noise is not that of the asset's lists.
_FIRST_LIST = 1_000_000
_STAGE = "stars_about_a_place"


@dataclass(frozen=True, eq=False)
class BandStars:
    """Artificial stars in one band.

    Attributes
    ----------
    true_ab_mag : ndarray, shape (n,)
        AB magnitudes put in.
    recovered : ndarray of bool, shape (n,)
        Which were found and passed the cuts.
    """

    true_ab_mag: Floats
    recovered: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class StarsAbout:
    """Artificial stars about a place.

    Attributes
    ----------
    bands : mapping of BandStars
        By detector and filter.
    origin : str
        Where they are from.
    """

    bands: Mapping[Band, BandStars]
    origin: str


@dataclass(frozen=True, eq=False)
class _Bands:
    """The bands of a catalogue in the order of its lists of artificial stars."""

    of_catalog: tuple[CatalogBand, ...]
    detectors: Mapping[str, str]

    @classmethod
    def of(cls, catalog: Path) -> _Bands:
        columns = catalog_columns(catalog)
        info = read_run_info(beside(catalog, ".info"))
        return cls(in_order_of_lists(bands_of(columns), None), detectors_of_bands(columns, info))

    def named(self) -> Iterator[tuple[CatalogBand, Band]]:
        """Each band with its detector and filter; those without a detector are left out."""
        for band in self.of_catalog:
            if band.name in self.detectors:
                yield band, (self.detectors[band.name], band.filter_name)


def of_product_about(
    workdir: WorkDir,
    settings: Settings,
    place: Place,
    *,
    n_stars: int,
    within_arcsec: float,
) -> StarsAbout | None:
    """The stars of the asset `artificial_stars` about a place; None if they are too few.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    settings : Settings
        Section dolphot (the name of the catalogue).
    place : Place
        Where.
    n_stars : int
        So many are needed.
    within_arcsec : float
        Radius about the place.
    """
    catalog = workdir.dolphot_catalog(settings.dolphot.base)
    record, chunk = read_record(catalog), read_record(workdir.artificial_chunk(1))
    if record is None or chunk is None or not workdir.artificial_stars.is_file():
        return None
    if chunk.recipe.get("inputs", {}).get("dolphot_catalog") != record.digest:
        return None  # of another catalogue
    table = QTable.read(workdir.artificial_stars)
    wcs = reference_wcs(read_input_images(workdir))
    x, y = places_of(np.array([place.ra_deg]), np.array([place.dec_deg]), wcs)
    distance = np.hypot(
        table["x"].value - _PIXEL_OFFSET - x[0], table["y"].value - _PIXEL_OFFSET - y[0]
    )
    near = distance * pixel_scale_arcsec(wcs) <= within_arcsec
    if np.count_nonzero(near & np.asarray(table["mentioned"])) < n_stars:
        return None
    found = _by_band(table[near], _Bands.of(catalog))
    return StarsAbout(found, "stars of the asset artificial_stars")


def measured_about(
    workdir: WorkDir,
    settings: Settings,
    place: Place,
    middle_ab_mag: Mapping[Band, float],
    *,
    n_stars: int,
    within_arcsec: float,
    range_mag: tuple[float, float],
) -> StarsAbout:
    """Put stars about a place, and measure them with the embedded photometer.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue by the embedded photometer must exist.
    settings : Settings
        Sections artificial_stars, quality_cuts, dolphot, dolphot_inputs, embedded and machine.
    place : Place
        Where.
    middle_ab_mag : mapping of float
        By detector and filter: about which magnitude; bands without one, or with one that is not
        finite, get the mean of the others.
    n_stars : int
        How many.
    within_arcsec : float
        Radius about the place.
    range_mag : tuple of float
        How far they go to the bright and to the faint side.

    Raises
    ------
    MissingProduct
        If the catalogue is not the embedded photometer's.
    UnusableInput
        If the catalogue has no filter, or no band a magnitude.
    MachineFailure
        If a child process did not get to its end.
    """
    if kept_of_catalog(workdir, settings) is None:
        raise MissingProduct(
            "the catalogue is DOLPHOT's: no stars are put in for one place",
            where=workdir.dolphot_inputs,
            next_step='Materialize artificial_stars with artificial_stars.positions = "target"',
        )
    catalog = workdir.dolphot_catalog(settings.dolphot.base)
    known = {band: mag for band, mag in middle_ab_mag.items() if np.isfinite(mag)}
    if not known:
        raise UnusableInput(
            f"no band tells about which magnitude stars are to be put in at {place.name}",
            where=catalog,
        )
    bands = _Bands.of(catalog)
    if not bands.of_catalog or not all(band.filter_name for band in bands.of_catalog):
        raise UnusableInput("the catalogue has images of no filter", where=catalog)
    drawn = _drawn(workdir, settings, bands, place, known, n_stars, within_arcsec, range_mag)
    lists = _measured(workdir, settings, catalog, drawn)
    table = recovery_table(
        lists, cuts_of(settings.quality_cuts), bands.detectors, settings.artificial_stars
    )
    return StarsAbout(_by_band(table, bands), "stars put in about the place")


def _drawn(
    workdir: WorkDir,
    settings: Settings,
    bands: _Bands,
    place: Place,
    middle_ab_mag: Mapping[Band, float],
    n_stars: int,
    within_arcsec: float,
    range_mag: tuple[float, float],
) -> StarsPutIn:
    """Stars evenly strewn over the circle and over the range of magnitudes."""
    rng = np.random.default_rng([settings.artificial_stars.seed, _FIRST_LIST, place.source])
    wcs = reference_wcs(read_input_images(workdir))
    x, y = places_of(np.array([place.ra_deg]), np.array([place.dec_deg]), wcs)
    radius = within_arcsec / pixel_scale_arcsec(wcs) * np.sqrt(rng.random(n_stars))
    angle = 2 * np.pi * rng.random(n_stars)
    apart = rng.uniform(-range_mag[0], range_mag[1], n_stars)
    usual = float(np.mean(list(middle_ab_mag.values())))
    columns = []
    for band in bands.of_catalog:
        detector = bands.detectors.get(band.name, "")
        middle = middle_ab_mag.get((detector, band.filter_name), usual)
        vega = vega_band(detector, band.filter_name).ab_mag() if detector else 0.0
        columns.append(np.round(middle - vega + apart, 3))
    extension, chip = (np.full(n_stars, value, np.int32) for value in (_EXTENSION, _CHIP))
    return StarsPutIn(
        extension,
        chip,
        np.round(x[0] + _PIXEL_OFFSET + radius * np.cos(angle), 2),
        np.round(y[0] + _PIXEL_OFFSET + radius * np.sin(angle), 2),
        np.column_stack(columns),
        tuple(band.name for band in bands.of_catalog),
    )


def _measured(
    workdir: WorkDir, settings: Settings, catalog: Path, stars: StarsPutIn
) -> list[tuple[int, StarsPutIn, ArtificialStars]]:
    """The stars in as many lists as there are cores, with what became of them."""
    photometer = Embedded(catalog, workdir, settings)
    parts = [
        part for part in np.array_split(np.arange(len(stars)), photometer.at_a_time) if len(part)
    ]
    columns = catalog_columns(catalog)
    with workdir.scratch(_STAGE) as scratch:
        chunks = {
            _FIRST_LIST + at: Chunk(
                scratch / f"{at}.fake", _FIRST_LIST + at, len(part), Recipe(photometer.stage)
            )
            for at, part in enumerate(parts)
        }
        draw: Callable[[Chunk], StarsPutIn] = lambda chunk: _of(  # noqa: E731
            stars, parts[chunk.number - _FIRST_LIST]
        )
        found = []
        for chunk, outcome in measure_chunks(photometer, draw, list(chunks.values())):
            if isinstance(outcome, HstAssetsError):
                raise outcome
            outcome()
            put_in = read_stars_put_in(list_beside(chunk.path), stars.labels)
            found.append((chunk.number, put_in, read_artificial_stars(chunk.path, columns=columns)))
    return found


def _of(stars: StarsPutIn, rows: NDArray[np.int64]) -> StarsPutIn:
    return StarsPutIn(
        stars.extension[rows],
        stars.chip[rows],
        stars.x[rows],
        stars.y[rows],
        stars.brightness[rows],
        stars.labels,
    )


def _by_band(table: QTable, bands: _Bands) -> dict[Band, BandStars]:
    """Those of the stars that are on an image."""
    on_image = np.asarray(table["mentioned"])
    found = {}
    for band, key in bands.named():
        try:
            vega = vega_band(*key).ab_mag()
        except UnusableInput:
            continue
        stem = band.name.lower()
        true = np.asarray(table[f"{stem}_true"].value)[on_image] + vega
        found[key] = BandStars(true, np.asarray(table[f"{stem}_recovered"])[on_image])
    return found
