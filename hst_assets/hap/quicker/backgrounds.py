"""Images of the background, interpolated once and quickly.

photutils 2 interpolates a whole frame from the background's mesh whenever its image is asked for,
with `scipy.ndimage.zoom`, which takes 0.1 us a pixel; ``HAPImage.compute_background`` of drizzlepac
3.11 asks for each of two images twice. Here the same cubic spline is evaluated with the same
operations in the same order, so that the values are the same to the last bit, in a seventh of the
time, and once. Only child processes use this, through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from photutils.background import Background2D, BkgZoomInterpolator
from scipy import ndimage

from hst_assets.compiling import compiled_in_order

__all__ = ["KeptBackground", "enlarged", "medians"]

_TAPS = 4
#: scipy's NI_EXTEND_REFLECT keeps mirrored places off the first by this.
_LEAST = 1e-15


class KeptBackground(Background2D):  # type: ignore[misc]
    """A background whose images are interpolated once, not whenever they are asked for."""

    @cached_property
    def background(self) -> NDArray[Any]:
        """The background."""
        return self._image(self.background_mesh)

    @cached_property
    def background_rms(self) -> NDArray[Any]:
        """Its standard deviation."""
        return self._image(self.background_rms_mesh)

    def _filter_grid(self, data: NDArray[Any]) -> NDArray[Any]:
        """As photutils, which calls a function in Python for each box of the mesh."""
        size = tuple(int(side) for side in self.filter_size)
        if (
            self.filter_threshold is not None
            or size == (1, 1)
            or any(side % 2 == 0 for side in size)
            or not isinstance(data, np.ndarray)
            or hasattr(data, "unit")
        ):
            mesh: NDArray[Any] = super()._filter_grid(data)
            return mesh
        return medians(data, size)

    def _image(self, mesh: NDArray[Any]) -> NDArray[Any]:
        """As ``Background2D._calculate_image``."""
        options, how = self._interp_kwargs, self.interpolator
        if (
            not isinstance(how, BkgZoomInterpolator)
            or (how.order, how.mode, how.grid_mode, how.clip) != (3, "reflect", True, True)
            or options["edge_method"] != "pad"
            or not isinstance(mesh, np.ndarray)
            or hasattr(mesh, "unit")
            or np.ptp(mesh) == 0
        ):
            whole: NDArray[Any] = self._calculate_image(mesh)
            return whole
        image = enlarged(mesh, options["box_size"], options["shape"])
        np.clip(image, mesh.min(), mesh.max(), out=image)
        if self.coverage_mask is not None:
            image[self.coverage_mask] = self.fill_value
        return image


def medians(mesh: NDArray[np.floating[Any]], size: tuple[int, ...]) -> NDArray[Any]:
    """The median of what lies within a window around each value, without what is not a number.

    As ``scipy.ndimage.generic_filter`` with `numpy.nanmedian`, without a call for each value.

    Parameters
    ----------
    mesh : ndarray, shape (n, m)
        Values.
    size : tuple of int
        Sides of the window, odd.
    """
    edges = [(side // 2, side // 2) for side in size]
    padded = np.pad(mesh.astype(np.float64), edges, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, size).reshape(*mesh.shape, -1)
    ordered = np.sort(windows, axis=-1)  # what is not a number comes last
    n = (~np.isnan(ordered)).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(n - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(n // 2, ordered.shape[-1] - 1), axis=-1)
    middle = np.where(n % 2 == 1, low, (low + high) / 2)
    return middle[..., 0].astype(mesh.dtype.name)  # in the machine's order of bytes


def enlarged(
    mesh: NDArray[np.floating[Any]], factors: tuple[int, int], shape: tuple[int, int]
) -> NDArray[Any]:
    """As ``scipy.ndimage.zoom(mesh, factors, mode="reflect", grid_mode=True)``, cut to a shape.

    Parameters
    ----------
    mesh : ndarray, shape (n, m)
        Values at the centres of boxes.
    factors : tuple of int
        Pixels of a box along each axis.
    shape : tuple of int
        Of the result; at most the boxes' pixels.
    """
    coefficients = ndimage.spline_filter(mesh, 3, output=np.float64, mode="reflect")
    image = np.empty(shape, dtype=mesh.dtype)
    taps = [
        _taps(n, factor * n, wanted)
        for n, factor, wanted in zip(mesh.shape, factors, shape, strict=True)
    ]
    _interpolate(coefficients, *taps[0], *taps[1], image)
    return image


def _taps(n: int, n_enlarged: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which coefficients a place along an axis is made of, and their weights, both (wanted, 4).

    As ``NI_ZoomShift`` and ``get_spline_interpolation_weights`` of scipy 1.17.
    """
    place = (np.arange(wanted) + 0.5) * (n / n_enlarged) - 0.5
    place = np.where(place < 0, np.where(place > -_LEAST, _LEAST, -place) - 1, place)
    after = place - np.floor(place)
    before = 1.0 - after
    weights = np.empty((wanted, _TAPS))
    weights[:, 0] = before * before * before / 6.0
    weights[:, 1] = (after * after * (after - 2.0) * 3.0 + 4.0) / 6.0
    weights[:, 2] = (before * before * (before - 2.0) * 3.0 + 4.0) / 6.0
    weights[:, 3] = 1.0
    for tap in range(3):
        weights[:, 3] -= weights[:, tap]
    index = np.floor(place).astype(np.int64)[:, np.newaxis] - 1 + np.arange(_TAPS)
    index = np.mod(index, 2 * n)
    return np.where(index >= n, 2 * n - 1 - index, index), weights


@compiled_in_order
def _interpolate(
    coefficients: NDArray[np.float64],
    rows: NDArray[np.int64],
    row_weights: NDArray[np.float64],
    columns: NDArray[np.int64],
    column_weights: NDArray[np.float64],
    image: NDArray[Any],
) -> None:
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            total = 0.0
            for i in range(4):
                row, weight = rows[y, i], row_weights[y, i]
                for j in range(4):
                    total += coefficients[row, columns[x, j]] * weight * column_weights[x, j]
            image[y, x] = total
