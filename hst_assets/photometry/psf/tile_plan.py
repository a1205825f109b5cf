"""Pieces of the reference that are measured one by one, and their stars put together again.

Each tile is measured with an overlap, so that the light of stars beyond its border is taken off;
of its stars those within its border are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.quantities import OFF_IMAGE
from hst_assets.photometry.psf.chip_image import MeasuredStars
from hst_assets.photometry.psf.chips_in import Box, ChipFile

__all__ = ["Tile", "overlap_pix", "plan_tiles", "put_together", "read_stars", "write_stars"]

Floats = NDArray[np.float64]

#: A star at a border is kept by both tiles within so many pixels of the reference; one of two that
#: are nearer than `_SAME_PIX` goes.
_SLACK_PIX = 0.5
_SAME_PIX = 1.0
#: Fields of `MeasuredStars` with a value for each star, and for each image.
_OF_STARS = ("x", "y", "x_error", "y_error", "object_type")
_OF_IMAGES = ("aperture_correction_mag", "aperture_correction_error_mag")


@dataclass(frozen=True)
class Tile:
    """A piece of the reference.

    Attributes
    ----------
    number : int
        From 1.
    core : tuple of float
        First and last X, first and last Y, 0-based pixels: what it keeps.
    box : tuple of float
        What is measured: the core with the overlap.
    """

    number: int
    core: Box
    box: Box

    def keeps(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Which places are its own; those just beyond its border are, too."""
        first_x, last_x, first_y, last_y = self.core
        inside: NDArray[np.bool_] = (x >= first_x - _SLACK_PIX) & (x < last_x + _SLACK_PIX)
        inside &= (y >= first_y - _SLACK_PIX) & (y < last_y + _SLACK_PIX)
        return inside


def overlap_pix(chips: Sequence[ChipFile], radius_pix: int) -> float:
    """How far beyond a tile's border stars matter, pixels of the reference.

    Two radii of the PSF of the coarsest detector: a star beyond touches no pixel of a star within.
    """
    scales = [np.sqrt(_area(chip.outline) / (chip.shape[0] * chip.shape[1])) for chip in chips]
    return float(np.ceil(2 * radius_pix * max(scales)))


def _area(outline: Floats) -> float:
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def plan_tiles(
    chips: Sequence[ChipFile], shape: tuple[int, int], *, side_pix: int, overlap: float
) -> list[Tile]:
    """Divide what the chips cover of the reference.

    Parameters
    ----------
    chips : sequence of ChipFile
        At least one.
    shape : tuple of int
        (ny, nx) of the reference.
    side_pix : int
        Longest side of a tile.
    overlap : float
        See `overlap_pix`.

    Returns
    -------
    list of Tile
        Of equal sides, row by row; those without a chip are left out.

    Raises
    ------
    UnusableInput
        If no chip lies on the reference.
    """
    boxes = np.array([chip.box for chip in chips])
    first = np.maximum(boxes[:, [0, 2]].min(axis=0), -0.5)
    last = np.minimum(boxes[:, [1, 3]].max(axis=0), np.array(shape[::-1]) - 0.5)
    if not (first < last).all():
        raise UnusableInput("no chip lies on the reference")
    nx, ny = np.maximum(np.ceil((last - first) / side_pix).astype(int), 1)
    xs, ys = np.linspace(first[0], last[0], nx + 1), np.linspace(first[1], last[1], ny + 1)
    tiles: list[Tile] = []
    for j in range(ny):
        for i in range(nx):
            core = float(xs[i]), float(xs[i + 1]), float(ys[j]), float(ys[j + 1])
            box = core[0] - overlap, core[1] + overlap, core[2] - overlap, core[3] + overlap
            if any(_touch(chip.box, core) for chip in chips):
                tiles.append(Tile(len(tiles) + 1, core, box))
    return tiles


def _touch(one: Box, other: Box) -> bool:
    in_x = one[0] < other[1] and other[0] < one[1]
    return in_x and one[2] < other[3] and other[2] < one[3]


# ------------------------------------------------------------------------------ their stars


def put_together(
    parts: Sequence[tuple[Tile, MeasuredStars]], image_names: Sequence[str]
) -> MeasuredStars:
    """The stars of all tiles.

    Parameters
    ----------
    parts : sequence of (Tile, MeasuredStars)
        Each with the images that the tile has.
    image_names : sequence of str
        All images, in the order of the catalogue.

    Returns
    -------
    MeasuredStars
        Of the tiles' own stars; where two tiles have a star, that of the larger signal. An image
        that a tile has not has the flag 9 there. Aperture corrections are means by their errors.
    """
    kept = [_own(tile, _on_all_images(stars, image_names)) for tile, stars in parts]
    whole = _joined(kept, tuple(image_names))
    tile_of = np.concatenate(
        [np.full(len(stars), tile.number) for (tile, _), stars in zip(parts, kept, strict=True)]
        or [np.empty(0, int)]
    )
    return _select(whole, ~_twice(whole, tile_of))


def _own(tile: Tile, stars: MeasuredStars) -> MeasuredStars:
    return _select(stars, tile.keeps(stars.x, stars.y))


def _select(stars: MeasuredStars, rows: NDArray[np.bool_]) -> MeasuredStars:
    chosen = {}
    for each in fields(stars):
        value = getattr(stars, each.name)
        if each.name in _OF_IMAGES or not isinstance(value, np.ndarray):
            chosen[each.name] = value
        else:
            chosen[each.name] = value[..., rows]
    return MeasuredStars(**chosen)


def _on_all_images(stars: MeasuredStars, names: Sequence[str]) -> MeasuredStars:
    """The same with a row for each of the images."""
    rows = [names.index(name) for name in stars.image_names]
    shape = len(names), len(stars)
    nothing = {"counts_error_e": np.inf, "flag": OFF_IMAGE}
    whole = {}
    for each in fields(stars):
        value = getattr(stars, each.name)
        if each.name in _OF_STARS or not isinstance(value, np.ndarray):
            whole[each.name] = value
            continue
        missing = np.nan if each.name in _OF_IMAGES else nothing.get(each.name, 0)
        spread = np.full(shape[: value.ndim], missing, value.dtype)
        spread[rows] = value
        whole[each.name] = spread
    return MeasuredStars(**{**whole, "image_names": tuple(names)})


def _joined(parts: Sequence[MeasuredStars], names: tuple[str, ...]) -> MeasuredStars:
    whole: dict[str, object] = {"image_names": names}
    whole["remarks"] = tuple(dict.fromkeys(text for part in parts for text in part.remarks))
    mag, error = _mean_corrections(parts)
    whole |= {"aperture_correction_mag": mag, "aperture_correction_error_mag": error}
    for each in fields(MeasuredStars):
        if each.name not in whole:
            values = [getattr(part, each.name) for part in parts]
            whole[each.name] = np.concatenate(values, axis=-1)
    return MeasuredStars(**whole)  # type: ignore[arg-type]


def _mean_corrections(parts: Sequence[MeasuredStars]) -> tuple[Floats, Floats]:
    mags = np.array([part.aperture_correction_mag for part in parts], dtype=float)
    errors = np.array([part.aperture_correction_error_mag for part in parts], dtype=float)
    known = np.isfinite(mags)
    exact = np.where(np.isfinite(errors), np.maximum(errors, 1e-4), 1.0)
    weight = np.where(known, exact**-2, 0.0)
    total = weight.sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    mean = (np.where(known, mags, 0.0) * weight).sum(axis=0) / safe
    return mean, np.where(total > 0, safe**-0.5, np.inf)


def _twice(stars: MeasuredStars, tile_of: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Stars that another tile has, too, with more signal."""
    drop = np.zeros(len(stars), dtype=bool)
    if not len(stars):
        return drop
    signal = np.where(np.isfinite(stars.counts_error_e), stars.counts_e, 0.0).sum(axis=0)
    tree = KDTree(np.column_stack([stars.x, stars.y]))
    for a, b in tree.query_pairs(_SAME_PIX, output_type="ndarray"):
        if tile_of[a] != tile_of[b] and not (drop[a] or drop[b]):
            drop[a if signal[a] < signal[b] else b] = True
    return drop


# ------------------------------------------------------------------------------ their files


def write_stars(stars: MeasuredStars, path: Path) -> None:
    """Keep measured stars as arrays (``.npz``)."""
    arrays = {each.name: np.asarray(getattr(stars, each.name)) for each in fields(stars)}
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_stars(path: Path) -> MeasuredStars:
    """Read them again.

    Raises
    ------
    UnusableInput
        If it is no such file.
    """
    texts = {"image_names", "remarks"}
    try:
        with np.load(path) as file:
            known = {
                each.name: tuple(map(str, file[each.name]))
                if each.name in texts
                else file[each.name]
                for each in fields(MeasuredStars)
            }
    except (OSError, ValueError, KeyError) as error:
        raise UnusableInput(f"these are no measured stars: {error}", where=path) from error
    return MeasuredStars(**known)
