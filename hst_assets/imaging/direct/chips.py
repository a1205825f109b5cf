"""Chips of exposures in memory that processes share, for `hst_assets.imaging.direct.drizzle`.

Only child processes import this.
"""

# ruff: noqa: SLF001 - what drizzlepac's image objects know of gains and units is private to them

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from astropy.io import fits
from drizzlepac import adrizzle, buildmask, util
from numpy.typing import NDArray
from stsci.imagestats import ImageStats  # type: ignore[import-untyped]

from hst_assets.imaging.forked import in_children, shared_array

__all__ = [
    "ROWS_AT_A_TIME",
    "Chip",
    "Image",
    "Mask",
    "by_image",
    "chips_of",
    "drizzle_onto",
    "good_pixels",
    "read_chips",
    "step_of",
]

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Rows that the median is formed of, and cosmic rays are looked for in, at a time.
ROWS_AT_A_TIME = 128


@dataclass(frozen=True)
class Chip:
    """One chip of one exposure, its planes in memory that children share.

    Attributes
    ----------
    image, hdu : object
        drizzlepac's exposure, and its extension with what it knows of the chip.
    number : int
        EXTVER.
    order : int
        Among all chips, from 1: its bit of the context.
    data : ndarray, shape (ny, nx)
        SCI in native units.
    flags : ndarray of int, shape (ny, nx)
        DQ.
    static : ndarray of bool, shape (ny, nx)
        False where the pixel is far below the sky on any exposure of this chip.
    """

    image: Any
    hdu: Any
    number: int
    order: int
    data: Image
    flags: NDArray[np.int32]
    static: Mask


def step_of(config: Any, number: int) -> Mapping[str, Any]:
    """The parameters of one of AstroDrizzle's steps."""
    section: Mapping[str, Any] = config[util.getSectionName(config, number)]
    return section


def chips_of(image: Any) -> Iterator[tuple[int, Any]]:
    """EXTVER and extension of each chip of one of drizzlepac's exposures."""
    for number in range(1, image._numchips + 1):
        hdu = image[image.scienceExt, number]
        if hdu.group_member:
            yield number, hdu


def by_image(chips: Sequence[Chip]) -> list[list[Chip]]:
    """The chips of each exposure."""
    members: dict[int, list[Chip]] = {}
    for chip in chips:
        members.setdefault(id(chip.image), []).append(chip)
    return list(members.values())


def read_chips(images: Sequence[Any], config: Any, cores: int) -> list[Chip]:
    """Read all planes, and form the static masks: one for all exposures of a chip."""
    masks: dict[tuple[Any, ...], Mask] = {}
    chips: list[Chip] = []
    for image in images:
        for number, hdu in chips_of(image):
            shape = (hdu._naxis2, hdu._naxis1)
            static = masks.setdefault((shape, number), np.ones(shape, dtype=bool))
            chips.append(
                Chip(
                    image,
                    hdu,
                    number,
                    len(chips) + 1,
                    shared_array(shape, np.float32),
                    shared_array(shape, np.int32),
                    static,
                )
            )
    step = step_of(config, 1)
    sigma = step["static_sig"] if step["static"] else None
    lows = in_children([partial(_read, chip, sigma) for chip in chips], cores)
    for chip, low in zip(chips, lows, strict=True):
        if low is not None:
            np.logical_and(chip.static, ~np.less(chip.data, low), out=chip.static)
    return chips


def _read(chip: Chip, sigma: float | None) -> float | None:
    """Fill the planes of a chip; the value below which a pixel is taken for bad.

    The files that the parent has open have one position for all children: each opens its own.
    """
    with fits.open(chip.image._filename, memmap=False) as hdus:
        chip.data[...] = hdus[chip.image.scienceExt, chip.number].data
    with fits.open(chip.hdu.dqfile, memmap=False) as hdus:
        chip.flags[...] = hdus[chip.hdu.dq_extn, chip.number].data
    if sigma is None:
        return None
    stats = ImageStats(
        chip.data,
        nclip=3,
        fields="mode",
        lower=np.nanmin(chip.data),
        upper=np.nanmax(chip.data),
    )
    return stats.mode - sigma * stats.stddev if len(stats.histogram) >= 2 else None


def good_pixels(chip: Chip, bits: int | None) -> NDArray[np.uint8]:
    """1 where neither the flags nor the static mask speak against a pixel, else 0."""
    good: NDArray[np.uint8] = buildmask.buildMask(chip.flags, bits)
    return np.bitwise_and(good, chip.static, out=good)


def drizzle_onto(
    chip: Chip,
    grid: Any,
    *,
    weights: Image,
    out: tuple[Image, Image, NDArray[np.int32]],
    order: int,
    kernel: str,
    pixfrac: float,
    config: Any,
) -> None:
    """Drizzle one chip onto a grid: the call of drizzlepac's C code."""
    level = chip.hdu.computedSky
    data = chip.data.copy() if level is None else chip.data - level
    data *= chip.hdu._effGain
    adrizzle.do_driz(
        data,
        chip.hdu.wcs,
        weights,
        grid,
        *out,
        1.0 if chip.hdu.in_units.lower() == "cps" else chip.hdu._exptime,
        chip.hdu.in_units.lower(),
        chip.hdu._wtscl,
        wcslin_pscale=chip.hdu.wcslin_pscale,
        uniqid=order,
        pixfrac=float(pixfrac),
        kernel=kernel,
        fillval=None,
        stepsize=config["stepsize"],
    )
