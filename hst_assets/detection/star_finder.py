"""DAOFIND without the border of an image, and without a loop over its stars."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from photutils.detection import DAOStarFinder

__all__ = ["BorderlessStarFinder"]


class BorderlessStarFinder(DAOStarFinder):  # type: ignore[misc]
    """A `DAOStarFinder` with ``exclude_border``; the same stars, in half the time.

    photutils cuts each star out by itself, twice. Where none is near the border, one indexing
    gives all cut-outs. A photutils that no longer calls the method overridden here finds the same
    stars, but slower.
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters, exclude_border=True)

    def _get_raw_catalog(self, data: NDArray[Any], *, mask: NDArray[np.bool_] | None = None) -> Any:
        catalogue = super()._get_raw_catalog(data, mask=mask)
        if catalogue is not None:
            catalogue.cutout_data = self._cut(data, catalogue.xypos)
            catalogue.cutout_convdata = self._cut(catalogue.convolved_data, catalogue.xypos)
        return catalogue

    def _cut(self, image: NDArray[Any], xy: NDArray[np.intp]) -> NDArray[Any]:
        """A kernel's size about each pixel (x, y), none of them nearer than half to the border."""
        ny, nx = self.kernel.shape
        views = np.lib.stride_tricks.sliding_window_view(image, (ny, nx))
        return np.asarray(views[xy[:, 1] - ny // 2, xy[:, 0] - nx // 2])
