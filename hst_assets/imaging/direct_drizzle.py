"""AstroDrizzle's steps, driven here: the same pixels, made by several processes.

The C code of drizzlepac does the drizzling and blotting, its functions the statistics and the
median, its image objects tell gains, units and noise; what is different is who does what when.
Exposures, chips and rows of the product are worked on by forked processes, every plane is read
once into memory that they share, and nothing goes through files. A chip is compared with the
median and drizzled in one go, into a window of the product about it, and the windows are added in
the order of the chips. So the pixels do not depend on the number of processes; from those of
AstroDrizzle, which adds in single precision, they differ by rounding.

Only child processes import this. What is left to AstroDrizzle, `hst_assets.imaging.engine` says.
"""

# ruff: noqa: SLF001 - what drizzlepac's image objects know of gains and units is private to them

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from drizzlepac import ablot, adrizzle, buildmask, minmed, processInput, sky, util
from numpy.typing import NDArray
from scipy import signal
from stsci.image import numcombine  # type: ignore[import-untyped]
from stsci.imagestats import ImageStats  # type: ignore[import-untyped]
from stsci.skypac import skymatch  # type: ignore[import-untyped]
from stsci.tools import teal  # type: ignore[import-untyped]

from hst_assets.imaging.forked import in_children, row_blocks, shared_array

__all__ = ["Drizzled", "drizzle_directly"]

logger = logging.getLogger(__name__)

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

_TASK = "astrodrizzle"
_COSMIC_RAY = 4096
#: Windows that are in memory at a time.
_WINDOWS_AT_A_TIME = 8
#: Rows that the median is formed of, and cosmic rays are looked for in, at a time.
_ROWS_AT_A_TIME = 128
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
        By file name, the mean over its chips of the sky that was subtracted, in native units.
    """

    planes: dict[str, NDArray[Any]]
    skies: dict[str, float]


@dataclass(frozen=True)
class _Chip:
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


def drizzle_directly(
    copies: Sequence[Path], grid: Any, parameters: Mapping[str, Any], *, cores: int
) -> Drizzled:
    """Combine exposures in the current directory.

    Parameters
    ----------
    copies : sequence of `~pathlib.Path`
        Names of exposures in the current directory. Cosmic rays are flagged in their DQ planes,
        as AstroDrizzle does.
    grid : `~stwcs.wcsutil.HSTWCS`
        Of the product and of the separate images.
    parameters : mapping
        AstroDrizzle's keyword arguments.
    cores : int
        Processes at a time; the pixels do not depend on it.

    Raises
    ------
    ToolFailed, OutOfMemory
        If a process failed.
    """
    config, images, output = _initialised(copies, grid, parameters)
    try:
        chips = _read_chips(images, config, cores)
        _subtract_sky(images, chips, config, cores)
        median = _median_image(images, chips, output.single_wcs, config, cores)
        planes = _final(chips, output.final_wcs, config, _Model.of(output, median, config), cores)
        _finish(planes, chips[-1], config)
        if median is not None:
            in_children([partial(_write_flags, members) for members in _by_image(chips)], cores)
        return Drizzled(planes, _skies(images))
    finally:
        for image in images:
            image.close()


# --------------------------------------------------------------------------- what is to be done


def _initialised(
    copies: Sequence[Path], grid: Any, parameters: Mapping[str, Any]
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
        "driz_sep_refimage": grid,
        "final_wcs": True,
        "final_refimage": grid,
    }
    config = util.getDefaultConfigObj(
        _TASK, teal.load(_TASK, defaults=True), dict(asked), loadOnly=True
    )
    config["mdriztab"] = False
    images, output = processInput.setCommonInput(config, overwrite_dict=dict(asked))
    return config, images, output


def _step(config: Any, number: int) -> Mapping[str, Any]:
    section: Mapping[str, Any] = config[util.getSectionName(config, number)]
    return section


def _chips_of(image: Any) -> Iterator[tuple[int, Any]]:
    for number in range(1, image._numchips + 1):
        hdu = image[image.scienceExt, number]
        if hdu.group_member:
            yield number, hdu


def _skies(images: Sequence[Any]) -> dict[str, float]:
    return {
        image._filename: float(
            np.mean([float(hdu.subtractedSky or 0.0) for _, hdu in _chips_of(image)])
        )
        for image in images
    }


def _by_image(chips: Sequence[_Chip]) -> list[list[_Chip]]:
    """The chips of each exposure."""
    members: dict[int, list[_Chip]] = {}
    for chip in chips:
        members.setdefault(id(chip.image), []).append(chip)
    return list(members.values())


# --------------------------------------------------------------------------- reading, static mask


def _read_chips(images: Sequence[Any], config: Any, cores: int) -> list[_Chip]:
    """Read all planes, and form the static masks: one for all exposures of a chip."""
    masks: dict[tuple[Any, ...], Mask] = {}
    chips: list[_Chip] = []
    for image in images:
        for number, hdu in _chips_of(image):
            shape = (hdu._naxis2, hdu._naxis1)
            static = masks.setdefault((shape, number), np.ones(shape, dtype=bool))
            chips.append(
                _Chip(
                    image,
                    hdu,
                    number,
                    len(chips) + 1,
                    shared_array(shape, np.float32),
                    shared_array(shape, np.int32),
                    static,
                )
            )
    step = _step(config, 1)
    sigma = step["static_sig"] if step["static"] else None
    lows = in_children([partial(_read, chip, sigma) for chip in chips], cores)
    for chip, low in zip(chips, lows, strict=True):
        if low is not None:
            np.logical_and(chip.static, ~np.less(chip.data, low), out=chip.static)
    return chips


def _read(chip: _Chip, sigma: float | None) -> float | None:
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


def _good(chip: _Chip, bits: int | None) -> NDArray[np.uint8]:
    """1 where neither the flags nor the static mask speak against a pixel, else 0."""
    good: NDArray[np.uint8] = buildmask.buildMask(chip.flags, bits)
    return np.bitwise_and(good, chip.static, out=good)


# --------------------------------------------------------------------------- sky


def _subtract_sky(images: Sequence[Any], chips: Sequence[_Chip], config: Any, cores: int) -> None:
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


# --------------------------------------------------------------------------- separate images


@dataclass(frozen=True)
class _Separate:
    """One exposure on the grid of the product, electrons per second, and its weights (seconds)."""

    sci: Image
    wht: Image


def _median_image(
    images: Sequence[Any], chips: Sequence[_Chip], grid: Any, config: Any, cores: int
) -> Image | None:
    """The median of all exposures on the grid; None where none is asked for or can be formed."""
    if len(images) < 2 or not _step(config, 6)["driz_cr"]:
        return None
    step = _step(config, 4)
    left = len(images) - step["combine_nlow"] - step["combine_nhigh"]
    if left < 1 and "minmed" not in step["combine_type"]:
        logger.warning(
            "cosmic rays are not looked for due to aborted median: combine_nlow and combine_nhigh "
            "leave none of %d exposures",
            len(images),
        )
        return None
    shape = tuple(grid.array_shape)
    separate = [
        _Separate(shared_array(shape, np.float32), shared_array(shape, np.float32)) for _ in images
    ]
    tasks = [
        partial(_drizzle_separately, members, grid, config, one)
        for members, one in zip(_by_image(chips), separate, strict=True)
    ]
    least_weights = in_children(tasks, cores)
    recipe = _Median.of(images, least_weights, config)
    median: Image = shared_array(shape, np.float32)
    blocks = row_blocks(shape[0], max(shape[0] // _ROWS_AT_A_TIME, cores))
    shares = [blocks[low:high] for low, high in row_blocks(len(blocks), cores)]
    in_children([partial(recipe.fill, median, separate, share) for share in shares], cores)
    return median


def _drizzle_separately(chips: Sequence[_Chip], grid: Any, config: Any, out: _Separate) -> float:
    """Drizzle the chips of one exposure; the weight below which its pixels do not count."""
    step = _step(config, 3)
    context = np.zeros(out.sci.shape, dtype=np.int32)
    for order, chip in enumerate(chips):
        good = _good(chip, step["driz_sep_bits"])
        if not good.any():
            logger.warning("All pixels masked out when applying static mask!")
        chip.image.set_wtscl(chip.number, step["driz_sep_wt_scl"])
        _drizzle(
            chip,
            grid,
            weights=chip.hdu._exptime * good.astype(np.float32),
            out=(out.sci, out.wht, context),
            order=order + 1,
            kernel=step["driz_sep_kernel"],
            pixfrac=step["driz_sep_pixfrac"],
            config=config,
        )
    try:
        mean = ImageStats(out.wht, lower=1e-8, fields="mean", nclip=0).mean
    except ValueError:
        mean = 0.0
    return float(mean * _step(config, 4)["combine_maskpt"])


def _drizzle(
    chip: _Chip,
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


@dataclass(frozen=True)
class _Median:
    """How the median is formed: the arguments of drizzlepac's ``min_med`` and ``num_combine``."""

    kind: str
    masked: bool
    least_weights: NDArray[np.float64]
    read_noises: list[float]
    exptimes: list[float]
    backgrounds: list[float]
    n_sigma: tuple[float, float]
    grow: int
    n_low: int
    n_high: int
    lower: float | None
    upper: float | None

    @classmethod
    def of(cls, images: Sequence[Any], least_weights: Sequence[float], config: Any) -> _Median:
        step = _step(config, 4)
        kind = step["combine_type"].lower()
        lower, upper = (
            None if step[name] is None else float(step[name])
            for name in ("combine_lthresh", "combine_hthresh")
        )
        for image in images:  # like drizzlepac, once for every exposure
            factor = _to_electrons(image, config)
            lower = None if lower is None else lower * factor
            upper = None if upper is None else upper * factor
        first, second = (float(value) for value in step["combine_nsigma"].split()[:2])
        return cls(
            kind=kind,
            masked=step["median_newmasks"],
            least_weights=np.asarray(least_weights),
            read_noises=[_read_noise(image) for image in images],
            exptimes=[image["sci", 1]._exptime for image in images],
            backgrounds=[_background(image) for image in images],
            n_sigma=(first, second),
            grow=step["combine_grow"] if "minmed" in kind else 0,
            n_low=step["combine_nlow"],
            n_high=step["combine_nhigh"],
            lower=lower,
            upper=upper,
        )

    def fill(
        self, median: Image, separate: Sequence[_Separate], blocks: Sequence[tuple[int, int]]
    ) -> None:
        """Form the median of some blocks of rows, each with the rows beside it that it grows by."""
        n_rows = len(median)
        for low, high in blocks:
            rows = slice(max(low - self.grow, 0), min(high + self.grow, n_rows))
            images = np.stack([one.sci[rows] for one in separate])
            weights = np.stack([one.wht[rows] for one in separate])
            block = self._combined(images, weights)
            median[low:high] = block[low - rows.start : high - rows.start]

    def _combined(self, images: Image, weights: Image) -> Image:
        masks = None
        if self.masked:
            masks = np.less(weights, self.least_weights[:, None, None]).astype(np.uint8)
        combined: Image
        if "minmed" in self.kind:
            combined = minmed.min_med(
                images,
                weights,
                self.read_noises,
                self.exptimes,
                self.backgrounds,
                weight_masks=masks,
                combine_grow=self.grow,
                combine_nsigma1=self.n_sigma[0],
                combine_nsigma2=self.n_sigma[1],
                fillval=self.kind.startswith("i"),
            )
        else:
            combined = numcombine.num_combine(
                images,
                masks=masks,
                combination_type=self.kind,
                nlow=self.n_low,
                nhigh=self.n_high,
                upper=self.upper,
                lower=self.lower,
            )
        return combined


def _to_electrons(image: Any, config: Any) -> float:
    """Electrons in the whole exposure for one native unit."""
    if config["proc_unit"].lower() != "native":
        return 1.0
    units = image.native_units.lower()
    gain = image.getGain(1) if units.startswith("counts") else 1.0
    return float(gain * (image["sci", 1]._exptime if units.endswith("/s") else 1.0))


def _read_noise(image: Any) -> float:
    """Root mean square over the chips, electrons."""
    noises = [hdu._rdnoise**2 for _, hdu in _chips_of(image)]
    return math.sqrt(sum(noises) / len(noises))


def _background(image: Any) -> float:
    """The sky of the chip that drizzlepac takes, electrons."""
    level = None
    for _, hdu in _chips_of(image):
        if level is None or level > hdu.subtractedSky:
            level = hdu.subtractedSky * hdu._conversionFactor
    return 0.0 if level is None else level


# --------------------------------------------------------------------------- cosmic rays, product


@dataclass(frozen=True)
class _Model:
    """What an exposure should look like: the median, blotted back onto its chips."""

    median: Image
    grid: Any
    blot: Mapping[str, Any]
    test: Mapping[str, Any]

    @classmethod
    def of(cls, output: Any, median: Image | None, config: Any) -> _Model | None:
        if median is None:
            return None
        return cls(median, output.single_wcs, _step(config, 5), _step(config, 6))

    def unhit(self, chip: _Chip) -> Mask:
        """False where a chip is hit by a cosmic ray: the test of ``drizzlepac.drizCR``."""
        hdu = chip.hdu
        model = self._blotted(chip)
        gradient = _gradient(model)
        background = hdu.subtractedSky * hdu._conversionFactor
        (snr, wider_snr), (scale, wider_scale) = (
            [float(part) for part in re.split(r"[,;\s]+", self.test[name]) if part][:2]
            for name in ("driz_cr_snr", "driz_cr_scale")
        )
        alike, nearly = np.empty(model.shape, dtype=bool), np.empty(model.shape, dtype=bool)
        n_rows = len(model)
        # By blocks that stay in the processor's cache.
        for low, high in row_blocks(n_rows, -(-n_rows // _ROWS_AT_A_TIME)):
            rows = slice(low, high)
            noise = np.sqrt(hdu._effGain * np.abs(model[rows] + background) + hdu._rdnoise**2)
            off = np.absolute(chip.data[rows] * hdu._conversionFactor - model[rows])
            slope = gradient[rows]
            alike[rows] = off <= (scale * slope + snr * noise / hdu._effGain)
            nearly[rows] = off <= (wider_scale * slope + wider_snr * noise / hdu._effGain)
        quiet = _eroded(alike)
        unhit: Mask = nearly | quiet
        return _grown(unhit, self.test["driz_cr_grow"], self.test["driz_cr_ctegrow"], hdu.cte_dir)

    def _blotted(self, chip: _Chip) -> Image:
        """The median on the pixels of a chip, sky added, electrons."""
        hdu = chip.hdu
        blotted: Image = ablot.do_blot(
            self.median,
            self.grid,
            hdu.wcs,
            hdu._exptime,
            coeffs=True,
            interp=self.blot["blot_interp"],
            sinscl=self.blot["blot_sinscl"],
        )
        level = hdu.computedSky if self.blot["blot_addsky"] else self.blot["blot_skyval"]
        blotted /= hdu._conversionFactor
        if level is not None:
            blotted += level
        blotted *= hdu._conversionFactor
        return blotted


def _gradient(image: Image) -> Image:
    """The largest absolute difference from the four neighbours.

    As in ``drizzlepac.quickDeriv``, in the outermost row and column on either side that have no
    such neighbour, or are not compared with it, it is the difference from zero.
    """
    ny, nx = image.shape
    gradient, neighbour = np.zeros_like(image), np.empty_like(image)
    for target, source in (
        (np.s_[: ny - 1, 1 : nx - 1], np.s_[: ny - 1, : nx - 2]),
        (np.s_[: ny - 1, : nx - 2], np.s_[: ny - 1, 1 : nx - 1]),
        (np.s_[1 : ny - 1, : nx - 1], np.s_[: ny - 2, : nx - 1]),
        (np.s_[: ny - 2, : nx - 1], np.s_[1 : ny - 1, : nx - 1]),
    ):
        neighbour.fill(0.0)
        neighbour[target] = image[source]
        np.subtract(image, neighbour, out=neighbour)
        np.fabs(neighbour, out=neighbour)
        np.maximum(neighbour, gradient, out=gradient)
    return gradient


def _eroded(mask: Mask) -> Mask:
    """True where all of the 3 x 3 pixels about it are; the image is mirrored at its edges."""
    padded = np.pad(mask, 1, mode="edge")
    along = padded[:, :-2] & padded[:, 1:-1] & padded[:, 2:]
    eroded: Mask = along[:-2] & along[1:-1] & along[2:]
    return eroded


def _grown(unhit: Mask, grow: int, trail: int, direction: int) -> Mask:
    """What is left when what is hit grows to squares of `grow` pixels and trails of `trail`."""
    if grow > 1:
        kernel = np.ones((grow, grow), dtype=np.uint16)
        near = signal.convolve2d(unhit, kernel, boundary="symm", mode="same")
        round_about = near >= grow**2
    else:
        round_about = unhit
    if trail < 1:
        return np.asarray(round_about)
    line = np.zeros((2 * trail + 1, 2 * trail + 1))
    if direction == 1:
        line[:trail, trail] = 1
    elif direction == -1:
        line[trail + 1 :, trail] = 1
    behind = signal.convolve2d(unhit, line, boundary="symm", mode="same")
    return np.asarray(round_about & (behind >= trail))


@dataclass(frozen=True)
class _Window:
    """The part of the product that a chip reaches, with what it gives to it."""

    rows: slice
    columns: slice
    sci: Image
    wht: Image
    hit: Mask


def _final(
    chips: Sequence[_Chip], grid: Any, config: Any, model: _Model | None, cores: int
) -> dict[str, NDArray[Any]]:
    """Drizzle all chips, each into a window of its own, and add the windows in their order."""
    shape = tuple(grid.array_shape)
    total: NDArray[np.float64] = shared_array(shape, np.float64)
    weight: NDArray[np.float64] = shared_array(shape, np.float64)
    context: NDArray[np.int32] = shared_array((-(-len(chips) // _BITS), *shape), np.int32)
    blocks = row_blocks(shape[0], cores)
    if _step(config, 7)["final_wht_type"] != "EXP":
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


def _read_for_weights(chips: Sequence[_Chip]) -> None:
    """Let the image objects read errors and times here, not in children from one open file."""
    for image in {id(chip.image): chip.image for chip in chips}.values():
        for hdu in image._image:
            if hdu.name in {"ERR", "TIME"}:
                hdu.data  # noqa: B018


def _window_about(chip: _Chip, grid: Any) -> _Window:
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


def _drizzle_chip(
    chip: _Chip, grid: Any, config: Any, model: _Model | None, window: _Window
) -> None:
    """Flag a chip's cosmic rays and drizzle it."""
    step = _step(config, 7)
    good = _good(chip, step["final_bits"])
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
    _drizzle(
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


def _write_flags(chips: Sequence[_Chip]) -> None:
    """Write the DQ planes of one exposure to its file."""
    with fits.open(chips[0].hdu.dqfile, mode="update", memmap=False) as hdus:
        for chip in chips:
            plane = hdus[chip.hdu.dq_extn, chip.number]
            plane.data[...] = chip.flags.astype(plane.data.dtype)


def _finish(planes: Mapping[str, NDArray[Any]], last: _Chip, config: Any) -> None:
    """Bring the product into its units."""
    image = last.image
    native = config["proc_unit"].lower() == "native"
    if native and image.native_units.lower()[:6] == "counts":
        planes["SCI"] /= np.float32(last.hdu._gain)
    if _step(config, 7)["final_units"] == "counts":
        planes["SCI"] *= np.float32(image.outputValues["texptime"])
