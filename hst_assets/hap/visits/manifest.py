"""The list of a visit's products, drizzlepac's manifest, and HAP's return code for it all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hst_assets.digests import digest_of
from hst_assets.hap.pieces import CATALOG_KINDS
from hst_assets.hap.product_tree import FilterNode, TotalNode
from hst_assets.hap.result import ReturnCode
from hst_assets.hap.switches import wants_catalogs
from hst_assets.hap.visits.aligned import aligned_totals
from hst_assets.hap.visits.catalogs import cataloged_totals
from hst_assets.hap.visits.exposure_images import exposure_images
from hst_assets.hap.visits.filter_images import drizzled_filters
from hst_assets.hap.visits.planned import VisitPlan, read_plan
from hst_assets.hap.visits.total_images import drizzled_totals
from hst_assets.hap.visits.work import VisitWork
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record, standing_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["MANIFEST_COLUMNS", "make_hap_manifest"]

MANIFEST_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Name in the visit's folder, drizzlepac's"),
    ColumnSpec("kind", "str", "exposure, headerlet, image, catalogue or log"),
    ColumnSpec("haplevel", "int64", "HAPLEVEL; 0 of what has none"),
    ColumnSpec("made", "bool", "Whether it is there"),
)
#: The tables of a visit's assets, by the names of their paths.
_TABLES = (
    "hap_aligned_exposures",
    "hap_filter_products",
    "hap_exposure_products",
    "hap_total_products",
    "hap_point_catalogs",
    "hap_segment_catalogs",
)


@dataclass(frozen=True)
class _Entry:
    """A product of the visit."""

    file: str
    kind: str
    haplevel: int = 0


def make_hap_manifest(
    workdir: WorkDir, visit: str, settings: Settings, *, redo: bool = False
) -> Made:
    """List the advanced products of a visit, those that could not be made too.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit must be planned.
    visit : str
        The visit.
    settings : Settings
        Section hap.
    redo : bool, optional
        List again what is up to date, too.

    Returns
    -------
    Made
        Product: the table ``hap/<visit>/manifest.ecsv`` (`MANIFEST_COLUMNS`), beside which
        drizzlepac's manifest lies; its facts have the number with which ``runsinglehap`` would
        have ended. What stayed from before a later alignment does not count as made.

    Raises
    ------
    MissingProduct
        If the visit is not planned, or a raw file is gone.
    """
    work = VisitWork(workdir, visit, settings)
    plan = read_plan(workdir, visit)
    records = {name: read_record(getattr(workdir, name)(visit)) for name in ("hap_plan", *_TABLES)}
    there = {name: record for name, record in records.items() if record is not None}
    parts = _parts_of(work, plan)
    recipe = Recipe(
        stage="hap_manifest",
        inputs={
            **{name: record.digest for name, record in there.items()},
            **{name: record.digest for name, record in parts.standing.items()},
        },
        settings={
            "failed": digest_of({name: told for name, told in _failed(there).items() if told}),
            "old": list(parts.old),
            "alignment": digest_of(_of_alignment(there, parts)),
            "without_catalogs": _without_catalogs(plan),
            "hap": {"photometry": settings.hap.photometry},
        },
        defaults={
            "failed": digest_of({}),
            "old": [],
            "without_catalogs": [],
            "hap": {"photometry": "both"},
        },
    )
    product = workdir.hap_manifest(visit)
    return make(recipe, product, workdir, lambda: _written(work, plan, there, parts), redo=redo)


def _failed(there: Mapping[str, Record]) -> dict[str, list[str]]:
    return {
        name: record.facts.get("failed", []) for name, record in there.items() if name != "hap_plan"
    }


def _of_alignment(there: Mapping[str, Record], parts: _Parts) -> dict[str, Any]:
    """What the manifest tells of the alignment: its digest is that of what went in."""
    facts = [record.facts for record in parts.standing.values()]
    headerlets = [each["headerlets"] for each in facts if "headerlets" in each]
    return {"not_fitted": _not_fitted(there), "headerlets": headerlets}


def _not_fitted(there: Mapping[str, Record]) -> list[str]:
    record = there.get("hap_aligned_exposures")
    return list(record.facts["not_fitted"]) if record else []


def _without_catalogs(plan: VisitPlan) -> list[str]:
    return [
        total.detector
        for total in plan.drizzled.values()
        if not wants_catalogs(total.detector, os.environ)
    ]


# ---------------------------------------------------------------------------- what stands


@dataclass(frozen=True)
class _Parts:
    """What was made of a visit.

    Attributes
    ----------
    standing : dict
        Records of what is up to date, and made of what is, by the names of the products.
    old : tuple of str
        Names of the products that have a record, and are not.
    """

    standing: dict[str, Record]
    old: tuple[str, ...]


def _parts_of(work: VisitWork, plan: VisitPlan) -> _Parts:
    """What stands; a table that was not written again lists what is older than what went in."""
    standing: dict[str, Record] = {}
    old = []
    for path, recipe, made_of in _planned(work, plan):
        record = standing_record(recipe, path, work.workdir)
        if record is not None and all(each.name in standing for each in made_of):
            standing[path.name] = record
        elif read_record(path) is not None:
            old.append(path.name)
    return _Parts(standing, tuple(old))


def _planned(work: VisitWork, plan: VisitPlan) -> Iterator[tuple[Path, Recipe, tuple[Path, ...]]]:
    """Each product with its recipe and what it is made of; that comes before it."""
    for aligned in aligned_totals(work, plan):
        yield aligned.path, aligned.recipe, ()
    for image in drizzled_filters(work, plan):
        yield image.path, image.recipe, (image.aligned.path,)
    for one in exposure_images(work, plan):
        yield one.path, one.recipe, (one.of_filter.path,)
    for total in drizzled_totals(work, plan):
        yield total.path, total.recipe, tuple(each.path for each in total.filters)
    for part in cataloged_totals(work, plan):
        exposures = [one for each in part.filters for one in each.node.exposures]
        measured = [work.place(one.drizzled_file) for one in exposures]
        yield part.path, part.recipe, (part.image.path, *measured)


def _written(
    work: VisitWork, plan: VisitPlan, there: Mapping[str, Record], parts: _Parts
) -> Result:
    recorded = {Path(name).name for record in parts.standing.values() for name in record.outputs}
    rows = [
        {
            "file": entry.file,
            "kind": entry.kind,
            "haplevel": entry.haplevel,
            "made": entry.file in recorded and work.place(entry.file).is_file(),
        }
        for entry in _entries(work, plan, parts)
    ]
    made = [row for row in rows if row["made"]]
    text = work.place(_manifest_name(plan))
    with write_atomically(text) as part:
        part.write_text("".join(f"{row['file']}\n" for row in made), encoding="utf-8")
    product = work.workdir.hap_manifest(work.visit)
    meta = {"target": work.workdir.target, "visit": work.visit}
    write_table(build_table(MANIFEST_COLUMNS, rows, meta), product)
    return Result((product, text), _facts(work, plan, rows, there, parts))


def _manifest_name(plan: VisitPlan) -> str:
    if plan.tree is not None:
        return plan.tree.manifest_file
    return f"{plan.poller.removesuffix('_input.out')}_manifest.txt"


def _entries(work: VisitWork, plan: VisitPlan, parts: _Parts) -> Iterator[_Entry]:
    """The products in drizzlepac's order."""
    for part in aligned_totals(work, plan):
        record = parts.standing.get(part.path.name)
        facts = record.facts if record else {"headerlets": [], "beside": []}
        yield from (_Entry(name, "headerlet") for name in facts["headerlets"])
        for name in facts["beside"]:
            is_log = name.endswith("_trl.txt")
            yield _Entry(name, "log") if is_log else _Entry(name, "exposure", 1)
    for total in plan.drizzled.values():
        for each in total.drizzled_filters:
            yield _Entry(each.drizzled_file, "image", each.haplevel)
            yield _Entry(each.trailer_file, "log")
            for one in each.exposures:
                yield _Entry(one.drizzled_file, "image", one.haplevel)
                yield _Entry(one.exposure_file, "exposure", one.haplevel)
                yield _Entry(one.trailer_file, "log")
        yield _Entry(total.drizzled_file, "image", total.haplevel)
        yield _Entry(total.trailer_file, "log")
    for total in plan.drizzled.values():
        if not wants_catalogs(total.detector, os.environ):
            continue
        nodes: list[FilterNode | TotalNode] = [*total.drizzled_filters, total]
        for node in nodes:
            for kind in CATALOG_KINDS[work.settings.hap.photometry]:
                yield _Entry(node.catalog_file(kind), "catalogue", 2)


def _facts(
    work: VisitWork,
    plan: VisitPlan,
    rows: list[dict[str, Any]],
    there: Mapping[str, Record],
    parts: _Parts,
) -> dict[str, Any]:
    lacking = [name for name in _TABLES if name not in there]
    told = [f"{name}: {text}" for name, texts in _failed(there).items() for text in texts]
    told += [f"{name}: not made" for name in lacking if plan.drizzled]
    told += [f"{name}: older than what it is made from" for name in parts.old]
    code = _code(plan, told)
    return {
        "n_products": sum(row["made"] for row in rows),
        "n_lacking": sum(not row["made"] for row in rows),
        "lacking": [row["file"] for row in rows if not row["made"]],
        "return_code": int(code),
        "meaning": code.meaning,
        "problems": told,
        "not_fitted": _not_fitted(there),
        "folder": str(work.workdir.hap_visit(work.visit)),
    }


def _code(plan: VisitPlan, problems: list[str]) -> ReturnCode:
    """The number with which runsinglehap would have ended; it is 0 also without an alignment."""
    if not any(total.exposures for total in plan.totals.values()):
        return ReturnCode.NOTHING_TO_PROCESS
    if any(ReturnCode.HEADERS_FAILED.meaning in text for text in problems):
        return ReturnCode.HEADERS_FAILED
    return ReturnCode.FAILED if problems else ReturnCode.DONE
