"""Where on a chip a PSF is how."""

from __future__ import annotations

import numpy as np

from hst_assets.photometry.psf.epsf_surface import ChipTerms, CorrectedPsf, on_lattice
from hst_assets_tests.photometry.psf.moffat_stars import SHAPE, prior_of


def test_a_lattice_has_small_cells_over_the_whole_chip() -> None:
    psf = on_lattice(prior_of(1.8), SHAPE)
    rows, columns = psf.coefficients.shape[:2]
    assert max(psf.cell_pix) <= 256
    np.testing.assert_allclose((rows * psf.cell_pix[1], columns * psf.cell_pix[0]), SHAPE)


def test_a_fine_lattice_stays() -> None:
    psf = on_lattice(prior_of(1.8), SHAPE)
    assert on_lattice(psf, SHAPE) is psf


def test_cells_hold_their_middles() -> None:
    surface = CorrectedPsf(on_lattice(prior_of(1.8), SHAPE), 8.0)
    x, y = surface.cell_places
    cells = surface.cells_of(x.ravel(), y.ravel())
    rows, columns = np.indices(x.shape)
    np.testing.assert_array_equal(cells, np.column_stack([rows.ravel(), columns.ravel()]))


def test_terms_are_orthonormal_over_the_stars() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 4096, 200), rng.uniform(0, 1000, 200) ** 1.1
    terms = ChipTerms.over(x, y)
    all_terms = np.concatenate([terms.at(x, y, degree) for degree in range(3)], axis=1)
    # The ridge of 1e-9 that keeps equal places apart is seen.
    np.testing.assert_allclose(all_terms.T @ all_terms / 200, np.eye(6), atol=1e-6)


def test_nothing_is_extrapolated_beyond_the_stars() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.uniform(1000, 3000, 50), rng.uniform(500, 900, 50)
    terms = ChipTerms.over(x, y)
    edge = terms.at(np.array([x.max()]), np.array([y.min()]), 2)
    np.testing.assert_allclose(terms.at(np.array([9e3]), np.array([-50.0]), 2), edge)
