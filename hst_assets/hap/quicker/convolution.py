"""Convolution of images as by astropy, several pixels at a time.

`astropy.convolution.convolve` sums over the kernel for one pixel after the other, and each sum
waits for the one before. Here the pixels of a row are summed side by side, each in astropy's order:
the values are the same to the last bit. Only child processes use this, through
`hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hst_assets.compiling import compiled_in_order

__all__ = ["by_rows"]

_Image = NDArray[np.float64]
#: Pixels of a row that are summed side by side: they stay in the processor's nearest cache.
_BLOCK = 512


def by_rows(convolve: Callable[..., None]) -> Callable[..., None]:
    """A function in place of ``astropy.convolution.convolve._convolveNd_c``.

    Parameters
    ----------
    convolve : callable
        astropy's, for what is not an image with edges added to it.
    """

    def convolve_image(
        result: _Image,
        image: _Image,
        kernel: _Image,
        nan_interpolate: bool,  # noqa: FBT001 - astropy's parameters
        embed: bool,  # noqa: FBT001
        n_threads: int,
    ) -> None:
        if result.ndim != 2 or embed:
            convolve(result, image, kernel, nan_interpolate, embed, n_threads)
            return
        turned = np.ascontiguousarray(kernel[::-1, ::-1])
        if nan_interpolate:
            _interpolating(result, image, turned)
        else:
            _plain(result, image, turned)

    return convolve_image


@compiled_in_order
def _plain(result: _Image, image: _Image, kernel: _Image) -> None:
    n_rows, n_columns = result.shape
    for y in range(n_rows):
        for first in range(0, n_columns, _BLOCK):
            n = min(_BLOCK, n_columns - first)
            total = result[y, first : first + n]
            total[:] = 0.0
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    part = image[y + i, first + j : first + j + n]
                    weight = kernel[i, j]
                    for x in range(n):
                        total[x] += part[x] * weight


@compiled_in_order
def _interpolating(result: _Image, image: _Image, kernel: _Image) -> None:
    n_rows, n_columns = result.shape
    low, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    weights = np.empty(_BLOCK)
    for y in range(n_rows):
        for first in range(0, n_columns, _BLOCK):
            n = min(_BLOCK, n_columns - first)
            total = result[y, first : first + n]
            total[:] = 0.0
            weights[:] = 0.0
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    part = image[y + i, first + j : first + j + n]
                    weight = kernel[i, j]
                    for x in range(n):
                        value = part[x]
                        is_there = value == value  # it is not NaN
                        total[x] += value * weight if is_there else 0.0
                        weights[x] += weight if is_there else 0.0
            for x in range(n):
                if weights[x] == 0.0:
                    total[x] = image[y + low, first + x + left]
                else:
                    total[x] = total[x] / weights[x]
