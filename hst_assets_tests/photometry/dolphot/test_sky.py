"""The sky of a chip against the algorithm written down literally."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.photometry.dolphot.sky import SkyParameters, sky_map

LOW, HIGH = -50.0, 5000.0


def crowded(shape: tuple[int, int], *, missing: float = 0.02, seed: int = 3) -> np.ndarray:
    """Sky with a slope, stars, and bad, saturated and missing pixels."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    image = rng.normal(60.0, 8.0, shape) + np.linspace(0, 20, nx)
    y, x = np.mgrid[:ny, :nx]
    for _ in range(max(ny * nx // 60, 1)):
        cy, cx, flux = rng.uniform(0, ny), rng.uniform(0, nx), 10 ** rng.uniform(2, 4.5)
        image += flux * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 3.0)
    chance = rng.random(shape)
    image[chance < 0.03] = -1e3
    image[(chance > 0.03) & (chance < 0.05)] = 9e4
    image[chance > 1 - missing] = np.nan
    return image.astype(np.float32)


def clipped_mean(values: list[float], below: float, above: float) -> float | None:
    values = list(values)
    while values:
        mean = sum(values) / len(values)
        spread = sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)
        sigma = math.sqrt(1 + spread)
        kept = [v for v in values if mean - below * sigma <= v <= mean + above * sigma]
        if len(kept) == len(values):
            return mean
        values = kept
    return None


def literal_annuli(image: np.ndarray, how: SkyParameters) -> np.ndarray:
    ny, nx = image.shape
    step = how.step_pix
    reach = math.ceil(how.r_out_pix / step) * step
    offsets = [
        (dy, dx)
        for dy in range(-reach, reach + 1, step)
        for dx in range(-reach, reach + 1, step)
        if how.r_in_pix**2 <= dy * dy + dx * dx <= how.r_out_pix**2
    ]
    rough = np.zeros(image.shape)
    for y in range(ny):
        for x in range(nx):
            near = [(y + dy, x + dx) for dy, dx in offsets]
            values = [float(image[j, i]) for j, i in near if 0 <= j < ny and 0 <= i < nx]
            values = [value for value in values if LOW < value < HIGH]
            rough[y, x] = clipped_mean(values, how.sigma_below, how.sigma_above) or 0.0
    smooth = np.zeros(image.shape)
    for y in range(ny):
        for x in range(nx):
            box = rough[max(y - step + 1, 0) : y + step + 1, max(x - step + 1, 0) : x + step + 1]
            smooth[y, x] = box.mean()
    return smooth


def literal_blocks(image: np.ndarray, how: SkyParameters) -> np.ndarray:
    ny, nx = image.shape
    side = -how.step_pix
    rows, columns = -(-ny // side), -(-nx // side)
    means: dict[tuple[int, int], float | None] = {}
    for row in range(rows):
        for column in range(columns):
            block = image[row * side : (row + 1) * side, column * side : (column + 1) * side]
            values = [float(value) for value in block.ravel() if LOW < value < HIGH]
            means[row, column] = clipped_mean(values, how.sigma_below, how.sigma_above)

    def between(pixel: int, count: int) -> tuple[int, float]:
        before = (pixel + side // 2) // side - 1
        if before < 0:
            return 0, 0.0
        if before >= count - 1:
            return count - 1, 0.0
        return before, pixel / side - 0.5 - before

    def mixed(first: float | None, second: float | None, share: float) -> float | None:
        if share == 0 or second is None:
            return first
        return second if first is None else (1 - share) * first + share * second

    found = np.zeros(image.shape)
    for y in range(ny):
        row, up = between(y, rows)
        for x in range(nx):
            column, right = between(x, columns)
            lines = [
                mixed(means.get((r, column)), means.get((r, column + 1)), right)
                for r in (row, row + 1)
            ]
            found[y, x] = mixed(lines[0], lines[1], up) or 0.0
    return found


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((44, 61), SkyParameters(5, 11, 4, 2.25, 2.0)),
        ((37, 30), SkyParameters(3, 8, 2, 2.25, 2.0)),
        ((30, 33), SkyParameters(4, 10, 3, 1.2, 3.0)),
        ((20, 21), SkyParameters(0, 4, 1, 2.25, 2.0)),
        # Smaller than the annulus: many pixels see nothing.
        ((12, 9), SkyParameters(15, 35, 4, 2.25, 2.0)),
        ((1, 40), SkyParameters(2, 6, 4, 2.25, 2.0)),
    ],
)
def test_the_annuli_are_those_of_the_algorithm(shape: tuple[int, int], how: SkyParameters) -> None:
    image = crowded(shape)
    found = sky_map(image, how, min_value=LOW, max_value=HIGH)
    assert found.dtype == np.float32
    # Sums of up to 64 values in single precision, as the program's: 64 ulp at most.
    np.testing.assert_allclose(found, literal_annuli(image, how), rtol=4e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "side", "missing"),
    [((44, 61), 8, 0.02), ((37, 30), 7, 0.02), ((23, 31), 3, 0.9), ((9, 12), 64, 0.02)],
)
def test_the_blocks_are_those_of_the_algorithm(
    shape: tuple[int, int], side: int, missing: float
) -> None:
    image = crowded(shape, missing=missing)
    how = SkyParameters(15, 35, -side, 2.25, 2.0)
    found = sky_map(image, how, min_value=LOW, max_value=HIGH)
    # Means and shares are rounded to single precision before they are multiplied.
    np.testing.assert_allclose(found, literal_blocks(image, how), rtol=1e-6, atol=1e-5)


def test_an_image_without_a_usable_pixel_has_no_sky() -> None:
    for step in (4, -8):
        how = SkyParameters(5, 11, step, 2.25, 2.0)
        empty = sky_map(np.full((30, 30), np.nan), how, min_value=LOW, max_value=HIGH)
        assert np.array_equal(empty, np.zeros((30, 30)))


def test_a_bright_star_is_left_out_of_the_sky_about_it() -> None:
    image = np.full((80, 80), 60.0, dtype=np.float32)
    y, x = np.mgrid[:80, :80]
    image += (4000 * np.exp(-((y - 40) ** 2 + (x - 40) ** 2) / 4.0)).astype(np.float32)
    found = sky_map(image, SkyParameters(15, 35, 4, 2.25, 2.0), min_value=LOW, max_value=HIGH)
    # No noise: what is left of the star's wings is what the added variance of 1 lets pass.
    assert np.abs(found - 60).max() < 2.0


def test_limits_are_no_sky() -> None:
    image = np.full((20, 20), 10.0)
    how = SkyParameters(0, 4, 1, 2.25, 2.0)
    assert not sky_map(image, how, min_value=10.0, max_value=20.0).any()
    assert not sky_map(image, how, min_value=0.0, max_value=10.0).any()


def test_a_step_of_nothing_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="step"):
        sky_map(np.zeros((5, 5)), SkyParameters(1, 3, 0, 2, 2), min_value=-1, max_value=1)


def test_the_arguments_are_those_of_the_program() -> None:
    assert SkyParameters(15, 35, 4, 2.25, 2.0).arguments == ("15", "35", "4", "2.25", "2")
