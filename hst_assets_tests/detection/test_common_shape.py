import numpy as np
import pytest

from hst_assets.detection.common_shape import (
    along_y_of,
    angle_deg_of,
    elongation_of,
    fwhm_of,
    variance_of,
    with_error,
)


def turned(angle_deg):
    """A major axis of 2 and a minor one of 1, so far from y, counter-clockwise."""
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn = np.array([[cos, -sin], [sin, cos]])
    return turn @ np.diag([1.0, 4.0]) @ turn.T


@pytest.mark.parametrize(("angle_deg", "found"), [(0, 0), (30, 30), (-30, 30), (90, 90), (150, 30)])
def test_the_direction_is_that_of_the_major_axis(angle_deg, found):
    assert angle_deg_of(turned(angle_deg)) == pytest.approx(found)
    assert elongation_of(turned(angle_deg)) == pytest.approx(2.0)


def test_the_width_along_y_is_over_that_along_x():
    assert along_y_of(np.array([turned(0), turned(90), turned(45)])) == pytest.approx([2, 0.5, 1])


def test_widths_of_round_stars_are_those_of_their_variance():
    assert fwhm_of(np.eye(2) * variance_of(1.7)) == pytest.approx(1.7)


@pytest.mark.parametrize(("n", "covered"), [(10, (0.55, 0.85)), (40, (0.6, 0.78))])
def test_errors_are_standard_errors(n, covered):
    """One error reaches the truth in 68 per cent of the cases.

    300 cases tell 68 from 60 and 76 by three of their errors (2.7 per cent); the bootstrap of a
    median of ten has discrete values.
    """
    rng = np.random.default_rng(8)
    close = []
    for _ in range(300):
        axes = rng.normal(0, 0.1, (n, 2, 2))
        moments = np.diag([1.0, 1.69]) + (axes + np.swapaxes(axes, 1, 2)) / 2
        value, error = with_error(elongation_of, moments)
        close.append(abs(value - 1.3) < error)
    assert covered[0] < np.mean(close) < covered[1]


def test_the_error_of_a_median_falls_with_the_square_root_of_the_stars():
    """Normal moments: 1.2533 sigma / sqrt(n) of each; a fifth is thrice the scatter of one draw."""
    rng = np.random.default_rng(3)
    moments = np.diag([1.0, 1.0]) + rng.normal(0, 0.1, (1000, 2, 2)) * np.eye(2)
    _, error = with_error(lambda each: each[..., 1, 1], moments)
    assert error == pytest.approx(1.2533 * 0.1 / np.sqrt(1000), rel=0.2)
