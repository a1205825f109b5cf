"""What the images of filters, of exposures and of a detector have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hst_assets.failures import HstAssetsError, MissingProduct, ToolFailed
from hst_assets.hap import pieces
from hst_assets.hap.piece_runs import Left, VisitFolder
from hst_assets.hap.product_tree import ExposureNode, TotalNode
from hst_assets.hap.result import ReturnCode
from hst_assets.hap.visits.image_index import Node
from hst_assets.hap.visits.planned import VisitPlan
from hst_assets.hap.visits.work import TOOLS, VisitWork
from hst_assets.products.preview import write_preview
from hst_assets.provenance import Recipe, Result
from hst_assets.workdir import WorkDir

__all__ = [
    "drizzled_nodes",
    "finish_headers",
    "image_recipe",
    "images_in",
    "names_of",
    "not_drizzled",
    "publish_image",
]


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
        What `hst_assets.hap.visits.image_index.image_facts` told of it.
    folder : VisitFolder
        Where it is.
    work : VisitWork
        The visit.
    """
    preview = write_preview(folder.files / image.name, WorkDir.preview(image))
    work.published(folder, [image.name])
    told = {"image": facts, "previews": [work.workdir.relative(preview)]}
    return Result((image, preview, *files), told)


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
