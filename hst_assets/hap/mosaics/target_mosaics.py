"""The mosaics of a target as assets: the exposures that its visits have left, and the mosaics.

What the mosaics are made of are the exposures of level 1 as the filters leave them, aligned and
with cosmic rays flagged. A visit whose filter failed lacks those of this filter, and costs no
other visit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.hap.mosaics.layers import mosaic_input, mosaic_layers
from hst_assets.hap.mosaics.mosaic import MOSAIC_COLUMNS, make_mosaics
from hst_assets.hap.visits.filter_images import FilterImage, drizzled_filters
from hst_assets.hap.visits.planned import read_plan
from hst_assets.hap.visits.work import VisitWork
from hst_assets.products.batch import remove_stale
from hst_assets.products.columns import ColumnSpec, build_table, read_table, write_table
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["TARGET_EXPOSURE_COLUMNS", "make_hap_mosaics", "make_hap_target_exposures"]

TARGET_EXPOSURE_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Exposure of level 1, relative to the work directory"),
    ColumnSpec("visit", "str", "Visit"),
    ColumnSpec("detector", "str", "Detector, as file names have it"),
    ColumnSpec("filter", "str", "HAP's name of the filter"),
    ColumnSpec("wcsname", "str", "WCSNAME"),
    ColumnSpec("skycells", "str", "Sky cells that it reaches into, separated by spaces"),
    ColumnSpec("reason", "str", "Why no mosaic can be made of it; empty if one can"),
    ColumnSpec("digest", "str", "SHA-256 of the recipe of its filter's image"),
)


# ------------------------------------------------------------------------------ the exposures


def make_hap_target_exposures(
    workdir: WorkDir, visits: Sequence[str], settings: Settings, *, redo: bool = False
) -> Made:
    """List the exposures that the visits of a target have for mosaics.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    visits : sequence of str
        The visits whose filters are drizzled.
    settings : Settings
        Sections hap and machine, by which the visits' products are known.
    redo : bool, optional
        List again what is up to date, too.

    Returns
    -------
    Made
        Product: the table ``hap/mosaics/exposures.ecsv`` (`TARGET_EXPOSURE_COLUMNS`).

    Raises
    ------
    MissingProduct
        If a visit is not planned, or a file of it is gone.
    """
    found = [
        (visit, *each) for visit in visits for each in _images(VisitWork(workdir, visit, settings))
    ]
    indices = {visit: read_record(workdir.hap_filter_products(visit)) for visit in visits}
    recipe = Recipe(
        stage="hap_target_exposures",
        inputs={
            **{visit: record.digest for visit, record in indices.items() if record is not None},
            **{image.path.name: record.digest for _, image, record in found},
        },
    )
    return make(
        recipe,
        workdir.hap_target_exposures,
        workdir,
        lambda: _listed(workdir, found),
        redo=redo,
    )


def _images(work: VisitWork) -> Iterator[tuple[FilterImage, Record]]:
    """The images of a visit's filters that are made."""
    for image in drizzled_filters(work, read_plan(work.workdir, work.visit)):
        record = image.record()
        if record is not None:
            yield image, record


def _listed(workdir: WorkDir, found: Sequence[tuple[str, FilterImage, Record]]) -> Result:
    rows = [
        _row(workdir, visit, image, record, one.exposure_file)
        for visit, image, record in found
        for one in image.node.exposures
    ]
    table = workdir.hap_target_exposures
    write_table(build_table(TARGET_EXPOSURE_COLUMNS, rows, {"target": workdir.target}), table)
    facts = {
        "n_exposures": len(rows),
        "n_visits": len({row["visit"] for row in rows}),
        "skycells": sorted({name for row in rows for name in row["skycells"].split()}),
        "unusable": [f"{Path(row['file']).name}: {row['reason']}" for row in rows if row["reason"]],
    }
    return Result((table,), facts)


def _row(
    workdir: WorkDir, visit: str, image: FilterImage, record: Record, name: str
) -> dict[str, Any]:
    path = workdir.hap_visit(visit) / name
    row = {
        "file": workdir.relative(path),
        "visit": visit,
        "detector": image.aligned.total.detector,
        "filter": image.node.filter,
        "digest": record.digest,
    }
    try:
        one = mosaic_input(path)
    except UnusableInput as error:
        return {**row, "wcsname": "", "skycells": "", "reason": error.brief}
    return {**row, "wcsname": one.wcs_name, "skycells": " ".join(one.skycells), "reason": ""}


# -------------------------------------------------------------------------------- the mosaics


def make_hap_mosaics(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Make the mosaics of a target, as far as they are not made of the same exposures.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; its table of exposures must exist.
    settings : Settings
        Sections hap and machine.
    redo : bool, optional
        Make again what is up to date, too.

    Returns
    -------
    Made
        Product: ``hap/mosaics/mosaics.ecsv`` (`hst_assets.hap.mosaics.mosaic.MOSAIC_COLUMNS`).
        Facts: ``failed`` layers, exposures ``left_out`` and ``not_aligned``.

    Raises
    ------
    MissingProduct
        If there is no table, or an exposure is gone.
    BadConfiguration
        If the file of parameters cannot be read.
    """
    if read_record(workdir.hap_target_exposures) is None:
        raise MissingProduct(
            "there is no table of the visits' exposures",
            where=workdir.target,
            next_step="Materialize hap_target_exposures first",
        )
    rows = read_table(workdir.hap_target_exposures)
    unusable = {Path(str(row["file"])).name: str(row["reason"]) for row in rows if row["reason"]}
    digests = {
        workdir.absolute(str(row["file"])): str(row["digest"]) for row in rows if not row["reason"]
    }
    given = [mosaic_input(path) for path in digests]
    accepts = settings.hap.accept_a_priori_wcs
    if not mosaic_layers([one for one in given if one.is_aligned or accepts]):
        told = [f"{name}: {why}" for name, why in unusable.items()]
        told += [f"{one.path.name}: in no layer; its WCS is {one.wcs_name}" for one in given]
        return _none(workdir, told, redo=redo)
    return make_mosaics(
        digests,
        folder=workdir.hap_mosaics_folder,
        workdir=workdir,
        settings=settings.hap,
        machine=settings.machine,
        digests=digests,
        unusable=unusable,
        redo=redo,
    ).made


def _none(workdir: WorkDir, left_out: list[str], *, redo: bool) -> Made:
    """An index of nothing, which says why."""
    index = workdir.hap_mosaics

    def write() -> Result:
        layers = tuple(workdir.hap_mosaics_folder.glob("skycell-*/hst_skycell-*_dr?.fits"))
        remove_stale(workdir, layers, [], stage="hap_mosaic")
        write_table(build_table(MOSAIC_COLUMNS, [], {"target": workdir.target}), index)
        note = "no visit has an exposure that a mosaic is made of"
        facts = {"n_products": 0, "failed": [], "left_out": left_out, "not_aligned": []}
        return Result((index,), {**facts, "note": note, "failures": {}})

    recipe = Recipe(stage="hap_mosaics", settings={"left_out": left_out}, defaults={"left_out": []})
    return make(recipe, index, workdir, write, redo=redo)
