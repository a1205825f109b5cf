import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.astrometry import matching
from hst_assets.astrometry.cross_validation import cross_validate, parts_of
from hst_assets.astrometry.gate import FitNumbers, chance_probability, judge, judge_anchor
from hst_assets.astrometry.measurement import ONE_PLACE_PIX, remaining_tilt
from hst_assets.settings import GateSettings
from hst_assets_tests.astrometry.conftest import SIDE, Sky, numpy_fit

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
    n_held_out=118,
    n_held_out_chance=1.2,
    held_out_x=0.01,
    held_out_y=-0.02,
    held_out_rms=0.1,
    drift=0.02,
    tilt=0.03,
    tilt_error=0.01,
    contrast=20.0,
    uniqueness=30.0,
)


def test_a_good_fit_passes_without_a_word():
    verdict = judge(GOOD, LIMITS)
    assert (verdict.status, verdict.reason) == ("PASS", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_matches": 6}, "6 matches (minimum 10)"),
        ({"rms_x": 0.9}, "RMS 0.90 px"),
        ({"rms_x": math.nan}, "RMS"),
        ({"rms_x": 0.45}, "differ by a factor"),
        ({"shift_ra_arcsec": 4.0}, "shift of 4.00 arcsec"),
        ({"shift_ra_arcsec": math.nan}, "shift of nan"),
        ({"rotation_deg": -0.3}, "rotation of -0.300 deg"),
        ({"contrast": 1.1}, "scrambled catalogues"),
        ({"contrast": math.nan}, "scrambled catalogues"),
        ({"n_held_out": 1}, "1 held-out stars recovered"),
        ({"n_held_out": 50}, "cross-validation recovered 50 of 120 stars"),
        ({"n_held_out_chance": 110.0}, "expected by chance"),
        ({"held_out_x": 0.35}, "median offset of held-out stars is 0.35 px"),
        ({"held_out_y": math.nan}, "median offset of held-out stars is nan"),
        ({"drift": 0.3}, "cross-validation fits differ by 0.30 px (limit 0.20)"),
        ({"drift": math.nan}, "differ by nan"),
        ({"tilt": 0.25}, "residual rotation, scale or skew displaces stars by 0.25 px"),
        ({"tilt": math.nan}, "displaces stars by nan"),
        ({"uniqueness": 1.2}, "ambiguous match: 1.2 times the pairs of the next-best offset"),
        ({"uniqueness": math.nan}, "next-best offset"),
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
    few = replace(GOOD, n_matches=10, n_held_out=10, n_held_out_chance=0.01, held_out_rms=0.4)
    assert judge(replace(few, held_out_x=0.3), LIMITS).status == "PASS"
    assert judge(replace(few, held_out_x=0.45), LIMITS).status == "FAIL"
    assert judge(replace(few, drift=0.35), LIMITS).status == "PASS"
    assert judge(replace(few, drift=0.45), LIMITS).status == "FAIL"


@pytest.mark.parametrize(
    ("n_stars", "n_failed", "status", "words"),
    [
        (10, 0, "PASS", ""),
        (9, 0, "COMPROMISED", "9 stars on it, 10 needed"),
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


def test_an_excess_over_hundreds_expected_is_not_chance():
    # exp(-800) is no number of a computer's. The excess is 3.5 standard deviations: 2e-4 by the
    # normal distribution, and the tail of Poisson's is a third longer.
    assert chance_probability(900, 800.0) == pytest.approx(2.75e-4, rel=0.02)


# ------------------------------------------------------------- whole ladders on star lists


def measured(image, reference, seed, *, search=25, radius=1.0, geometry="rshift"):
    """Fit one pair of lists and measure the fit as `measurement.measure` does."""
    fit = numpy_fit(image, reference, search=search, radius=radius, geometry=geometry)
    if fit is None:
        return None, None
    a, b, move = fit
    after = move(image)
    residual = reference[b] - after[a]
    check = cross_validate(
        image,
        after,
        reference,
        parts_of(len(image), LIMITS.held_out_fraction, str(seed)),
        geometry,
        search=search,
        radius=radius,
    )
    held = check.residual
    shift, turn, scale = matching.rigid_motion(image, after)
    rms = np.sqrt(np.mean(residual**2, axis=0))
    some = len(held) > 0
    tilt, tilt_error = remaining_tilt(after, reference, radius)
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
        n_held_out=len(held),
        n_held_out_chance=matching.chance_pairs(after, reference, radius=radius, search=search),
        held_out_x=float(np.median(held[:, 0])) if some else math.nan,
        held_out_y=float(np.median(held[:, 1])) if some else math.nan,
        held_out_rms=float(held.std(axis=0).max()) if some else math.nan,
        drift=check.drift,
        tilt=tilt,
        tilt_error=tilt_error,
        contrast=matching.contrast(after, reference, search=search, radius=radius)[0],
        uniqueness=matching.uniqueness(after, reference, radius=ONE_PLACE_PIX, reach=75),
    )
    return numbers, move


def verdict_of_ladder(image, reference, seed, geometry="rshift"):
    """The first believed verdict of four rungs, each searched wider, with its move."""
    for rung in range(4):
        search, radius = 25 * 1.5**rung, 1.3**rung
        numbers, move = measured(
            image, reference, seed, search=search, radius=radius, geometry=geometry
        )
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
    ("common", "cosmic", "deeper"),
    [(11, 11, 20), (20, 0, 20), (25, 100, 100), (60, 300, 200), (300, 0, 1000)],
)
def test_right_fits_are_believed_and_right(common, cosmic, deeper):
    for seed in range(8):
        rng = np.random.default_rng(100 + seed)
        shift, turn = rng.uniform(-20, 20, 2), rng.uniform(-0.05, 0.05)
        sky = Sky(seed, common=common, cosmic=cosmic, deeper=deeper, shift=shift, turn=turn)
        verdict, move = verdict_of_ladder(sky.image, sky.reference, seed)
        assert verdict is not None, seed
        centre = np.array([[SIDE / 2, SIDE / 2]])
        # 0.1 px a star over at least 10 fitted stars: 0.15 px is nearly five sigma.
        assert move(centre - sky.shift)[0] == pytest.approx([SIDE / 2, SIDE / 2], abs=0.15)


@pytest.mark.parametrize("n_hot", [25, 50, 90])
def test_a_second_population_at_another_offset_is_not_believed(n_hot):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        stars, hot = rng.uniform(0, SIDE, (50, 2)), rng.uniform(0, SIDE, (n_hot, 2))
        image = np.vstack([stars, hot])
        reference = np.vstack([stars + np.array([3.0, 2.0]), hot + np.array([-11.0, 6.0])])
        assert verdict_of_ladder(image, reference, seed)[0] is None, seed


@pytest.mark.parametrize("kind", ["moved", "clustered", "doubled"])
def test_two_populations_a_few_pixels_apart_are_never_fitted_wrongly(kind):
    """The gate believes the fit of the first population, or none."""
    n_wrong = n_believed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        count = int(rng.choice([15, 30, 100, 300]))
        sky = Sky(seed, common=count, cosmic=count // 3, deeper=count)
        apart, angle = rng.uniform(0.5, 3.0), rng.uniform(0, 2 * np.pi)
        offset = apart * np.array([np.cos(angle), np.sin(angle)])
        share = rng.uniform(0.25, 0.5) if kind != "doubled" else rng.uniform(0.5, 1.0)
        stars = sky.reference[:count]
        second = rng.permutation(count)[: round(share * count)]
        if kind == "clustered":
            second = np.argsort(np.hypot(*(stars - stars[0]).T))[: round(share * count)]
        reference = sky.reference.copy()
        if kind == "doubled":
            reference = np.vstack([reference, stars[second] + offset])
        else:
            reference[second] += offset
        verdict, move = verdict_of_ladder(sky.image, reference, seed)
        if verdict is not None:
            n_believed += 1
            error = move(sky.image[:count]) - stars
            n_wrong += float(np.hypot(*np.median(error, axis=0))) > 0.5
    assert n_wrong == 0
    # Populations less than a pixel apart, or one of them small; not if every star is there twice.
    assert (n_believed > 0) == (kind != "doubled")


def test_a_rotation_that_the_fit_may_not_have_is_seen_in_what_is_left():
    for seed in range(6):
        turn = 0.04 + 0.01 * seed
        sky = Sky(seed, common=200, cosmic=50, turn=turn)
        # Stars at a median distance of 390 px: moved by 0.27 px and more.
        assert verdict_of_ladder(sky.image, sky.reference, seed, "shift")[0] is None, turn
        assert verdict_of_ladder(sky.image, sky.reference, seed, "rshift")[0] is not None, turn


@pytest.mark.parametrize("step", [30.0, 45.0])
def test_stars_on_a_lattice_have_more_than_one_place(step):
    columns, rows = np.meshgrid(np.arange(0, SIDE, step), np.arange(0, SIDE, step))
    lattice = np.column_stack([columns.ravel(), rows.ravel()])
    rng = np.random.default_rng(2)
    # Beyond the search radius of the first try is still within the prior on the shift.
    image = lattice + rng.normal(0, 0.05, lattice.shape) - np.array([30.0, 0.0])
    assert verdict_of_ladder(image, lattice, 2)[0] is None


def test_a_rotation_beyond_the_prior_is_refused():
    sky = Sky(3, common=200, cosmic=0, turn=0.13, shift=(2.0, 1.0))
    numbers, _ = measured(sky.image, sky.reference, 3, radius=3.0)
    assert abs(numbers.rotation_deg) == pytest.approx(0.13, abs=0.01)
    assert "rotation" in judge(numbers, LIMITS).reason
