"""AstroDrizzle's steps, driven here: the same pixels, made by several processes.

The C code of drizzlepac does the drizzling and blotting, its functions the statistics and the
median, its image objects tell gains, units and noise; what is different is who does what when.
Exposures, chips and rows of the product are worked on by forked processes, every plane is read
once into memory that they share, and nothing goes through files. A chip is compared with the
median and drizzled in one go, into a window of the product about it, and the windows are added in
the order of the chips. So the pixels do not depend on the number of processes; from those of
AstroDrizzle, which adds in single precision, they differ by rounding.

Only child processes import this. `left_to_astrodrizzle` of
`hst_assets.imaging.astrodrizzle.parameters` says what is left to AstroDrizzle itself.
"""

# ruff: noqa: SLF001 - what drizzlepac's image objects know of gains and units is private to them

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from drizzlepac import processInput, sky, util
from numpy.typing import NDArray
from stsci.skypac import skymatch  # type: ignore[import-untyped]
from stsci.tools import teal  # type: ignore[import-untyped]

from hst_assets.imaging.direct.chips import (
    Chip,
    Image,
    Mask,
    by_image,
    chips_of,
    drizzle_onto,
    good_pixels,
    read_chips,
    step_of,
)
from hst_assets.imaging.direct.cosmic_rays import Model
from hst_assets.imaging.direct.median import median_image
from hst_assets.imaging.forked import in_children, row_blocks, shared_array

__all__ = ["Drizzled", "drizzle_directly"]

logger = logging.getLogger(__name__)

_TASK = "astrodrizzle"
_COSMIC_RAY = 4096
#: Windows that are in memory at a time.
_WINDOWS_AT_A_TIME = 8
#: So many native pixels beyond a chip's edges a drop can reach (lanczos3), and output pixels more.
_REACH_NATIVE_PIX = 4.0
_REACH_PIX = 4
#: Bits of a plane of the context image.
_BITS = 32


@dataclass(frozen=True)
class Drizzled:
    """What `drizzle_directly` made.

    Attributes
    ----------
    planes : dict
        SCI and WHT (float32) and CTX (int32), each (ny, nx), CTX (n, ny, nx) beyond 32 chips.
    skies : dict
        By file name and EXTVER, the sky that was subtracted, in native units.
    """

    planes: dict[str, NDArray[Any]]
    skies: dict[str, dict[int, float]]


def drizzle_directly(
    copies: Sequence[Path],
    grid: Any,
    model_grid: Any,
    parameters: Mapping[str, Any],
    *,
    cores: int,
    adjust_skies: Callable[[Sequence[Any]], None] | None = None,
) -> Drizzled:
    """Combine exposures in the current directory.

    Parameters
    ----------
    copies : sequence of `~pathlib.Path`
        Names of exposures in the current directory. Cosmic rays are flagged in their DQ planes,
        as AstroDrizzle does.
    grid : `~stwcs.wcsutil.HSTWCS`
        Of the product.
    model_grid : `~stwcs.wcsutil.HSTWCS`
        Of the separate images and of their median.
    parameters : mapping
        AstroDrizzle's keyword arguments.
    cores : int
        Processes at a time; the pixels do not depend on it.
    adjust_skies : callable, optional
        Called with drizzlepac's image objects once their skies are measured.

    Raises
    ------
    ToolFailed, OutOfMemory
        If a process failed.
    """
    config, images, output = _initialised(copies, grid, model_grid, parameters)
    try:
        chips = read_chips(images, config, cores)
        _subtract_sky(images, chips, config, cores)
        if adjust_skies is not None:
            adjust_skies(images)
        median = median_image(images, chips, output.single_wcs, config, cores)
        planes = _final(chips, output.final_wcs, config, Model.of(output, median, config), cores)
        _finish(planes, chips[-1], config)
        if median is not None:
            in_children([partial(_write_flags, members) for members in by_image(chips)], cores)
        return Drizzled(planes, _skies(images))
    finally:
        for image in images:
            image.close()


# --------------------------------------------------------------------------- what is to be done


def _initialised(
    copies: Sequence[Path], grid: Any, model_grid: Any, parameters: Mapping[str, Any]
) -> tuple[Any, list[Any], Any]:
    """AstroDrizzle's configuration, its image objects, and its output's WCSs."""
    asked = {
        **parameters,
        "input": [str(path) for path in copies],
        "output": "drizzled",
        "build": False,
        "context": True,
        "preserve": False,
        "num_cores": 1,
        "in_memory": True,
        "driz_sep_wcs": True,
        "driz_sep_refimage": model_grid,
        "final_wcs": True,
        "final_refimage": grid,
    }
    config = util.getDefaultConfigObj(
        _TASK, teal.load(_TASK, defaults=True), dict(asked), loadOnly=True
    )
    config["mdriztab"] = False
    images, output = processInput.setCommonInput(config, overwrite_dict=dict(asked))
    return config, images, output


def _skies(images: Sequence[Any]) -> dict[str, dict[int, float]]:
    return {
        image._filename: {
            number: float(hdu.subtractedSky or 0.0) for number, hdu in chips_of(image)
        }
        for image in images
    }


# --------------------------------------------------------------------------- sky


def _subtract_sky(images: Sequence[Any], chips: Sequence[Chip], config: Any, cores: int) -> None:
    """Let drizzlepac find the sky of each chip, on the overlaps of exposures in processes."""
    for chip in chips:
        name = f"static_{chip.data.shape}_{chip.number}"
        chip.hdu.outputNames["staticMask"] = name
        mask = fits.PrimaryHDU(chip.static.astype(np.int16))
        chip.image.saveVirtualOutputs({name: mask})
    with _overlaps_in_children(cores):
        sky.subtractSky(images, config)
    for image in images:
        image.virtualOutputs.clear()


@contextmanager
def _overlaps_in_children(cores: int) -> Iterator[None]:
    """Let skypac's statistics of exposures and of their pairs, each by itself, run in children.

    The levels of the exposures are asked for one after the other once the pairs have told how they
    differ: they are found together when the first is.
    """
    serial, serial_level = skymatch._overlap_matrix, skymatch._minsky
    waiting: list[Any] = []
    levels: dict[int, float | None] = {}

    def overlap_matrix(skylines: Sequence[Any], statistics: Any) -> tuple[Any, Any]:
        n = len(skylines)
        for member in (member for skyline in skylines for member in skyline.members):
            member.image_data  # noqa: B018 - read here, not by children from one open file
        pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
        tasks: list[Callable[[], Any]] = [
            partial(skymatch._calc_sky, skylines[i], skylines[j], statistics) for i, j in pairs
        ]
        values, weights = np.zeros((n, n)), np.zeros((n, n))
        for (i, j), answer in zip(pairs, in_children(tasks, cores), strict=True):
            first, first_weight, second, second_weight, area = answer
            if area != 0.0 and first is not None and second is not None:
                values[j, i], weights[j, i] = first, first_weight
                values[i, j], weights[i, j] = second, second_weight
        waiting.extend(skylines)
        return values, weights

    def level(skyline: Any, statistics: Any, log: Any) -> float | None:
        if not levels and waiting:
            tasks = [partial(serial_level, one, statistics, log) for one in waiting]
            found = in_children(tasks, cores)
            levels.update((id(one), value) for one, value in zip(waiting, found, strict=True))
        if id(skyline) in levels:
            return levels[id(skyline)]
        alone: float | None = serial_level(skyline, statistics, log)
        return alone

    skymatch._overlap_matrix, skymatch._minsky = overlap_matrix, level
    try:
        yield
    finally:
        skymatch._overlap_matrix, skymatch._minsky = serial, serial_level


# --------------------------------------------------------------------------- the product


@dataclass(frozen=True)
class _Window:
    """The part of the product that a chip reaches, with what it gives to it."""

    rows: slice
    columns: slice
    sci: Image
    wht: Image
    hit: Mask


def _final(
    chips: Sequence[Chip], grid: Any, config: Any, model: Model | None, cores: int
) -> dict[str, NDArray[Any]]:
    """Drizzle all chips, each into a window of its own, and add the windows in their order."""
    shape = tuple(grid.array_shape)
    total: NDArray[np.float64] = shared_array(shape, np.float64)
    weight: NDArray[np.float64] = shared_array(shape, np.float64)
    context: NDArray[np.int32] = shared_array((-(-len(chips) // _BITS), *shape), np.int32)
    blocks = row_blocks(shape[0], cores)
    if step_of(config, 7)["final_wht_type"] != "EXP":
        _read_for_weights(chips)
    for first in range(0, len(chips), _WINDOWS_AT_A_TIME):
        some = chips[first : first + _WINDOWS_AT_A_TIME]
        windows = [_window_about(chip, grid) for chip in some]
        in_children(
            [
                partial(_drizzle_chip, chip, grid, config, model, window)
                for chip, window in zip(some, windows, strict=True)
            ],
            cores,
        )
        given = list(zip((chip.order for chip in some), windows, strict=True))
        in_children(
            [partial(_add, given, total, weight, context, block) for block in blocks], cores
        )
    sci: Image = shared_array(shape, np.float32)
    wht: Image = shared_array(shape, np.float32)
    in_children([partial(_divide, total, weight, sci, wht, block) for block in blocks], cores)
    return {"SCI": sci, "WHT": wht, "CTX": context[0] if len(context) == 1 else context}


def _read_for_weights(chips: Sequence[Chip]) -> None:
    """Let the image objects read errors and times here, not in children from one open file."""
    for image in {id(chip.image): chip.image for chip in chips}.values():
        for hdu in image._image:
            if hdu.name in {"ERR", "TIME"}:
                hdu.data  # noqa: B018


def _window_about(chip: Chip, grid: Any) -> _Window:
    """The window that holds the chip's outline and all that a drop at it can reach."""
    nx, ny = chip.data.shape[::-1]
    along_x, along_y = np.linspace(0.5, nx + 0.5, 65), np.linspace(0.5, ny + 0.5, 65)
    low, high = np.full(65, 0.5), np.ones(65)
    x = np.concatenate([along_x, along_x, low, high * (nx + 0.5)])
    y = np.concatenate([low, high * (ny + 0.5), along_y, along_y])
    out_x, out_y = grid.wcs_world2pix(*chip.hdu.wcs.all_pix2world(x, y, 1), 0)
    reach = math.ceil(_REACH_NATIVE_PIX * chip.hdu.wcslin_pscale / grid.pscale) + _REACH_PIX
    n_rows, n_columns = grid.array_shape
    rows, columns = (
        slice(
            min(max(math.floor(values.min()) - reach, 0), length - 1),
            max(min(math.ceil(values.max()) + reach + 1, length), 1),
        )
        for values, length in ((out_y, n_rows), (out_x, n_columns))
    )
    rows = slice(rows.start, max(rows.stop, rows.start + 1))
    columns = slice(columns.start, max(columns.stop, columns.start + 1))
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    return _Window(
        rows,
        columns,
        shared_array(shape, np.float32),
        shared_array(shape, np.float32),
        shared_array(shape, np.bool_),
    )


def _drizzle_chip(chip: Chip, grid: Any, config: Any, model: Model | None, window: _Window) -> None:
    """Flag a chip's cosmic rays and drizzle it."""
    step = step_of(config, 7)
    good = good_pixels(chip, step["final_bits"])
    if not good.any():
        logger.warning("All pixels masked out when applying static mask!")
    if model is not None:
        unhit = model.unhit(chip)
        if good.any():
            good &= unhit
        np.bitwise_or(chip.flags, _COSMIC_RAY, out=chip.flags, where=~unhit)
    chip.image.set_wtscl(chip.number, step["final_wt_scl"])
    ratio = grid.pscale / chip.hdu.wcslin_pscale
    weights = {
        "EXP": lambda: chip.image.buildEXPmask(chip.number, good),
        "ERR": lambda: chip.image.buildERRmask(chip.number, good, ratio),
        "IVM": lambda: chip.image.buildIVMmask(chip.number, good, ratio),
    }[step["final_wht_type"]]()
    part = grid.deepcopy()
    part.wcs.crpix = np.array(grid.wcs.crpix) - [window.columns.start, window.rows.start]
    part.pixel_shape = window.sci.shape[::-1]
    part.pscale = grid.pscale
    context = np.zeros(window.sci.shape, dtype=np.int32)
    drizzle_onto(
        chip,
        part,
        weights=weights,
        out=(window.sci, window.wht, context),
        order=1,
        kernel=step["final_kernel"],
        pixfrac=step["final_pixfrac"],
        config=config,
    )
    np.not_equal(context, 0, out=window.hit)


def _add(
    given: Sequence[tuple[int, _Window]],
    total: NDArray[np.float64],
    weight: NDArray[np.float64],
    context: NDArray[np.int32],
    block: tuple[int, int],
) -> None:
    """Add the windows to a block of the product's rows."""
    for order, window in given:
        low, high = max(block[0], window.rows.start), min(block[1], window.rows.stop)
        if low >= high:
            continue
        inside = np.s_[low - window.rows.start : high - window.rows.start]
        here = np.s_[low:high, window.columns]
        total[here] += window.sci[inside].astype(np.float64) * window.wht[inside]
        weight[here] += window.wht[inside]
        plane, bit = divmod(order - 1, _BITS)
        context[plane][here] |= np.where(window.hit[inside], np.uint32(1 << bit), 0).view(np.int32)


def _divide(
    total: NDArray[np.float64],
    weight: NDArray[np.float64],
    sci: Image,
    wht: Image,
    block: tuple[int, int],
) -> None:
    """The weighted mean of a block of rows; NaN where nothing has weight."""
    rows = slice(*block)
    covered = weight[rows] != 0
    mean = np.full(covered.shape, np.nan)
    np.divide(total[rows], weight[rows], out=mean, where=covered)
    sci[rows] = mean
    wht[rows] = weight[rows]


def _write_flags(chips: Sequence[Chip]) -> None:
    """Write the DQ planes of one exposure to its file."""
    with fits.open(chips[0].hdu.dqfile, mode="update", memmap=False) as hdus:
        for chip in chips:
            plane = hdus[chip.hdu.dq_extn, chip.number]
            plane.data[...] = chip.flags.astype(plane.data.dtype)


def _finish(planes: Mapping[str, NDArray[Any]], last: Chip, config: Any) -> None:
    """Bring the product into its units."""
    image = last.image
    native = config["proc_unit"].lower() == "native"
    if native and image.native_units.lower()[:6] == "counts":
        planes["SCI"] /= np.float32(last.hdu._gain)
    if step_of(config, 7)["final_units"] == "counts":
        planes["SCI"] *= np.float32(image.outputValues["texptime"])
