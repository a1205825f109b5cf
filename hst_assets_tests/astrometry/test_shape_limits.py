from dataclasses import replace

import pytest

from hst_assets.astrometry.alignment_table import alignment_row
from hst_assets.astrometry.shape_limits import (
    ShapeVerdict,
    judge_shapes,
    not_checked,
    wider_than_others,
)
from hst_assets.detection.star_shapes import StarShapes
from hst_assets.detectors import DETECTORS
from hst_assets.settings import GateSettings

LIMITS = GateSettings()
UVIS = DETECTORS["wfc3_uvis"]
GOOD = StarShapes(
    n_stars=50, fwhm_pix=2.2, fwhm_error_pix=0.01, elongation=1.05, elongation_error=0.01
)


def judged(limits=LIMITS, *, charge_lost=False, **changes):
    return judge_shapes(replace(GOOD, **changes), UVIS, limits, charge_lost=charge_lost)


def test_single_round_stars_are_good():
    assert judged().state == "good"
    assert str(judged()) == "good"
    assert not judged().is_bad


def test_doubled_stars_are_bad_and_the_setting_is_named():
    verdict = judged(elongation=1.6)
    assert verdict.is_bad
    assert "trailed or double: elongation 1.60 (gate.max_elongation is 1.2)" in str(verdict)
    assert judged(GateSettings(max_elongation=1.7), elongation=1.6).state == "good"


def test_a_limit_is_broken_by_what_few_stars_cannot_do():
    assert judged(elongation=1.25, elongation_error=0.02).is_bad
    assert not judged(elongation=1.25, elongation_error=0.03).is_bad


def test_an_uncertain_shape_is_not_checked():
    verdict = judged(elongation=1.1, elongation_error=0.2, n_stars=11)
    assert str(verdict) == "not checked: 11 stars give an elongation of 1.10 +- 0.20"


#: Deferred charge: along y, as much as on the sky, and half as much in the half near the register.
CHARGE = {
    "elongation": 1.31, "angle_deg": 2.0, "along_y": 1.30, "along_y_error": 0.01,
    "near_register": 1.15, "near_register_error": 0.01,
}  # fmt: skip


def test_trails_of_charge_are_a_doubt_where_it_is_not_corrected():
    verdict = judged(charge_lost=True, **CHARGE)
    assert verdict.state == "doubtful"
    (doubt,) = verdict.doubts
    assert doubt.startswith("stars trail along y by 1.30 (gate.max_elongation is 1.2)")
    assert doubt.endswith("CTE losses are not corrected")
    assert judged(charge_lost=False, **CHARGE).is_bad


@pytest.mark.parametrize(
    "otherwise",
    [
        {"angle_deg": 25.0},
        {"elongation": 1.4},  # on the sky: chips that are turned trail in other directions
        {"along_y": 1.22, "elongation": 1.31},
        {"near_register": 1.30},  # doubled
    ],
)
def test_other_trails_are_bad_beside_losses_of_charge(otherwise):
    assert judged(charge_lost=True, **{**CHARGE, **otherwise}).is_bad


def test_chips_that_are_turned_hide_no_trails_of_charge():
    assert judged(charge_lost=True, **{**CHARGE, "elongation": 1.05}).state == "doubtful"


def test_too_few_stars_are_not_checked():
    verdict = judge_shapes(
        StarShapes(3, reason="3 stars stand alone"), UVIS, LIMITS, charge_lost=True
    )
    assert str(verdict) == "not checked: 3 stars stand alone"
    assert not verdict.is_bad
    assert verdict.doubts == ()


def test_stars_wider_than_the_detectors_are_a_doubt():
    verdict = judged(fwhm_pix=3.5)
    assert verdict.state == "doubtful"
    assert verdict.doubts == ("stars are wide: FWHM 3.50 px, those of WFC3/UVIS have at most 3.2",)


@pytest.mark.parametrize(
    ("own", "others", "wide"),
    [
        (2.8, (2.2, 2.3), True),  # 1.24 times
        (2.3, (2.2, 2.3), False),
        (2.8, (2.2, 2.8, 2.8), False),
        (2.2, (2.8,), False),
        (2.8, (), False),
    ],
)
def test_stars_are_wide_beside_those_of_others(own, others, wide):
    text = wider_than_others(
        judged(fwhm_pix=own), [judged(fwhm_pix=fwhm) for fwhm in others], LIMITS
    )
    assert bool(text) is wide


def test_others_that_were_not_checked_or_are_bad_say_nothing():
    others = [not_checked("3 stars"), judged(elongation=2.0), None]
    assert wider_than_others(judged(fwhm_pix=3.0), others, LIMITS) == ""
    assert wider_than_others(not_checked("3 stars"), [judged()], LIMITS) == ""


def facts(verdict, **changes):
    return {
        "rootname": "iaaa01aaq", "status": "PASS", "method": "tweakreg", "reason": "",
        "usable": True, "numbers": None, "tries": [],
        "shapes": None if verdict is None else verdict.as_json(), **changes,
    }  # fmt: skip


def row(verdict, *, keep=False, wide="", **changes):
    return alignment_row(facts(verdict, **changes), file="a", digest="d", keep=keep, wide=wide)


def test_the_table_has_the_shapes():
    found = row(judged())
    assert (found["fwhm_pix"], found["elongation"]) == (2.2, 1.05)
    assert (found["star_shapes"], found["used"]) == ("good", True)


def test_without_a_measurement_the_table_says_so():
    assert row(None)["star_shapes"] == "not checked: not measured"
    assert row(None, status="SKIPPED")["star_shapes"] == "not checked: it was not aligned"


@pytest.mark.parametrize("keep", [True, False])
def test_wide_stars_are_left_out_with_their_reason(keep):
    found = row(judged(fwhm_pix=2.8), wide="stars are 1.27 times as wide", keep=keep)
    assert not found["used"]
    assert found["reason"] == "stars are 1.27 times as wide"
    assert found["star_shapes"] == "bad: stars are 1.27 times as wide"


def test_keeping_failures_keeps_no_trailed_stars():
    failed = {"status": "FAIL", "reason": "why"}
    assert row(judged(), keep=True, **failed)["used"]
    assert not row(judged(elongation=2.0), keep=True, **failed)["used"]


def test_a_verdict_goes_through_a_record():
    for verdict in (judged(), judged(elongation=2.0)):
        assert ShapeVerdict.from_json(verdict.as_json()) == verdict
