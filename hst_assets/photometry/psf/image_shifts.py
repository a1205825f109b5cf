"""By how much each image is off its map: the mean of its bright stars, outliers left out."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.bright_stars import BrightStars
from hst_assets.photometry.psf.moved_image import moved
from hst_assets.photometry.psf.tiles import ImageSource, Tile

__all__ = ["shifted_images"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]

#: Fewer stars do not tell an image's shift.
_FEWEST_FOR_SHIFT = 5


def shifted_images(
    images: Sequence[ImageSource], tiles: Sequence[Tile], found: Sequence[BrightStars]
) -> tuple[list[ImageSource], tuple[str, ...]]:
    """Move the maps of images to where their stars are.

    Parameters
    ----------
    images : sequence of ImageSource
        All images.
    tiles : sequence of Tile
        All tiles.
    found : sequence of BrightStars
        Of each tile.

    Returns
    -------
    moved : list of ImageSource
        In the order of the images; one with too few stars is left where it is.
    remarks : tuple of str
        Which those are.
    """
    sources, remarks = [], []
    for index, source in enumerate(images):
        dx, dy, error = (
            np.concatenate(
                [
                    getattr(of_tile.shifts[tile.images.index(index)], name)
                    for tile, of_tile in zip(tiles, found, strict=True)
                    if index in tile.images
                ]
                or [np.empty(0)]
            )
            for name in ("dx", "dy", "error")
        )
        if len(dx) < _FEWEST_FOR_SHIFT:
            remarks.append(f"{source.name}: {len(dx)} stars, its shift was not measured")
            sources.append(source)
            continue
        shift = _robust_mean(dx, error), _robust_mean(dy, error)
        logger.debug("%s: shift %.3f, %.3f pixels", source.name, *shift)
        sources.append(moved(source, *shift))
    return sources, tuple(remarks)


def _robust_mean(values: Floats, errors: Floats) -> float:
    """Weighted mean of what is within 3 robust standard deviations of the median."""
    middle = np.median(values)
    spread = 1.4826 * np.median(abs(values - middle))
    near = abs(values - middle) <= 3 * max(spread, 1e-6)
    weight = 1 / (errors[near] ** 2 + spread**2 + 1e-12)
    return float((values[near] * weight).sum() / weight.sum())
