"""Pixels that cosmic rays hit, by their number on the whole chip: kept, and put on parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.tiles import Tile

__all__ = ["joined_rays", "load_rays", "pixel_numbers", "rays_file", "rays_on", "save_rays"]

Pixels = NDArray[np.int64]

#: Pixels of a row in the numbers of pixels: more than any chip has columns.
_ROW = 1 << 16


def rays_file(folder: Path, tile: Tile) -> Path:
    """Where the rays of a tile are left."""
    return folder / f"rays{tile.number}.npz"


def save_rays(path: Path, masks: Sequence[tuple[tuple[int, int], NDArray[np.bool_]]]) -> None:
    """Leave masks of parts of chips: for each, X and Y of its first pixel and the mask."""
    pixels = {str(at): pixel_numbers(mask, origin) for at, (origin, mask) in enumerate(masks)}
    part = path.with_suffix(".part.npz")
    np.savez(part, **pixels)  # type: ignore[arg-type]
    part.replace(path)


def pixel_numbers(mask: NDArray[np.bool_], origin: tuple[int, int]) -> Pixels:
    """Numbers of the pixels of a part of a chip whose first pixel has X and Y `origin`."""
    rows, columns = np.nonzero(mask)
    return np.asarray((rows + origin[1]) * _ROW + columns + origin[0], dtype=np.int64)


def load_rays(path: Path) -> list[Pixels]:
    """Numbers of the pixels, for each image that was left."""
    with np.load(path) as kept:
        return [kept[str(at)] for at in range(len(kept.files))]


def joined_rays(parts: Sequence[Pixels]) -> Pixels:
    """The pixels of all parts of a chip, in order."""
    return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))


def rays_on(image: ChipImage, pixels: Pixels) -> NDArray[np.bool_]:
    """The mask of a part of a chip."""
    rows, columns = pixels // _ROW - image.origin[1], pixels % _ROW - image.origin[0]
    ny, nx = image.shape
    inside = (rows >= 0) & (columns >= 0) & (rows < ny) & (columns < nx)
    mask = np.zeros(image.shape, dtype=bool)
    mask[rows[inside], columns[inside]] = True
    return mask
