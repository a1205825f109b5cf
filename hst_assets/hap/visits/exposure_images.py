"""The drizzled images of a visit's exposures, which were drizzled with their filters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from hst_assets.failures import HstAssetsError
from hst_assets.hap.piece_runs import VisitFolder
from hst_assets.hap.product_tree import ExposureNode
from hst_assets.hap.visits.drizzled_images import (
    finish_headers,
    images_in,
    names_of,
    not_drizzled,
    publish_image,
)
from hst_assets.hap.visits.filter_images import FilterImage, drizzled_filters
from hst_assets.hap.visits.image_index import Node, image_facts, write_image_index
from hst_assets.hap.visits.planned import VisitPlan, read_plan
from hst_assets.hap.visits.work import TOOLS, Listener, PlannedFile, VisitWork, linked
from hst_assets.products.batch import Batch, Step
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["ExposureImage", "exposure_images", "make_hap_exposure_products"]

_OF_EXPOSURES = "hap_exposure"


@dataclass(frozen=True)
class ExposureImage(PlannedFile):
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

    of_filter: FilterImage
    node: ExposureNode


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
        (`hst_assets.hap.visits.image_index.IMAGE_COLUMNS`).

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
    return publish_image(part.path, [trailer], facts, folder, work)
