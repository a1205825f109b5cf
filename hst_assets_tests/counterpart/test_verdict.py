"""The verdict: words that follow from numbers, with all of them."""

import math
from dataclasses import replace

import pytest

from hst_assets.counterpart.candidates import Candidate
from hst_assets.counterpart.disappearance import BandDecline, judge_disappearance
from hst_assets.counterpart.error_circle import ErrorBudget, ErrorTerm
from hst_assets.counterpart.verdict import judge

BUDGET = ErrorBudget((ErrorTerm("centroid of the object", 5.0, "fit"),))
ONE = Candidate(
    number=1,
    row=7,
    ra_deg=150.1,
    dec_deg=2.2,
    object_type=1,
    east_mas=3.0,
    north_mas=4.0,
    separation_mas=5.0,
    own_error_mas=1.0,
    error_mas=5.1,
    sigma=0.98,
    offset_probability=0.62,
    is_inside=True,
    best_band="wfc3_uvis.f814w",
    snr=12.0,
    density_arcsec2=0.1,
    chance_probability=0.0002,
)


def verdict(*candidates, **more):
    return judge(candidates, BUDGET, max_chance_probability=0.05, **more)


@pytest.mark.parametrize(
    ("candidates", "identification"),
    [
        ([ONE], "counterpart"),
        ([replace(ONE, chance_probability=0.3)], "chance"),
        ([ONE, replace(ONE, number=2)], "ambiguous"),
        ([replace(ONE, is_inside=False)], "none"),
        ([], "none"),
    ],
)
def test_what_is_said_follows_from_the_candidates(candidates, identification):
    assert verdict(*candidates).identification == identification


def test_a_counterpart_is_told_with_its_numbers():
    text = verdict(ONE).text
    for number in ("5.0 mas off", "0.98 total errors", "S/N 12.0", "0.0002", "0.62", "15.2 mas"):
        assert number in text


def test_an_ambiguous_one_has_the_numbers_of_all():
    text = verdict(ONE, replace(ONE, number=2, chance_probability=0.12)).text
    assert "Ambiguous: 2 sources" in text
    assert "0.0002" in text
    assert "0.12" in text


def test_where_there_is_none_the_limits_are_told():
    text = verdict(limits=["  wfc3_uvis.f814w: 27.10, 26.54 by forced"]).text
    assert "27.10" in text
    assert "27.10" not in verdict(ONE, limits=["27.10"]).text


def test_what_is_not_known_is_told():
    budget = BUDGET.plus(ErrorTerm("frame", float("nan"), "not set"))
    found = judge([ONE], budget, max_chance_probability=0.05, doubts=["one more"])
    assert found.doubts == ("not known: frame: not set", "one more")
    assert "Note: not known: frame" in found.text


def test_an_error_of_which_a_part_is_unknown_is_at_least_the_rest():
    budget = BUDGET.plus(ErrorTerm("frame", math.nan, "not set"))
    first = judge([ONE], budget, max_chance_probability=0.05).text.splitlines()[0]
    assert "at least 5.0 mas (frame not known)" in first


def test_without_any_error_nothing_is_decided():
    budget = ErrorBudget((ErrorTerm("frame", math.nan, "not set"),))
    found = judge([ONE], budget, max_chance_probability=0.05)
    assert found.identification == "not decided"
    assert "error of the place is not known (frame)" in found.text


def test_a_chance_that_is_not_known_is_not_checked():
    found = verdict(replace(ONE, chance_probability=math.nan, density_arcsec2=math.nan))
    assert found.identification == "not decided"
    assert "not checked" in found.text
    assert "nan" not in found.text


def test_where_no_earlier_image_shows_the_place_there_is_not_none():
    found = verdict(coverage={"wfc3_uvis.f814w": False, "wfc3_ir.f160w": False}, limits=["27.10"])
    assert found.identification == "not covered"
    assert "27.10" not in found.text
    assert len([one for one in found.doubts if "no earlier exposure has the place" in one]) == 2


def test_a_band_that_does_not_show_the_place_is_told():
    found = verdict(coverage={"wfc3_uvis.f814w": False, "wfc3_ir.f160w": True})
    assert found.identification == "none"
    (doubt,) = found.doubts
    assert doubt.startswith("wfc3_uvis.f814w: no earlier exposure has the place")


def test_what_became_of_a_candidate_is_told():
    gone = judge_disappearance(
        [BandDecline("wfc3_uvis.f814w", 20.0, 1.0, 0.0, 1.0)],
        gone_sigma=3,
        detection_snr=3,
        gone_share=0.5,
    )
    assert "Source 1: gone: decline of 14.1 sigma" in verdict(ONE, disappearances={1: gone}).text
