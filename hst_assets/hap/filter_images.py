"""The drizzled images of a visit's filters, and of its exposures.

A filter is drizzled with its exposures in one go, because cosmic rays that it flags in them are
left out of their images. The flagged exposures are the final ones and come with the filter. A
filter that fails costs its own products.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hst_assets.digests import digest_of
from hst_assets.failures import HstAssetsError, MissingProduct, ToolFailed, UnusableInput
from hst_assets.hap import pieces
from hst_assets.hap.aligned import AlignedTotal, aligned_totals
from hst_assets.hap.image_index import Node, image_facts, write_image_index
from hst_assets.hap.objects import PARAMETERS
from hst_assets.hap.piece_runs import Left, VisitFolder
from hst_assets.hap.planned_visit import VisitPlan, read_plan
from hst_assets.hap.product_tree import ExposureNode, FilterNode, TotalNode
from hst_assets.hap.result import ReturnCode
from hst_assets.hap.visit_work import TOOLS, Listener, VisitWork, linked
from hst_assets.products.batch import Batch, Step, make_indexed
from hst_assets.products.preview import write_preview
from hst_assets.provenance import Made, Recipe, Record, Result, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = [
    "ExposureImage",
    "FilterImage",
    "drizzled_filters",
    "drizzled_nodes",
    "exposure_images",
    "finish_headers",
    "image_recipe",
    "images_in",
    "make_hap_exposure_products",
    "make_hap_filter_products",
    "names_of",
    "not_drizzled",
    "publish_image",
]

_OF_FILTERS, _OF_EXPOSURES = "hap_filter", "hap_exposure"


@dataclass(frozen=True)
class FilterImage:
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

    path: Path
    recipe: Recipe
    aligned: AlignedTotal
    index: int
    node: FilterNode

    def record(self) -> Record | None:
        """The record of the image; None where it could not be made."""
        return read_record(self.path)


@dataclass(frozen=True)
class ExposureImage:
    """The image of an exposure.

    Attributes
    ----------
    path : Path
        The image.
    recipe : Recipe
        What it is made from.
    of_filter : FilterImage
        The filter with which it was drizzled.
    node : ExposureNode
        The exposure.
    """

    path: Path
    recipe: Recipe
    of_filter: FilterImage
    node: ExposureNode

    def record(self) -> Record | None:
        """The record of the image; None where it could not be made."""
        return read_record(self.path)


# ------------------------------------------------------------------------------- the filters


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
        (`hst_assets.hap.image_index.IMAGE_COLUMNS`). A filter that fails has a row with the reason.

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


def image_recipe(
    work: VisitWork,
    plan: VisitPlan,
    stage: str,
    inputs: dict[str, str],
    names: Sequence[str],
    what: Mapping[str, Any],
) -> Recipe:
    """The recipe of a drizzled image.

    Parameters
    ----------
    work : VisitWork
        The visit.
    plan : VisitPlan
        Its plan.
    stage : str
        The image's.
    inputs : dict
        Digests of what it is made from, by name.
    names : sequence of str
        Products whose parameters of AstroDrizzle matter.
    what : mapping
        Which image it is, and what else decides it.
    """
    return Recipe(
        stage=stage,
        inputs=inputs,
        settings={**what, "parameters": plan.changed_for(names, "astrodrizzle")},
        defaults={"parameters": {}},
        tools=TOOLS,
    ).known_in(work.workdir)


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


def finish_headers(
    nodes: Sequence[tuple[int, Node]], folder: VisitFolder, work: VisitWork
) -> list[Left | HstAssetsError]:
    """Write the last keywords of images.

    Parameters
    ----------
    nodes : sequence of tuple
        Of each image the number of the total product, and what it is.
    folder : VisitFolder
        Where the images are.
    work : VisitWork
        The visit.
    """
    made = [pieces.header_piece(number, node) for number, node in nodes]
    return [_of_header(outcome) for outcome in work.run(made, folder, done=0.8)]


def _of_header(outcome: Left | HstAssetsError) -> Left | HstAssetsError:
    """A tool's failure says that it is one that HAP has a number for."""
    if not isinstance(outcome, ToolFailed):
        return outcome
    return ToolFailed(
        f"{ReturnCode.HEADERS_FAILED.meaning}: {outcome.what}",
        where=outcome.where,
        next_step=outcome.next_step,
        log_tail=outcome.log_tail,
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


def publish_image(
    image: Path, files: Sequence[Path], facts: dict[str, Any], folder: VisitFolder, work: VisitWork
) -> Result:
    """Publish an image as the last of its files, with its picture.

    Parameters
    ----------
    image : Path
        Its final path.
    files : sequence of Path
        What was published with it.
    facts : dict
        What `hst_assets.hap.image_index.image_facts` told of it.
    folder : VisitFolder
        Where it is.
    work : VisitWork
        The visit.
    """
    preview = write_preview(folder.files / image.name, WorkDir.preview(image))
    work.published(folder, [image.name])
    told = {"image": facts, "previews": [work.workdir.relative(preview)]}
    return Result((image, preview, *files), told)


# ------------------------------------------------------------------------------ the exposures


def make_hap_exposure_products(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Finish the images of the exposures of a visit, which were drizzled with their filters.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's filters must be drizzled.
    visit : str
        The visit.
    settings : Settings
        Sections hap and machine.
    redo : bool, optional
        Finish again what is up to date, too.
    progress : callable, optional
        Told what is done.

    Returns
    -------
    Made
        Product: the table ``hap/<visit>/exposure_products.ecsv``
        (`hst_assets.hap.image_index.IMAGE_COLUMNS`).

    Raises
    ------
    MissingProduct
        If the visit is not planned.
    """
    work = VisitWork(workdir, visit, settings, progress)
    plan = read_plan(workdir, visit)
    planned = exposure_images(work, plan)
    lost = [each for each in drizzled_filters(work, plan) if each.record() is None]
    recipe = Recipe(
        stage="hap_exposure_products",
        inputs={part.path.name: part.recipe.digest for part in planned},
        settings={"lost": [each.node.basename for each in lost]},
        defaults={"lost": []},
    )
    batch = Batch(
        stage=_OF_EXPOSURES,
        planned=planned,
        run=partial(_finish_exposures, work=work),
        candidates=images_in(work),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        rows: list[tuple[Node, dict[str, str], Made | HstAssetsError]] = [
            (part.node, names_of(part.of_filter.aligned.total, part.node.filter), outcome)
            for part, outcome in zip(planned, outcomes, strict=True)
        ]
        rows += [
            (one, names_of(each.aligned.total, one.filter), not_drizzled(one.drizzled_file))
            for each in lost
            for one in each.node.exposures
        ]
        index = workdir.hap_exposure_products(visit)
        return write_image_index(index, rows, workdir, visit, is_empty=not plan.drizzled)

    return make_indexed(
        batch, recipe, workdir.hap_exposure_products(visit), workdir, write, redo=redo
    )


def exposure_images(work: VisitWork, plan: VisitPlan) -> list[ExposureImage]:
    """The images of exposures whose filter was drizzled.

    Parameters
    ----------
    work : VisitWork
        The visit.
    plan : VisitPlan
        Its plan.
    """
    return [
        ExposureImage(
            work.place(one.drizzled_file),
            Recipe(
                stage=_OF_EXPOSURES,
                inputs={"filter": record.digest},
                settings={"exposure": one.basename},
                tools=TOOLS,
            ).known_in(work.workdir),
            each,
            one,
        )
        for each in drizzled_filters(work, plan)
        if (record := each.record()) is not None
        for one in each.node.exposures
    ]


def _finish_exposures(
    due: Sequence[ExposureImage], *, work: VisitWork
) -> Iterator[tuple[ExposureImage, Step | HstAssetsError]]:
    parts = work.workdir.hap_pieces(work.visit)
    reads = {part.of_filter.aligned.path for part in due}
    reads |= {work.place(part.node.exposure_file) for part in due}
    reads |= {parts / part.node.drizzled_file for part in due}
    with work.working("exposures", sorted(reads)) as folder:
        nodes = [(part.of_filter.aligned.number, part.node) for part in due]
        for part, outcome in zip(due, finish_headers(nodes, folder, work), strict=True):
            if isinstance(outcome, HstAssetsError):
                yield part, outcome
            else:
                yield part, partial(_settle_exposure, part, folder, work)


def _settle_exposure(part: ExposureImage, folder: VisitFolder, work: VisitWork) -> Result:
    facts = image_facts(folder.files / part.path.name, part.node)
    trailer = work.place(part.node.trailer_file)
    linked(work.workdir.hap_pieces(work.visit) / trailer.name, trailer)
    work.published(folder, [part.path.name])
    return Result((part.path, trailer), {"image": facts})


# ------------------------------------------------------------------------------------- shared


def not_drizzled(name: str) -> MissingProduct:
    """Why there is no image of what is made of filters that failed.

    Parameters
    ----------
    name : str
        The image.
    """
    return MissingProduct(
        "what it is made of was not drizzled",
        where=name,
        next_step="See there why: hap_filter_products",
    )


def drizzled_nodes(total: TotalNode) -> list[ExposureNode]:
    """The exposures of a detector that are drizzled.

    Parameters
    ----------
    total : TotalNode
        The total product.
    """
    return [one for each in total.drizzled_filters for one in each.exposures]


def names_of(total: TotalNode, name: str) -> dict[str, str]:
    """Detector and filter, as tables of images have them.

    Parameters
    ----------
    total : TotalNode
        The total product.
    name : str
        HAP's name of the filter, or total.
    """
    return {"detector": total.detector, "filter": name}


def images_in(work: VisitWork) -> tuple[Path, ...]:
    """The drizzled images of a visit that are there, of whatever kind.

    Parameters
    ----------
    work : VisitWork
        The visit.
    """
    return tuple(work.workdir.hap_visit(work.visit).glob("hst_*_dr?.fits"))
