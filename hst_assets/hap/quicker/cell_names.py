"""Names of the sky cells that an exposure touches, told by the outlines of its chips.

``cell_utils.get_sky_cells`` of drizzlepac 3.11 fills a mask of the exposure in the pixels of the
sky cells (3,500 squared for a frame of WFC3/IR, 5,500 for one of ACS/WFC), smooths it, traces its
edge, and asks in which cells a pixel of the edge lies. That edge follows the chips' outlines to
within a few pixels. So where each outline is well inside or well outside of each cell, the outlines
tell the same cells; where one comes near the border of a cell, or of a row of projection cells,
drizzlepac is asked. Only child processes use this, through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = ["by_outlines"]

#: Nearer to a border than this, drizzlepac is asked. The traced edge is rounded to pixels of 0.04
#: arcsec and smoothed with sigma = 2 pixels; outlines have a point every `_STEP` native pixels.
_MARGIN_ARCSEC = 10.0
_STEP = 8
#: Nearer to a pole than this, an arcsecond is many of right ascension (degrees of declination).
_MOST_DEC = 80.0


class _Near(Exception):
    """An outline is too near to a border: drizzlepac is asked."""


@dataclass(frozen=True)
class _Outlines:
    """What drizzlepac's grid asks of a footprint.

    Attributes
    ----------
    meta_wcs : HSTWCS
        Of the mask that drizzlepac would fill.
    ra, dec : ndarray
        Points of the chips' outlines, degrees.
    """

    meta_wcs: Any
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]


def by_outlines(
    method: Callable[..., Any], cell_utils: Any
) -> Callable[[list[str]], dict[str, Any] | None]:
    """A ``cell_utils.get_sky_cells`` of one exposure that gives the names of cells, if it can.

    Parameters
    ----------
    method : callable
        That of drizzlepac, for exposures near borders.
    cell_utils : module
        drizzlepac's.

    Returns
    -------
    callable
        Takes a list of files; its dict has names in drizzlepac's order, with or without cells.
    """

    def get_sky_cells(visit_input: list[str]) -> Any:
        if len(visit_input) == 1:
            try:
                return dict.fromkeys(_names(visit_input[0], cell_utils))
            except _Near:
                pass
        return method(visit_input)

    return get_sky_cells


def _names(file: str, cell_utils: Any) -> list[str]:
    grid = cell_utils.GridDefs()
    try:
        outlines = _outlines(file, grid, cell_utils)
        _check_bands(grid, outlines)
        grid.get_projection_cells(outlines, ra=outlines.ra, dec=outlines.dec)
        names = [
            name
            for cell in grid.projection_cells
            for name in _names_in(cell, grid, outlines, cell_utils)
        ]
    finally:
        grid.hdu.close()
    if not names:
        raise _Near
    return list(dict.fromkeys(names))


def _outlines(file: str, grid: Any, cell_utils: Any) -> _Outlines:
    with fits.open(file) as hdus:
        if "WCSNAME" not in hdus[1].header:
            raise _Near  # drizzlepac leaves it out
        chips = [
            cell_utils.HSTWCS(hdus, ext=number)
            for number in cell_utils.wcs_functions.get_extns(hdus)
        ]
    points = [_sky(chip) for chip in chips]
    if not points:
        raise _Near
    ra, dec = np.concatenate(points, axis=1)
    # drizzlepac's own frame: whether it meets a projection cell is asked of it, not of the edge.
    frame = cell_utils.wcs_functions.make_mosaic_wcs([file], rot=0.0, scale=grid.scale)
    return _Outlines(frame, ra, dec)


def _sky(chip: Any) -> NDArray[np.float64]:
    """RA and Dec of points along the edges of a chip, shape (2, n)."""
    last_x, last_y = chip.naxis1 - 1, chip.naxis2 - 1
    x = np.unique([*range(0, last_x, _STEP), last_x])
    y = np.unique([*range(0, last_y, _STEP), last_y])
    columns = np.concatenate([x, x, np.zeros_like(y), np.full_like(y, last_x)])
    rows = np.concatenate([np.zeros_like(x), np.full_like(x, last_y), y, y])
    return np.array(chip.pixel_to_world_values(columns, rows))


def _check_bands(grid: Any, outlines: _Outlines) -> None:
    """Whether the edge would have the same rows of projection cells, and the same one in each."""
    margin = _MARGIN_ARCSEC / 3600
    low, high = float(outlines.dec.min()), float(outlines.dec.max())
    if max(abs(low), abs(high)) > _MOST_DEC:
        raise _Near
    # What spans more, spans less, too; the edge is between.
    spanned = []
    for grown in (margin, -margin):
        ends = low - grown, high + grown
        grid._find_bands(np.array(ends if ends[0] < ends[1] else [low, high]))  # noqa: SLF001
        spanned.append([int(band["PROJCELL"]) for band in grid.bands])
    if spanned[0] != spanned[1]:
        raise _Near
    for band in grid.bands:
        place = outlines.ra % 360.0 * band["NBAND"] / 360.0
        reach = margin / np.cos(np.radians(_MOST_DEC)) * band["NBAND"] / 360.0
        if np.rint(place.min() - reach) != np.rint(place.max() + reach):
            raise _Near


def _names_in(cell: Any, grid: Any, outlines: _Outlines, cell_utils: Any) -> list[str]:
    """The sky cells of a projection cell, in the order of ``ProjectionCell.find_sky_cells``."""
    cell.sc_nxy, cell.sc_overlap = grid.sc_nxy, grid.sc_overlap
    sides = cell_utils.SkyCell(x=0, y=0, projection_cell=cell).wcs.pixel_shape
    places = cell.wcs.world_to_pixel_values(outlines.ra, outlines.dec)
    ranges = [_candidates(place, side, grid) for place, side in zip(places, sides, strict=True)]
    names = []
    for x in ranges[0]:
        for y in ranges[1]:
            candidate = cell_utils.SkyCell(x=x, y=y, projection_cell=cell)
            depth = _depth_pix(candidate.wcs, outlines)
            if abs(depth) < _MARGIN_ARCSEC / candidate.scale:
                raise _Near
            if depth > 0:
                names.append(str(candidate.sky_cell_id))
    return names


def _candidates(place: NDArray[np.float64], side: int, grid: Any) -> range:
    """Numbers of sky cells along an axis that drizzlepac looks at."""
    margin = _MARGIN_ARCSEC / grid.scale
    first, last = ((place + off) / side + 1.5 for off in (-margin, margin))
    if int(first.min()) != int(last.min()) or int(first.max()) != int(last.max()):
        raise _Near
    return range(max(1, int(first.min()) - 1), min(grid.sc_nxy, int(last.max()) + 2) + 1)


def _depth_pix(wcs: Any, outlines: _Outlines) -> float:
    """How far within a cell the point is that is furthest within; negative if all are outside."""
    x, y = wcs.world_to_pixel_values(outlines.ra, outlines.dec)
    nx, ny = wcs.pixel_shape
    return float(np.min([x, nx - x, y, ny - y], axis=0).max())
