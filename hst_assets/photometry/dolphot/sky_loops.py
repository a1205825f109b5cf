"""The loops of the sky's measurement, compiled with numba.

The compiled code is kept beside this file or in the user's cache; where neither can be written,
each process compiles it again (about 5 s).
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hst_assets.compiling import kept_compiled

__all__ = ["annulus_means", "block_means", "box_means"]

#: Sums may be taken in any order, which lets several values be added at a time; NaN stays NaN.
_compiled = partial(kept_compiled, fastmath={"reassoc", "nsz"})


@_compiled
def _clipped_mean(
    values: NDArray[np.float64], count: int, below: float, above: float, near: float
) -> float:
    """Mean of the first values, outliers left out; NaN where there is none.

    Values that are NaN do not count. One that was left out stays out, so that the interval shrinks
    only. The standard deviation has 1 added in quadrature, as the program has it: without noise,
    nothing is left out. `near` is a value near the mean, from which differences are summed.
    """
    low, high = -math.inf, math.inf
    mean, n_before = math.nan, 0.0
    while True:
        n, total, squares = 0.0, 0.0, 0.0
        for index in range(count):
            value = values[index]
            inside = (value >= low) & (value <= high)
            difference = value - near if inside else 0.0
            n += 1.0 if inside else 0.0
            total += difference
            squares += difference * difference
        if n == n_before:
            return mean
        n_before = n
        mean = near + total / n
        spread = (squares - total * total / n) / (n - 1.0) if n > 1.0 else 0.0
        sigma = math.sqrt(1.0 + max(spread, 0.0))
        low = max(low, mean - below * sigma)
        high = min(high, mean + above * sigma)


@_compiled
def annulus_means(
    image: NDArray[np.float32],
    runs: NDArray[np.int64],
    margin: int,
    shape: tuple[int, int],
    below: float,
    above: float,
) -> NDArray[np.float32]:
    """The clipped mean of the samples about each pixel.

    Parameters
    ----------
    image : ndarray (ny + 2 margin, nx + 2 margin)
        With a margin of NaN; pixels without a value are NaN, too.
    runs : ndarray (n, 3)
        Samples, one run of pixels a row: dy, first dx, and last dx + 1, pixels from the centre.
    margin : int
        Rows and columns before the first pixel.
    shape : tuple of int
        (ny, nx).
    below, above : float
        Limits in standard deviations.

    Returns
    -------
    ndarray (ny, nx)
        0 where there is no value.
    """
    n_samples = 0
    for run in range(runs.shape[0]):
        n_samples += runs[run, 2] - runs[run, 1]
    samples = np.empty(n_samples, np.float64)
    means = np.empty(shape, np.float32)
    near = 0.0
    for y in range(shape[0]):
        for x in range(shape[1]):
            count = 0
            for run in range(runs.shape[0]):
                row = y + margin + runs[run, 0]
                first = x + margin + runs[run, 1]
                for column in range(first, x + margin + runs[run, 2]):
                    samples[count + column - first] = image[row, column]
                count += runs[run, 2] - runs[run, 1]
            mean = _clipped_mean(samples, n_samples, below, above, near)
            if mean == mean:  # not NaN
                near = mean
                means[y, x] = mean
            else:
                means[y, x] = 0.0
    return means


@_compiled
def block_means(
    image: NDArray[np.float32], side: int, below: float, above: float
) -> NDArray[np.float32]:
    """The clipped mean of each block of `side` by `side` pixels.

    Parameters
    ----------
    image : ndarray (ny, nx)
        NaN for no value.
    side : int
        Of a block; those at the end may be smaller.
    below, above : float
        Limits in standard deviations.

    Returns
    -------
    ndarray
        -2e30 where there is no value.
    """
    height, width = image.shape
    shape = (height + side - 1) // side, (width + side - 1) // side
    means = np.empty(shape, np.float32)
    values = np.empty(side * side, np.float64)
    near = 0.0
    for row in range(shape[0]):
        for column in range(shape[1]):
            count = 0
            for y in range(row * side, min((row + 1) * side, height)):
                for x in range(column * side, min((column + 1) * side, width)):
                    values[count] = image[y, x]
                    count += 1
            mean = _clipped_mean(values, count, below, above, near)
            if mean == mean:  # not NaN
                near = mean
                means[row, column] = mean
            else:
                means[row, column] = -2e30
    return means


@_compiled
def box_means(image: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """The mean over the 2 step by 2 step pixels about each pixel, one side of them longer.

    From step - 1 pixels before to step after, in x and y; what lies outside does not count. Sums
    are taken in single precision and in the program's order.

    Parameters
    ----------
    image : ndarray (ny, nx)
        What is smoothed.
    step : int
        Half the side.

    Returns
    -------
    ndarray (ny, nx)
        Smoothed.
    """
    height, width = image.shape
    means = np.empty((height, width), np.float32)
    total = np.empty(width, np.float32)
    for y in range(height):
        top, bottom = max(y - step + 1, 0), min(y + step, height - 1)
        total[:] = 0.0
        for row in range(top, bottom + 1):
            for dx in range(-step + 1, step + 1):
                for x in range(max(-dx, 0), min(width - dx, width)):
                    total[x] += image[row, x + dx]
        for x in range(width):
            n_columns = min(x + step, width - 1) - max(x - step + 1, 0) + 1
            means[y, x] = total[x] / np.float32(n_columns * (bottom - top + 1))
    return means
