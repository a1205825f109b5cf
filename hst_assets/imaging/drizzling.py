"""The drizzled images of a visit and of a target, and the tables that list them.

A visit has one drizzled image for each detector and filter; a target has one for each band and
epoch, and one for each band over all epochs. `plan` tells which; equal exposures combined in the
same way are drizzled once, whatever the products are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hst_assets.failures import HstAssetsError, MissingProduct, UnusableInput
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest, drizzle_many
from hst_assets.imaging.drizzle_index import DRIZZLE_COLUMNS, facts_of, row_of
from hst_assets.imaging.frames import Frame, Outline, exposure_outlines, frame_of_target
from hst_assets.imaging.plan import (
    STAGE,
    AlignedExposure,
    Product,
    aligned_exposures,
    products_of_visit,
    scale_of,
    stacks_of_target,
)
from hst_assets.imaging.regions import by_epoch, by_filter, write_footprints
from hst_assets.products.batch import Batch, Links, Step
from hst_assets.products.columns import build_table, read_table, write_table
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["make_stacks", "make_visit_drizzles"]


def make_visit_drizzles(
    workdir: WorkDir, visit: str, settings: Settings, *, redo: bool = False
) -> Made:
    """Drizzle the aligned exposures of a visit, one product for each detector and filter.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's exposure table and alignment must exist.
    visit : str
        The visit.
    settings : Settings
        Sections drizzle, target and machine.
    redo : bool, optional
        Drizzle again what is up to date, too.

    Returns
    -------
    Made
        Product: the index ``workspace/<visit>_drizzles.ecsv``. A band that fails has a row with
        its reason; the others are made.

    Raises
    ------
    MissingProduct
        If a table is not there.
    UnusableInput
        If exposures of the visit are in use, but none may be drizzled. Where none is in use, the
        index is empty and earlier products are removed.
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
        candidates=workdir.workspace.glob(f"{visit}.*.drc.fits"),
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
        The target's; its exposure table and the alignments of its visits must exist.
    settings : Settings
        Sections drizzle, target and machine.
    redo : bool, optional
        Make again what is up to date, too.

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
        candidates=workdir.drizzle.glob("*.drc.fits"),
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
    candidates: Iterable[Path],
    footprints: tuple[Path, Callable[[AlignedExposure], str]],
    redo: bool,
) -> Made:
    """Make the products and the table that lists them."""
    recipe = Recipe(
        stage=stage,
        inputs={product.path.name: product.recipe.digest for product in products},
        settings={
            **_judged_by(settings),
            "epochs": {product.path.name: product.epoch for product in products},
        },
        defaults=_judged_by(Settings()),
    )
    batch = Batch(
        stage=STAGE,
        planned=products,
        run=partial(_drizzle, workdir=workdir, settings=settings),
        links=Links(files_of=_files_of, elsewhere=tuple(workdir.workspace.glob("*.drc.fits"))),
        candidates=tuple(candidates),
        # Working copies that were cleaned away cost no finished image.
        keeps=(MissingProduct,),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        failures = [outcome for outcome in outcomes if isinstance(outcome, HstAssetsError)]
        if failures and len(failures) == len(outcomes):
            raise failures[0]
        return _write_index(index, products, outcomes, workdir, settings, footprints)

    return make_indexed(batch, recipe, index, workdir, write, redo=redo)


def _judged_by(settings: Settings) -> dict[str, Any]:
    """The settings by which the figures of the products are judged in their index."""
    limits = ("max_bad_fraction", "max_flux_error")
    return {"drizzle": {name: getattr(settings.drizzle, name) for name in limits}}


def _write_index(
    index: Path,
    products: Sequence[Product],
    outcomes: Sequence[Made | HstAssetsError],
    workdir: WorkDir,
    settings: Settings,
    footprints: tuple[Path, Callable[[AlignedExposure], str]],
) -> Result:
    """Write the table, and the outlines of the exposures; without products, only the table."""
    pairs = list(zip(products, outcomes, strict=True))
    rows = [row_of(product, outcome, workdir, settings.drizzle) for product, outcome in pairs]
    write_table(build_table(DRIZZLE_COLUMNS, rows, {"target": workdir.target}), index)
    regions, group = footprints
    if not products:
        regions.unlink(missing_ok=True)
        note = {"note": "no exposure is in use: see the exposure table"}
        return Result((index,), {**facts_of([], [], [], workdir), **note})
    drawn = (exposure for product in products for exposure in product.exposures)
    write_footprints(regions, drawn, workdir, group=group)
    standing = [product.path for product, outcome in pairs if isinstance(outcome, Made)]
    previews = [WorkDir.preview(path) for path in standing]
    facts = facts_of(rows, previews, products, workdir)
    return Result((index, regions, *standing, *previews), facts)


def _files_of(path: Path) -> tuple[Path, Path]:
    return path, WorkDir.preview(path)


# ---------------------------------------------------------------------------- the images


def _drizzle(
    due: Sequence[Product], *, workdir: WorkDir, settings: Settings
) -> Iterator[tuple[Product, Step | HstAssetsError]]:
    """Drizzle products, as many at a time as the machine allows."""
    requests: list[tuple[Product, DrizzleRequest]] = []
    for product in due:
        try:
            requests.append((product, _request(product, workdir, settings)))
        except HstAssetsError as error:
            yield product, error
        except OSError as error:
            yield product, MissingProduct(str(error), where=product.label)
    for product, _ in requests:
        # What stands under the name from now on is not what the old record says.
        WorkDir.record(product.path).unlink(missing_ok=True)
    reports = drizzle_many(
        [request for _, request in requests], workdir=workdir, machine=settings.machine
    )
    for (product, request), report in zip(requests, reports, strict=True):
        if isinstance(report, HstAssetsError):
            yield product, report
        else:
            yield product, partial(Result, _files_of(product.path), _figures(report, request))


def _request(product: Product, workdir: WorkDir, settings: Settings) -> DrizzleRequest:
    paths = [workdir.aligned(exposure.file) for exposure in product.exposures]
    others = [workdir.aligned(other.file) for other in product.others]
    for path in (*paths, *others):
        if not path.is_file():
            raise MissingProduct(
                "the aligned exposure is missing",
                where=path,
                next_step="Align its visit again",
            )
    return DrizzleRequest(
        exposures=paths,
        output=product.path,
        detector=product.detector,
        frame=_frame(product, paths, settings),
        settings=settings.drizzle,
        label=product.label,
        cards={"RECIPE": product.recipe.digest},
        others=others,
    )


def _frame(product: Product, paths: Sequence[Path], settings: Settings) -> Frame:
    return frame_of_target(
        _outlines(paths),
        settings,
        scale_arcsec=scale_of(product.detector, settings.drizzle),
        orientation_deg=product.orientation_deg,
    )


def _outlines(paths: Sequence[Path]) -> list[Outline]:
    """Of all exposures that can be read: the others are left out when it comes to drizzling."""
    outlines: list[Outline] = []
    failures: list[UnusableInput] = []
    for path in paths:
        try:
            outlines += exposure_outlines(path)
        except UnusableInput as error:
            failures.append(error)
    if failures and not outlines:
        raise failures[0]
    return outlines


def _figures(report: DrizzleReport, request: DrizzleRequest) -> dict[str, Any]:
    """The facts recorded beside a product."""
    figures = report.as_json()
    for name in ("product", "problems", "seconds"):
        del figures[name]
    figures = {
        key: list(value) if isinstance(value, tuple) else value for key, value in figures.items()
    }
    return {**figures, **request.frame.as_json()}
