"""What is added to a prior PSF so that it agrees with stars: a penalised least-squares fit.

The correction is a cubic B-spline surface of `STEPS` coefficients a pixel for each of some terms,
by which it varies over the chip. Before the stars are seen, it is a random field about 0: as large
as a share of the prior's light nearby, with a Matern covariance (smoothness 1) whose precision is
the square of a discrete Helmholtz operator (Lindgren, Rue & Lindström 2011, J. R. Stat. Soc. B 73,
423). So faint or few stars leave the prior as it is, and many bright ones win.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.ndimage import uniform_filter

from hst_assets.photometry.psf.epsf_loops import add_normal_equations, star_models
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf

__all__ = ["STEPS", "Correction", "Equations", "Offsets", "refined"]

Floats = NDArray[np.float64]

#: Coefficients a pixel. Splines of twice the step are splines of the step: nothing is lost in the
#: PSF's coefficients. Half a pixel is at most the core's standard deviation (its FWHM, pixel
#: included, is 1.1 pixel at least, in WFC3/IR).
STEPS = 2
_BORDER_PIX = 2
#: How far a correction reaches into its neighbourhood (1 / kappa), pixels.
_LENGTH_PIX = 1.0
#: The prior's light nearby is its mean over so many pixels, plus a share of all light.
_NEARBY_PIX = 3
_LEAST_SHARE = 2e-5
#: A cubic B-spline as a sum of those of half the step.
_TWO_SCALE = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 8.0


@dataclass(frozen=True, eq=False)
class Offsets:
    """Where the first pixel of each of m stamps is, as seen from its star: pixel minus star."""

    dx: Floats
    dy: Floats

    def of(self, chosen: NDArray[np.bool_]) -> Offsets:
        """Those of some stamps."""
        return Offsets(self.dx[chosen], self.dy[chosen])


@dataclass(frozen=True, eq=False)
class Equations:
    """Normal equations of a correction: the matrix's band (unknowns, band), the right side."""

    matrix: Floats
    vector: Floats

    def __add__(self, other: Equations) -> Equations:
        return Equations(self.matrix + other.matrix, self.vector + other.vector)


class Correction:
    """The correction of a prior, for t terms.

    Parameters
    ----------
    prior : SplinePsf
        What is corrected.
    radius_pix : int
        So far from the star, in X and in Y.
    n_terms : int
        By which it varies.
    share : float
        Standard deviation of the correction before the stars are seen, in units of the prior's
        light nearby.
    """

    def __init__(self, prior: SplinePsf, *, radius_pix: int, n_terms: int, share: float) -> None:
        self.radius_pix = radius_pix
        self.n = 2 * (radius_pix + _BORDER_PIX) * STEPS + 1
        self.n_terms = n_terms
        self.coefficients: Floats = np.zeros((self.n, self.n, n_terms))
        mean = prior.coefficients.mean(axis=(0, 1))
        skip = OVERSAMPLING // STEPS
        margin = (prior.radius_pix - radius_pix) * OVERSAMPLING
        inner = slice(margin, len(mean) - margin)
        nearby = uniform_filter(np.abs(mean), _NEARBY_PIX * OVERSAMPLING + 1, mode="constant")
        scale = share * (nearby[inner, inner][::skip, ::skip] + _LEAST_SHARE)
        self._precision = _precision(self.n, scale, n_terms)
        slopes = np.gradient(mean, axis=(1, 0))
        self._slopes: Floats = np.stack([s[inner, inner][::skip, ::skip] for s in slopes], axis=-1)

    @property
    def band(self) -> int:
        """Entries of a column of the matrix from the diagonal on."""
        return (3 * self.n + 3) * self.n_terms + self.n_terms

    @property
    def reach(self) -> float:
        """Pixels so far from the star, in X and in Y, are fitted."""
        return self.radius_pix + 0.5

    def equations(
        self, terms: Floats, at: Offsets, matrix_weights: Floats, vector_weights: Floats
    ) -> Equations:
        """The normal equations of some stars, without the penalty."""
        unknowns = self.coefficients.size
        made = Equations(np.zeros((unknowns, self.band)), np.zeros(unknowns))
        add_normal_equations(
            self.n,
            np.ascontiguousarray(terms),
            at.dx,
            at.dy,
            STEPS,
            self.reach,
            matrix_weights,
            vector_weights,
            made.matrix,
            made.vector,
        )
        return made

    def solved(self, equations: Equations) -> Floats:
        """The coefficients that agree best with the stars and the penalty.

        The right side is of what the present coefficients leave over. No term moves the PSF: the
        correction has no component along the slopes of the prior, so that the best fit of the
        prior to the PSF is at the PSF's star, without weights. This holds the centre, which stars
        whose places are fitted cannot tell.
        """
        band = equations.matrix.copy()
        for offset, column, value in zip(*self._precision_band, strict=True):
            band[column, offset] += value
        factor = cholesky_banded(band.T, overwrite_ab=True, lower=True, check_finite=False)
        present = self.coefficients.ravel()
        right = equations.vector - self._precision @ present
        held = np.einsum("jis,tu->jitsu", self._slopes, np.eye(self.n_terms))
        held = held.reshape(len(present), -1)
        both = cho_solve_banded((factor, True), np.column_stack([right, held]), check_finite=False)
        free, response = both[:, 0], both[:, 1:]
        push = np.linalg.solve(held.T @ response, held.T @ (free + present))
        solved: Floats = present + free - response @ push
        return solved.reshape(self.coefficients.shape)

    def at(self, coefficients: Floats, terms: Floats, at: Offsets, side: int) -> Floats:
        """A correction at the pixels of stamps (m, side, side)."""
        models = np.empty((3, len(terms), side, side))
        total = np.zeros((len(terms), side, side))
        cells = np.zeros((len(terms), 2), dtype=np.int64)
        for term in range(self.n_terms):
            surface = np.ascontiguousarray(coefficients[None, None, :, :, term])
            star_models(surface, cells, at.dx, at.dy, STEPS, self.reach, models)
            total += terms[:, term, None, None] * models[0]
        return total

    @property
    def _precision_band(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        lower = sparse.tril(self._precision).tocoo()
        return lower.row - lower.col, lower.col, lower.data


def _precision(n: int, scale: Floats, n_terms: int) -> sparse.csr_matrix:
    """Inverse covariance of the coefficients; 0 beyond the lattice."""
    length = _LENGTH_PIX * STEPS
    second = sparse.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(n, n))
    one = sparse.identity(n)
    operator = sparse.identity(n * n) - length**2 * (
        sparse.kron(one, second) + sparse.kron(second, one)
    )
    # In two dimensions tau (1 / length^2 - Laplace)^2 has the variance length^2 / (4 pi tau).
    unit = operator.T @ operator / (4 * np.pi * length**2)
    inverse = sparse.diags(1.0 / scale.ravel())
    return sparse.kron(inverse @ unit @ inverse, sparse.identity(n_terms), format="csr")


def refined(coefficients: Floats, n: int) -> Floats:
    """The surface of a correction (k, k, t) as coefficients (t, n, n) of a `SplinePsf`."""
    k, _, n_terms = coefficients.shape
    fine = np.zeros((n_terms, n, n))
    first = (n - 1) // 2 - (k - 1)
    fine[:, first : first + 2 * k - 1 : 2, first : first + 2 * k - 1 : 2] = np.moveaxis(
        coefficients, 2, 0
    )
    for axis in (1, 2):
        padded = np.pad(fine, [(2, 2) if a == axis else (0, 0) for a in range(3)])
        length = fine.shape[axis]
        fine = sum(
            _TWO_SCALE[s] * np.take(padded, np.arange(s, s + length), axis=axis) for s in range(5)
        )
    return fine
