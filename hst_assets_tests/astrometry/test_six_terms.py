import numpy as np
import pytest

from hst_assets.astrometry.cross_validation import parts_of
from hst_assets.astrometry.measurement import remaining_tilt
from hst_assets.astrometry.six_terms import demand_six_terms

SIDE = 1024.0
#: What a real pair of ACS/HRC exposures of 47 Tuc differs by.
SKEW = 4.9e-4


def demanded(seed, *, n=100, scale_y=0.0, shear=0.0, scatter=0.05, geometry="rshift", wrong=0):
    rng = np.random.default_rng(seed)
    stars = rng.uniform(0, SIDE, (n, 2))
    matrix = np.array([[1.0, shear], [0.0, 1 + scale_y]])
    reference = (stars - SIDE / 2) @ matrix + SIDE / 2 + rng.normal(0, scatter, stars.shape)
    reference[:wrong] += rng.uniform(-0.9, 0.9, (wrong, 2))
    part = parts_of(n, 0.25, f"seed{seed}")
    return demand_six_terms(stars, reference, part, geometry, tolerance=1.0)


@pytest.mark.parametrize("terms", [{"scale_y": SKEW}, {"shear": SKEW}, {"scale_y": -SKEW}])
@pytest.mark.parametrize("n", [30, 100, 400])
def test_a_skew_of_a_tenth_of_a_pixel_is_seen(terms, n):
    assert all(demanded(seed, n=n, **terms) for seed in range(20))


@pytest.mark.parametrize("n", [20, 50, 300])
def test_scatter_alone_demands_nothing(n):
    assert not any(demanded(seed, n=n, scatter=0.1) for seed in range(100))


def test_wrong_pairs_demand_nothing():
    assert not any(demanded(seed, n=100, wrong=10) for seed in range(50))


def test_less_than_a_twentieth_of_a_pixel_is_left():
    assert not any(demanded(seed, n=400, scale_y=5e-5, scatter=0.02) for seed in range(10))


def test_few_pairs_cannot_demand_six_terms():
    assert not demanded(1, n=19, scale_y=2e-3)


def test_a_fit_of_six_terms_has_them():
    assert not demanded(1, scale_y=SKEW, geometry="general")


@pytest.mark.parametrize(
    "matrix", [[[1, 0], [0, 1.002]], [[1, 0.002], [0, 1]], [[0.998, 0], [0, 1]]]
)
def test_the_gate_sees_each_linear_term(matrix):
    """Two thousandths move the median star of a field of 1000 pixels by half a pixel."""
    rng = np.random.default_rng(2)
    stars = rng.uniform(-500, 500, (300, 2))
    reference = stars @ np.array(matrix, float) + rng.normal(0, 0.05, stars.shape)
    tilt, error = remaining_tilt(stars, reference, 2.0)
    assert tilt == pytest.approx(0.5, abs=0.08)
    assert error < 0.01


def test_the_error_of_the_terms_left_is_that_of_their_scatter():
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        stars = rng.uniform(-500, 500, (40, 2))
        found.append(remaining_tilt(stars, stars + rng.normal(0, 0.05, stars.shape), 2.0))
    tilts, errors = np.array(found).T
    # Of both axes together: 1.25 of the error of one, in the median.
    assert np.median(tilts) == pytest.approx(1.2 * np.median(errors), rel=0.25)


@pytest.mark.parametrize(("overlap", "wanted"), [(0.3, False), (0.6, True)])
def test_stars_of_a_corner_of_the_exposure_decide_nothing_about_the_rest(overlap, wanted):
    """The reference holds the stars of one corner; the exposure has stars everywhere."""
    rng = np.random.default_rng(4)
    stars = rng.uniform(0, 4 * SIDE, (1000, 2))
    inside = (stars < 4 * SIDE * overlap).all(axis=1)
    middle = 4 * SIDE * overlap / 2
    reference = (stars[inside] - middle) * [1.0, 1 + SKEW] + middle
    reference += rng.normal(0, 0.05, reference.shape)
    part = parts_of(len(stars), 0.25, "corner")
    assert demand_six_terms(stars, reference, part, "rshift", tolerance=1.0) is wanted
