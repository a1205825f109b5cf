"""The catalogues of a visit: sources found on the total image, measured in each filter.

Point sources and segments of a detector are found and measured in one go, as drizzlepac does it: if
most of either kind are cosmic rays, both catalogues are emptied. Each of the two assets lists its
own kind. A filter that cannot be measured has no catalogues; those of the total image have the
other filters.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from astropy.table import Table

from hst_assets.failures import HstAssetsError, MissingProduct, may_work_again
from hst_assets.hap import pieces
from hst_assets.hap.objects import PARAMETERS, STATE_SUFFIX
from hst_assets.hap.piece_runs import VisitFolder
from hst_assets.hap.pieces import CATALOG_KINDS
from hst_assets.hap.product_tree import FilterNode, TotalNode
from hst_assets.hap.switches import wants_catalogs
from hst_assets.hap.visits.exposure_images import exposure_images
from hst_assets.hap.visits.filter_images import FilterImage
from hst_assets.hap.visits.planned import VisitPlan, read_plan
from hst_assets.hap.visits.total_images import TotalImage, drizzled_totals
from hst_assets.hap.visits.work import TOOLS, Listener, PlannedFile, VisitWork
from hst_assets.products.batch import Batch, Step
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = [
    "CATALOG_COLUMNS",
    "TotalCatalogs",
    "cataloged_totals",
    "make_hap_point_catalogs",
    "make_hap_segment_catalogs",
]

STAGE = "hap_catalog"
Kind = Literal["point", "segment"]

CATALOG_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Catalogue; empty if it could not be made"),
    ColumnSpec("kind", "str", "point, or segment: islands of the segmented image"),
    ColumnSpec("detector", "str", "Detector, as file names have it"),
    ColumnSpec("filter", "str", "HAP's name of the filter; total: all filters"),
    ColumnSpec("n_sources", "int64", "Rows of the catalogue"),
    ColumnSpec("note", "str", "What the number of rows does not tell"),
    ColumnSpec("status", "str", "OK or FAIL"),
    ColumnSpec("reason", "str", "Why it failed"),
)
#: Why a detector has no catalogue.
_NO_FILTER = "what it is made of was not drizzled: see hap_filter_products"


@dataclass(frozen=True)
class TotalCatalogs(PlannedFile):
    """All catalogues of a detector.

    Attributes
    ----------
    path : Path
        What was found and measured, in numbers (JSON); the record lies beside it.
    recipe : Recipe
        What they are made from.
    image : TotalImage
        On which sources are found.
    filters : tuple of FilterImage
        On which they can be measured: those whose exposures have images.
    """

    image: TotalImage
    filters: tuple[FilterImage, ...]

    @property
    def kept(self) -> list[int]:
        """Positions of the filters."""
        return [each.index for each in self.filters]

    @property
    def total(self) -> TotalNode:
        """The total product."""
        return self.image.total


def make_hap_point_catalogs(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Measure sources that are found as points, in apertures; see `make_hap_segment_catalogs`.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's total images and images of exposures must exist.
    visit : str
        The visit.
    settings : Settings
        Sections hap and machine.
    redo : bool, optional
        Measure again what is up to date, too.
    progress : callable, optional
        Told what is done.

    Returns
    -------
    Made
        Product: the table ``hap/<visit>/point_catalogs.ecsv`` (`CATALOG_COLUMNS`).

    Raises
    ------
    MissingProduct
        If the visit is not planned.
    """
    work = VisitWork(workdir, visit, settings, progress)
    return _made(work, "point", workdir.hap_point_catalogs(visit), redo=redo)


def make_hap_segment_catalogs(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Measure sources that are found as segments of the detection image.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's total images and images of exposures must exist.
    visit : str
        The visit.
    settings : Settings
        Sections hap and machine.
    redo : bool, optional
        Measure again what is up to date, too.
    progress : callable, optional
        Told what is done.

    Returns
    -------
    Made
        Product: the table ``hap/<visit>/segment_catalogs.ecsv`` (`CATALOG_COLUMNS`).

    Raises
    ------
    MissingProduct
        If the visit is not planned.
    """
    work = VisitWork(workdir, visit, settings, progress)
    return _made(work, "segment", workdir.hap_segment_catalogs(visit), redo=redo)


def _made(work: VisitWork, kind: Kind, index: Path, *, redo: bool) -> Made:
    plan = read_plan(work.workdir, work.visit)
    is_wanted = kind in CATALOG_KINDS[work.settings.hap.photometry]
    planned = cataloged_totals(work, plan) if is_wanted else []
    lost = _lost(plan, planned) if is_wanted else []
    recipe = Recipe(
        stage=f"hap_{kind}_catalogs",
        inputs={part.total.basename: part.recipe.digest for part in planned},
        settings={
            "hap": {"photometry": work.settings.hap.photometry},
            "lost": [total.basename for total in lost],
        },
        defaults={"hap": {"photometry": "both"}, "lost": []},
    )
    batch = Batch(
        stage=STAGE,
        planned=planned,
        run=partial(_measure, work=work),
        # The other kind's may be of the same record.
        candidates=tuple(work.workdir.hap_pieces(work.visit).glob("catalogs*.json"))
        if is_wanted
        else (),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        rows = [_row(kind, total, node, _NO_FILTER) for total in lost for node in _nodes(total)]
        parts = list(zip(planned, outcomes, strict=True))
        return _index(work, plan, kind, index, parts, rows)

    # Both kinds are made in one go, by whichever asset comes first.
    alone = work.workdir.lock(
        f"hap_catalogs_{work.visit}", wait_s=work.settings.machine.lock_wait_s
    )
    with nullcontext() if work.workdir.looked_at else alone:
        return make_indexed(batch, recipe, index, work.workdir, write, redo=redo)


def _lost(plan: VisitPlan, planned: Sequence[TotalCatalogs]) -> list[TotalNode]:
    """The detectors that are to have catalogues, and have not one filter."""
    numbers = {part.image.aligned.number for part in planned}
    return [
        total
        for number, total in plan.drizzled.items()
        if number not in numbers and wants_catalogs(total.detector, os.environ)
    ]


def _nodes(total: TotalNode) -> list[TotalNode | FilterNode]:
    return [total, *total.drizzled_filters]


def cataloged_totals(work: VisitWork, plan: VisitPlan) -> list[TotalCatalogs]:
    """The detectors whose sources are measured.

    Parameters
    ----------
    work : VisitWork
        The visit.
    plan : VisitPlan
        Its plan.
    """
    exposures: dict[str, str] = {}
    for one in exposure_images(work, plan):
        if (record := one.record()) is not None:
            exposures[one.node.basename] = record.digest
    found = []
    for image in drizzled_totals(work, plan):
        if not wants_catalogs(image.total.detector, os.environ):
            continue
        measurable = tuple(
            each
            for each in image.filters
            if all(one.basename in exposures for one in each.node.exposures)
        )
        path = work.workdir.hap_pieces(work.visit) / f"catalogs{image.aligned.number}.json"
        recipe = _recipe(work, plan, image, measurable, exposures)
        found.append(TotalCatalogs(path, recipe, image, measurable))
    return found


def _recipe(
    work: VisitWork,
    plan: VisitPlan,
    image: TotalImage,
    measurable: Sequence[FilterImage],
    exposures: Mapping[str, str],
) -> Recipe:
    names = [image.total.basename, *(each.node.basename for each in measurable)]
    parts = [
        ("total", image.record()),
        *((each.node.basename, each.record()) for each in measurable),
    ]
    return Recipe(
        stage=STAGE,
        inputs={
            **{name: record.digest for name, record in parts if record is not None},
            **{
                one.basename: exposures[one.basename]
                for each in measurable
                for one in each.node.exposures
            },
        },
        settings={
            "hap": {
                "photometry": work.settings.hap.photometry,
                "diagnostic_mode": work.settings.hap.diagnostic_mode,
            },
            "parameters": plan.changed_for(names, "catalog generation", "quality control"),
        },
        defaults={"hap": {"photometry": "both", "diagnostic_mode": False}, "parameters": {}},
        tools=TOOLS,
    ).known_in(work.workdir)


# ---------------------------------------------------------------------------- the measurement


def _measure(
    due: Sequence[TotalCatalogs], *, work: VisitWork
) -> Iterator[tuple[TotalCatalogs, Step | HstAssetsError]]:
    """Find and measure the sources of detectors, one detector after the other."""
    for part in due:
        if part.image.record() is None or not part.filters:
            yield part, _no_image(part)
            continue
        with work.working("catalogs", _reads(part, work)) as folder:
            try:
                told, names = _cataloged(part, folder, work)
            except HstAssetsError as error:
                yield part, error
                continue
            yield part, partial(_settle, part, told, names, folder, work)


def _no_image(part: TotalCatalogs) -> MissingProduct:
    return MissingProduct(
        "there is no total image, or no filter whose exposures have images",
        where=part.total.detector,
        next_step="Materialize hap_total_products and hap_exposure_products first; see there why "
        "they failed",
    )


def _reads(part: TotalCatalogs, work: VisitWork) -> list[Path]:
    number = part.image.aligned.number
    reads = [work.place(PARAMETERS), work.state("drizzled", number), part.image.path]
    # The model of a star is made from the exposures of all filters.
    reads += [
        work.place(one.exposure_file) for each in part.image.filters for one in each.node.exposures
    ]
    for each in part.filters:
        reads += [work.state("filter", number, each.index), each.path]
        reads += [work.place(one.drizzled_file) for one in each.node.exposures]
    return reads


def _cataloged(
    part: TotalCatalogs, folder: VisitFolder, work: VisitWork
) -> tuple[dict[str, Any], list[str]]:
    """What was found, and the names of the files; a filter that fails for good is left out."""
    number, total, options = part.image.aligned.number, part.total, work.options
    kept = part.kept
    files: list[str] = []
    (detected,) = work.run(
        [pieces.detect_piece(number, total, options, part.image.kept)], folder, done=0.0
    )
    if isinstance(detected, HstAssetsError):
        raise detected
    files += detected.files
    outcomes = work.run(pieces.measure_pieces(number, total, options, kept), folder, done=0.4)
    failed: dict[int, HstAssetsError] = {}
    for index, outcome in zip(kept, outcomes, strict=True):
        if not isinstance(outcome, HstAssetsError):
            files += outcome.files
        elif may_work_again(type(outcome)) or len(kept) == 1:
            raise outcome
        else:
            failed[index] = outcome
    measured = [index for index in kept if index not in failed]
    if not measured:
        raise failed[kept[0]]
    (combined,) = work.run(
        [pieces.combine_piece(number, total, options, measured)], folder, done=0.8
    )
    if isinstance(combined, HstAssetsError):
        raise combined
    files += combined.files
    told = {
        "found": detected.value["found"],
        "without_psf": bool(detected.value["complaint"]),
        "emptied": combined.value["emptied"],
        "measured": measured,
        "failed": {total.drizzled_filters[i].filter: why.brief for i, why in failed.items()},
    }
    return told, list(dict.fromkeys(files))


def _settle(
    part: TotalCatalogs,
    told: dict[str, Any],
    names: Sequence[str],
    folder: VisitFolder,
    work: VisitWork,
) -> Result:
    """Publish the catalogues of a detector, and count their rows."""
    rows = {
        name: len(Table.read(folder.files / name, format="ascii.ecsv"))
        for name in names
        if name.endswith("-cat.ecsv")
    }
    facts = {**told, "rows": rows}
    # Sources and columns of filters are of use to this stage only.
    kept = [name for name in names if not name.endswith(STATE_SUFFIX)]
    outputs = work.published(folder, kept)
    _remove_others(part.total, rows, work)
    with write_atomically(part.path) as file:
        file.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return Result((part.path, *outputs), facts)


def _remove_others(total: TotalNode, made: Collection[str], work: VisitWork) -> None:
    """Delete catalogues of earlier runs, of kinds and filters that this one has not."""
    for node in _nodes(total):
        for kind in CATALOG_KINDS["both"]:
            if node.catalog_file(kind) not in made:
                work.place(node.catalog_file(kind)).unlink(missing_ok=True)


# -------------------------------------------------------------------------------- the index


def _index(
    work: VisitWork,
    plan: VisitPlan,
    kind: Kind,
    index: Path,
    parts: Sequence[tuple[TotalCatalogs, Made | HstAssetsError]],
    lost: Sequence[dict[str, Any]],
) -> Result:
    rows: list[dict[str, Any]] = []
    outputs: list[Path] = []
    for part, outcome in parts:
        nodes = _nodes(part.total)
        if isinstance(outcome, Made):
            rows += [_made_row(kind, part, node, outcome) for node in nodes]
            outputs += outcome.record.paths(work.workdir)
        else:
            rows += [_row(kind, part.total, node, outcome.brief) for node in nodes]
    rows += lost
    meta = {"target": work.workdir.target, "visit": work.visit}
    write_table(build_table(CATALOG_COLUMNS, rows, meta), index)
    made = [row for row in rows if row["status"] == "OK"]
    facts: dict[str, Any] = {
        "n_catalogs": len(made),
        "n_products": len(made),
        "catalogs": [{name: row[name] for name in ("file", "n_sources", "note")} for row in made],
        "empty": [row["file"] for row in made if not row["n_sources"]],
        "notes": sorted({f"{row['detector']}: {row['note']}" for row in made if row["note"]}),
        "failed": [
            f"{row['detector']} {row['filter']}: {row['reason']}" for row in rows if row["reason"]
        ],
    }
    if kind not in CATALOG_KINDS[work.settings.hap.photometry]:
        facts["note"] = f"not wanted: hap.photometry is {work.settings.hap.photometry!r}"
    elif not plan.drizzled:
        facts["note"] = "no exposure of the visit can be drizzled"
    elif not rows:
        facts["note"] = "not wanted: SVM_CATALOG_... is off"
    return Result((index, *dict.fromkeys(outputs)), facts)


def _row(kind: Kind, total: TotalNode, node: TotalNode | FilterNode, reason: str) -> dict[str, Any]:
    """Of a catalogue that is not there."""
    return {
        "file": "",
        "kind": kind,
        "detector": total.detector,
        "filter": _name(node),
        "n_sources": 0,
        "note": "",
        "status": "FAIL",
        "reason": reason,
    }


def _name(node: TotalNode | FilterNode) -> str:
    return node.filter if isinstance(node, FilterNode) else "total"


def _made_row(
    kind: Kind, part: TotalCatalogs, node: TotalNode | FilterNode, outcome: Made
) -> dict[str, Any]:
    name, row = _name(node), _row(kind, part.total, node, "")
    failed = dict(outcome.facts["failed"]) | dict.fromkeys(part.image.lacking, _NO_FILTER)
    failed |= {
        each.node.filter: "an image of its exposures is missing: see hap_exposure_products"
        for each in part.image.filters
        if each.index not in part.kept
    }
    if name in failed:
        return {**row, "reason": failed[name]}
    file = node.catalog_file(kind)
    if file not in outcome.facts["rows"]:
        return {**row, "reason": "drizzlepac left no such catalogue"}
    notes = []
    if outcome.facts["emptied"]:
        notes.append("emptied, what was found is mostly cosmic rays")
    if outcome.facts["without_psf"] and kind == "point":
        notes.append("found without a model of a star")
    if name == "total" and failed:
        notes.append(f"without {', '.join(failed)}")
    n_sources = outcome.facts["rows"][file]
    return {**row, "file": file, "n_sources": n_sources, "note": "; ".join(notes), "status": "OK"}
