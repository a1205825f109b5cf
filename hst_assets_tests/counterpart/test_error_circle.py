"""The error of a place: its sum, what is not known, and the circles."""

import math

import numpy as np
import pytest

from hst_assets.counterpart.error_circle import (
    ErrorBudget,
    ErrorTerm,
    circle_radius,
    probability_beyond,
)


def test_terms_add_in_quadrature_without_what_they_share():
    budget = ErrorBudget((ErrorTerm("a", 3.0, "x"), ErrorTerm("b", 4.0, "y", shared_mas2=9.0)))
    assert budget.error_mas == pytest.approx(4.0)


def test_a_term_that_is_not_known_is_told_and_does_not_count():
    budget = ErrorBudget((ErrorTerm("a", 3.0, "x"), ErrorTerm("frame", math.nan, "nobody knows")))
    assert budget.error_mas == 3.0
    assert budget.unknown == ("frame: nobody knows",)
    assert budget.as_json()[1]["error_mas"] is None


@pytest.mark.parametrize("share", [0.6827, 0.99])
def test_circles_hold_their_share_of_a_round_gaussian(share):
    """Of 100,000 draws a share scatters by 0.0015 at most: four times that."""
    drawn = np.hypot(*np.random.default_rng(1).normal(0, 7.0, (2, 100_000)))
    assert np.mean(drawn <= circle_radius(7.0, share)) == pytest.approx(share, abs=0.006)


def test_the_probability_beyond_a_circle_is_what_it_does_not_hold():
    assert probability_beyond(circle_radius(2.0, 0.9), 2.0) == pytest.approx(0.1)


def test_an_error_of_which_nothing_is_known_is_not_zero():
    assert math.isnan(ErrorBudget((ErrorTerm("frame", math.nan, "not set"),)).error_mas)
