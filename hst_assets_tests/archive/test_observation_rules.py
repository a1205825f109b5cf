"""Which observations are wanted, rule by rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.archive.observation_rules import (
    RULES,
    Wanted,
    observation_from_caom,
    observation_from_missions,
    reason_to_leave_out,
)
from hst_assets.settings import Settings
from hst_assets_tests.stand_ins.archive_services import (
    HRC,
    IR,
    PLACE,
    UVIS,
    WFPC2,
    dataset_of,
    row_of,
)

NOW = 60000.0


def wanted(*, archive=None, selection=None, position=PLACE):
    target = {} if position is None else {"ra_deg": position[0], "dec_deg": position[1]}
    content = {"target": target, "archive": archive or {}, "selection": selection or {}}
    return Wanted(Settings.model_validate(content), NOW)


def reason(*, archive=None, selection=None, position=PLACE, **fields):
    observation = observation_from_caom(row_of(**fields))
    asked = wanted(archive=archive, selection=selection, position=position)
    return reason_to_leave_out(observation, asked)


@pytest.mark.parametrize("instrument", [{}, UVIS, IR, HRC, WFPC2], ids=str)
def test_an_exposure_of_each_detector_is_wanted(instrument):
    assert reason(**instrument) == ""


BROKEN = {
    "high-level product": [
        {"project": "HAP"},
        {"project": "HAP-SVM"},
        {"obs_collection": "HLA", "project": "HLA"},
        {"obs_collection": "HLSP"},
        {"obs_id": "hst_10424_06_acs_wfc_f606w_j8bt06n0"},
    ],
    "name": [{"obs_id": "j8bt06n0"}, {"obs_id": "../j8bt06n0q"}, {"obs_id": None}],
    "detector": [
        {"instrument_name": "STIS/CCD"},
        {"instrument_name": "ACS/SBC"},
        {"instrument_name": None},
        {"archive": {"instruments": ["WFC3"]}},
        {"archive": {"detectors": ["acs_hrc"]}},
    ],
    "kind": [{"dataproduct_type": "spectrum"}, {"dataproduct_type": "SPECTRUM"}],
    "filter": [
        {"filters": "G800L;CLEAR2L"},
        {**IR, "filters": "G141"},
        {"filters": "CLEAR1L;CLEAR2L"},
        {"filters": "detection"},
        {"selection": {"only_filter": "F814W"}},
        {"filters": "F658N;CLEAR2L", "selection": {"only_wide": True}},
    ],
    "intent": [{"intentType": "calibration"}],
    "proposal": [{"archive": {"proposals": ["12345"]}}],
    "dates": [
        {"selection": {"after": "2003-12-27T00:00:01"}},
        {"selection": {"before": "2003-12-27T00:00:00"}},
    ],
    "exposure time": [
        {"t_exptime": 14.9},
        {"selection": {"min_exptime_s": 401}},
        {"archive": {"max_exptime_s": 399}},
    ],
    "calibration level": [{"calib_level": 1}, {"archive": {"calib_levels": [3]}}],
    "date": [{"t_min": None, "t_max": None, "t_obs_release": None}],
    "data rights": [
        {"dataRights": "EXCLUSIVE_ACCESS"},
        {"dataRights": "RESTRICTED"},
        {"t_obs_release": NOW + 1},
    ],
    "footprint": [
        {"position": (150.06, 2.0)},
        {"position": (150.0, 2.04), "selection": {"footprint_margin_arcsec": -60}},
    ],
}


@pytest.mark.parametrize(
    ("rule", "fields"), [(rule, fields) for rule, cases in BROKEN.items() for fields in cases]
)
def test_what_breaks_a_rule_is_left_out_by_it(rule, fields):
    assert reason(**fields).startswith(f"{rule}: ")


def test_every_rule_is_tried():
    assert [rule.name for rule in RULES] == list(BROKEN)


KEPT = [
    {"instrument_name": "acs/wfc"},
    {"obs_id": "J8BT06N0Q"},
    {"dataproduct_type": None},
    {"intentType": None},
    {"calib_level": None},
    {"dataRights": None},
    {"t_exptime": None},
    {"filters": None, "selection": {"only_filter": "F814W"}},
    {"proposal_id": None, "archive": {"proposals": ["12345"]}},
    {"t_exptime": 1.0, "selection": {"keep_short": True}},
    {"filters": "F606W;CLEAR2L", "selection": {"only_filter": "f606w", "only_wide": True}},
    {"dataRights": "EXCLUSIVE_ACCESS", "archive": {"data_rights": "all"}},
    {"t_obs_release": NOW + 1, "archive": {"data_rights": "all"}},
    {"selection": {"after": "2003-12-27T00:00:00"}},
    {"selection": {"before": "2003-12-27T00:00:01"}},
    {"position": (150.06, 2.0), "archive": {"must_hold_target": False}},
    {"position": (150.06, 2.0), "archive": {"footprint_slack_arcsec": 40}},
    {"position": (150.06, 2.0), "selection": {"footprint_margin_arcsec": 30}},
    {"position": None},
    {"s_region": None},
    {"s_region": "POLYGON GALACTIC 1 2 3 4 5 6"},
]


@pytest.mark.parametrize("fields", KEPT, ids=str)
def test_what_is_not_said_or_just_allowed_is_kept(fields):
    assert reason(**fields) == ""


ASSOCIATION = {"obs_id": "j8bt06010", "t_max": 53010.0, "t_exptime": 2000.0}


@pytest.mark.parametrize(
    "fields",
    [
        {"selection": {"after": "2004-01-03"}},
        {"archive": {"max_exptime_s": 600}},
    ],
    ids=str,
)
def test_an_association_is_kept_for_what_one_of_its_exposures_may_be(fields):
    assert reason(**ASSOCIATION, **fields) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"selection": {"after": "2004-01-07"}},
        {"selection": {"before": "2003-12-27"}},
        {"selection": {"min_exptime_s": 2001}},
    ],
    ids=str,
)
def test_an_association_is_left_out_if_none_of_its_exposures_can_be(fields):
    assert reason(**ASSOCIATION, **fields) != ""


def test_the_reason_says_how_far_off_the_target_is():
    assert "36.0 arcsec outside" in reason(position=(150.06, 2.0))


def test_the_missions_search_is_read_in_the_words_of_caom():
    ours = observation_from_caom(row_of())
    theirs = observation_from_missions(dataset_of(row_of()))
    for name in ("obs_id", "instrument", "filters", "product_type", "intent", "exptime_s"):
        assert getattr(theirs, name) == getattr(ours, name), name
    assert theirs.begin_mjd == pytest.approx(53000.0, abs=1e-9)
    assert theirs.end_mjd == pytest.approx(53000.01, abs=1e-9)
    assert theirs.release_mjd == pytest.approx(53365.0, abs=1e-9)


@pytest.mark.parametrize(("said", "ra_deg"), [(-1e-15, 0), (360, 0), (-0.5, 359.5), (720.5, 0.5)])
def test_right_ascensions_lie_between_0_and_360_degrees(said, ra_deg):
    assert observation_from_caom(row_of(s_ra=said)).position == (ra_deg, row_of()["s_dec"])


anything = st.none() | st.text() | st.floats() | st.integers() | st.booleans() | st.lists(st.none())


@given(st.dictionaries(st.sampled_from(sorted(row_of())), anything))
def test_whatever_a_row_says_it_is_judged(fields):
    observation = observation_from_caom({**row_of(), **fields})
    asked = wanted(
        archive={"max_exptime_s": 500, "proposals": ["10424"]},
        selection={"after": "2000-01-01", "only_filter": "F606W"},
    )
    assert isinstance(reason_to_leave_out(observation, asked), str)


@given(st.dictionaries(st.sampled_from(sorted(dataset_of(row_of()))), anything))
def test_whatever_a_dataset_says_it_is_judged(fields):
    observation = observation_from_missions({**dataset_of(row_of()), **fields})
    assert isinstance(reason_to_leave_out(observation, wanted(), both_say=True), str)


@given(st.text())
def test_texts_of_the_service_become_one_short_printable_line(text):
    observation = observation_from_caom(row_of(filters=text))
    assert len(observation.filters) <= 2 * 80  # some letters have two capitals
    assert observation.filters == "" or observation.filters.isprintable()
