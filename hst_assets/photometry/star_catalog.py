"""The catalogue of a target's stars as an asset: measured, read, shown and exported.

The photometer's own files are kept as it wrote them (`hst_assets.photometry.catalog_maker`).
From them, and without touching them, follow the index ``dolphot/catalog.ecsv``, the same catalogue
as HDF5 with RA, Dec, AB and ST magnitudes, a colour-magnitude diagram, and pictures of what is left
when all stars are taken off. A changed cut makes only these again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.detection.image_planes import read_wcs
from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.bands import bands_of, by_wavelength
from hst_assets.photometry.catalog.exports import export_catalog
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands, with_ab_and_st
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.reading import beside, read_catalog
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.catalog_maker import make_catalog
from hst_assets.photometry.diagrams import write_colour_magnitude_diagram
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.quality_cuts import (
    CutResult,
    QualityCuts,
    cuts_of,
    stars_in,
    tally,
)
from hst_assets.photometry.shown_magnitudes import shown_magnitudes
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.products.preview import write_preview
from hst_assets.progress import Progress
from hst_assets.provenance import Made, Recipe, Result, make, why_make
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["CATALOG_COLUMNS", "STAGE", "make_star_catalog"]

STAGE = "star_catalog"

CATALOG_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "The photometer's catalogue, relative to the work directory"),
    ColumnSpec("photometer", "str", "What measured it"),
    ColumnSpec("n_images", "int64", "Images that were measured"),
    ColumnSpec("n_objects", "int64", "Objects in it; no cut is made there"),
    ColumnSpec("n_stars", "int64", "Of them, those that pass the cuts"),
    ColumnSpec("filters", "str", "Filters, with their instrument where two have the same"),
    ColumnSpec("hdf5", "str", "The same catalogue as HDF5; empty if none is wanted"),
)
_TOOLS = ("astropy", "h5py", "numpy")
#: Pictures of residuals that are drawn: of the first image of so many filters.
_MAX_RESIDUALS = 2


@dataclass(frozen=True)
class _Read:
    """A catalogue with what the cuts make of it."""

    catalog: Catalog
    cuts: QualityCuts
    cut: CutResult
    detectors: Mapping[str, str]


def make_star_catalog(
    workdir: WorkDir,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Made:
    """Measure the stars of a target, and make of the catalogue what people look at.

    Parameters
    ----------
    workdir : WorkDir
        The target's; what the photometer reads must exist.
    settings : Settings
        Sections photometry, dolphot, embedded, dolphot_inputs, quality_cuts and machine.
    redo : bool, optional
        Measure again what is up to date, too.
    progress : callable, optional
        Is told how far the run is; by default the log is, now and then.

    Returns
    -------
    Made
        Product: the index ``dolphot/catalog.ecsv`` (see `CATALOG_COLUMNS`).

    Raises
    ------
    MissingTool, MissingProduct, UnusableInput, BadConfiguration, ToolFailed, MachineFailure
        As `hst_assets.photometry.catalog_maker.make_catalog`; `BadConfiguration` also if a limit of
        the cuts is missing.
    """
    measured = make_catalog(workdir, settings, redo=redo, progress=progress)
    path = workdir.dolphot_catalog(settings.dolphot.base)
    recipe = Recipe(
        stage=STAGE,
        inputs={"dolphot_catalog": measured.digest},
        settings={
            "file": path.name,
            "hdf5": settings.photometry.hdf5,
            "quality_cuts": cuts_of(settings.quality_cuts).as_recipe(),
        },
        tools=_TOOLS,
    )
    reasons = why_make(recipe, workdir.star_catalog, workdir, redo=redo)
    if measured.ran and not reasons:
        reasons = measured.reasons
    return make(
        recipe,
        workdir.star_catalog,
        workdir,
        lambda: _shown(path, measured, workdir, settings),
        reasons=reasons,
    )


def _shown(path: Path, measured: Made, workdir: WorkDir, settings: Settings) -> Result:
    facts: dict[str, Any] = {**measured.facts, "file": workdir.relative(path)}
    row = {
        "file": workdir.relative(path),
        "photometer": str(measured.facts["program"]),
        "n_images": int(measured.facts["n_images"]),
        "n_objects": 0,
        "n_stars": 0,
        "filters": "",
        "hdf5": "",
    }
    outputs: list[Path] = []
    hdf5 = path.with_name(f"{path.name}.h5")
    for earlier in (hdf5, _diagram_of(path)):  # of a catalogue that is no more
        earlier.unlink(missing_ok=True)
    # Which image a warning is of stands in its text; the numbers are in the photometer's record.
    facts["warnings"] = [
        {name: warning[name] for name in ("text", "is_problem")}
        for warning in measured.facts["warnings"]
    ]
    if facts["libraries_not_found"] is None:  # not checked: it must not be shown as "none"
        del facts["libraries_not_found"]
    pictures: list[Path] = []
    if not measured.facts["n_stars"]:  # DOLPHOT was told to end before any star (AlignOnly)
        facts["n_objects"] = facts["n_stars"] = 0
    else:
        found = _read(path, settings)
        filters = [band.name for band in bands_of(found.catalog.columns)]
        row |= {
            "n_objects": len(found.catalog),
            "n_stars": int(found.cut.kept.sum()),
            "filters": " ".join(filters),
        }
        if settings.photometry.hdf5:
            whole = with_ab_and_st(_on_the_sky(found.catalog, workdir), found.detectors)
            outputs.append(export_catalog(whole, hdf5, base=path))
            row["hdf5"] = workdir.relative(hdf5)
        zero_points = measured.facts.get("zero_points", [])
        pictures = [
            *_diagram(found, path, zero_points),
            *_residuals(path, _first_of_filters(found.catalog)),
        ]
        facts |= {
            "n_objects": row["n_objects"],
            "n_stars": row["n_stars"],
            "cuts": [
                {name: each[name].item() for name in found.cut.removed.colnames}
                for each in found.cut.removed
            ],
            "filters": [
                {"filter": label, "n_stars": int(good.sum())}
                for label, good in _good_in(found).items()
            ],
        }
    facts["previews"] = [workdir.relative(each) for each in pictures]
    meta = {"target": workdir.target, "cuts": cuts_of(settings.quality_cuts).as_recipe()}
    write_table(build_table(CATALOG_COLUMNS, [row], meta), workdir.star_catalog)
    return Result((workdir.star_catalog, *outputs, *pictures), facts)


def _diagram_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.cmd.png")


def _read(path: Path, settings: Settings) -> _Read:
    catalog = read_catalog(path)
    detectors: Mapping[str, str] = {}
    if beside(path, ".info").is_file():
        detectors = detectors_of_bands(catalog.columns, read_run_info(beside(path, ".info")))
    cuts = cuts_of(settings.quality_cuts)
    return _Read(catalog, cuts, tally(catalog, cuts, detectors), detectors)


def _on_the_sky(catalog: Catalog, workdir: WorkDir) -> Catalog:
    """The catalogue with RA and Dec, by the WCS of the reference on which X and Y were measured."""
    reference, *_ = read_input_images(workdir)
    with fits.open(reference.path) as hdus:
        return catalog.with_positions(read_wcs(hdus[0].header, hdus))


def _good_in(found: _Read) -> dict[str, NDArray[np.bool_]]:
    """Stars of each band."""
    return {
        band.name: stars_in(found.catalog, found.cuts, found.cut, band)
        for band in bands_of(found.catalog.columns)
    }


def _diagram(found: _Read, path: Path, zero_points: Sequence[Mapping[str, Any]]) -> Iterator[Path]:
    """The bluest of the filters against the reddest, where there are two."""
    diagram = _diagram_of(path)
    bands = sorted(
        (band for band in bands_of(found.catalog.columns) if band.filter_name), key=by_wavelength
    )
    if len(bands) < 2:
        return
    names = bands[0].name, bands[-1].name
    blue, red = (
        shown_magnitudes(found.catalog, found.cuts, band, zero_points)
        for band in (bands[0], bands[-1])
    )
    try:
        yield write_colour_magnitude_diagram(
            blue.mag,
            red.mag,
            found.cut.kept,
            diagram,
            names=names,
            systems=(blue.system, red.system),
        )
    except UnusableInput:  # no star is seen in both: there is nothing to draw
        return


def _first_of_filters(catalog: Catalog) -> list[int]:
    """Number of the first image of each filter."""
    first: dict[str, int] = {}
    for image in catalog.columns.images:
        first.setdefault(image.filter_label, image.number)
    return list(first.values())


def _residuals(path: Path, numbers: Iterable[int]) -> Iterator[Path]:
    """What is left when all stars are taken off: pictures of the first of these images."""
    images = [path.with_name(f"{path.name}.{number}.res.fits") for number in numbers]
    for image in [each for each in images if each.is_file()][:_MAX_RESIDUALS]:
        try:
            yield write_preview(image, image.with_suffix(".png"), symmetric=True)
        except UnusableInput:  # no pixel is good
            image.with_suffix(".png").unlink(missing_ok=True)
