"""PSFs as splines: against the functions that they were made of."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf, spline_psf

RADIUS = 8
SIGMA = 1.1


def gaussian(dx: np.ndarray, dy: np.ndarray, sigma: float = SIGMA) -> np.ndarray:
    return np.exp(-(dx**2 + dy**2) / 2 / sigma**2) / (2 * np.pi * sigma**2)


def fine(sigma: float = SIGMA) -> np.ndarray:
    half = (RADIUS + 2) * OVERSAMPLING
    at = np.arange(-half, half + 1) / OVERSAMPLING
    return gaussian(*np.meshgrid(at, at), sigma)


@pytest.fixture(scope="module")
def psf() -> SplinePsf:
    return spline_psf(fine(), radius_pix=RADIUS)


def test_between_its_values_it_is_the_function(psf: SplinePsf) -> None:
    dx, dy = np.random.default_rng(1).uniform(-5, 5, (2, 400))
    # A cubic spline errs by about (h / sigma)^4 / 384 * 3 of the peak for each direction.
    tolerance = gaussian(0.0, 0.0) * 2 * (0.25 / SIGMA) ** 4 * 3 / 384
    np.testing.assert_allclose(psf.at(dx, dy), gaussian(dx, dy), atol=tolerance)


def test_it_is_exact_at_its_values(psf: SplinePsf) -> None:
    dx, dy = np.array([0.0, 0.25, -1.5]), np.array([0.0, -0.75, 2.25])
    np.testing.assert_allclose(psf.at(dx, dy), gaussian(dx, dy), rtol=1e-9)


def test_x_and_y_are_not_exchanged() -> None:
    half = (RADIUS + 2) * OVERSAMPLING
    at = np.arange(-half, half + 1) / OVERSAMPLING
    dx, dy = np.meshgrid(at, at)
    long_in_x = spline_psf(gaussian(dx / 2, dy), radius_pix=RADIUS)
    in_x, in_y = long_in_x.at(np.array([2.0, 0.0]), np.array([0.0, 2.0]))
    assert in_x > 2 * in_y


def test_its_sum_is_the_share_of_light_within(psf: SplinePsf) -> None:
    assert psf.sum == pytest.approx(1.0, abs=1e-6)  # sampled Gaussians of sigma > 1 sum up to 1
    assert spline_psf(0.9 * fine(), radius_pix=RADIUS).sum == pytest.approx(0.9, abs=1e-6)


def test_cells_of_a_chip_have_their_own_psf() -> None:
    values = np.stack([fine(1.0), fine(1.3)])[None]
    psf = spline_psf(values, radius_pix=RADIUS, cell_pix=(50.0, 100.0))
    cells = [psf.cell_of(x, 99.0) for x in (-3.0, 49.9, 50.1, 400.0)]
    assert cells == [(0, 0), (0, 0), (0, 1), (0, 1)]
    middle = np.zeros(1)
    np.testing.assert_allclose(
        psf.at(middle, middle, cell=(0, 1)), gaussian(0.0, 0.0, 1.3), rtol=1e-9
    )


def test_the_profile_is_the_largest_value_by_distance() -> None:
    values = np.stack([fine(1.0), fine(1.3)])[None]
    psf = spline_psf(values, radius_pix=RADIUS, cell_pix=(50.0, 100.0))
    at = np.arange(RADIUS + 1.0)
    expected = np.maximum(gaussian(at, 0.0, 1.0), gaussian(at, 0.0, 1.3))
    # The error of the spline, which is twice as large as for the single function's.
    np.testing.assert_allclose(psf.profile(), expected, atol=2e-5)


def test_values_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="of radius 8 has 81 x 81 values"):
        spline_psf(np.ones((5, 5)), radius_pix=RADIUS)
