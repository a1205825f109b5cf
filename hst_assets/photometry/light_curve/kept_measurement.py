"""The measurement whose PSFs, shifts, sky and stars a light curve is measured with.

If the embedded photometer made the catalogue, this measurement lies beside it. DOLPHOT keeps
nothing with which fluxes at given places could be measured: then the embedded photometer first
measures the surroundings of the places, which is a product of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hst_assets.detectors import DETECTORS
from hst_assets.digests import digest_of, sha256_of_file
from hst_assets.failures import MissingProduct, NoOverlap, UnusableInput
from hst_assets.photometry.dolphot.input_images import check_images, read_input_images
from hst_assets.photometry.light_curve.measured_places import reference_wcs
from hst_assets.photometry.light_curve.points import Place
from hst_assets.photometry.psf.catalog_run import KEPT, STAGE, measure_chips
from hst_assets.photometry.psf.chips_in import ChipFile, open_images
from hst_assets.photometry.psf.first_psfs import grids_of_settings
from hst_assets.photometry.psf.forced import places_of
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.photometry.psf.tiles import Box
from hst_assets.provenance import Made, Recipe, Result, make, read_record
from hst_assets.settings import Settings
from hst_assets.sky_geometry import pixel_scale_arcsec
from hst_assets.workdir import WorkDir

__all__ = [
    "SURROUNDINGS_STAGE",
    "kept_measurement",
    "kept_of_catalog",
    "make_surroundings",
    "pixels_arcsec",
]

logger = logging.getLogger(__name__)

#: Stage name in the record of the surroundings.
SURROUNDINGS_STAGE = "surroundings"
#: So far about the places stars are measured: room for those that make PSFs, shifts and aperture
#: corrections.
_REACH_ARCSEC = 20.0
_TOOLS = ("astropy", "numba", "numpy", "photutils", "scipy")
#: Places are told apart to 4 microarcseconds.
_DECIMALS_DEG = 9
_DIGITS = 12


def kept_of_catalog(workdir: WorkDir, settings: Settings) -> Path | None:
    """What the embedded photometer kept of the catalogue's measurement; None of DOLPHOT's.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue must exist.
    settings : Settings
        Section dolphot (the name of the catalogue).

    Raises
    ------
    MissingProduct
        If there is no catalogue.
    """
    catalog = workdir.dolphot_catalog(settings.dolphot.base)
    record = read_record(catalog)
    if record is None:
        raise MissingProduct(
            "there is no catalogue yet", where=catalog, next_step="Materialize dolphot_catalog"
        )
    if record.recipe.get("stage") != STAGE:
        return None
    return catalog.with_name(f"{catalog.name}{KEPT}")


def kept_measurement(workdir: WorkDir, settings: Settings, places: Sequence[Place]) -> Path:
    """A measurement with which fluxes at places can be measured, made if need be.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue must exist.
    settings : Settings
        Sections dolphot, dolphot_inputs, embedded and machine.
    places : sequence of Place
        Where.

    Raises
    ------
    HstAssetsError
        As of `make_surroundings`.
    """
    kept = kept_of_catalog(workdir, settings)
    if kept is None:
        make_surroundings(workdir, settings, places)
        kept = workdir.surroundings(_label(places))
    return kept


def make_surroundings(
    workdir: WorkDir, settings: Settings, places: Sequence[Place], *, redo: bool = False
) -> Made:
    """Measure the surroundings of places with the embedded photometer.

    Parameters
    ----------
    workdir : WorkDir
        The target's; ``dolphot/inputs.ecsv``, what it lists and the aligned exposures must exist.
    settings : Settings
        Sections embedded, dolphot_inputs and machine.
    places : sequence of Place
        Their surroundings are one rectangle, 20 arcsec larger than they need.
    redo : bool, optional
        Make again what is up to date, too.

    Returns
    -------
    Made
        Product: ``light_curve/surroundings_*.psf.h5``, named by the places. Facts: how many stars
        and images it is of.

    Raises
    ------
    MissingProduct
        If the inputs or an aligned exposure are not there.
    BadConfiguration
        If a grid of PSFs that the settings name is not there.
    NoOverlap
        If no chip covers the places.
    UnusableInput
        If an input or a grid is damaged, or no star was found.
    HstAssetsError
        The first failure of a tile.
    """
    inputs = read_record(workdir.dolphot_inputs)
    if inputs is None:
        raise MissingProduct(
            "the inputs of the photometry have no record: they were not finished",
            where=workdir.dolphot_inputs,
            next_step="Materialize dolphot_inputs first",
        )
    grids = grids_of_settings(workdir, settings)
    detectors = {image.detector.key: image.detector for image in read_input_images(workdir)}
    recipe = Recipe(
        stage=SURROUNDINGS_STAGE,
        inputs={
            "dolphot_inputs": inputs.digest,
            **{f"psf grid {name}": sha256_of_file(path) for name, path in grids.items()},
        },
        settings={
            "embedded": settings.embedded.as_recipe(),
            "places": _on_sky(places),
        },
        defaults={"embedded": Settings().embedded.as_recipe()},
        detectors=tuple(detectors.values()),
        tools=_TOOLS,
    )
    path = workdir.surroundings(_label(places))
    return make(
        recipe, path, workdir, lambda: _measured(workdir, settings, places, path), redo=redo
    )


def _on_sky(places: Sequence[Place]) -> list[list[float]]:
    return sorted(
        [round(place.ra_deg, _DECIMALS_DEG), round(place.dec_deg, _DECIMALS_DEG)]
        for place in places
    )


def _label(places: Sequence[Place]) -> str:
    """Other places have other surroundings: each set has a file of its own."""
    return digest_of(_on_sky(places))[:_DIGITS]


def _measured(workdir: WorkDir, settings: Settings, places: Sequence[Place], path: Path) -> Result:
    images = read_input_images(workdir)
    check_images(images, with_wcs=False)
    box = _box_about(workdir, places)
    whole = open_images(workdir, images, settings.dolphot_inputs)
    chips = [part for chip in whole if (part := _within(chip, box)) is not None]
    if not chips:
        raise NoOverlap("no chip covers the places", where=workdir.dolphot_inputs)
    logger.info("measuring the surroundings of %d places on %d chips", len(places), len(chips))
    with workdir.scratch(SURROUNDINGS_STAGE) as folder:
        stars = measure_chips(chips, workdir, settings, folder=folder.absolute())
    if stars.kept is None:
        raise UnusableInput("the measurement kept nothing", where=workdir.dolphot_inputs)
    path.parent.mkdir(exist_ok=True)
    stars.kept.save(path)
    facts = {"n_stars": len(stars), "n_images": len(chips), "remarks": list(stars.remarks)}
    return Result((path,), facts)


def _box_about(workdir: WorkDir, places: Sequence[Place]) -> Box:
    """The rectangle of the reference about all places on its sky, with their surroundings."""
    wcs = reference_wcs(read_input_images(workdir))
    x, y = places_of(
        np.array([place.ra_deg for place in places]),
        np.array([place.dec_deg for place in places]),
        wcs,
    )
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise NoOverlap("no exposure covers the place", where=workdir.dolphot_inputs)
    x, y = x[known], y[known]
    reach = _REACH_ARCSEC / pixel_scale_arcsec(wcs)
    return (
        float(x.min() - reach),
        float(x.max() + reach),
        float(y.min() - reach),
        float(y.max() + reach),
    )


def _within(chip: ChipFile, box: Box) -> ChipFile | None:
    """A chip of which as much is measured as lies in a box; None if nothing does."""
    x_first, x_last = max(chip.box[0], box[0]), min(chip.box[1], box[1])
    y_first, y_last = max(chip.box[2], box[2]), min(chip.box[3], box[3])
    if x_last <= x_first or y_last <= y_first:
        return None
    return replace(chip, box=(x_first, x_last, y_first, y_last))


def pixels_arcsec(measurement: MeasurementFile) -> list[float]:
    """Sides of a pixel of the detectors that a measurement is of."""
    keys = {image.psf_key.partition(" ")[0] for image in measurement.images}
    return sorted(DETECTORS[key].pixel_scale_arcsec for key in keys)
