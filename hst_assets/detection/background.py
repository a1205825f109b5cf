"""The sky under the stars of an image, and its noise, box by box."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.stats import SigmaClip
from numpy.typing import NDArray

__all__ = ["background_of"]

#: Side of the boxes of the background map, in FWHM: wide enough not to see stars as sky.
_BOX_FWHM = 25


def background_of(
    data: NDArray[np.float64], hidden: NDArray[np.bool_], fwhm_pix: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Local sky and its standard deviation, sigma-clipped.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        The image, finite everywhere.
    hidden : ndarray of bool, shape (ny, nx)
        Pixels that do not count.
    fwhm_pix : float
        FWHM of a star.

    Returns
    -------
    sky, noise : ndarray, shape (ny, nx)

    Raises
    ------
    ValueError
        If no box has pixels enough.
    """
    from photutils.background import Background2D, MedianBackground

    side = int(min(max(_BOX_FWHM * fwhm_pix, 32), *data.shape))
    background = Background2D(
        data,
        (side, side),
        mask=hidden,
        filter_size=1,  # the median over neighbours is taken below, in one go
        sigma_clip=SigmaClip(sigma=3.0, maxiters=5),
        bkg_estimator=MedianBackground(),
        exclude_percentile=90,
    )
    sky, noise = (
        _stretched(_median_of_neighbours(mesh), side, data.shape)
        for mesh in (background.background_mesh, background.background_rms_mesh)
    )
    floor = float(np.median(background.background_rms_mesh)) / 10
    return sky, np.maximum(noise, max(floor, 1e-30))


def _median_of_neighbours(mesh: NDArray[Any]) -> NDArray[np.float64]:
    """The median of each 3 x 3 neighbourhood, at the edges of what there is of it."""
    ny, nx = mesh.shape
    padded = np.pad(np.asarray(mesh, float), 1, constant_values=np.nan)
    shifted = [padded[dy : dy + ny, dx : dx + nx] for dy in range(3) for dx in range(3)]
    return np.asarray(np.nanmedian(shifted, axis=0))


def _stretched(mesh: NDArray[np.float64], side: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Cubic splines through a mesh of boxes of `side` pixels, evaluated at each pixel.

    The values are those of photutils' `BkgZoomInterpolator`; the splines along an axis being the
    same for all rows, two products of matrices give them.
    """
    from scipy.ndimage import zoom

    along_y, along_x = (
        zoom(np.eye(n), (side, 1), order=3, mode="reflect", grid_mode=True)[:length]
        for n, length in zip(mesh.shape, shape, strict=True)
    )
    return np.asarray(np.clip(along_y @ mesh @ along_x.T, mesh.min(), mesh.max()))
