"""What became of a candidate: gone, fainter, still there or not decided."""

import math

import numpy as np
import pytest

from hst_assets.counterpart.disappearance import BandDecline, judge_disappearance

LIMITS = {"gone_sigma": 3.0, "detection_snr": 3.0, "gone_share": 0.5}


def band(early, late, *, error=1.0, difference=None):
    found = (math.nan, math.inf) if difference is None else (difference, math.hypot(error, error))
    return BandDecline("wfc3_uvis.f814w", early, error, late, error, *found)


@pytest.mark.parametrize(
    ("early", "late", "difference", "state"),
    [
        (20.0, 0.5, 19.0, "gone"),
        (20.0, 8.0, 12.5, "fainter"),
        (20.0, 19.0, 1.5, "still there"),
        (3.0, 1.0, 2.0, "not decided"),  # too faint for the late images
        (20.0, 0.5, None, "gone"),  # one measurement alone, and it is said
        (20.0, 0.5, 0.3, "not decided"),  # the two contradict each other
    ],
)
def test_the_verdict_follows_from_both_measurements(early, late, difference, state):
    found = judge_disappearance([band(early, late, difference=difference)], **LIMITS)
    assert found.state == state


def test_what_was_not_measured_is_not_checked():
    nothing = BandDecline("wfc3_uvis.f814w", 9.0, 1.0, math.nan, math.inf)
    assert judge_disappearance([nothing], **LIMITS).state == "not checked"
    assert judge_disappearance([], **LIMITS).state == "not checked"


def test_that_a_difference_is_lacking_is_said():
    found = judge_disappearance([band(20.0, 0.0)], **LIMITS)
    assert "no difference of the epochs" in found.text
    assert math.isnan(found.difference_sigma)


def test_bands_are_joined():
    """Four declines of 2 sigma are one of 4."""
    each = band(2 * math.sqrt(2), 0.0, difference=2 * math.sqrt(2))
    found = judge_disappearance([each] * 4, **LIMITS)
    assert found.forced_sigma == pytest.approx(4.0)


def test_what_is_seen_in_one_late_band_is_not_gone():
    """By four bands joined it has a signal-to-noise ratio of 2.5, by one alone of 5."""
    others = [band(30.0, 0.0)] * 3
    found = judge_disappearance([band(50.0, 5.0), *others], **LIMITS)
    assert found.late_snr == pytest.approx(2.5)
    assert found.state == "fainter"
    assert "5.0 in wfc3_uvis.f814w alone" in found.text


def test_a_band_without_early_images_shows_it_too():
    late_alone = BandDecline("wfc3_ir.f160w", math.nan, math.inf, 8.0, 1.0)
    assert judge_disappearance([band(20.0, 0.0)], **LIMITS).state == "gone"
    assert judge_disappearance([band(20.0, 0.0), late_alone], **LIMITS).state == "fainter"


def test_the_best_of_several_bands_is_no_more_often_seen_by_chance():
    """Of 4000 draws, 0.13 % are seen by either test: to three standard deviations."""
    drawn = np.random.default_rng(3).normal(0.0, 1.0, (4000, 8))
    fates = [
        judge_disappearance([band(30.0, float(late)) for late in each], **LIMITS) for each in drawn
    ]
    n_seen = sum(fate.state == "fainter" and not fate.doubt for fate in fates)
    assert n_seen <= 2 * 4000 * 0.00135 + 3 * math.sqrt(2 * 4000 * 0.00135)
    assert n_seen < np.sum(drawn.max(axis=1) >= 3.0) / 1.5


def test_late_images_that_are_too_shallow_leave_a_doubt():
    """A decline of 4 sigma, where half of the flux might be left."""
    found = judge_disappearance([band(4.0 * math.sqrt(2), 0.0, difference=6.0)], **LIMITS)
    assert found.state == "fainter"
    assert "too shallow: 53% of its flux might be left" in found.doubt
    assert found.doubt in found.text
    assert judge_disappearance([band(20.0, 0.0)], **LIMITS).doubt == ""


def test_what_may_be_left_is_told():
    found = judge_disappearance([band(20.0, 1.0, difference=19.0)], **LIMITS)
    assert found.left == pytest.approx(0.2)  # (1 + 3) / 20
    assert "at most 20% of its flux is left" in found.text


def test_nothing_is_gone_below_the_stated_significance():
    rng = np.random.default_rng(2)
    for early, late, difference in rng.normal(2.0, 4.0, (500, 3)):
        found = judge_disappearance([band(early, late, difference=difference)], **LIMITS)
        if found.state == "gone":
            assert min(found.forced_sigma, found.difference_sigma) >= 3.0
