"""The median of exposures drizzled one by one, for `hst_assets.imaging.direct.drizzle`.

Only child processes import this.
"""

# ruff: noqa: SLF001 - what drizzlepac's image objects know of gains and units is private to them

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from drizzlepac import minmed
from numpy.typing import NDArray
from stsci.image import numcombine  # type: ignore[import-untyped]
from stsci.imagestats import ImageStats  # type: ignore[import-untyped]

from hst_assets.imaging.direct.chips import (
    ROWS_AT_A_TIME,
    Chip,
    Image,
    by_image,
    chips_of,
    drizzle_onto,
    good_pixels,
    step_of,
)
from hst_assets.imaging.forked import in_children, row_blocks, shared_array

__all__ = ["median_image"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Separate:
    """One exposure on the grid of the product, electrons per second, and its weights (seconds)."""

    sci: Image
    wht: Image


def median_image(
    images: Sequence[Any], chips: Sequence[Chip], grid: Any, config: Any, cores: int
) -> Image | None:
    """The median of all exposures on the grid; None where none is asked for or can be formed."""
    if len(images) < 2 or not step_of(config, 6)["driz_cr"]:
        return None
    step = step_of(config, 4)
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
        for members, one in zip(by_image(chips), separate, strict=True)
    ]
    least_weights = in_children(tasks, cores)
    recipe = _Median.of(images, least_weights, config)
    median: Image = shared_array(shape, np.float32)
    blocks = row_blocks(shape[0], max(shape[0] // ROWS_AT_A_TIME, cores))
    shares = [blocks[low:high] for low, high in row_blocks(len(blocks), cores)]
    in_children([partial(recipe.fill, median, separate, share) for share in shares], cores)
    return median


def _drizzle_separately(chips: Sequence[Chip], grid: Any, config: Any, out: _Separate) -> float:
    """Drizzle the chips of one exposure; the weight below which its pixels do not count."""
    step = step_of(config, 3)
    context = np.zeros(out.sci.shape, dtype=np.int32)
    for order, chip in enumerate(chips):
        good = good_pixels(chip, step["driz_sep_bits"])
        if not good.any():
            logger.warning("All pixels masked out when applying static mask!")
        chip.image.set_wtscl(chip.number, step["driz_sep_wt_scl"])
        drizzle_onto(
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
    return float(mean * step_of(config, 4)["combine_maskpt"])


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
        step = step_of(config, 4)
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
    noises = [hdu._rdnoise**2 for _, hdu in chips_of(image)]
    return math.sqrt(sum(noises) / len(noises))


def _background(image: Any) -> float:
    """The sky of the chip that drizzlepac takes, electrons."""
    level = None
    for _, hdu in chips_of(image):
        if level is None or level > hdu.subtractedSky:
            level = hdu.subtractedSky * hdu._conversionFactor
    return 0.0 if level is None else level
