import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.astrometry import matching
from hst_assets.astrometry.gate import FitNumbers, chance_probability, judge, judge_anchor
from hst_assets.settings import GateSettings

from .conftest import SIDE, Sky, numpy_fit

LIMITS = GateSettings()
GOOD = FitNumbers(
    n_matches=120,
    rms_x=0.08,
    rms_y=0.09,
    reported_rms=0.09,
    rms_ra_mas=4.0,
    rms_dec_mas=4.0,
    shift_ra_arcsec=0.2,
    shift_dec_arcsec=-0.1,
    rotation_deg=0.004,
    scale=1.0,
    n_held_out=40,
    n_held_out_chance=1.2,
    held_out_x=0.01,
    held_out_y=-0.02,
    held_out_rms=0.1,
    contrast=20.0,
)


def test_a_good_fit_passes_without_a_word():
    verdict = judge(GOOD, LIMITS)
    assert (verdict.status, verdict.reason) == ("PASS", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_matches": 6}, "6 matches, 10 needed"),
        ({"rms_x": 0.9}, "RMS 0.90 px"),
        ({"rms_x": math.nan}, "RMS"),
        ({"rms_x": 0.45}, "differ by a factor"),
        ({"shift_ra_arcsec": 4.0}, "shift of 4.00 arcsec"),
        ({"shift_ra_arcsec": math.nan}, "shift of nan"),
        ({"rotation_deg": -0.3}, "rotation of -0.300 deg"),
        ({"contrast": 1.1}, "scrambled catalogues"),
        ({"contrast": math.nan}, "scrambled catalogues"),
        ({"n_held_out": 1}, "1 held-out stars found"),
        ({"n_held_out_chance": 38.0}, "expected by chance"),
        ({"held_out_x": 0.35}, "held-out stars are off by 0.35 px"),
        ({"held_out_y": math.nan}, "held-out stars are off by nan"),
        ({"rms_y": 0.2, "rms_x": 0.2}, "where 0.09 were reported"),
    ],
)
def test_each_symptom_fails_by_itself_and_is_named(change, words):
    verdict = judge(replace(GOOD, **change), LIMITS)
    assert verdict.status == "FAIL"
    assert words in verdict.reason
    assert not verdict.believed


def test_a_soft_limit_narrowly_missed_is_a_compromise():
    verdict = judge(replace(GOOD, rms_x=0.6, rms_y=0.6, reported_rms=0.6), LIMITS)
    assert verdict.status == "COMPROMISED"
    assert verdict.believed
    assert "RMS 0.60 px above 0.5" in verdict.reason


def test_scale_counts_only_where_the_fit_could_change_it():
    stretched = replace(GOOD, scale=1.004)
    assert judge(stretched, LIMITS).status == "PASS"
    assert "scale changed" in judge(stretched, LIMITS, free_scale=True).reason


def test_few_held_out_stars_may_scatter_but_not_beyond_the_ceiling():
    few = replace(GOOD, n_held_out=4, n_held_out_chance=0.01, held_out_rms=0.4)
    assert judge(replace(few, held_out_x=0.3), LIMITS).status == "PASS"
    assert judge(replace(few, held_out_x=0.45), LIMITS).status == "FAIL"


@pytest.mark.parametrize(
    ("n_stars", "n_failed", "status", "words"),
    [
        (13, 0, "PASS", ""),
        (12, 0, "COMPROMISED", "12 stars on it, 13 needed"),
        (3000, 2, "COMPROMISED", "2 more were chosen with it"),
    ],
)
def test_an_anchor_is_judged_by_whether_anything_can_be_aligned_to_it(
    n_stars, n_failed, status, words
):
    verdict = judge_anchor(n_stars, n_failed, LIMITS)
    assert verdict.status == status
    assert words in verdict.reason


def test_numbers_survive_a_record_with_nan():
    broken = replace(GOOD, held_out_x=math.nan)
    assert broken.as_json()["held_out_x"] is None
    assert math.isnan(FitNumbers.from_json(broken.as_json()).held_out_x)


@given(st.integers(1, 30), st.floats(0.01, 20))
def test_chance_probability_is_poissons(n_found, expected):
    direct = 1 - sum(math.exp(-expected) * expected**k / math.factorial(k) for k in range(n_found))
    assert chance_probability(n_found, expected) == pytest.approx(max(direct, 0), abs=1e-9)


# ------------------------------------------------------------- whole ladders on star lists


def measured(image, reference, seed, *, search=25, radius=1.0):
    """Fit one pair of lists and measure the fit as `measurement.measure` does."""
    rng = np.random.default_rng(seed)
    out = np.zeros(len(image), dtype=bool)
    out[rng.permutation(len(image))[: len(image) // 4]] = True
    fit = numpy_fit(image[~out], reference, search=search, radius=radius)
    if fit is None:
        return None, None
    a, b, move = fit
    after = move(image)
    residual = reference[b] - after[~out][a]
    found, partner = matching.nearest(after[out], reference, radius)
    held = reference[partner] - after[out][found]
    shift, turn, scale = matching.rigid_motion(image, after)
    rms = np.sqrt(np.mean(residual**2, axis=0))
    some = len(found) > 0
    numbers = FitNumbers(
        n_matches=len(a),
        rms_x=rms[0],
        rms_y=rms[1],
        reported_rms=max(rms),
        rms_ra_mas=0.0,
        rms_dec_mas=0.0,
        shift_ra_arcsec=shift[0] * 0.04,
        shift_dec_arcsec=shift[1] * 0.04,
        rotation_deg=turn,
        scale=scale,
        n_held_out=len(found),
        n_held_out_chance=matching.chance_pairs(
            after[out], reference, radius=radius, search=search
        ),
        held_out_x=float(np.median(held[:, 0])) if some else math.nan,
        held_out_y=float(np.median(held[:, 1])) if some else math.nan,
        held_out_rms=float(held.std(axis=0).max()) if some else math.nan,
        contrast=matching.contrast(after, reference, search=search, radius=radius)[0],
    )
    return numbers, move


def verdict_of_ladder(image, reference, seed):
    """The first believed verdict of four rungs, each searched wider, with its move."""
    for rung in range(4):
        numbers, move = measured(image, reference, seed, search=25 * 1.5**rung, radius=1.3**rung)
        if numbers is not None and judge(numbers, LIMITS).believed:
            return judge(numbers, LIMITS), move
    return None, None


@pytest.mark.parametrize(
    ("n_image", "n_reference"), [(30, 30), (200, 200), (200, 1000), (1000, 1000), (60, 3000)]
)
def test_unrelated_catalogues_are_never_believed(n_image, n_reference):
    for seed in range(12):
        image, reference = Sky.unrelated(seed, n_image, n_reference)
        assert verdict_of_ladder(image, reference, seed)[0] is None, seed


@pytest.mark.parametrize(
    ("common", "cosmic", "deeper"), [(20, 0, 20), (25, 100, 100), (60, 300, 200), (300, 0, 1000)]
)
def test_right_fits_are_believed_and_right(common, cosmic, deeper):
    for seed in range(8):
        rng = np.random.default_rng(100 + seed)
        shift, turn = rng.uniform(-20, 20, 2), rng.uniform(-0.05, 0.05)
        sky = Sky(seed, common=common, cosmic=cosmic, deeper=deeper, shift=shift, turn=turn)
        verdict, move = verdict_of_ladder(sky.image, sky.reference, seed)
        assert verdict is not None, seed
        centre = np.array([[SIDE / 2, SIDE / 2]])
        # 0.1 px a star over at least 13 fitted stars: 0.15 px is more than five sigma.
        assert move(centre - sky.shift)[0] == pytest.approx([SIDE / 2, SIDE / 2], abs=0.15)


@pytest.mark.parametrize("n_hot", [25, 50, 90])
def test_a_second_population_at_another_offset_is_not_believed(n_hot):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        stars, hot = rng.uniform(0, SIDE, (50, 2)), rng.uniform(0, SIDE, (n_hot, 2))
        image = np.vstack([stars, hot])
        reference = np.vstack([stars + np.array([3.0, 2.0]), hot + np.array([-11.0, 6.0])])
        assert verdict_of_ladder(image, reference, seed)[0] is None, seed


def test_a_rotation_beyond_the_prior_is_refused():
    sky = Sky(3, common=200, cosmic=0, turn=0.13, shift=(2.0, 1.0))
    numbers, _ = measured(sky.image, sky.reference, 3, radius=3.0)
    assert abs(numbers.rotation_deg) == pytest.approx(0.13, abs=0.01)
    assert "rotation" in judge(numbers, LIMITS).reason
