"""Completeness, bias and scatter: known curves come back, and what is not known is said."""

import numpy as np
import pytest

from hst_assets.failures import UnusableInput
from hst_assets.photometry.artificial_stars.completeness import (
    completeness_curve,
    magnitude_limit,
)


def stars(n, *, half_at=26.0, width=0.3, top=1.0, seed=3, between=(22.0, 29.0)):
    """Stars whose completeness is a logistic curve of known limits."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(*between, n)
    chance = top / (1 + np.exp((true - half_at) / width))
    return true, rng.uniform(size=n) < chance


def test_half_of_the_stars_are_found_at_the_limit():
    true, recovered = stars(20_000)
    limit = magnitude_limit(true, recovered, 0.5)
    assert limit.note == ""
    assert limit.magnitude == pytest.approx(26.0, abs=4 * limit.error)
    assert 0.003 < limit.error < 0.04  # 0.3 mag of width, 2857 stars a magnitude


def test_another_share_has_its_own_limit():
    true, recovered = stars(20_000)
    limit = magnitude_limit(true, recovered, 0.8)
    exact = 26.0 - 0.3 * np.log(0.8 / 0.2)
    assert limit.magnitude == pytest.approx(exact, abs=4 * limit.error)


def test_errors_of_the_limit_are_its_scatter():
    """Over 40 fields: the stated errors within 35 % of the scatter (11 % is its own error)."""
    limits = [magnitude_limit(*stars(1500, seed=seed), 0.5, n_resamples=60) for seed in range(40)]
    scatter = np.std([limit.magnitude for limit in limits], ddof=1)
    assert np.mean([limit.error for limit in limits]) == pytest.approx(scatter, rel=0.35)
    bias = np.mean([limit.magnitude for limit in limits]) - 26.0
    assert abs(bias) < 4 * scatter / np.sqrt(40)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"between": (22.0, 24.0)}, "more than 50% are recovered still at 24.00 mag"),
        ({"between": (28.0, 30.0)}, "fewer than 50% are recovered already at 28.0"),
        ({"top": 0.4}, "fewer than 50% are recovered already"),
    ],
)
def test_a_limit_outside_of_what_was_put_in_is_not_made_up(options, words):
    limit = magnitude_limit(*stars(4000, **options), 0.5)
    assert np.isnan(limit.magnitude)
    assert np.isnan(limit.error)
    assert words in limit.note


def test_bias_and_scatter_of_a_bin():
    rng = np.random.default_rng(5)
    true = rng.uniform(20.0, 20.5, 4000)
    measured = true + 0.03 + 0.1 * rng.standard_normal(4000)
    measured[:40] -= 3.0  # on brighter stars: a mean would be off by 0.03 mag
    curve = completeness_curve(true, measured, np.ones(4000, bool))
    (bias,), (scatter,), (error,) = curve.bias, curve.scatter, curve.bias_error
    assert error == pytest.approx(1.2533 * 0.1 / np.sqrt(4000), rel=0.05)
    assert bias == pytest.approx(0.03, abs=4 * error)
    assert scatter == pytest.approx(0.1, rel=0.06)


def test_bins_are_counted_against_every_star():
    true = np.array([20.1, 20.2, 20.3, 21.4])
    recovered = np.array([True, True, False, False])
    curve = completeness_curve(true, true, recovered)
    assert curve.bright_edge.tolist() == [20.0, 20.5, 21.0]
    assert curve.faint_edge.tolist() == [20.5, 21.0, 21.5]
    assert curve.centre.tolist() == [20.25, 20.75, 21.25]
    assert curve.n_in.tolist() == [3, 0, 1]
    assert curve.n_recovered.tolist() == [2, 0, 0]
    assert curve.completeness[[0, 2]].tolist() == [pytest.approx(2 / 3), 0.0]
    assert np.isnan(curve.completeness[1])
    assert np.isnan(curve.bias).all()  # two stars are too few


def test_intervals_hold_at_none_and_at_all():
    """Jeffreys: Beta(k + 1/2, n - k + 1/2); at 10 of 10 its lower end is 0.949 (Brown et al.)."""
    true = np.repeat([20.2, 20.7], 10)
    curve = completeness_curve(true, true, np.repeat([True, False], 10))
    assert curve.high[0] == 1.0
    assert curve.low[1] == 0.0
    assert curve.low[0] == pytest.approx(1 - curve.high[1])
    assert 0.85 < curve.low[0] < 0.95


def test_the_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        found = rng.uniform(size=50) < 0.9
        curve = completeness_curve(np.full(50, 20.2), np.full(50, 20.2), found)
        covered.append(curve.low[0] <= 0.9 <= curve.high[0])
    assert np.mean(covered) == pytest.approx(0.6827, abs=0.12)  # counts are discrete


@pytest.mark.parametrize(
    ("true", "recovered", "words"),
    [
        ([], [], "no artificial stars"),
        ([20.0], [True, False], "but 2 results"),
        ([np.nan], [True], "no magnitude"),
    ],
)
def test_what_cannot_be_counted_is_rejected(true, recovered, words):
    with pytest.raises(UnusableInput, match=words):
        completeness_curve(np.array(true), np.array(true), np.array(recovered, dtype=bool))
