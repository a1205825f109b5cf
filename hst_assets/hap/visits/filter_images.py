"""The drizzled images of a visit's filters.

A filter is drizzled with its exposures in one go, because cosmic rays that it flags in them are
left out of their images. The flagged exposures are the final ones and come with the filter. A
filter that fails costs its own products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from hst_assets.digests import digest_of
from hst_assets.failures import HstAssetsError, MissingProduct, UnusableInput
from hst_assets.hap import pieces
from hst_assets.hap.objects import PARAMETERS
from hst_assets.hap.piece_runs import Left, VisitFolder
from hst_assets.hap.product_tree import FilterNode
from hst_assets.hap.visits.aligned import AlignedTotal, aligned_totals
from hst_assets.hap.visits.drizzled_images import (
    drizzled_nodes,
    finish_headers,
    image_recipe,
    images_in,
    names_of,
    publish_image,
)
from hst_assets.hap.visits.image_index import image_facts, write_image_index
from hst_assets.hap.visits.planned import VisitPlan, read_plan
from hst_assets.hap.visits.work import Listener, PlannedFile, VisitWork
from hst_assets.products.batch import Batch, Step
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["FilterImage", "drizzled_filters", "make_hap_filter_products"]

_OF_FILTERS = "hap_filter"


@dataclass(frozen=True)
class FilterImage(PlannedFile):
    """The image of a filter, with its exposures.

    Attributes
    ----------
    path : Path
        The image.
    recipe : Recipe
        What it is made from.
    aligned : AlignedTotal
        The exposures of its detector.
    index : int
        Of the filter in the total product.
    node : FilterNode
        The filter.
    """

    aligned: AlignedTotal
    index: int
    node: FilterNode


def make_hap_filter_products(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Drizzle the filters of a visit.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's exposures must be aligned.
    visit : str
        The visit.
    settings : Settings
        Sections hap and machine.
    redo : bool, optional
        Drizzle again what is up to date, too.
    progress : callable, optional
        Told what is done.

    Returns
    -------
    Made
        Product: the table ``hap/<visit>/filter_products.ecsv``
        (`hst_assets.hap.visits.image_index.IMAGE_COLUMNS`). A filter that fails has a row with the
        reason.

    Raises
    ------
    MissingProduct
        If the visit is not planned or not aligned.
    """
    work = VisitWork(workdir, visit, settings, progress)
    plan = read_plan(workdir, visit)
    planned = drizzled_filters(work, plan)
    accepts = {"accept_a_priori_wcs": settings.hap.accept_a_priori_wcs}
    recipe = Recipe(
        stage="hap_filter_products",
        inputs={part.path.name: part.recipe.digest for part in planned},
        settings={"hap": accepts},
        defaults={"hap": {"accept_a_priori_wcs": False}},
    )
    batch = Batch(
        stage=_OF_FILTERS,
        planned=planned,
        run=partial(_drizzle_filters, work=work),
        candidates=images_in(work),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        rows = [
            (part.node, names_of(part.aligned.total, part.node.filter), outcome)
            for part, outcome in zip(planned, outcomes, strict=True)
        ]
        index = workdir.hap_filter_products(visit)
        return write_image_index(index, rows, workdir, visit, is_empty=not plan.drizzled)

    return make_indexed(
        batch, recipe, workdir.hap_filter_products(visit), workdir, write, redo=redo
    )


def drizzled_filters(work: VisitWork, plan: VisitPlan) -> list[FilterImage]:
    """The images of filters that are planned.

    Parameters
    ----------
    work : VisitWork
        The visit.
    plan : VisitPlan
        Its plan.
    """
    found = []
    for aligned in aligned_totals(work, plan):
        lacking = aligned.not_fitted()
        inputs, asked = {"aligned": aligned.digest}, {}
        if lacking:
            # Whether there may be an image at all hangs on both.
            inputs["not_fitted"] = digest_of(lacking)
            asked["accepted"] = work.settings.hap.accept_a_priori_wcs
        # The frame is the total product's.
        for index, node in enumerate(aligned.total.drizzled_filters):
            names = [node.basename, *(one.basename for one in node.exposures)]
            recipe = image_recipe(
                work,
                plan,
                _OF_FILTERS,
                inputs,
                [aligned.total.basename, *names],
                {"filter": node.basename, **asked},
            )
            path = work.place(node.drizzled_file)
            found.append(FilterImage(path, recipe, aligned, index, node))
    return found


def _drizzle_filters(
    due: Sequence[FilterImage], *, work: VisitWork
) -> Iterator[tuple[FilterImage, Step | HstAssetsError]]:
    usable: list[FilterImage] = []
    for part in due:
        not_fitted = part.aligned.not_fitted()
        if part.aligned.record() is None:
            yield (
                part,
                MissingProduct(
                    "its exposures are not aligned",
                    where=part.aligned.total.detector,
                    next_step="Materialize hap_aligned_exposures first; see there why it failed",
                ),
            )
        elif not_fitted and not work.settings.hap.accept_a_priori_wcs:
            yield part, _not_aligned(not_fitted)
        else:
            usable.append(part)
    reads = {
        path
        for part in usable
        for path in (
            part.aligned.path,
            *(work.aligned(one.exposure_file) for one in drizzled_nodes(part.aligned.total)),
        )
    }
    if not usable:
        return
    with work.working("filters", [work.place(PARAMETERS), *sorted(reads)]) as folder:
        made = [
            piece
            for part in usable
            for piece in pieces.filter_pieces(part.aligned.number, part.aligned.total, [part.index])
        ]
        outcomes = work.run(made, folder, done=0.0)
        drizzled = [
            (part, left)
            for part, left in zip(usable, outcomes, strict=True)
            if isinstance(left, Left)
        ]
        for part, outcome in zip(usable, outcomes, strict=True):
            if isinstance(outcome, HstAssetsError):
                yield part, outcome
        headers = finish_headers(
            [(part.aligned.number, part.node) for part, _ in drizzled], folder, work
        )
        for (part, left), header in zip(drizzled, headers, strict=True):
            if isinstance(header, HstAssetsError):
                yield part, header
            else:
                yield part, partial(_settle_filter, part, left, folder, work)


def _not_aligned(names: Sequence[str]) -> UnusableInput:
    return UnusableInput(
        "not aligned to Gaia",
        where=", ".join(names),
        next_step="See hap_aligned_exposures; hap.accept_a_priori_wcs accepts the WCS that the "
        "exposures came with",
    )


def _settle_filter(part: FilterImage, left: Left, folder: VisitFolder, work: VisitWork) -> Result:
    """Publish a filter's image and exposures; images of exposures wait for their last keywords."""
    facts = image_facts(folder.files / part.node.drizzled_file, part.node)
    waiting = {one.drizzled_file for one in part.node.exposures}
    waiting |= {one.trailer_file for one in part.node.exposures}
    parts = work.workdir.hap_pieces(work.visit)
    beside = work.published(
        folder, [name for name in left.files if name in waiting], lambda name: parts / name
    )
    others = [name for name in left.files if name not in waiting and name != part.path.name]
    files = work.published(folder, others)
    return publish_image(part.path, (*beside, *files), facts, folder, work)
