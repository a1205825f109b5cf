"""The total image of each detector of a visit: its filters together, in which sources are found.

It is made of the filters that there are; those that failed are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hst_assets.failures import HstAssetsError
from hst_assets.hap import pieces
from hst_assets.hap.objects import PARAMETERS
from hst_assets.hap.piece_runs import VisitFolder
from hst_assets.hap.product_tree import TotalNode
from hst_assets.hap.visits.aligned import AlignedTotal
from hst_assets.hap.visits.drizzled_images import (
    drizzled_nodes,
    finish_headers,
    image_recipe,
    images_in,
    names_of,
    not_drizzled,
    publish_image,
)
from hst_assets.hap.visits.filter_images import FilterImage, drizzled_filters
from hst_assets.hap.visits.image_index import Node, image_facts, write_image_index
from hst_assets.hap.visits.planned import VisitPlan, read_plan
from hst_assets.hap.visits.work import Listener, PlannedFile, VisitWork
from hst_assets.products.batch import Batch, Step
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["TotalImage", "drizzled_totals", "make_hap_total_products"]

_OF_TOTALS = "hap_total"


@dataclass(frozen=True)
class TotalImage(PlannedFile):
    """The image of all filters of a detector.

    Attributes
    ----------
    path : Path
        The image.
    recipe : Recipe
        What it is made from.
    aligned : AlignedTotal
        The exposures of the detector.
    filters : tuple of FilterImage
        The filters that there are.
    """

    aligned: AlignedTotal
    filters: tuple[FilterImage, ...]

    @property
    def total(self) -> TotalNode:
        """The total product."""
        return self.aligned.total

    @property
    def kept(self) -> list[int]:
        """Positions of the filters that there are."""
        return [each.index for each in self.filters]

    @property
    def lacking(self) -> list[str]:
        """Filters that could not be made."""
        return [
            each.filter
            for index, each in enumerate(self.total.drizzled_filters)
            if index not in self.kept
        ]


def make_hap_total_products(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Drizzle all filters of each detector of a visit together.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's filters must be drizzled.
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
        Product: the table ``hap/<visit>/total_products.ecsv``
        (`hst_assets.hap.visits.image_index.IMAGE_COLUMNS`).

    Raises
    ------
    MissingProduct
        If the visit is not planned.
    """
    work = VisitWork(workdir, visit, settings, progress)
    plan = read_plan(workdir, visit)
    planned = drizzled_totals(work, plan)
    numbers = {part.aligned.number for part in planned}
    lost = [total for number, total in plan.drizzled.items() if number not in numbers]
    recipe = Recipe(
        stage="hap_total_products",
        inputs={part.path.name: part.recipe.digest for part in planned},
        settings={"lost": [total.basename for total in lost]},
        defaults={"lost": []},
    )
    batch = Batch(
        stage=_OF_TOTALS,
        planned=planned,
        run=partial(_drizzle_totals, work=work),
        candidates=images_in(work),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        rows: list[tuple[Node, dict[str, str], Made | HstAssetsError]] = [
            (part.total, names_of(part.total, "total"), outcome)
            for part, outcome in zip(planned, outcomes, strict=True)
        ]
        rows += [
            (total, names_of(total, "total"), not_drizzled(total.drizzled_file)) for total in lost
        ]
        lacking = [f"{part.total.detector} {name}" for part in planned for name in part.lacking]
        lacking += [
            f"{each.detector} {one.filter}" for each in lost for one in each.drizzled_filters
        ]
        index = workdir.hap_total_products(visit)
        return write_image_index(
            index, rows, workdir, visit, is_empty=not plan.drizzled, without=lacking
        )

    return make_indexed(batch, recipe, workdir.hap_total_products(visit), workdir, write, redo=redo)


def drizzled_totals(work: VisitWork, plan: VisitPlan) -> list[TotalImage]:
    """The total images of detectors that have the image of a filter.

    Parameters
    ----------
    work : VisitWork
        The visit.
    plan : VisitPlan
        Its plan.
    """
    by_number: dict[int, list[FilterImage]] = {}
    digests: dict[Path, str] = {}
    for each in drizzled_filters(work, plan):
        if (record := each.record()) is not None:
            by_number.setdefault(each.aligned.number, []).append(each)
            digests[each.path] = record.digest
    found = []
    for filters in by_number.values():
        aligned = filters[0].aligned
        total = aligned.total
        inputs = {each.node.basename: digests[each.path] for each in filters}
        recipe = image_recipe(
            work, plan, _OF_TOTALS, inputs, [total.basename], {"total": total.basename}
        )
        path = work.place(total.drizzled_file)
        found.append(TotalImage(path, recipe, aligned, tuple(filters)))
    return found


def _drizzle_totals(
    due: Sequence[TotalImage], *, work: VisitWork
) -> Iterator[tuple[TotalImage, Step | HstAssetsError]]:
    reads = [work.place(PARAMETERS)]
    for part in due:
        made = {one for each in part.filters for one in each.node.exposures}
        reads.append(part.aligned.path)
        reads += [
            work.place(one.exposure_file) if one in made else work.aligned(one.exposure_file)
            for one in drizzled_nodes(part.total)
        ]
    with work.working("totals", reads) as folder:
        started = [pieces.total_piece(part.aligned.number, part.total, part.kept) for part in due]
        outcomes = work.run(started, folder, done=0.0)
        for part, left in zip(due, outcomes, strict=True):
            if isinstance(left, HstAssetsError):
                yield part, left
                continue
            (header,) = finish_headers([(part.aligned.number, part.total)], folder, work)
            if isinstance(header, HstAssetsError):
                yield part, header
            else:
                yield part, partial(_settle_total, part, folder, work)


def _settle_total(part: TotalImage, folder: VisitFolder, work: VisitWork) -> Result:
    """Publish a total image; the exposures stay as their filters left them."""
    total = part.total
    facts = image_facts(folder.files / total.drizzled_file, total)
    labels = [f"{total.detector}.align"]
    labels += [f"{total.detector}.{each.node.filter}.drizzle" for each in part.filters]
    labels.append(f"{total.detector}.total")
    with (folder.files / total.trailer_file).open("a", encoding="utf-8") as trailer:
        trailer.write(work.joined_logs(labels))
    state = pieces.state_file("drizzled", part.aligned.number)
    files = work.published(folder, [total.trailer_file, state])
    return publish_image(part.path, files, facts, folder, work)
