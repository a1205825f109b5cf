"""AstroDrizzle's test for cosmic rays against the median, for `hst_assets.imaging.direct.drizzle`.

Only child processes import this.
"""

# ruff: noqa: SLF001 - what drizzlepac's image objects know of gains and units is private to them

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from drizzlepac import ablot
from scipy import signal

from hst_assets.imaging.direct.chips import ROWS_AT_A_TIME, Chip, Image, Mask, step_of
from hst_assets.imaging.forked import row_blocks

__all__ = ["Model", "gradient"]


@dataclass(frozen=True)
class Model:
    """What an exposure should look like: the median, blotted back onto its chips."""

    median: Image
    grid: Any
    blot: Mapping[str, Any]
    test: Mapping[str, Any]

    @classmethod
    def of(cls, output: Any, median: Image | None, config: Any) -> Model | None:
        """The model of a median; None where there is none."""
        if median is None:
            return None
        return cls(median, output.single_wcs, step_of(config, 5), step_of(config, 6))

    def unhit(self, chip: Chip) -> Mask:
        """False where a chip is hit by a cosmic ray: the test of ``drizzlepac.drizCR``."""
        hdu = chip.hdu
        model = self._blotted(chip)
        slope_of_model = gradient(model)
        background = hdu.subtractedSky * hdu._conversionFactor
        (snr, wider_snr), (scale, wider_scale) = (
            [float(part) for part in re.split(r"[,;\s]+", self.test[name]) if part][:2]
            for name in ("driz_cr_snr", "driz_cr_scale")
        )
        alike, nearly = np.empty(model.shape, dtype=bool), np.empty(model.shape, dtype=bool)
        n_rows = len(model)
        # By blocks that stay in the processor's cache.
        for low, high in row_blocks(n_rows, -(-n_rows // ROWS_AT_A_TIME)):
            rows = slice(low, high)
            noise = np.sqrt(np.abs(model[rows] + background) + hdu._rdnoise**2)
            off = np.absolute(chip.data[rows] * hdu._conversionFactor - model[rows])
            slope = slope_of_model[rows]
            alike[rows] = off <= (scale * slope + snr * noise)
            nearly[rows] = off <= (wider_scale * slope + wider_snr * noise)
        quiet = _eroded(alike)
        unhit: Mask = nearly | quiet
        return _grown(unhit, self.test["driz_cr_grow"], self.test["driz_cr_ctegrow"], hdu.cte_dir)

    def _blotted(self, chip: Chip) -> Image:
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


def gradient(image: Image) -> Image:
    """The largest absolute difference from the four neighbours.

    As in ``drizzlepac.quickDeriv``, in the outermost row and column on either side that have no
    such neighbour, or are not compared with it, it is the difference from zero.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        The image.
    """
    ny, nx = image.shape
    largest, neighbour = np.zeros_like(image), np.empty_like(image)
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
        np.maximum(neighbour, largest, out=largest)
    return largest


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
