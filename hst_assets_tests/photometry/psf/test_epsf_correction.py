"""The penalised fit of a correction, against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.photometry.psf.epsf_correction import Correction, Offsets, refined
from hst_assets.photometry.psf.epsf_loops import star_models
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf
from hst_assets_tests.photometry.psf.moffat_stars import prior_of

SIDE = 7


@pytest.fixture(name="correction")
def small_correction() -> Correction:
    return Correction(prior_of(1.8), radius_pix=2, n_terms=2, share=0.2)


def _stars(rng, n=6):
    at = Offsets(-3 + rng.uniform(-0.5, 0.5, n), -3 + rng.uniform(-0.5, 0.5, n))
    weights = rng.uniform(0.5, 1.5, (n, SIDE, SIDE))
    return at, rng.normal(size=(n, 2)), weights, rng.normal(size=weights.shape)


def _design(correction, terms, at):
    unknowns = np.eye(correction.coefficients.size).reshape(-1, *correction.coefficients.shape)
    return np.stack([correction.at(one, terms, at, SIDE).ravel() for one in unknowns], axis=1)


def test_models_agree_with_the_psf_and_its_differences() -> None:
    prior = prior_of(1.8)
    dx, dy = np.array([-3.2, -2.9]), np.array([-3.4, -2.6])
    models = np.empty((3, 2, SIDE, SIDE))
    cells = np.zeros((2, 2), dtype=np.int64)
    star_models(prior.coefficients, cells, dx, dy, OVERSAMPLING, 10.5, models)
    for star in range(2):
        x, y = np.meshgrid(dx[star] + np.arange(SIDE), dy[star] + np.arange(SIDE))
        np.testing.assert_allclose(models[0, star], prior.at(x, y), rtol=0, atol=1e-13)
        by_x = (prior.at(x - 1e-4, y) - prior.at(x + 1e-4, y)) / 2e-4
        by_y = (prior.at(x, y - 1e-4) - prior.at(x, y + 1e-4)) / 2e-4
        np.testing.assert_allclose(models[1, star], by_x, rtol=0, atol=1e-7)
        np.testing.assert_allclose(models[2, star], by_y, rtol=0, atol=1e-7)


def test_the_banded_equations_are_the_dense_ones(correction) -> None:
    at, terms, weights, data = _stars(np.random.default_rng(1))
    made = correction.equations(terms, at, weights, weights * data)
    design = _design(correction, terms, at)
    dense = design.T @ (weights.ravel()[:, None] * design)
    low, offset = np.nonzero(made.matrix)
    banded = np.zeros_like(dense)
    banded[low + offset, low] = made.matrix[low, offset]
    np.testing.assert_allclose(banded, np.tril(dense), atol=1e-12)
    np.testing.assert_allclose(made.vector, design.T @ (weights * data).ravel(), atol=1e-12)


def test_the_correction_has_no_part_along_the_slopes(correction) -> None:
    at, terms, weights, data = _stars(np.random.default_rng(2))
    found = correction.solved(correction.equations(terms, at, 1e6 * weights, 1e6 * weights * data))
    mean = prior_of(1.8).coefficients[0, 0]
    inner = slice(8 * OVERSAMPLING, len(mean) - 8 * OVERSAMPLING)
    for slope in np.gradient(mean):
        along = np.tensordot(slope[inner, inner][::2, ::2], found, axes=2)
        norm = np.linalg.norm(slope[inner, inner]) * np.linalg.norm(found)
        assert np.abs(along).max() < 1e-10 * norm


def test_without_light_the_correction_is_nothing(correction) -> None:
    at, terms, weights, data = _stars(np.random.default_rng(3))
    found = correction.solved(correction.equations(terms, at, 1e-9 * weights, 1e-9 * data))
    assert np.abs(found).max() < 1e-9


def test_solving_again_changes_nothing(correction) -> None:
    """Equations of what is left over, with the penalty of what is there: a fixed point."""
    at, terms, weights, data = _stars(np.random.default_rng(4))
    weights = 1e4 * weights
    data = 0.1 * data
    first = correction.solved(correction.equations(terms, at, weights, weights * data))
    correction.coefficients = first
    left = data - correction.at(first, terms, at, SIDE)
    again = correction.solved(correction.equations(terms, at, weights, weights * left))
    np.testing.assert_allclose(again, first, rtol=0, atol=1e-9 * np.abs(first).max())


def test_refining_keeps_the_surface() -> None:
    prior = prior_of(1.8)
    correction = Correction(prior, radius_pix=2, n_terms=1, share=0.2)
    rng = np.random.default_rng(5)
    coarse = rng.normal(size=correction.coefficients.shape)
    at, _, _, _ = _stars(rng)
    fine = refined(coarse, prior.coefficients.shape[-1])
    psf = SplinePsf(fine[None], prior.cell_pix, prior.radius_pix)
    values = correction.at(coarse, np.ones((6, 1)), at, SIDE)
    for star in range(6):
        x, y = np.meshgrid(at.dx[star] + np.arange(SIDE), at.dy[star] + np.arange(SIDE))
        inside = (np.abs(x) <= correction.reach) & (np.abs(y) <= correction.reach)
        np.testing.assert_allclose(values[star][inside], psf.at(x, y)[inside], atol=1e-12)
