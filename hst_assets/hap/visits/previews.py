"""Pictures of a visit's drizzled images: one of each, and one in colour of each detector."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hst_assets.failures import HstAssetsError
from hst_assets.hap.quality.visit_files import DrizzledImage, drizzled_images
from hst_assets.imaging.colour_images import chosen_filters, write_colour_picture
from hst_assets.machine.failures import machine_failure
from hst_assets.products.preview import write_preview

__all__ = ["COLOUR_ENDING", "VisitPreview", "write_visit_previews"]

#: How the names of pictures in colour end.
COLOUR_ENDING = "_colour.png"
_FEWEST_FILTERS = 2
#: What a damaged image raises.
_OF_THE_FILE = (HstAssetsError, KeyError, OSError, TypeError, ValueError)


@dataclass(frozen=True)
class VisitPreview:
    """A picture, or why there is none.

    Attributes
    ----------
    path : Path or None
        The PNG; None if it could not be made.
    caption : str
        What it shows.
    why_not : str
        Why there is none; empty if there is one.
    """

    path: Path | None
    caption: str
    why_not: str = ""


def write_visit_previews(
    folder: Path, into: Path, *, max_side: int = 640, exposures: bool = False
) -> tuple[VisitPreview, ...]:
    """Write pictures of a visit's images.

    Parameters
    ----------
    folder : Path
        Of the visit.
    into : Path
        An existing folder, for ``<name>.png`` of each image and ``<total>_colour.png`` of each
        detector with images in two filters or more.
    max_side : int, optional
        Longest side of the pictures of single images, pixels.
    exposures : bool, optional
        Also those of single exposures.

    Returns
    -------
    tuple of VisitPreview
        By detector, the one in colour first; an image that cannot be shown is told.

    Raises
    ------
    MachineFailure
        If the machine failed.
    """
    images = drizzled_images(folder)
    previews: list[VisitPreview] = []
    for detector in sorted({image.beginning for image in images}):
        own = [image for image in images if image.beginning == detector]
        previews += _in_colour(own, into)
        levels = {"total", "filter", "exposure"} if exposures else {"total", "filter"}
        # The image of all light first.
        shown = sorted(own, key=lambda image: image.level != "total")
        previews += [_of(image, into, max_side) for image in shown if image.level in levels]
    return tuple(previews)


def _of(image: DrizzledImage, into: Path, max_side: int) -> VisitPreview:
    path = into / f"{image.path.stem}.png"
    caption = f"{image.label}: {image.path.name}"
    return _tried(path, caption, lambda: write_preview(image.path, path, max_side=max_side))


def _in_colour(images: Iterable[DrizzledImage], into: Path) -> list[VisitPreview]:
    """At most one; a detector with one filter has none, and nothing is missing."""
    filters = {image.filter: image for image in images if image.level == "filter"}
    if len(filters) < _FEWEST_FILTERS:
        return []
    first = next(iter(filters.values()))
    path = into / f"{first.beginning}total_{first.root}{COLOUR_ENDING}"
    paths = {name: image.path for name, image in filters.items()}
    try:
        names = chosen_filters(paths)
    except OSError as error:
        return [VisitPreview(None, f"{first.detector} in colour", str(error))]
    colours = ("blue", "green", "red") if len(names) > _FEWEST_FILTERS else ("blue", "red")
    words = ", ".join(f"{name} {colour}" for colour, name in zip(colours, names, strict=True))
    caption = f"{first.detector} in colour: {words}"
    chosen = {name: paths[name] for name in names}
    return [_tried(path, caption, lambda: write_colour_picture(chosen, path))]


def _tried(path: Path, caption: str, write: Callable[[], object]) -> VisitPreview:
    """The picture, or why there is none, unless that is the machine's fault."""
    try:
        write()
    except _OF_THE_FILE as error:
        if (failure := machine_failure(error, where=path)) is not None:
            raise failure from error
        told = error.brief if isinstance(error, HstAssetsError) else str(error)
        return VisitPreview(None, caption, told)
    return VisitPreview(path, caption)
