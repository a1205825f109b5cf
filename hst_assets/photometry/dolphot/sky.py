"""The sky under each pixel of a chip, as DOLPHOT's ``calcsky`` measures it.

Of the pixels of an annulus about each pixel, or of each block of pixels, a clipped mean is taken:
values that lie too far from the mean, in standard deviations, are left out until none is left that
does. The algorithm is that of DOLPHOT 2.0 (A. Dolphin, ``calcsky``); agreement with the program is
in the page on DOLPHOT's inputs of the guide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import BadConfiguration

__all__ = ["SkyParameters", "sky_map"]

Plane = NDArray[np.float32]

#: Below this there is no value: a block without a usable pixel.
_NO_VALUE = np.float32(-1e30)


@dataclass(frozen=True)
class SkyParameters:
    """How the sky is measured.

    Attributes
    ----------
    r_in_pix, r_out_pix : int
        Radii of the annulus, pixels; both circles belong to it. Not used with a negative step.
    step_pix : int
        In the annulus, every so many pixels in x and y are looked at, and the map is smoothed with
        a box of twice that side. If negative: blocks of so many pixels a side are looked at, and
        interpolated.
    sigma_above, sigma_below : float
        Values farther above or below the mean than so many standard deviations are left out; at
        least 1. ``calcsky`` takes them in this order, though it calls the first one lower.
    """

    r_in_pix: int
    r_out_pix: int
    step_pix: int
    sigma_above: float
    sigma_below: float

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of ``calcsky`` after the name of the image."""
        values = (self.r_in_pix, self.r_out_pix, self.step_pix, self.sigma_above, self.sigma_below)
        return tuple(f"{value:g}" for value in values)


def sky_map(
    data: NDArray[np.floating],
    parameters: SkyParameters,
    *,
    min_value: float,
    max_value: float,
) -> Plane:
    """The sky under each pixel.

    Parameters
    ----------
    data : ndarray (ny, nx)
        Counts; NaN for no value.
    parameters : SkyParameters
        How it is measured.
    min_value, max_value : float
        Pixels at these and beyond hold no sky: ``BADPIX`` and ``SATURATE`` of a chip.

    Returns
    -------
    ndarray (ny, nx) of float32
        Same unit; 0 where no pixel of the annulus, or of the blocks about, has a value.

    Raises
    ------
    BadConfiguration
        If the step is 0.
    """
    if parameters.step_pix == 0:
        raise BadConfiguration("the step of the sky is 0 pixels", next_step="Set another one")
    image = np.asarray(data, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        usable = (image > np.float32(min_value)) & (image < np.float32(max_value))
    image = np.where(usable, image, np.float32(np.nan))
    limits = max(parameters.sigma_below, 1.0), max(parameters.sigma_above, 1.0)
    if parameters.step_pix < 0:
        return _of_blocks(image, -parameters.step_pix, limits)
    return _of_annuli(image, parameters, limits)


def _of_annuli(image: Plane, parameters: SkyParameters, limits: tuple[float, float]) -> Plane:
    # Here, not above: numba takes half a second, and who only plans a run has no need of it.
    from hst_assets.photometry.dolphot import sky_loops

    step = parameters.step_pix
    runs = _runs(parameters)
    margin = step * int(-runs[:, 0].min(initial=0))
    height, width = image.shape
    padded = np.full((height + 2 * margin, width + 2 * margin), np.nan, dtype=np.float32)
    padded[margin : margin + height, margin : margin + width] = image
    rough = np.empty_like(image)
    # The samples about a pixel, and about those whole steps away, are neighbours in an image of
    # every step-th pixel: there they are read in one go.
    for y in range(min(step, height)):
        for x in range(min(step, width)):
            phase = np.ascontiguousarray(padded[y::step, x::step])
            rough[y::step, x::step] = sky_loops.annulus_means(
                phase, runs, margin // step, rough[y::step, x::step].shape, *limits
            )
    return sky_loops.box_means(rough, step)


def _runs(parameters: SkyParameters) -> NDArray[np.int64]:
    """The samples of an annulus as runs along x: (dy, first dx, last dx + 1) in steps, a row each.

    The radii are those of the program: whole, r_out at least 1, r_in at least 0.
    """
    step = parameters.step_pix
    inner, outer = max(parameters.r_in_pix, 0), max(parameters.r_out_pix, 1)
    reach = -(-outer // step)
    offsets = np.arange(-reach, reach + 1)
    squares = (offsets[:, None] ** 2 + offsets[None, :] ** 2) * step**2
    runs = []
    for dy, inside in zip(offsets, (squares >= inner**2) & (squares <= outer**2), strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate(([False], inside, [False])).astype(np.int8)))
        runs += [(dy, first - reach, last - reach) for first, last in edges.reshape(-1, 2)]
    # With no sample at all the margin is that of the pixel itself.
    return np.array(runs, dtype=np.int64).reshape(-1, 3) if runs else np.zeros((0, 3), np.int64)


def _of_blocks(image: Plane, side: int, limits: tuple[float, float]) -> Plane:
    from hst_assets.photometry.dolphot import sky_loops

    blocks = sky_loops.block_means(image, side, *limits)
    height, width = image.shape
    left, right_share = _between_blocks(width, side, blocks.shape[1])
    low, high_share = _between_blocks(height, side, blocks.shape[0])
    across = _mixed(blocks[:, left], blocks[:, _next(left, blocks.shape[1])], right_share[None, :])
    found = _mixed(across[low], across[_next(low, blocks.shape[0])], high_share[:, None])
    return np.where(found < _NO_VALUE, np.float32(0), found)


def _next(indices: NDArray[np.int64], n_blocks: int) -> NDArray[np.int64]:
    return np.minimum(indices + 1, n_blocks - 1)


def _between_blocks(
    n_pix: int, side: int, n_blocks: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each pixel of an axis the block before it, and the share of the one after that."""
    pixels = np.arange(n_pix)
    block = (pixels + side // 2) // side - 1
    share = (pixels / side - 0.5 - block).astype(np.float32)
    outside = (block < 0) | (block >= n_blocks - 1)
    return np.clip(block, 0, n_blocks - 1), np.where(outside, np.float32(0), share)


def _mixed(first: Plane, second: Plane, share: NDArray[np.float32]) -> Plane:
    """Interpolated, or the one of two that has a value."""
    both = (1.0 - share.astype(np.float64)) * first + share * second
    only = np.where(second < _NO_VALUE, first, both)
    only = np.where(first < _NO_VALUE, second, only)
    return np.where(share > 0, only, first).astype(np.float32)
