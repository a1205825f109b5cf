"""From the reference to a chip: where a place of the catalogue's frame falls on an exposure.

The full WCS, SIP polynomials and look-up tables included, is evaluated once at the knots of a
regular lattice in the reference's pixels; between knots it is interpolated. All pixels are 0-based.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput

__all__ = ["KNOT_STEP_PIX", "PixelMap", "map_between"]

Floats = NDArray[np.float64]

#: Between knots of the lattice, pixels of the reference. The quadratic terms of HST's distortion
#: (up to 6e-6 a pixel) leave an error of 2e-4 pixel between two of them.
KNOT_STEP_PIX = 16.0


@dataclass(frozen=True, eq=False)
class PixelMap:
    """A map from the pixels of the reference to those of a chip.

    Attributes
    ----------
    x0, y0, step : float
        The first knot and the distance of knots, pixels of the reference (0-based).
    knots : ndarray, shape (ny, nx, 2)
        X and Y on the chip (0-based) at the knots.
    """

    x0: float
    y0: float
    step: float
    knots: Floats

    def __call__(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """X and Y on the chip of places of the reference; beyond the knots it is extrapolated."""
        i, fx = self._cell(x, self.x0, self.knots.shape[1])
        j, fy = self._cell(y, self.y0, self.knots.shape[0])
        fx, fy = fx[..., None], fy[..., None]
        low = self.knots[j, i] * (1 - fx) + self.knots[j, i + 1] * fx
        high = self.knots[j + 1, i] * (1 - fx) + self.knots[j + 1, i + 1] * fx
        place = low * (1 - fy) + high * fy
        return place[..., 0], place[..., 1]

    def _cell(self, value: Floats, first: float, n: int) -> tuple[NDArray[np.int64], Floats]:
        at = (np.asarray(value, dtype=float) - first) / self.step
        cell = np.clip(np.floor(at).astype(np.int64), 0, n - 2)
        return cell, at - cell

    def moved(self, dx: float, dy: float) -> PixelMap:
        """The same with the chip's pixels counted from elsewhere: dx, dy are added to X, Y."""
        return replace(self, knots=self.knots + np.array([dx, dy]))


def map_between(
    to_sky: Callable[[Floats, Floats], tuple[Floats, Floats]] | WCS,
    chip: WCS,
    *,
    box: tuple[float, float, float, float],
    step: float = KNOT_STEP_PIX,
) -> PixelMap:
    """Tabulate the map from the reference to a chip.

    Parameters
    ----------
    to_sky : WCS
        Of the reference.
    chip : WCS
        Of the chip, with all of its distortion.
    box : tuple of float
        First and last X, first and last Y of the reference that is wanted, 0-based pixels.
    step : float, optional
        Distance of knots, pixels of the reference.

    Raises
    ------
    UnusableInput
        If the chip's distortion cannot be inverted anywhere in the box.
    """
    x_first, x_last, y_first, y_last = box
    nx = max(int(np.ceil((x_last - x_first) / step)) + 1, 2)
    ny = max(int(np.ceil((y_last - y_first) / step)) + 1, 2)
    x, y = np.meshgrid(x_first + step * np.arange(nx), y_first + step * np.arange(ny))
    world = (
        to_sky.all_pix2world(x.ravel(), y.ravel(), 0)
        if isinstance(to_sky, WCS)
        else to_sky(x.ravel(), y.ravel())
    )
    on_chip = chip.all_world2pix(*world, 0, tolerance=1e-5, quiet=True)
    knots = np.column_stack(on_chip).reshape(ny, nx, 2)
    if not np.isfinite(knots).all():
        raise UnusableInput("the chip's distortion cannot be inverted over the whole field")
    return PixelMap(float(x_first), float(y_first), float(step), knots)
