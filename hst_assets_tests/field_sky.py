"""A crude first estimate of the sky of simulated images, as photometers are given one."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import zoom

__all__ = ["sky_estimate"]


def sky_estimate(electrons: np.ndarray, good: np.ndarray, box: int = 64) -> np.ndarray:
    """Clipped medians of boxes, interpolated: crude, as a first estimate is."""
    ny, nx = electrons.shape
    rows, columns = max(1, ny // box), max(1, nx // box)
    coarse = np.zeros((rows, columns))
    for j in range(rows):
        for i in range(columns):
            where = np.s_[
                j * ny // rows : (j + 1) * ny // rows, i * nx // columns : (i + 1) * nx // columns
            ]
            values = electrons[where][good[where]]
            for _ in range(5):
                middle = np.median(values)
                spread = 1.4826 * np.median(np.abs(values - middle))
                values = values[np.abs(values - middle) <= 2.25 * spread]
            coarse[j, i] = values.mean()
    factor = (ny / rows, nx / columns)
    smooth = zoom(coarse, factor, order=1, mode="nearest", grid_mode=True)
    return smooth.astype(np.float32)
