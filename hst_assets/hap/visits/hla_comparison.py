"""The comparison of a visit's catalogues with those of the Hubble Legacy Archive, as an asset.

Files of the archive (HLA) are looked for below ``HLA_CLASSIC_BASEPATH``, or in a folder
``hla_classic`` of the target. Their contents are part of the recipe, so that those which come later
are noticed. Without any the asset says why nothing was compared, and is made all the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hst_assets.failures import MissingProduct
from hst_assets.hap.quality.hla_comparison import (
    HlaPair,
    compare_with_hla,
    hla_pairs,
    why_without_hla,
)
from hst_assets.hap.quality.visit_files import drizzled_images
from hst_assets.hap.visits.planned import VisitPlan, read_plan
from hst_assets.hap.visits.quality_tests import CatalogedDetector, cataloged_detectors
from hst_assets.hap.visits.work import TOOLS, Listener, VisitWork
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.provenance import Made, Recipe, Result, make, sha256_of_file
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["COMPARISON_COLUMNS", "make_hap_hla_comparison"]

COMPARISON_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("catalog", "str", "HAP's catalogue of a filter"),
    ColumnSpec("hla_list", "str", "The Legacy Archive's; empty if there is none"),
    ColumnSpec("outcome", "str", "done, or: not checked, and why"),
)
_NO_COUNTERPART = "not checked: the Legacy Archive's files have no such catalogue"
_LEFT = ("*_svm_compare_sourcelists.json", "*_svm_comparison_plots.pdf")


def make_hap_hla_comparison(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Compare the catalogues of a visit with those of the Hubble Legacy Archive.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's catalogues must exist. A folder ``hla_classic`` in it may have
        the archive's files.
    visit : str
        The visit.
    settings : Settings
        Sections hap and machine.
    redo : bool, optional
        Compare again what is up to date, too.
    progress : callable, optional
        Told what is done.

    Returns
    -------
    Made
        Product: the table ``hap/<visit>/hla_comparison.ecsv`` (`COMPARISON_COLUMNS`), beside which
        JSON files and plots lie. Facts: ``skipped``, why nothing was compared.

    Raises
    ------
    MissingProduct
        If the visit is not planned, or has no catalogue.
    """
    work = VisitWork(workdir, visit, settings, progress)
    plan = read_plan(workdir, visit)
    there = cataloged_detectors(work, plan)
    images = drizzled_images(workdir.hap_visit(visit))
    pairs = hla_pairs(images, os.environ, workdir.base)
    why = why_without_hla(os.environ, workdir.base)
    files = {path.name: path for pair in pairs for path in (pair.hla_image, pair.hla_list)}
    recipe = Recipe(
        stage="hap_hla_comparison",
        inputs={
            **{each.part.total.basename: each.record.digest for each in there},
            **{name: sha256_of_file(path) for name, path in files.items()},
        },
        settings={"there_is_a_place": not why},
        defaults={"there_is_a_place": False},
        tools=TOOLS,
    )
    product = workdir.hap_hla_comparison(visit)
    return make(
        recipe, product, workdir, lambda: _compared(work, plan, there, pairs, why), redo=redo
    )


def _compared(
    work: VisitWork,
    plan: VisitPlan,
    there: Sequence[CatalogedDetector],
    pairs: Sequence[HlaPair],
    why: str,
) -> Result:
    folder = work.workdir.hap_visit(work.visit)
    for ending in _LEFT:
        for path in folder.glob(ending):
            path.unlink()
    if plan.drizzled and not there:
        raise MissingProduct(
            "there are no catalogues",
            where=work.visit,
            next_step="Materialize hap_point_catalogs first; see there why they failed",
        )
    outcomes, files = _outcomes(work, pairs) if pairs else ({}, ())
    lists = {pair.catalog.name: pair.hla_list.name for pair in pairs}
    names = [name for each in there for name in each.catalogs if "_total_" not in name]
    rows = [
        {
            "catalog": name,
            "hla_list": lists.get(name, ""),
            "outcome": outcomes.get(name, f"not checked: {why}" if why else _NO_COUNTERPART),
        }
        for name in names
    ]
    product = work.workdir.hap_hla_comparison(work.visit)
    meta = {"target": work.workdir.target, "visit": work.visit}
    write_table(build_table(COMPARISON_COLUMNS, rows, meta), product)
    facts = {
        "n_compared": sum(row["outcome"] == "done" for row in rows),
        "compared": rows,
        "skipped": "" if pairs else why or "the Legacy Archive's files have no such catalogue",
        "files": [path.name for path in files],
    }
    if not plan.drizzled:
        facts["note"] = "no exposure of the visit is drizzled"
    return Result((product, *files), facts)


def _outcomes(
    work: VisitWork, pairs: Sequence[HlaPair]
) -> tuple[Mapping[str, str], tuple[Path, ...]]:
    """What came of each catalogue, and what was left of it."""
    reads = {path for pair in pairs for path in (pair.image.path, pair.catalog)}
    with work.working("hla_comparison", sorted(reads)) as folder:
        found = compare_with_hla(
            folder.files,
            environ=os.environ,
            local=work.workdir.base,
            machine=work.settings.machine,
            log_level=work.log_level,
            log_path=work.log_path("hla_comparison"),
        )
        return found.outcomes, work.published(folder, [path.name for path in found.products])
