"""A prior PSF with its corrections, on a lattice of cells of a chip, and how it may vary."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.epsf_correction import Correction, refined
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf

__all__ = ["ChipTerms", "CorrectedPsf", "on_lattice"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: The largest cell of a PSF that varies: a quarter of a percent of light in the core, where the
#: FWHM changes by 10 % over a chip of 4096 pixels.
_MAX_CELL_PIX = 256.0
#: By this polynomial a PSF may vary: powers of X and Y, lower degrees first.
_POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
_TERMS_OF = {0: slice(0, 1), 1: slice(1, 3), 2: slice(3, 6)}


def on_lattice(prior: SplinePsf, shape: tuple[int, int]) -> SplinePsf:
    """The same PSF with cells of 256 pixels at most.

    Parameters
    ----------
    prior : SplinePsf
        Returned as it is if its cells are small enough.
    shape : tuple of int
        (ny, nx) of the chip.
    """
    if max(prior.cell_pix) <= _MAX_CELL_PIX:
        return prior
    ny, nx = (max(int(np.ceil(size / _MAX_CELL_PIX)), 1) for size in shape)
    width, height = shape[1] / nx, shape[0] / ny
    cells = [
        [prior.cell_of((i + 0.5) * width - 0.5, (j + 0.5) * height - 0.5) for i in range(nx)]
        for j in range(ny)
    ]
    coefficients = np.array([[prior.coefficients[cell] for cell in row] for row in cells])
    return SplinePsf(coefficients, (width, height), prior.radius_pix)


@dataclass(frozen=True, eq=False)
class ChipTerms:
    """Orthonormal polynomials over the places of stars: each has a mean square of 1 there.

    Attributes
    ----------
    middle, half : ndarray (2,)
        X and Y of the middle of the stars, and half their extent; a place beyond counts as on the
        edge: nothing is extrapolated.
    mixing : ndarray (6, 6)
        The monomials' share in each polynomial; a polynomial has no power above its own.
    """

    middle: Floats
    half: Floats
    mixing: Floats

    @classmethod
    def over(cls, x: Floats, y: Floats) -> ChipTerms:
        """Those of some stars; of degree 2, at least 6 places are wanted."""
        low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
        plain = cls((low + high) / 2, np.maximum((high - low) / 2, 1.0), np.eye(len(_POWERS)))
        monomials = plain._monomials(x, y)
        # A little is added to what cannot be told apart, such as the terms of a single place.
        matrix = monomials.T @ monomials / len(x) + 1e-9 * np.eye(len(_POWERS))
        mixing = np.linalg.inv(np.linalg.cholesky(matrix))
        return cls(plain.middle, plain.half, mixing)

    def at(self, x: Floats, y: Floats, degree: int) -> Floats:
        """The polynomials of a degree at places (…, terms)."""
        polynomials: Floats = self._monomials(x, y) @ self.mixing[_TERMS_OF[degree]].T
        return polynomials

    def _monomials(self, x: Floats, y: Floats) -> Floats:
        u = np.clip((x - self.middle[0]) / self.half[0], -1, 1)
        v = np.clip((y - self.middle[1]) / self.half[1], -1, 1)
        return np.stack([u**p * v**q for p, q in _POWERS], axis=-1)


@dataclass(eq=False)
class CorrectedPsf:
    """A prior, and corrections that vary over the chip by some terms.

    Attributes
    ----------
    prior : SplinePsf
        On the lattice.
    norm_radius_pix : float
        Within this radius each cell holds the prior's share of light, whatever the correction.
    parts : list
        Corrections, and their terms at the cells (cells_y, cells_x, t).
    """

    prior: SplinePsf
    norm_radius_pix: float
    parts: list[tuple[Correction, Floats]] = field(default_factory=list)

    @property
    def cell_places(self) -> tuple[Floats, Floats]:
        """X and Y of the cells' middles (cells_y, cells_x)."""
        ny, nx = self.prior.coefficients.shape[:2]
        width, height = self.prior.cell_pix
        x, y = np.meshgrid((np.arange(nx) + 0.5) * width, (np.arange(ny) + 0.5) * height)
        return x - 0.5, y - 0.5

    def cells_of(self, x: Floats, y: Floats) -> Indices:
        """Row and column of the cells of stars (m, 2)."""
        cells = [self.prior.cell_of(float(a), float(b)) for a, b in zip(x, y, strict=True)]
        return np.array(cells, dtype=np.int64).reshape(-1, 2)

    def made(self) -> tuple[SplinePsf, Floats]:
        """The PSF, and by what each cell (cells_y, cells_x) was multiplied to hold its light."""
        coefficients = self.prior.coefficients.copy()
        n = coefficients.shape[-1]
        for correction, terms in self.parts:
            coefficients += np.tensordot(terms, refined(correction.coefficients, n), axes=1)
        offset = np.arange(n) - self.prior.middle
        inside = np.hypot(offset[:, None], offset) <= self.norm_radius_pix * OVERSAMPLING
        scale = self.prior.coefficients[..., inside].sum(axis=-1) / coefficients[..., inside].sum(
            axis=-1
        )
        made = coefficients * scale[..., None, None]
        return SplinePsf(made, self.prior.cell_pix, self.prior.radius_pix), scale
