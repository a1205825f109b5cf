"""What is left of exposures when all stars are taken off, put together from tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from regions import PixCoord, PolygonPixelRegion

from hst_assets.failures import UnusableInput
from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.chips_in import ChipFile
from hst_assets.photometry.psf.tiles import Box

__all__ = ["ResidualPart", "part_of_tile", "read_parts", "write_parts", "write_residual_image"]

#: Points along each side of a tile: between them a side is straight to well below a pixel.
_POINTS_A_SIDE = 17


@dataclass(frozen=True, eq=False)
class ResidualPart:
    """What is left of a part of a chip.

    Attributes
    ----------
    image_name : str
        Of which image.
    origin : tuple of int
        X and Y of its first pixel on the chip.
    residual_e : ndarray of float32, shape (ny, nx)
        Electrons; NaN where a pixel is not good, or another tile's.
    """

    image_name: str
    origin: tuple[int, int]
    residual_e: NDArray[np.float32]


def part_of_tile(image: ChipImage, residual_e: NDArray[np.float32], core: Box) -> ResidualPart:
    """The part of a residual that belongs to a tile.

    Parameters
    ----------
    image : ChipImage
        What was measured.
    residual_e : ndarray, shape (ny, nx)
        What is left of it.
    core : tuple of float
        Of the tile.
    """
    own = _within(image, core) & image.good
    return ResidualPart(
        image.name, image.origin, np.where(own, residual_e, np.nan).astype(np.float32)
    )


def _within(image: ChipImage, core: Box) -> NDArray[np.bool_]:
    """Pixels whose middle lies in a box of the reference."""
    knots_y, knots_x = image.pixel_map.knots.shape[:2]
    ends = image.pixel_map.step * (np.array([knots_x, knots_y]) - 1)
    # A tile at the border of the field has all that lies beyond.
    x_first, x_last = np.clip(core[:2], image.pixel_map.x0, image.pixel_map.x0 + ends[0])
    y_first, y_last = np.clip(core[2:], image.pixel_map.y0, image.pixel_map.y0 + ends[1])
    along = np.linspace(0, 1, _POINTS_A_SIDE)[:-1]
    zero, one = np.zeros_like(along), np.ones_like(along)
    x = x_first + (x_last - x_first) * np.concatenate([along, one, 1 - along, zero])
    y = y_first + (y_last - y_first) * np.concatenate([zero, along, one, 1 - along])
    region = PolygonPixelRegion(PixCoord(*image.pixel_map(x, y)))
    inside = region.to_mask(mode="center").to_image(image.shape)
    return np.zeros(image.shape, bool) if inside is None else np.asarray(inside, dtype=bool)


def write_parts(parts: Sequence[ResidualPart], path: Path) -> None:
    """Keep the parts of a tile as arrays (``.npz``)."""
    arrays: dict[str, NDArray[np.generic]] = {
        "names": np.array([part.image_name for part in parts], dtype=str),
        "origins": np.array([part.origin for part in parts], dtype=int).reshape(-1, 2),
    }
    arrays |= {f"part{at}": part.residual_e for at, part in enumerate(parts)}
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_parts(path: Path, image_name: str) -> list[ResidualPart]:
    """The parts of one image in a tile's file: one, or none.

    Raises
    ------
    UnusableInput
        If it is no such file.
    """
    try:
        with np.load(path) as file:
            at = np.flatnonzero(file["names"] == image_name)
            return [
                ResidualPart(image_name, (int(x), int(y)), file[f"part{index}"])
                for index, (x, y) in zip(at, file["origins"][at], strict=True)
            ]
    except (OSError, ValueError, KeyError) as error:
        raise UnusableInput(f"these are no residuals: {error}", where=path) from error


def write_residual_image(chip: ChipFile, parts: Sequence[ResidualPart], path: Path) -> None:
    """Write what is left of a whole chip, in the unit of the prepared file.

    Parameters
    ----------
    chip : ChipFile
        The chip.
    parts : sequence of ResidualPart
        Its parts from all tiles.
    path : `~pathlib.Path`
        The image; NaN where nothing was measured. Its header is that of the prepared file.
    """
    whole = np.full(chip.shape, np.nan, dtype=np.float32)
    for part in parts:
        x, y = part.origin
        ny, nx = part.residual_e.shape
        there = whole[y : y + ny, x : x + nx]
        known = np.isfinite(part.residual_e)
        there[known] = part.residual_e[known]
    whole /= np.float32(chip.electrons_per_value)
    fits.PrimaryHDU(whole, fits.getheader(chip.image.path)).writeto(
        path, output_verify="silentfix+ignore", overwrite=True
    )
