"""What is left of the sky in a ring about a place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ring_sky"]

#: Wider than that of the sky of whole images, which is less sure of faint stars: the mean of a
#: skewed distribution of photons clipped at 2.5 is 0.01 standard deviations too low.
_CLIP = 3.5
_FEWEST_IN_RING = 30


def ring_sky(
    residual_e: NDArray[np.float32],
    good: NDArray[np.bool_],
    x: float,
    y: float,
    inner_pix: float,
    outer_pix: float,
) -> tuple[float, float]:
    """Clipped mean of the good pixels of a ring and its standard error.

    Parameters
    ----------
    residual_e : ndarray of float32, shape (ny, nx)
        What is left of an image, electrons.
    good : ndarray of bool, shape (ny, nx)
        Pixels that count.
    x, y : float
        The place, 0-based pixels.
    inner_pix, outer_pix : float
        Radii of the ring.

    Returns
    -------
    tuple of float
        Electrons a pixel; zeros of fewer than 30 pixels.
    """
    ny, nx = residual_e.shape
    rows = slice(max(int(y - outer_pix), 0), max(min(int(y + outer_pix) + 2, ny), 0))
    columns = slice(max(int(x - outer_pix), 0), max(min(int(x + outer_pix) + 2, nx), 0))
    part = residual_e[rows, columns]
    if part.size == 0:
        return 0.0, 0.0
    distance = np.hypot(
        np.arange(rows.start, rows.stop)[:, None] - y, np.arange(columns.start, columns.stop) - x
    )
    inside = (distance >= inner_pix) & (distance <= outer_pix) & good[rows, columns]
    values = part[inside].astype(float)
    if len(values) < _FEWEST_IN_RING:
        return 0.0, 0.0
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(abs(values - middle)))
    for _ in range(5):
        kept = values[abs(values - middle) <= _CLIP * spread]
        if len(kept) < _FEWEST_IN_RING:
            break
        middle, spread = float(kept.mean()), float(kept.std())
    return middle, spread / np.sqrt(len(values))
