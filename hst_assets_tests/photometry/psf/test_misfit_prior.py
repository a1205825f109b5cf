"""Noise alone enlarges no errors, and structure does: all stars of a field tell which is which."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.photometry.psf.misfit_prior import MisfitPrior, MisfitRatios

#: Of a star of WFC3/UVIS within 4 pixels: measured ratios scatter by 0.5.
FREEDOM = 8.0


def measured(true: np.ndarray, seed: int = 1) -> MisfitRatios:
    """Means of squares whose own mean is `true`."""
    rng = np.random.default_rng(seed)
    ratio = true * rng.gamma(FREEDOM / 2, 2 / FREEDOM, len(true))
    return MisfitRatios(ratio[None, None], np.full((1, 1, len(true)), FREEDOM))


def estimates(field: MisfitRatios) -> np.ndarray:
    return MisfitPrior.of(field).ratios(field)[0, 0]


@pytest.mark.parametrize("n", [6, 200])
def test_noise_enlarges_nothing(n: int) -> None:
    found = estimates(measured(np.ones(n)))
    assert (found >= 1).all()
    # The larger one of the measured ratio and 1 is 1.2 in the mean.
    assert found.mean() < 1.06


def test_means_are_those_of_the_true_ratios_where_some_have_structure() -> None:
    true = np.where(np.arange(2000) % 5 == 0, 4.0, 1.0)
    found = estimates(measured(true))
    # Six standard errors of the mean of the stars with structure.
    assert found.mean() == pytest.approx(true.mean(), rel=0.04)
    assert found[true > 1].mean() > 3.3
    assert found[true == 1].mean() < 1.2
    # Nearer to the truth than what was measured.
    ratio = measured(true).ratio[0, 0]
    assert np.abs(found - true).mean() < 0.6 * np.abs(np.maximum(ratio, 1) - true).mean()


def test_large_ratios_stay_what_they_are() -> None:
    true = np.concatenate([np.ones(300), [2500.0]])
    field = measured(true)
    assert estimates(field)[-1] == pytest.approx(field.ratio[0, 0, -1], rel=0.35)


def test_a_star_about_which_nothing_was_measured_has_one() -> None:
    field = measured(np.full(50, 9.0))
    field.freedom[0, 0, 3] = 0.0
    found = estimates(field)
    assert found[3] == 1.0
    assert np.delete(found, 3).mean() > 6.0


@pytest.mark.parametrize("n", [1000, 3001, 6000])
def test_a_large_ratio_is_believed_though_no_other_star_has_one(n: int) -> None:
    true = np.ones(n)
    true[1] = 500.0  # not in a sample of every second star or more
    field = measured(true)
    field.ratio[0, 0, 1] = 500.0
    found = estimates(field)
    # The grid's steps are 26 %.
    assert found[1] == pytest.approx(500.0, rel=0.1)
    assert np.sqrt(np.delete(found, 1)).mean() < 1.01


@pytest.mark.parametrize("ratio", [18.0, 41.0, 300.0, 3000.0])
def test_a_large_ratio_is_believed_by_what_other_stars_tell(ratio: float) -> None:
    prior = MisfitPrior.of(measured(np.ones(3000)))
    one = MisfitRatios(np.full((1, 1, 1), ratio), np.full((1, 1, 1), FREEDOM))
    # It was 1.003.
    assert prior.ratios(one)[0, 0, 0] == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize("n", [6, 300])
@pytest.mark.parametrize("freedom", [0.1, 0.3, 1.0])
def test_a_star_about_which_little_was_measured_is_as_the_others(n: int, freedom: float) -> None:
    prior = MisfitPrior.of(measured(np.ones(n)))
    one = MisfitRatios(np.ones((1, 1, 1)), np.full((1, 1, 1), freedom))
    # Were all ratios alike that no star has, it would be up to 15.
    assert prior.ratios(one)[0, 0, 0] < 1.1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["ratio", "freedom"])
def test_what_is_not_finite_is_not_measured(name: str, value: float) -> None:
    field = measured(np.full(50, 9.0))
    without = measured(np.full(50, 9.0))
    getattr(field, name)[0, 0, 3] = value
    without.freedom[0, 0, 3] = 0.0
    np.testing.assert_array_equal(estimates(field), estimates(without))


def test_without_stars_there_is_no_structure() -> None:
    none = MisfitRatios(np.zeros((2, 1, 0)), np.zeros((2, 1, 0)))
    one = MisfitRatios(np.full((2, 1, 1), 1.5), np.full((2, 1, 1), FREEDOM))
    assert MisfitPrior.of(none).ratios(one).max() < 1.05
