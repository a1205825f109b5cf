"""What was added to the first estimate of an image's sky, in blocks: little enough to be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

__all__ = ["BLOCK_PIX", "SkyMesh"]

Planes = NDArray[np.float32]

#: Side of a block, pixels: the light around bright stars, beyond the PSF, changes over some more.
BLOCK_PIX = 8


@dataclass(frozen=True, eq=False)
class SkyMesh:
    """The sky of a chip beyond its first estimate.

    Attributes
    ----------
    total_e : ndarray of float32, shape (blocks_y, blocks_x)
        Sums over the pixels of each block that were seen, electrons.
    n_pixels : ndarray of float32, shape (blocks_y, blocks_x)
        How many those are; a pixel that several tiles saw counts as often.
    """

    total_e: Planes
    n_pixels: Planes

    @classmethod
    def of_chip(cls, shape: tuple[int, int]) -> SkyMesh:
        """An empty one for a chip of (ny, nx)."""
        ny, nx = (-(-size // BLOCK_PIX) for size in shape)
        return cls(np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.float32))

    def add(self, more_e: Planes, origin: tuple[int, int]) -> None:
        """Take in a part of the chip whose first pixel has X and Y `origin`."""
        ny, nx = more_e.shape
        if not more_e.size:
            return
        rows, columns = (np.arange(n) + first for n, first in ((ny, origin[1]), (nx, origin[0])))
        row_starts, column_starts = (_starts(each) for each in (rows, columns))
        sums = np.add.reduceat(np.add.reduceat(more_e, row_starts, axis=0), column_starts, axis=1)
        heights = np.diff([*row_starts, ny])
        widths = np.diff([*column_starts, nx])
        part = np.ix_(rows[row_starts] // BLOCK_PIX, columns[column_starts] // BLOCK_PIX)
        self.total_e[part] += sums
        self.n_pixels[part] += np.outer(heights, widths)

    def joined(self, other: SkyMesh) -> SkyMesh:
        """Both together."""
        return SkyMesh(self.total_e + other.total_e, self.n_pixels + other.n_pixels)

    def at(self, rows: slice, columns: slice) -> Planes:
        """Of some pixels of the chip, linear between the middles of blocks."""
        seen = self.n_pixels > 0
        mean = np.where(seen, self.total_e / np.where(seen, self.n_pixels, 1), 0)
        if not seen.all() and seen.any():  # beside the field: as in the nearest block
            mean = _filled(mean, seen)
        places = (
            (np.arange(part.start, part.stop) + 0.5) / BLOCK_PIX - 0.5 for part in (rows, columns)
        )
        grid = np.meshgrid(*places, indexing="ij")
        values: Planes = map_coordinates(mean, grid, order=1, mode="nearest", output=np.float32)
        return values


def _starts(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in consecutive indices each block begins."""
    begins = np.flatnonzero(indices % BLOCK_PIX == 0)
    return begins if begins.size and begins[0] == 0 else np.concatenate([[0], begins])


def _filled(mean: Planes, seen: NDArray[np.bool_]) -> Planes:
    nearest = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    filled: Planes = mean[tuple(nearest)]
    return filled
