"""The mask of what is near the edges of an image, as drizzlepac 3.11 forms it, in less time.

``hla_flag_filter.make_mask_array`` grows and shrinks the mask of a whole image by squares of 625
and 961 pixels. A square is a run along rows, and one along columns: the mask is the same. Only
child processes use this, through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["edge_mask"]

#: ``make_mask_array`` grows by squares of 25 pixels and shrinks by 31, inside a frame of 13.
_GROWN_BY, _SHRUNK_BY, _FRAME = 25, 31, 13


def edge_mask(drizzled: str) -> NDArray[np.int16]:
    """In place of ``hla_flag_filter.make_mask_array``: 1 near edges and outside, else 0.

    Parameters
    ----------
    drizzled : str
        A drizzled image.
    """
    with fits.open(drizzled) as hdus:
        covered = np.isfinite(hdus[1].data) & (hdus[1].data != 0)
    framed = np.pad(covered, _FRAME).view(np.uint8)
    for lines, size in (
        (ndimage.maximum_filter1d, _GROWN_BY),
        (ndimage.minimum_filter1d, _SHRUNK_BY),
    ):
        for axis in (0, 1):
            framed = lines(framed, size, axis=axis, mode="constant", cval=0)
    inside = framed[_FRAME:-_FRAME, _FRAME:-_FRAME]
    near: NDArray[np.int16] = (inside == 0).astype(np.int16)
    return near
