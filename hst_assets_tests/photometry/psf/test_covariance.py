"""Errors with neighbours and places free: against the inverse of dense normal equations."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.photometry.psf.covariance import error_inflation
from hst_assets_tests.photometry.psf.normal_equations import on_image, slopes
from hst_assets_tests.photometry.psf.small_fields import SmallField, field

RADIUS = 4


def inflation(small: SmallField, weight: np.ndarray | None = None) -> np.ndarray:
    stack = small.stack()
    if weight is None:
        weight = stack.weight(stack.sky_e, stack.data_e - stack.sky_e)
    counts = np.repeat(small.counts[None], len(stack), axis=0)
    return error_inflation(
        stack, weight, small.x, small.y, counts, fit_radius_pix=RADIUS, scale=1.0
    )


def dense(small: SmallField, *, place_pix: float) -> np.ndarray:
    """Marginal over conditional error of each flux, all fluxes and places free, on all images."""
    stack = small.stack()
    weight = stack.weight(stack.sky_e, stack.data_e - stack.sky_e)
    n = len(small.x)
    normal = np.zeros((3 * n, 3 * n))
    for k in range(len(stack)):
        p = on_image(small, k, small.x, small.y, radius=RADIUS)
        along = slopes(small, k, small.x, small.y, radius=RADIUS)
        design = np.array([p, *along]) * small.counts[:, None, None]
        design = design.transpose(1, 0, 2, 3).reshape(3 * n, -1)
        normal += (design * weight[k].ravel()) @ design.T
    prior = np.zeros(3 * n)
    prior[1::3] = prior[2::3] = 1 / place_pix**2
    conditional = 1 / np.diag(normal)[::3]
    marginal = np.diag(np.linalg.inv(normal + np.diag(prior)))[::3]
    return np.sqrt(marginal / conditional)


def pair(apart: float, counts: tuple[float, float] = (20_000.0, 20_000.0)) -> SmallField:
    # No pixel enters or leaves a stamp within the steps of the slopes: no place is half a pixel.
    x, y = 20.2 + np.array([-0.5, 0.5]) * apart, np.array([20.3, 20.3])
    return field(x, y, np.array(counts), side=40, seed=None)


def test_a_star_alone_loses_nothing_to_its_place() -> None:
    alone = field(np.array([20.0]), np.array([20.0]), np.array([900.0]), side=40, seed=None)
    # Flux and place are hardly correlated: the PSF is symmetric but for 3 %.
    assert inflation(alone)[0] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("apart", [1.0, 1.5, 2.5, 4.0])
def test_a_pair_has_the_errors_of_its_normal_equations(apart: float) -> None:
    small = pair(apart)
    # What is known of a place before (1 pixel) and of a neighbour's flux (100 %) is far less than
    # what the images say of these bright stars.
    np.testing.assert_allclose(inflation(small), dense(small, place_pix=1.0), rtol=0.02)


def test_the_nearer_a_neighbour_the_larger_the_error() -> None:
    errors = [inflation(pair(apart))[0] for apart in (1.0, 1.5, 2.5, 4.0)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 2.0


def test_a_star_far_away_counts_for_nothing() -> None:
    np.testing.assert_allclose(inflation(pair(16.0)), 1.0, atol=0.02)


def test_a_group_has_the_errors_of_its_normal_equations() -> None:
    x = np.array([20.0, 22.1, 19.2, 21.0, 17.9])
    y = np.array([20.0, 20.4, 22.0, 17.8, 19.5])
    counts = np.array([9000.0, 5000.0, 12_000.0, 7000.0, 20_000.0])
    small = field(x, y, counts, side=40, seed=None)
    np.testing.assert_allclose(inflation(small), dense(small, place_pix=1.0), rtol=0.03)


def test_a_star_off_all_good_pixels_is_left_alone() -> None:
    small = pair(2.0)
    assert inflation(small, np.zeros_like(small.stack().data_e)).tolist() == [1.0, 1.0]


def test_no_stars_no_errors() -> None:
    empty = field(np.empty(0), np.empty(0), np.empty(0), side=40)
    assert inflation(empty).size == 0
