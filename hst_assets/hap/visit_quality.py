"""HAP's own tests of a visit's quality, as an asset: JSON files, and what came of each test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hst_assets.failures import HstAssetsError, MissingProduct
from hst_assets.hap import pieces
from hst_assets.hap.catalogs import TotalCatalogs, cataloged_totals
from hst_assets.hap.objects import PARAMETERS
from hst_assets.hap.pieces import CATALOG_KINDS
from hst_assets.hap.planned_visit import VisitPlan, read_plan
from hst_assets.hap.product_tree import FilterNode, TotalNode
from hst_assets.hap.visit_work import TOOLS, Listener, VisitWork
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["QUALITY_COLUMNS", "make_hap_quality"]

QUALITY_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("test", "str", "Test of drizzlepac's svm_quality_analysis"),
    ColumnSpec("outcome", "str", "done, or: not checked, and why"),
)
_DONE = "done"
#: The archive that a comparison needs is found by these variables.
_ARCHIVE = ("HLA_CLASSIC_BASEPATH", "HLA_BUILD_VER")


def make_hap_quality(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Run HAP's tests of quality on the products of a visit.

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
        Product: the table ``hap/<visit>/quality.ecsv`` (`QUALITY_COLUMNS`), beside which the JSON
        files of the tests lie.

    Raises
    ------
    MissingProduct
        If the visit is not planned, or has no catalogue.
    ToolFailed
        If the tests could not run at all.
    """
    work = VisitWork(workdir, visit, settings, progress)
    plan = read_plan(workdir, visit)
    parts = cataloged_totals(work, plan)
    records = [(part, read_record(part.path)) for part in parts]
    recipe = Recipe(
        stage="hap_quality",
        inputs={part.total.basename: record.digest for part, record in records if record},
        settings={
            "catalogue_service": _host(os.environ.get("ASTROMETRIC_CATALOG_URL", "")),
            "legacy_archive": {name: os.environ.get(name, "") for name in _ARCHIVE},
        },
        defaults={"catalogue_service": "", "legacy_archive": dict.fromkeys(_ARCHIVE, "")},
        tools=TOOLS,
    )
    product = workdir.hap_quality(visit)
    return make(recipe, product, workdir, lambda: _tested(work, plan, parts), redo=redo)


def _host(service: str) -> str:
    return urlsplit(service).hostname or service


def _tested(work: VisitWork, plan: VisitPlan, parts: Sequence[TotalCatalogs]) -> Result:
    product = work.workdir.hap_quality(work.visit)
    meta = {"target": work.workdir.target, "visit": work.visit}
    if not plan.drizzled:
        write_table(build_table(QUALITY_COLUMNS, [], meta), product)
        return Result((product,), {"tests": [], "note": "no exposure of the visit is drizzled"})
    there = [
        _Cataloged(part, record, work)
        for part in parts
        if (record := read_record(part.path)) is not None
    ]
    if not there:
        raise MissingProduct(
            "there are no catalogues",
            where=work.visit,
            next_step="Materialize hap_point_catalogs first; see there why they failed",
        )
    with work.working("quality", _reads(there, work)) as folder:
        piece = pieces.quality_piece(
            {each.number: each.part.total for each in there},
            [name for each in there for name in each.catalogs],
            {"log_level": work.log_level},
            {each.number: each.measured for each in there},
        )
        (left,) = work.run([piece], folder, done=0.0)
        if isinstance(left, HstAssetsError):
            raise left
        files = work.published(folder, left.files)
    rows = [{"test": test, "outcome": outcome} for test, outcome in left.value.items()]
    write_table(build_table(QUALITY_COLUMNS, rows, meta), product)
    return Result((product, *files), {"tests": rows, "files": [path.name for path in files]})


@dataclass(frozen=True)
class _Cataloged:
    """A detector that has catalogues."""

    part: TotalCatalogs
    record: Record
    work: VisitWork

    @property
    def number(self) -> int:
        return self.part.image.aligned.number

    @property
    def measured(self) -> list[int]:
        """The filters that have catalogues."""
        return [int(index) for index in self.record.facts["measured"]]

    @property
    def filters(self) -> list[FilterNode]:
        return [self.part.total.drizzled_filters[index] for index in self.measured]

    @property
    def catalogs(self) -> list[str]:
        nodes: list[FilterNode | TotalNode] = [self.part.total, *self.filters]
        kinds = CATALOG_KINDS[self.work.settings.hap.photometry]
        return [node.catalog_file(kind) for node in nodes for kind in kinds]


def _reads(there: Sequence[_Cataloged], work: VisitWork) -> list[Path]:
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
