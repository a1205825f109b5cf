"""The drizzled images of a visit and of a target, and the tables that list them.

A visit has one drizzled image for each detector and filter; a target has one for each band and
epoch, and one for each band over all epochs. `plan` tells which, `making` makes what does not
stand yet: equal exposures combined in the same way are drizzled once, whatever the products are
called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hst_assets.exposures.table import read_table
from hst_assets.failures import UnusableInput
from hst_assets.imaging.drizzle_batch import make_products, remove_stale
from hst_assets.imaging.drizzle_index import facts_of, row_of, write_index
from hst_assets.imaging.plan import (
    AlignedExposure,
    Product,
    aligned_exposures,
    products_of_visit,
    stacks_of_target,
)
from hst_assets.imaging.regions import by_epoch, by_filter, write_footprints
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["make_stacks", "make_visit_drizzles"]

#: Raised when what an index holds changes.
_CODE_VERSION = "3"
#: Failures that may go away by themselves: tried again the next time.
_RETRIED = {"MissingProduct", "OutOfMemory", "TransientFailure"}


def make_visit_drizzles(
    workdir: WorkDir, visit: str, settings: Settings, *, redo: bool = False
) -> Made:
    """Drizzle the aligned exposures of a visit, one product for each detector and filter.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's exposure table and alignment must stand.
    visit : str
        The visit.
    settings : Settings
        Sections drizzle, target and machine.
    redo : bool, optional
        Drizzle again what stands.

    Returns
    -------
    Made
        Product: the index ``workspace/<visit>_drizzles.ecsv``. A band that fails has a row with
        its reason; the others stand.

    Raises
    ------
    MissingProduct
        If a table is not there.
    UnusableInput
        If exposures of the visit are in use, but none may be drizzled. Where none is in use, the
        index is empty and the products that stood are removed.
    HstAssetsError
        What ended the products, if not a single one could be made.
    """
    table = read_table(workdir.visit_exposures(visit))
    exposures = aligned_exposures(workdir, table, [visit])
    if not exposures and np.any(table["used"]):
        raise UnusableInput(
            f"visit {visit} has no exposure to drizzle",
            where=workdir.visit_alignment(visit),
            next_step="See the columns 'used' and 'reason' there, or set "
            "alignment.on_failure = 'keep_a_priori'",
        )
    return _make_index(
        "epoch_drizzles",
        workdir.visit_products(visit),
        products_of_visit(workdir, visit, exposures, settings) if exposures else [],
        workdir,
        settings,
        stale_pattern=(workdir.workspace, f"{visit}.*.drc.fits"),
        footprints=(workdir.visit_footprints(visit), by_filter),
        redo=redo,
    )


def make_stacks(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Drizzle a target's stacks: one for each band and epoch, and one for each band.

    A stack of the same exposures as another product (an epoch that one visit saw whole, a band
    with a single epoch) is a hard link to it, under its own name.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its exposure table and the alignments of its visits must stand.
    settings : Settings
        Sections drizzle, target and machine.
    redo : bool, optional
        Make again what stands.

    Returns
    -------
    Made
        Product: the index ``drizzle/stacks.ecsv``.

    Raises
    ------
    MissingProduct
        If the target's table is not there.
    UnusableInput
        If no exposure is left to drizzle.
    HstAssetsError
        What ended the products, if not a single one could be made.
    """
    table = read_table(workdir.target_exposures)
    visits = sorted({str(visit) for visit in table["visit"]})
    exposures = aligned_exposures(workdir, table, visits)
    if not exposures:
        raise UnusableInput(
            f"no exposure of {workdir.target} is aligned and in use",
            where=workdir.target_exposures,
            next_step="Align its visits first; see the alignment tables",
        )
    return _make_index(
        "drizzled_stacks",
        workdir.stack_products,
        stacks_of_target(workdir, exposures, settings),
        workdir,
        settings,
        stale_pattern=(workdir.drizzle, "*.drc.fits"),
        footprints=(workdir.target_footprints, by_epoch),
        redo=redo,
    )


def _make_index(
    stage: str,
    index: Path,
    products: Sequence[Product],
    workdir: WorkDir,
    settings: Settings,
    *,
    stale_pattern: tuple[Path, str],
    footprints: tuple[Path, Callable[[AlignedExposure], str]],
    redo: bool,
) -> Made:
    """Make the products and the table that lists them."""
    recipe = Recipe(
        stage=stage,
        code_version=_CODE_VERSION,
        inputs={product.path.name: product.recipe.digest for product in products},
        settings={
            "max_bad_fraction": settings.drizzle.max_bad_fraction,
            "max_flux_error": settings.drizzle.max_flux_error,
            "epochs": {product.path.name: product.epoch for product in products},
        },
    )

    def run() -> Result:
        outcomes = make_products(products, workdir, settings, redo=redo) if products else []
        remove_stale(*stale_pattern, {product.path for product in products})
        rows = [
            row_of(product, outcome, workdir, settings.drizzle)
            for product, outcome in zip(products, outcomes, strict=True)
        ]
        standing = [
            product
            for product, outcome in zip(products, outcomes, strict=True)
            if isinstance(outcome, Record)
        ]
        write_index(rows, index, workdir)
        if not products:
            footprints[0].unlink(missing_ok=True)
            note = {"note": "no exposure is in use: see the exposure table"}
            return Result((index,), {**facts_of([], [], [], workdir), **note})
        previews = [WorkDir.preview(product.path) for product in standing]
        regions, group = footprints
        drawn = (exposure for product in products for exposure in product.exposures)
        write_footprints(regions, drawn, workdir, group=group)
        outputs = (index, regions, *(product.path for product in standing), *previews)
        return Result(outputs, facts_of(rows, previews, products, workdir))

    return make(recipe, index, workdir, run, redo=redo or _to_be_retried(index))


def _to_be_retried(index: Path) -> bool:
    """Whether the last time something failed that may work now."""
    record = read_record(index)
    kinds = set(record.facts.get("failure_kinds", [])) if record else set()
    return bool(kinds & _RETRIED)
