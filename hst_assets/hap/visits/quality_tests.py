"""HAP's own tests of a visit's quality, as an asset: JSON files, and the verdict on each kind.

The comparison with the Hubble Legacy Archive is an asset of its own
(`hst_assets.hap.visits.hla_comparison`); what it left is judged here with the others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hst_assets.failures import HstAssetsError, MissingProduct
from hst_assets.hap import pieces
from hst_assets.hap.objects import PARAMETERS
from hst_assets.hap.pieces import CATALOG_KINDS
from hst_assets.hap.product_tree import FilterNode, TotalNode
from hst_assets.hap.quality.verdicts import KindOfQuality, QualityReport, quality_of
from hst_assets.hap.switches import CATALOGUE_SERVICE, catalogue_service
from hst_assets.hap.visits.catalogs import TotalCatalogs, cataloged_totals
from hst_assets.hap.visits.planned import VisitPlan, read_plan
from hst_assets.hap.visits.work import TOOLS, Listener, VisitWork
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record, standing_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["QUALITY_COLUMNS", "CatalogedDetector", "cataloged_detectors", "make_hap_quality"]

QUALITY_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("kind", "str", "Kind of test, as drizzlepac's file names have it"),
    ColumnSpec("compared", "str", "What it compares"),
    ColumnSpec("verdict", "str", "good, doubtful, or not checked"),
    ColumnSpec("reason", "str", "Why, of the worst product"),
    ColumnSpec("numbers", "str", "What was measured of each product (JSON)"),
    ColumnSpec("test", "str", "Whether the test ran: done, or not checked, and why"),
)
_DONE = "done"
#: The argument of drizzlepac's ``run_quality_analysis`` that asks for each kind.
_TEST_OF: Mapping[str, str] = {
    "num_sources": "compare_num_sources",
    "gaia_sources": "find_gaia_sources",
    "gaia_distribution": "characterize_gaia_distribution",
    "point_segment_crossmatch": "compare_ra_dec_crossmatches",
    "interfilter_crossmatch": "compare_interfilter_crossmatches",
    "wcs": "report_wcs",
    "photometry": "compare_photometry",
}
_OF_THE_ARCHIVE = "compare_sourcelists"
_COMPARISON = "hap_hla_comparison"
_SEEN = f"see {_COMPARISON}"


def make_hap_quality(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Run HAP's tests of quality on the products of a visit, and judge what they measured.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's catalogues must exist.
    visit : str
        The visit.
    settings : Settings
        Sections hap and machine.
    redo : bool, optional
        Test again what is up to date, too.
    progress : callable, optional
        Told what is done.

    Returns
    -------
    Made
        Product: the table ``hap/<visit>/quality.ecsv`` (`QUALITY_COLUMNS`), one row a kind of test,
        beside which the JSON files lie. Facts: ``verdicts``; ``tests``, what came of each;
        ``not_tested``, detectors and filters without catalogues.

    Raises
    ------
    MissingProduct
        If the visit is not planned, or has no catalogue.
    ToolFailed
        If the tests could not run at all.
    TransientFailure
        If the service of the catalogue of stars did not answer.
    """
    work = VisitWork(workdir, visit, settings, progress)
    plan = read_plan(workdir, visit)
    there = cataloged_detectors(work, plan)
    not_tested = _not_tested(plan, there)
    compared, comparison = _comparison(work, there)
    recipe = Recipe(
        stage="hap_quality",
        inputs={
            **{each.part.total.basename: each.record.digest for each in there},
            **({_COMPARISON: compared.digest} if compared else {}),
        },
        settings={
            "catalogue_service": catalogue_service(os.environ),
            "not_tested": not_tested,
        },
        defaults={"catalogue_service": CATALOGUE_SERVICE, "not_tested": []},
        tools=TOOLS,
    )

    def run() -> Result:
        result = _tested(work, plan, there, comparison)
        return replace(result, facts={**result.facts, "not_tested": not_tested})

    return make(recipe, workdir.hap_quality(visit), workdir, run, redo=redo)


def _comparison(work: VisitWork, there: Sequence[CatalogedDetector]) -> tuple[Record | None, str]:
    """The comparison with the Legacy Archive, if it is one of these catalogues; and what came."""
    record = read_record(work.workdir.hap_hla_comparison(work.visit))
    if record is None:
        return None, f"not checked: {_COMPARISON} is not made"
    if not {each.record.digest for each in there} <= record.inputs:
        return None, f"not checked: {_COMPARISON} is older than the catalogues"
    return record, _SEEN


def _not_tested(plan: VisitPlan, there: Sequence[CatalogedDetector]) -> list[str]:
    """Detectors and filters that have no catalogues to test."""
    measured = {each.number: each.measured for each in there}
    told = []
    for number, total in plan.drizzled.items():
        if number not in measured:
            told.append(f"{total.detector}: it has no catalogues")
            continue
        told += [
            f"{total.detector} {node.filter}: it has no catalogues"
            for index, node in enumerate(total.drizzled_filters)
            if index not in measured[number]
        ]
    return told


def _tested(
    work: VisitWork, plan: VisitPlan, there: Sequence[CatalogedDetector], comparison: str
) -> Result:
    product = work.workdir.hap_quality(work.visit)
    meta = {"target": work.workdir.target, "visit": work.visit}
    _remove_former(work.workdir.hap_visit(work.visit))
    if not plan.drizzled:
        write_table(build_table(QUALITY_COLUMNS, [], meta), product)
        note = "no exposure of the visit is drizzled"
        return Result((product,), {"verdicts": [], "tests": [], "note": note})
    if not there:
        raise MissingProduct(
            "there are no catalogues",
            where=work.visit,
            next_step="Materialize hap_point_catalogs first; see there why they failed",
        )
    outcomes, files = _measured(work, there)
    report = quality_of(work.workdir.hap_visit(work.visit))
    rows = _rows(report, {**outcomes, _OF_THE_ARCHIVE: comparison})
    write_table(build_table(QUALITY_COLUMNS, rows, meta), product)
    facts = {
        "verdicts": [{name: row[name] for name in ("kind", "verdict", "reason")} for row in rows],
        "tests": [{"test": test, "outcome": outcome} for test, outcome in outcomes.items()],
        "files": [path.name for path in files],
    }
    return Result((product, *files), facts)


def _remove_former(folder: Path) -> None:
    """Files of earlier tests: one that leaves none now must not be judged by them."""
    for path in folder.glob("*_svm_*.json"):
        if not path.stem.endswith(_OF_THE_ARCHIVE):
            path.unlink()


def _measured(
    work: VisitWork, there: Sequence[CatalogedDetector]
) -> tuple[dict[str, str], tuple[Path, ...]]:
    """What came of each test, and the files that they left."""
    with work.working("quality", _reads(there, work)) as folder:
        piece = pieces.quality_piece(
            {each.number: each.part.total for each in there},
            [name for each in there for name in each.catalogs],
            {"log_level": work.log_level, "awaits_answer": True},
            {each.number: each.measured for each in there},
        )
        (left,) = work.run([piece], folder, done=0.0)
        if isinstance(left, HstAssetsError):
            raise left
        return left.value, work.published(folder, left.files)


def _rows(report: QualityReport, outcomes: Mapping[str, str]) -> list[dict[str, str]]:
    rows = []
    for found in report.kinds.values():
        test = outcomes[_TEST_OF.get(found.name, found.name)]
        # Files that lie there are those of another comparison.
        is_other = found.name == _OF_THE_ARCHIVE and test != _SEEN
        none = KindOfQuality(found.name, found.title, (), "these catalogues are not compared")
        kind = none if is_other else found
        failed = kind.verdict == "not checked" and test != _DONE
        rows.append(
            {
                "kind": kind.name,
                "compared": kind.title,
                "verdict": kind.verdict,
                "reason": f"{kind.sentence}; the test: {test}" if failed else kind.sentence,
                "numbers": json.dumps(dict(kind.numbers)),
                "test": test,
            }
        )
    return rows


def cataloged_detectors(work: VisitWork, plan: VisitPlan) -> list[CatalogedDetector]:
    """The detectors of a visit whose catalogues are there, and those of today's images.

    Parameters
    ----------
    work : VisitWork
        The visit.
    plan : VisitPlan
        Its plan.
    """
    return [
        CatalogedDetector(part, record, work)
        for part in cataloged_totals(work, plan)
        if (record := standing_record(part.recipe, part.path, work.workdir)) is not None
    ]


@dataclass(frozen=True)
class CatalogedDetector:
    """A detector that has catalogues.

    Attributes
    ----------
    part : TotalCatalogs
        What they were to be.
    record : Record
        What they are.
    work : VisitWork
        The visit.
    """

    part: TotalCatalogs
    record: Record
    work: VisitWork

    @property
    def number(self) -> int:
        """Of the total product."""
        return self.part.image.aligned.number

    @property
    def measured(self) -> list[int]:
        """The filters that have catalogues."""
        return [int(index) for index in self.record.facts["measured"]]

    @property
    def filters(self) -> list[FilterNode]:
        """What those filters are."""
        return [self.part.total.drizzled_filters[index] for index in self.measured]

    @property
    def catalogs(self) -> list[str]:
        """Names of the catalogues."""
        nodes: list[FilterNode | TotalNode] = [self.part.total, *self.filters]
        kinds = CATALOG_KINDS[self.work.settings.hap.photometry]
        return [node.catalog_file(kind) for node in nodes for kind in kinds]


def _reads(there: Sequence[CatalogedDetector], work: VisitWork) -> list[Path]:
    reads = [work.place(PARAMETERS)]
    for each in there:
        reads += [work.place(name) for name in each.catalogs]
        reads += [work.state("drizzled", each.number), each.part.image.path]
        reads += [work.state("filter", each.number, index) for index in each.measured]
        for node in each.filters:
            reads.append(work.place(node.drizzled_file))
            for one in node.exposures:
                reads += [work.place(one.drizzled_file), work.place(one.exposure_file)]
                reads.append(work.exposure_folder / one.source.file)
    return reads
