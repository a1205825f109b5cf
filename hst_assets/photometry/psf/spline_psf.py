"""A PSF as a cubic B-spline surface, which may vary over a chip.

The surface holds the share of a star's light that falls into a pixel, by the distance of the pixel
from the star: the pixel's integral is in it (an effective PSF; Anderson & King 2000, PASP 112,
1360). It has `OVERSAMPLING` coefficients a pixel. Over a chip it is constant within each cell of a
lattice; whoever makes it blends it between the places where it is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

__all__ = ["OVERSAMPLING", "SplinePsf", "spline_psf", "widened"]

Floats = NDArray[np.float64]

#: Coefficients a pixel of the detector.
OVERSAMPLING = 4
#: Pixels of coefficients beyond the radius, for the reach of the splines and fractions of a pixel.
_BORDER_PIX = 2


@dataclass(frozen=True, eq=False)
class SplinePsf:
    """A PSF on a chip.

    Attributes
    ----------
    coefficients : ndarray, shape (cells_y, cells_x, n, n)
        Of the B-splines; n = 2 (radius_pix + 2) `OVERSAMPLING` + 1, the star at the middle.
    cell_pix : tuple of float
        Width and height of a cell, pixels of the chip; the first begins at the chip's first pixel.
    radius_pix : int
        It is known so far from the star, in X and in Y; beyond it is 0.
    width_error_pix2 : float
        By how much the width of a star's own PSF differs from it: standard deviation of half the
        second moment along an axis; 0 if not known (`hst_assets.photometry.psf.psf_error`).
    """

    coefficients: Floats
    cell_pix: tuple[float, float]
    radius_pix: int
    width_error_pix2: float = 0.0

    @property
    def middle(self) -> int:
        """Index of the coefficient at the star's place."""
        return (self.radius_pix + _BORDER_PIX) * OVERSAMPLING

    @property
    def sum(self) -> float:
        """Share of a star's light within the radius, mean of all cells."""
        offsets = np.arange(-self.radius_pix, self.radius_pix + 1, dtype=float)
        dx, dy = np.meshgrid(offsets, offsets)
        sums = [
            self.at(dx, dy, cell=(j, i)).sum()
            for j in range(self.coefficients.shape[0])
            for i in range(self.coefficients.shape[1])
        ]
        return float(np.mean(sums))

    def at(self, dx: Floats, dy: Floats, *, cell: tuple[int, int] = (0, 0)) -> Floats:
        """The PSF at pixels dx, dy away from the star: pixel minus star."""
        places = np.array(
            [
                np.asarray(dy, dtype=float) * OVERSAMPLING + self.middle,
                np.asarray(dx, dtype=float) * OVERSAMPLING + self.middle,
            ]
        )
        values: Floats = map_coordinates(
            self.coefficients[cell], places, order=3, prefilter=False, mode="constant"
        )
        return values

    def cell_of(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of the cell that holds a pixel of the whole chip."""
        ny, nx = self.coefficients.shape[:2]
        return (
            int(np.clip(y / self.cell_pix[1], 0, ny - 1)),
            int(np.clip(x / self.cell_pix[0], 0, nx - 1)),
        )

    def profile(self) -> Floats:
        """Largest value at whole distances 0, 1, … radius_pix from the star, of all cells."""
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        radius = np.arange(self.radius_pix + 1, dtype=float)[:, None]
        dx, dy = radius * np.cos(angle), radius * np.sin(angle)
        profiles = [
            self.at(dx, dy, cell=(j, i)).max(axis=1)
            for j in range(self.coefficients.shape[0])
            for i in range(self.coefficients.shape[1])
        ]
        return np.asarray(np.max(profiles, axis=0))


def spline_psf(
    values: Floats, *, radius_pix: int, cell_pix: tuple[float, float] = (1e6, 1e6)
) -> SplinePsf:
    """A PSF from its values on the fine lattice.

    Parameters
    ----------
    values : ndarray, shape (n, n) or (cells_y, cells_x, n, n)
        Share of light in a pixel, at steps of 1/`OVERSAMPLING` pixel, the star at the middle;
        n = 2 (radius_pix + 2) `OVERSAMPLING` + 1.
    radius_pix : int
        As of `SplinePsf`.
    cell_pix : tuple of float, optional
        As of `SplinePsf`; by default one cell for all.

    Raises
    ------
    ValueError
        If `values` does not have n x n values for this radius.
    """
    n = 2 * (radius_pix + _BORDER_PIX) * OVERSAMPLING + 1
    if values.shape[-2:] != (n, n):
        raise ValueError(f"a PSF of radius {radius_pix} has {n} x {n} values")
    cells: NDArray[Any] = np.asarray(values, dtype=float).reshape(
        (1, 1, n, n) if values.ndim == 2 else values.shape
    )
    coefficients = np.empty_like(cells)
    for j in range(cells.shape[0]):
        for i in range(cells.shape[1]):
            coefficients[j, i] = spline_filter(cells[j, i], order=3, mode="mirror")
    return SplinePsf(coefficients, cell_pix, radius_pix)


def widened(psf: SplinePsf) -> SplinePsf:
    """What is to be added to a PSF whose second moment along each axis is 2 pixels squared larger.

    A PSF that is blurred by a variance s² along each axis is that with s²/2 of its Laplacian.
    """
    second = sum(np.gradient(np.gradient(psf.coefficients, axis=a), axis=a) for a in (2, 3))
    return replace(psf, coefficients=np.asarray(second) * OVERSAMPLING**2)
