"""The field of a target in tiles, each with the parts of all images that reach into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.pixel_map import PixelMap

__all__ = [
    "BYTES_A_PIXEL",
    "Box",
    "ChipInMemory",
    "ImageSource",
    "Tile",
    "images_of",
    "memory_gb_of",
    "plan_tiles",
]

#: First and last X, first and last Y on the reference, 0-based pixels.
Box = tuple[float, float, float, float]

#: Beyond its own place a tile's stars are found and fitted, too, and left to its neighbours: pixels
#: of the finest image.
MARGIN_PIX = 24
#: A tile whose images need too much memory is not divided into shorter sides than this, pixels.
_LEAST_TILE_PIX = 128
#: Memory that a pixel of an image needs while a tile is measured, all arrays of the fit together:
#: from the largest resident sets of processes that measured tiles of 468 and 1072 pixels of four
#: images, 0.33 and 0.57 GB (`run_on` of ``benchmarks/photometer_processes.py``).
BYTES_A_PIXEL = 64
#: An image takes part in a tile with so many rows and columns at least.
_LEAST_PART_PIX = 16


class ImageSource(Protocol):
    """A chip of an exposure from which parts can be cut; it can be pickled.

    Attributes
    ----------
    name, band : str
        As of `ChipImage`.
    psf_key : str
        Images of one key have one PSF: those of a band on one chip.
    shape : tuple of int
        (ny, nx) of the whole chip.
    box : Box
        The rectangle about it on the reference.
    pixel_map : PixelMap
        From the reference to the whole chip.
    exptime_s, mjd : float
        As of `ChipImage`.
    pixel_scale_arcsec : float
        Arcseconds a pixel of the chip.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def band(self) -> str: ...  # noqa: D102
    @property
    def psf_key(self) -> str: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def box(self) -> Box: ...  # noqa: D102
    @property
    def pixel_map(self) -> PixelMap: ...  # noqa: D102
    @property
    def exptime_s(self) -> float: ...  # noqa: D102
    @property
    def mjd(self) -> float: ...  # noqa: D102
    @property
    def pixel_scale_arcsec(self) -> float: ...  # noqa: D102

    def encircled(self, radius_arcsec: float) -> float:
        """Share of a star's light within a radius; NaN where it is not known."""
        ...

    def cut(self, rows: slice, columns: slice) -> ChipImage:
        """Some rows and columns of it; their map leads to pixels of the part."""
        ...


@dataclass(frozen=True, eq=False)
class ChipInMemory:
    """A whole chip in memory, for simulations and tests.

    Attributes
    ----------
    image : ChipImage
        The chip.
    psf_key : str
        As of `ImageSource`.
    pixel_scale_arcsec : float
        Arcseconds a pixel.
    """

    image: ChipImage
    psf_key: str
    pixel_scale_arcsec: float = 0.04

    def encircled(self, radius_arcsec: float) -> float:
        """Not known."""
        del radius_arcsec
        return float("nan")

    @property
    def name(self) -> str:
        """As of `ChipImage`."""
        return self.image.name

    @property
    def band(self) -> str:
        """As of `ChipImage`."""
        return self.image.band

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.image.shape

    @property
    def pixel_map(self) -> PixelMap:
        """From the reference to the chip."""
        return self.image.pixel_map

    @property
    def exptime_s(self) -> float:
        """Seconds."""
        return self.image.exptime_s

    @property
    def mjd(self) -> float:
        """Middle of the exposure."""
        return self.image.mjd

    @property
    def box(self) -> Box:
        """The rectangle on the reference that leads to its pixels."""
        knots, ny, nx = self.pixel_map.knots, *self.shape
        on_it = (knots[..., 0] > -1) & (knots[..., 0] < nx)
        on_it &= (knots[..., 1] > -1) & (knots[..., 1] < ny)
        j, i = np.nonzero(on_it)
        x0, y0, step = self.pixel_map.x0, self.pixel_map.y0, self.pixel_map.step
        return (
            float(x0 + step * (i.min() - 1)),
            float(x0 + step * (i.max() + 1)),
            float(y0 + step * (j.min() - 1)),
            float(y0 + step * (j.max() + 1)),
        )

    def cut(self, rows: slice, columns: slice) -> ChipImage:
        """Some rows and columns of it."""
        whole, part = self.image, (rows, columns)
        return replace(
            whole,
            data_e=whole.data_e[part],
            good=whole.good[part],
            saturated=whole.saturated[part],
            sky_e=whole.sky_e[part],
            area=whole.area[part],
            pixel_map=whole.pixel_map.moved(-columns.start, -rows.start),
            origin=(whole.origin[0] + columns.start, whole.origin[1] + rows.start),
        )


@dataclass(frozen=True)
class Tile:
    """A piece of the field.

    Attributes
    ----------
    number : int
        From 0.
    core : Box
        Stars in it are this tile's; a tile at the border of the field has all that lies beyond.
    box : Box
        What is measured: the core and a margin.
    images : tuple of int
        Indices of the sources that reach into it.
    """

    number: int
    core: Box
    box: Box
    images: tuple[int, ...]

    def holds(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which places are this tile's."""
        first_x, last_x, first_y, last_y = self.core
        inside: np.ndarray = (x >= first_x) & (x < last_x) & (y >= first_y) & (y < last_y)
        return inside


def plan_tiles(
    sources: Sequence[ImageSource], *, tile_pix: int, memory_gb: float = np.inf
) -> list[Tile]:
    """Divide the field of all images into tiles of about one size.

    Parameters
    ----------
    sources : sequence of ImageSource
        The images.
    tile_pix : int
        Largest side of a tile, pixels of the reference.
    memory_gb : float, optional
        A tile whose images need more (`memory_gb_of`) is halved, until its longer side is shorter
        than 256 pixels.
    """
    boxes = np.array([source.box for source in sources])
    whole = (boxes[:, 0].min(), boxes[:, 1].max(), boxes[:, 2].min(), boxes[:, 3].max())
    margin = MARGIN_PIX * max(_reference_pixels(source.pixel_map) for source in sources)
    edges = []
    for first, last in (whole[:2], whole[2:]):
        n = max(1, int(np.ceil((last - first) / tile_pix - 0.1)))
        edges.append(np.linspace(first, last, n + 1))
    tiles: list[Tile] = []
    for y_first, y_last in zip(edges[1][:-1], edges[1][1:], strict=True):
        for x_first, x_last in zip(edges[0][:-1], edges[0][1:], strict=True):
            piece = (float(x_first), float(x_last), float(y_first), float(y_last))
            for part in _divided(piece, sources, margin, memory_gb):
                tile = _tile_of(len(tiles), part, whole, sources, margin)
                if tile.images:
                    tiles.append(tile)
    return tiles


def memory_gb_of(sources: Sequence[ImageSource], tile: Tile) -> float:
    """Memory that the images of a tile need while it is measured, GB (1e9 bytes).

    Parameters
    ----------
    sources : sequence of ImageSource
        All images.
    tile : Tile
        With its images.
    """
    sides = [_sides(sources[at], tile.box) for at in tile.images]
    ny, nx = (max((side[axis] for side in sides), default=0) for axis in (0, 1))
    return BYTES_A_PIXEL * len(sides) * ny * nx / 1e9


def _sides(source: ImageSource, box: Box) -> tuple[int, int]:
    (x_first, x_last), (y_first, y_last) = _spans(source, box)
    return y_last - y_first, x_last - x_first


def _divided(
    piece: Box, sources: Sequence[ImageSource], margin: float, memory_gb: float
) -> list[Box]:
    """A piece, or halves of it, and of these, that need no more memory than they may."""
    x_first, x_last, y_first, y_last = piece
    width, height = x_last - x_first, y_last - y_first
    if (
        max(width, height) < 2 * _LEAST_TILE_PIX
        or memory_gb_of(sources, _tile_of(0, piece, piece, sources, margin)) <= memory_gb
    ):
        return [piece]
    x_middle, y_middle = (x_first + x_last) / 2, (y_first + y_last) / 2
    halves = (
        ((x_first, x_middle, y_first, y_last), (x_middle, x_last, y_first, y_last))
        if width >= height
        else ((x_first, x_last, y_first, y_middle), (x_first, x_last, y_middle, y_last))
    )
    return [part for half in halves for part in _divided(half, sources, margin, memory_gb)]


def _tile_of(
    number: int, piece: Box, whole: Box, sources: Sequence[ImageSource], margin: float
) -> Tile:
    """The tile of a piece of the whole field."""
    x_first, x_last, y_first, y_last = piece
    box = (x_first - margin, x_last + margin, y_first - margin, y_last + margin)
    core = (
        -np.inf if x_first == whole[0] else x_first,
        np.inf if x_last == whole[1] else x_last,
        -np.inf if y_first == whole[2] else y_first,
        np.inf if y_last == whole[3] else y_last,
    )
    reaching = (at for at, source in enumerate(sources) if part_of(source, box) is not None)
    return Tile(number, core, box, tuple(reaching))


def _reference_pixels(pixel_map: PixelMap) -> float:
    """Pixels of the reference in one of the chip, in the middle of the map."""
    knots = pixel_map.knots
    j, i = knots.shape[0] // 2 - 1, knots.shape[1] // 2 - 1
    return float(pixel_map.step / np.hypot(*(knots[j, i + 1] - knots[j, i])))


def part_of(source: ImageSource, box: Box) -> tuple[slice, slice] | None:
    """Rows and columns of an image that lie in a box of the reference.

    None if nothing does, or so little that no star is fitted on it.
    """
    part = _spans(source, box)
    if any(last - first < _LEAST_PART_PIX for first, last in part):
        return None
    (x_first, x_last), (y_first, y_last) = part
    return slice(y_first, y_last), slice(x_first, x_last)


def _spans(source: ImageSource, box: Box) -> list[tuple[int, int]]:
    """First and last column, first and last row of an image in a box; none if last <= first."""
    x, y = (np.linspace(first, last, 17) for first, last in (box[:2], box[2:]))
    on_chip = source.pixel_map(*np.meshgrid(x, y))
    part = []
    for places, size in zip(on_chip, reversed(source.shape), strict=True):
        first = max(int(np.floor(places.min())), 0)
        part.append((first, min(int(np.ceil(places.max())) + 1, size)))
    return part


def images_of(sources: Sequence[ImageSource], tile: Tile) -> list[ChipImage]:
    """The parts of all images that reach into a tile."""
    images = []
    for at in tile.images:
        # Images were shifted since the tile was planned: what is left of each may be less.
        columns, rows = (
            slice(max(min(first, size - 2), 0), max(min(last, size), min(first, size - 2) + 2))
            for (first, last), size in zip(
                _spans(sources[at], tile.box), reversed(sources[at].shape), strict=True
            )
        )
        images.append(sources[at].cut(rows, columns))
    return images
