"""What ``drizzlepac.drizCR`` convolves masks with, by sums of shifted masks.

It convolves masks of whole chips with squares of ones, of a single one in most runs, by a function
for any kernel. Counts of pixels are exact however they are summed. Only child processes use this,
through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

__all__ = ["Counting"]


class Counting:
    """In place of `scipy.signal` in ``drizzlepac.drizCR``."""

    @staticmethod
    def convolve2d(
        mask: NDArray[Any], kernel: NDArray[Any], *, boundary: str, mode: str
    ) -> NDArray[Any]:
        """As `scipy.signal.convolve2d`; masks and squares of ones are counted.

        Parameters
        ----------
        mask : ndarray, shape (ny, nx)
            The mask.
        kernel : ndarray, shape (n, n)
            What it is convolved with.
        boundary, mode : str
            As scipy's.
        """
        size = len(kernel)
        if (
            mask.dtype != np.bool_
            or kernel.shape != (size, size)
            or not size % 2
            or size > min(mask.shape)
            or not (kernel == 1).all()
            or (boundary, mode) != ("symm", "same")
        ):
            convolved: NDArray[Any] = signal.convolve2d(mask, kernel, boundary=boundary, mode=mode)
            return convolved
        counts = np.pad(mask, size // 2, mode="symmetric").astype(np.result_type(mask, kernel))
        for axis in (0, 1):
            lines = [_shifted(counts, shift, size, axis) for shift in range(size)]
            counts = lines[0].copy()
            for line in lines[1:]:
                counts += line
        return counts


def _shifted(counts: NDArray[Any], shift: int, size: int, axis: int) -> NDArray[Any]:
    length = counts.shape[axis] - size + 1
    where = [slice(None), slice(None)]
    where[axis] = slice(shift, shift + length)
    part: NDArray[Any] = counts[tuple(where)]
    return part
