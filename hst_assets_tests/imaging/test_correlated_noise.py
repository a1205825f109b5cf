"""How much noise neighbouring pixels share: drops laid by hand decide, and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hst_assets.imaging.correlated_noise import (
    aperture_factor,
    circular_aperture_factor,
    correlation_ratio,
    drop_ratio,
    weighted_sum_factor,
)


def scatter_of_blocks(ratio: float, side: int) -> float:
    """Scatter of sums over side x side pixels over that of independent pixels, drops laid by hand.

    One axis is enough, since the overlaps of a square drop multiply: many unit-variance values,
    each shared among the pixels that its drop (of `ratio` pixels) covers.
    """
    rng = np.random.default_rng(1)
    start = rng.uniform(0, side + 4 * ratio, 400_000) - 2 * ratio
    inside = np.clip(np.minimum(start + ratio, side) - np.maximum(start, 0), 0, None) / ratio
    density = len(start) / (side + 4 * ratio)
    variance = np.sum(inside**2) / (density * side)
    return float(variance)  # of both axes: sqrt(variance)**2


@pytest.mark.parametrize("ratio", [0.4, 0.8, 1.0, 1.6, 2.5])
def test_the_ratio_is_that_of_drops_laid_by_hand(ratio: float) -> None:
    found = correlation_ratio(ratio)
    assert found is not None
    assert 1.0 / found == pytest.approx(scatter_of_blocks(ratio, 1), rel=0.02)


@pytest.mark.parametrize("side", [2, 5])
def test_the_factor_of_an_aperture_is_that_of_drops_laid_by_hand(side: int) -> None:
    found = aperture_factor(0.8, side**2)
    assert found == pytest.approx(scatter_of_blocks(0.8, side), rel=0.02)


def scatter_of_circle(ratio: float, radius: float) -> float:
    """The same for a circle that counts the pixels it cuts by their share, drops laid by hand."""
    from photutils.aperture import CircularAperture

    rng = np.random.default_rng(2)
    half = ratio / 2.0
    found = []
    for centre in rng.uniform(12.0, 13.0, (8, 2)):
        weights = CircularAperture(centre, radius).to_mask(method="exact").to_image((25, 25))
        side = 2 * radius + 4
        x, y = rng.uniform(12.5 - side / 2, 12.5 + side / 2, (2, 60_000))
        inside = np.zeros(x.shape)
        for columns in (np.rint(x).astype(int) + step for step in (-1, 0, 1)):
            across = np.minimum(x + half, columns + 0.5) - np.maximum(x - half, columns - 0.5)
            for rows in (np.rint(y).astype(int) + step for step in (-1, 0, 1)):
                up = np.minimum(y + half, rows + 0.5) - np.maximum(y - half, rows - 0.5)
                inside += weights[rows, columns] * np.clip(across, 0, None) * np.clip(up, 0, None)
        found.append(np.mean((inside / ratio**2) ** 2) * side**2 / weights.sum())
    return math.sqrt(np.mean(found))


@pytest.mark.parametrize(("ratio", "radius"), [(0.8, 2.0), (0.8, 5.0), (1.7, 3.0)])
def test_the_factor_of_a_circle_is_that_of_drops_laid_by_hand(ratio: float, radius: float) -> None:
    found = circular_aperture_factor(ratio, radius)
    assert found == pytest.approx(scatter_of_circle(ratio, radius), rel=0.01)


def test_a_wide_circle_needs_no_factor_and_other_drops_have_none() -> None:
    assert circular_aperture_factor(0.8, 40.0) == pytest.approx(1.0, abs=0.01)
    assert circular_aperture_factor(0.8, 5.0, "lanczos3") is None


def test_the_published_values() -> None:
    """Fruchter & Hook 2002: R is 1.5 where drop and pixel are equal."""
    assert correlation_ratio(1.0) == pytest.approx(1.5)
    assert correlation_ratio(2.0) == pytest.approx(2.0 / (1.0 - 1.0 / 6.0))
    assert drop_ratio(0.8, 0.05, 0.1) == pytest.approx(1.6)


def test_a_point_shares_nothing_and_other_drops_have_no_formula() -> None:
    assert correlation_ratio(0.8, "point") == 1.0
    assert correlation_ratio(0.8, "lanczos3") is None
    assert aperture_factor(0.8, 20.0, "gaussian") is None


def test_a_weighted_sum_is_as_certain_as_drops_laid_by_hand_make_it() -> None:
    """Native pixels of white noise, dropped at random places on a grid as fine: 3 % of 4000."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[-4:5, -4:5]
    weights = np.exp(-(x**2 + y**2) / (2 * 1.2**2))
    ratio = 1.0
    sums = []
    for _ in range(4000):
        noise = rng.normal(size=(11, 11))
        dx, dy = rng.random(2)
        # A drop of a pixel's side is shared by four pixels as bilinear interpolation shares it.
        rows = (1 - dy) * noise[:-1] + dy * noise[1:]
        image = (1 - dx) * rows[:, :-1] + dx * rows[:, 1:]
        sums.append(np.sum(weights * image[:9, :9]))
    expected = weighted_sum_factor(ratio, weights) * np.sqrt(np.sum(weights**2))
    assert np.std(sums) == pytest.approx(expected, rel=0.03)


def test_there_is_no_factor_without_a_formula() -> None:
    assert weighted_sum_factor(0.8, np.ones((3, 3)), "lanczos3") is None
    assert weighted_sum_factor(0.8, np.ones((3, 3)), "point") == pytest.approx(1.0)
