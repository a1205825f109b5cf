"""A piece of the field as it was at the end of the measurement: images, sky, PSFs and stars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.image_stack import ImageStack, image_stack
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.star_light import add_stars, places_on_images
from hst_assets.photometry.psf.tiles import Box, ImageSource, Tile, images_of

__all__ = ["WHOLE_PSF", "RestoredTile", "restored_tile", "starlight", "window", "within"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]
Rows = NDArray[np.int64]

#: Light of a pixel that need not be drawn, electrons: so little that stars are drawn whole.
WHOLE_PSF = 1e-6


@dataclass(frozen=True, eq=False)
class RestoredTile:
    """A piece of the field.

    Attributes
    ----------
    tile : Tile
        The piece.
    stack : ImageStack
        Its images; `ImageStack.sky_e` is that of the end of the measurement.
    psfs : list of SplinePsf
        Of each image.
    rows : ndarray of int, shape (m,)
        Which of the measurement's stars shine in it.
    x, y : ndarray, shape (m,)
        Their places on the reference.
    counts_e : ndarray, shape (images, m)
        Their electrons on the images of the piece.
    only_on : ndarray of int, shape (m,)
        The only image of the piece on which a row shines, of stars that move; -1: all may.
    star : ndarray of int, shape (m,)
        Number of the row's star in the order of the catalogue, from 0.
    """

    tile: Tile
    stack: ImageStack
    psfs: list[SplinePsf]
    rows: Rows
    x: Floats
    y: Floats
    counts_e: Floats
    only_on: Rows
    star: Rows

    @cached_property
    def of_stars(self) -> tuple[Floats, Floats, Floats]:
        """X, Y and electrons of each star; one that moves is at the mean of its places."""
        _, of_row = np.unique(self.star, return_inverse=True)
        x, y = (np.bincount(of_row, each) / np.bincount(of_row) for each in (self.x, self.y))
        counts = np.array([np.bincount(of_row, of_image) for of_image in self.counts_e])
        return x, y, counts

    @cached_property
    def model_e(self) -> Planes:
        """The light of all of the measurement's stars."""
        return starlight(self.stack, self.x, self.y, self.counts_e)


def restored_tile(
    sources: Sequence[ImageSource], kept: MeasurementFile, tile: Tile, *, least_reach_pix: float
) -> RestoredTile | None:
    """Read the images of a piece of the field; None if no image reaches into it.

    Parameters
    ----------
    sources : sequence of ImageSource
        As `MeasurementFile.moved` gives them.
    kept : MeasurementFile
        The measurement.
    tile : Tile
        The piece.
    least_reach_pix : float
        Stars so far beyond its box shine in it, pixels of the reference.
    """
    parts = images_of(sources, tile)
    if not parts:
        return None
    images = [kept.images[at].restored(part) for at, part in zip(tile.images, parts, strict=True)]
    psfs = [kept.psfs[kept.images[at].psf_key] for at in tile.images]
    stack = image_stack(images, psfs, box=tile.box)
    rows = np.flatnonzero(within(kept.x, kept.y, tile.box, least_reach_pix))
    only_on = kept.image_of_row[rows]
    here = (only_on < 0) | np.isin(only_on, tile.images)
    rows, only_on = rows[here], only_on[here]
    at_rest = only_on < 0
    in_tile = {image: at for at, image in enumerate(tile.images)}
    only_on[~at_rest] = [in_tile[image] for image in only_on[~at_rest].tolist()]
    counts = np.ascontiguousarray(kept.counts_e[list(tile.images)][:, rows])
    return RestoredTile(
        tile, stack, psfs, rows, kept.x[rows], kept.y[rows], counts, only_on, kept.star_of_row[rows]
    )


def within(x: Floats, y: Floats, box: Box, beyond: float = 0.0) -> NDArray[np.bool_]:
    """Which places are in a box, or so far beyond it."""
    first_x, last_x, first_y, last_y = box
    inside: NDArray[np.bool_] = (x >= first_x - beyond) & (x <= last_x + beyond)
    inside &= (y >= first_y - beyond) & (y <= last_y + beyond)
    return inside


def starlight(stack: ImageStack, x: Floats, y: Floats, counts_e: Floats) -> Planes:
    """The light of stars on all images, out to the radius of the PSF.

    Parameters
    ----------
    stack : ImageStack
        The images.
    x, y : ndarray, shape (m,)
        Places on the reference.
    counts_e : ndarray, shape (k, m)
        Electrons on each image.
    """
    light = np.zeros_like(stack.data_e)
    optics = stack.optics
    add_stars(
        light, stack.shapes, optics.lattice, optics.knots, optics.splines, optics.cells,
        optics.cell_pix, optics.origin, optics.middle, optics.profiles,
        np.ascontiguousarray(x, dtype=float), np.ascontiguousarray(y, dtype=float),
        np.ascontiguousarray(counts_e, dtype=float), np.full(len(stack), WHOLE_PSF), 1,
    )  # fmt: skip
    return light


def window(
    stack: ImageStack, x: float, y: float, reach: float, border_pix: int
) -> tuple[ImageStack, NDArray[np.int64], list[tuple[slice, slice]]] | None:
    """The surroundings of a place as a stack of their own; None if no image has any of them.

    Parameters
    ----------
    stack : ImageStack
        A larger piece.
    x, y : float
        The place on the reference.
    reach : float
        Half of the side of a box about it, pixels of the reference.
    border_pix : int
        Pixels of the images beyond the box that belong to it.

    Returns
    -------
    stack : ImageStack
        Copies of the pixels, of those images that have some.
    which : ndarray of int
        Those images.
    parts : list of (slice, slice)
        Rows and columns of each in the larger piece.
    """
    corners_x = x + reach * np.array([-1.0, 1.0, -1.0, 1.0])
    corners_y = y + reach * np.array([-1.0, -1.0, 1.0, 1.0])
    optics = stack.optics
    xs, ys = places_on_images(optics.lattice, optics.knots, corners_x, corners_y)
    first = np.floor(np.stack([ys.min(axis=1), xs.min(axis=1)], axis=1)).astype(np.int64)
    last = np.ceil(np.stack([ys.max(axis=1), xs.max(axis=1)], axis=1)).astype(np.int64) + 1
    first = np.maximum(first - border_pix, 0)
    last = np.minimum(last + border_pix, stack.shapes)
    which = np.flatnonzero((last > first).all(axis=1))
    if which.size == 0:
        return None
    first, last = first[which], last[which]
    parts = [
        (slice(a[0], b[0]), slice(a[1], b[1]))
        for a, b in zip(first.tolist(), last.tolist(), strict=True)
    ]
    shapes = last - first
    corner = first[:, ::-1].astype(float)
    lattice, knots = _knots_about(optics.lattice, optics.knots, x, y, reach)
    about = replace(
        optics,
        lattice=lattice,
        knots=knots[which] - corner[:, None, None, :],
        cells=optics.cells[which],
        cell_pix=optics.cell_pix[which],
        origin=optics.origin[which] + corner,
        profiles=optics.profiles[which],
    )
    planes: dict[str, Any] = {
        name: _cut(getattr(stack, name), which, parts, shapes.max(axis=0), filling)
        for name, filling in _FILLING.items()
    }
    small = replace(
        stack,
        **planes,
        shapes=shapes,
        read_noise_e=stack.read_noise_e[which],
        exptime_s=stack.exptime_s[which],
        mjd=stack.mjd[which],
        band_of=stack.band_of[which],
        names=tuple(stack.names[k] for k in which),
        optics=about,
    )
    return small, which, parts


#: Planes of a stack, and what is beyond the pixels of a smaller image.
_FILLING = {"data_e": 0, "sky_e": 0, "good": False, "saturated": False}


def _cut(
    planes: NDArray[np.generic],
    which: Rows,
    parts: Sequence[tuple[slice, slice]],
    shape: NDArray[np.int64],
    filling: float,
) -> NDArray[np.generic]:
    cut = np.full((len(which), *shape), filling, dtype=planes.dtype)
    for small, k, (rows, columns) in zip(cut, which, parts, strict=True):
        small[: rows.stop - rows.start, : columns.stop - columns.start] = planes[k, rows, columns]
    return cut


def _knots_about(
    lattice: Floats, knots: Floats, x: float, y: float, reach: float
) -> tuple[Floats, Floats]:
    """The knots of the maps about a place, one more on each side than are needed."""
    step = lattice[2]
    ny, nx = knots.shape[1:3]
    parts = []
    for place, zero, n in ((y, lattice[1], ny), (x, lattice[0], nx)):
        first = int(np.floor((place - reach - zero) / step)) - 1
        last = int(np.ceil((place + reach - zero) / step)) + 2
        first = min(max(first, 0), n - 2)
        parts.append(slice(first, max(min(last, n), first + 2)))
    rows, columns = parts
    corner = [lattice[0] + step * columns.start, lattice[1] + step * rows.start, step]
    return np.array(corner), knots[:, rows, columns]
