"""The sky under the stars: clipped means of what is left of an image when its stars are taken off.

Of the residual, not of the data: an estimate from the data counts faint stars' light as sky where
they crowd (it doubled the bias of faint stars and the spurious ones in a study).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from hst_assets.photometry.psf.compiling import compiled

__all__ = ["residual_sky"]

Planes = NDArray[np.float32]

#: Side of a mesh, pixels.
MESH_PIX = 64
_CLIP = 2.5
#: Standard deviation of a normal distribution over that of what is left within 2.5 sigma.
_OF_CLIPPED = 1.08
_FEWEST = 30


@compiled
def _mesh_means(residual: Any, good: Any, means: Any) -> None:
    """Clipped mean of each mesh from every third pixel of a row; NaN where too few are good."""
    ny, nx = residual.shape
    my, mx = means.shape
    values = np.empty((ny // my + 2) * (nx // mx + 2))
    for b in range(my):
        for a in range(mx):
            n = 0
            for j in range(b * ny // my, (b + 1) * ny // my):
                for i in range(a * nx // mx + j % 3, (a + 1) * nx // mx, 3):
                    if good[j, i]:
                        values[n] = residual[j, i]
                        n += 1
            if n < _FEWEST:
                means[b, a] = np.nan
                continue
            ordered = np.sort(values[:n])
            middle = ordered[n // 2]
            sigma = middle - ordered[int(n * 0.1587)]
            for _ in range(8):
                low = np.searchsorted(ordered, middle - _CLIP * sigma)
                high = np.searchsorted(ordered, middle + _CLIP * sigma)
                if high - low < 5:
                    break
                mean = ordered[low:high].mean()
                done = abs(mean - middle) < 1e-3 * sigma
                middle = mean
                if done:
                    break
                sigma = ordered[low:high].std() * _OF_CLIPPED
            means[b, a] = middle


@compiled
def _between_meshes(means: Any, sky: Any) -> None:
    """Interpolate between the middles of meshes; beyond the outer ones it is constant."""
    ny, nx = sky.shape
    my, mx = means.shape
    for j in range(ny):
        v = min(max((j + 0.5) * my / ny - 0.5, 0.0), my - 1.0)
        b = min(int(v), max(my - 2, 0))
        above = min(b + 1, my - 1)
        g = v - b
        for i in range(nx):
            u = min(max((i + 0.5) * mx / nx - 0.5, 0.0), mx - 1.0)
            a = min(int(u), max(mx - 2, 0))
            right = min(a + 1, mx - 1)
            f = u - a
            sky[j, i] = (1 - g) * ((1 - f) * means[b, a] + f * means[b, right]) + g * (
                (1 - f) * means[above, a] + f * means[above, right]
            )


def residual_sky(residual: Planes, good: NDArray[np.bool_], *, mesh_pix: int = MESH_PIX) -> Planes:
    """What of the sky is still in a residual image.

    Parameters
    ----------
    residual : ndarray of float32, shape (ny, nx)
        Data without sky and stars.
    good : ndarray of bool, shape (ny, nx)
        Pixels that count.
    mesh_pix : int, optional
        Side of a mesh, pixels; between their middles it is interpolated.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        To be added to the sky; 0 where nothing can be said.
    """
    ny, nx = residual.shape
    means = np.zeros((max(1, round(ny / mesh_pix)), max(1, round(nx / mesh_pix))))
    _mesh_means(residual, good, means)
    if np.isnan(means).all():
        return np.zeros_like(residual)
    means = np.where(np.isnan(means), np.nanmedian(means), means)
    sky = np.empty_like(residual)
    _between_meshes(median_filter(means, 3, mode="nearest"), sky)
    return sky
