from dataclasses import replace

import numpy as np
import pytest

from hst_assets.exposures.header import read_exposure
from hst_assets.exposures.selection import reasons_to_reject
from hst_assets.settings import SelectionSettings, TargetSettings


@pytest.fixture
def exposure(exposure_file):
    return read_exposure(exposure_file("acs_wfc"))  # F606W, 400 s, 2020-05-31 06:00, 50 x 40 pix


@pytest.fixture
def target(field_position):
    return TargetSettings(ra_deg=field_position[0], dec_deg=field_position[1])


def reasons(exposure, target=None, **settings):
    return reasons_to_reject(exposure, SelectionSettings(**settings), target or TargetSettings())


def test_a_good_exposure_is_used(exposure, target):
    assert reasons(exposure, target) == []


@pytest.mark.parametrize("flag", ["", "NORMAL"])
def test_normal_flags_are_used(exposure, flag):
    assert reasons(replace(exposure, expflag=flag)) == []


@pytest.mark.parametrize(
    ("flag", "setting"),
    [
        ("INDETERMINATE", "keep_indt"),
        ("TDF-DOWN", "keep_tdf_down"),
        ("TDF-DOWN AT EXPSTART", "keep_tdf_down"),
    ],
)
def test_doubtful_flags_are_refused_unless_kept(exposure, flag, setting):
    doubtful = replace(exposure, expflag=flag)
    assert reasons(doubtful) == [f"EXPFLAG is {flag} ({setting} is off)"]
    assert reasons(doubtful, **{setting: True}) == []


def test_a_fault_is_refused_whatever_the_settings(exposure):
    poor = replace(exposure, faults=("BUNIT is COUNTS/S, not ELECTRONS", "another"))
    kept = {"keep_indt": True, "keep_short": True, "keep_charge_injection": True}
    assert reasons(poor, **kept) == ["BUNIT is COUNTS/S, not ELECTRONS; another"]


@pytest.mark.parametrize("kind", ["CONT", "LINE17"])
def test_injected_charge_is_refused_unless_kept(exposure_file, kind):
    exposure = read_exposure(exposure_file("wfc3_uvis", primary={"CHINJECT": kind}))
    (reason,) = reasons(exposure)
    assert reason == f"charge was injected (CHINJECT is {kind}; keep_charge_injection is off)"
    assert reasons(exposure, keep_charge_injection=True) == []


@pytest.mark.parametrize("kind", ["NONE", "", "N/A", None])
def test_without_injected_charge_an_exposure_is_used(exposure_file, kind):
    exposure = read_exposure(exposure_file("wfc3_uvis", primary={"CHINJECT": kind}))
    assert reasons(exposure) == []


@pytest.mark.parametrize(
    ("wanted", "used"),
    [("FR656N-6710", True), ("FR656N", True), ("fr656n", True), ("FR656N-6560", False)],
)
def test_a_ramp_is_chosen_with_its_wavelength_or_with_all(exposure_file, wanted, used):
    primary = {"FILTER1": "FR656N", "LRFWAVE": 6710.0}
    exposure = read_exposure(exposure_file("acs_wfc", primary=primary))
    assert (reasons(exposure, only_filter=(wanted,)) == []) is used


@pytest.mark.parametrize(
    ("name", "east_arcsec", "said"),
    [
        ("FQ672N", 20.0, "outside the quadrant of FQ672N"),
        ("FQ575N", 20.0, ""),
        ("FQ672N", -20.0, ""),
        ("FQ575N", -20.0, "outside the quadrant of FQ575N"),
        ("F606W", 20.0, ""),
    ],
)
def test_a_target_in_another_quadrant_was_not_observed(
    exposure_file, field_position, name, east_arcsec, said
):
    """UVIS2, 40 rows that straddle both halves: C is left (east here), D is right."""
    science = {"CCDCHIP": 2, "LTV1": -(2048.0 - 1000.0)}
    path = exposure_file("wfc3_uvis", shape=(40, 2000), primary={"FILTER": name}, science=science)
    ra, dec = field_position
    target = TargetSettings(ra_deg=ra + east_arcsec / 3600 / np.cos(np.radians(dec)), dec_deg=dec)
    exposure = read_exposure(path)
    found = reasons(exposure, target, footprint_margin_arcsec=0.0)
    assert (said in found[0]) if said else found == []
    assert len(exposure.polygons) == 1  # of the whole chip, for the alignment


@pytest.mark.parametrize(
    ("remark", "setting"),
    [
        ("GSFAIL", "keep_gsfail"),
        ("GSFAIL; DEGRADED", "keep_gsfail"),
        ("gsfail: SREXCP1", "keep_gsfail"),
        ("TDF-DOWN AT EXPSTART", "keep_tdf_down"),
        ("TDF_DOWN", "keep_tdf_down"),
    ],
)
def test_failures_of_guiding_that_only_quality_tells_are_refused_unless_kept(
    exposure, remark, setting
):
    doubtful = replace(exposure, expflag="NORMAL", quality=remark)
    assert reasons(doubtful) == [f"QUALITY is {remark} ({setting} is off)"]
    assert reasons(doubtful, **{setting: True}) == []


def test_both_failures_of_guiding_need_both_settings(exposure):
    doubtful = replace(exposure, quality="GSFAIL; TDF-DOWN AT EXPSTART")
    (reason,) = reasons(doubtful)
    assert reason.endswith("(keep_gsfail, keep_tdf_down are off)")
    assert reasons(doubtful, keep_gsfail=True) == [
        "QUALITY is GSFAIL; TDF-DOWN AT EXPSTART (keep_tdf_down is off)"
    ]
    assert reasons(doubtful, keep_gsfail=True, keep_tdf_down=True) == []


@pytest.mark.parametrize("remark", ["", "lock lost"])
def test_other_remarks_on_the_quality_refuse_nothing(exposure, remark):
    assert reasons(replace(exposure, quality=remark)) == []


@pytest.mark.parametrize("flag", ["INTERRUPTED", "EXTENDED", "NO DATA", "UNCERTAIN"])
def test_other_flags_are_always_refused(exposure, flag):
    found = reasons(replace(exposure, expflag=flag), keep_indt=True, keep_tdf_down=True)
    assert found == [f"EXPFLAG is {flag}, not NORMAL"]


@pytest.mark.parametrize(
    ("exptime", "settings", "refused"),
    [
        (15.0, {}, False),
        (14.9, {}, True),
        (0.5, {"keep_short": True}, False),
        (99.0, {"min_exptime_s": 100.0}, True),
        (0.0, {"min_exptime_s": 0.0}, True),
        (0.0, {"keep_short": True}, True),
    ],
)
def test_short_exposures_are_refused(exposure, exptime, settings, refused):
    assert bool(reasons(replace(exposure, exptime_s=exptime), **settings)) is refused


def test_the_reason_tells_both_exposure_times(exposure):
    (reason,) = reasons(replace(exposure, exptime_s=2.5))
    assert reason == "exposed 2.5 s, less than 15 s (keep_short is off)"


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"after": "2020-05-31T06:00:00"}, False),
        ({"after": "2020-05-31T06:00:01"}, True),
        ({"after": "2020-06-01"}, True),
        ({"before": "2020-05-31T06:00:00"}, True),
        ({"before": "2020-05-31T06:00:01"}, False),
        ({"before": "2020-06-01", "after": "2020-05-31"}, False),
    ],
)
def test_dates_bound_the_start(exposure, settings, refused):
    assert bool(reasons(exposure, **settings)) is refused


def test_the_reason_tells_both_dates(exposure):
    (reason,) = reasons(exposure, after="2021-01-01")
    assert reason == "started 2020-05-31T06:00:00, before 2021-01-01 (after)"


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"only_filter": ("f606w",)}, False),
        ({"only_filter": ("F814W", "F606W")}, False),
        ({"only_filter": ("F606",)}, True),
        ({"only_filter": ("F814W",)}, True),
        ({"only_wide": True}, False),
    ],
)
def test_filters_are_chosen(exposure, settings, refused):
    assert bool(reasons(exposure, **settings)) is refused


@pytest.mark.parametrize(
    ("name", "wide"),
    [("F475X", True), ("F350LP", True), ("F160BW", True), ("F606W-POL0V", True), ("F658N", False),
     ("F547M", False), ("FR914M", False), ("FQ937N", False)],
)  # fmt: skip
def test_only_wide_filters(exposure, name, wide):
    assert (reasons(replace(exposure, filter=name), only_wide=True) == []) is wide


SCALE = 0.05  # arcsec; the chip is 50 pixels wide: its edge is 1.25 arcsec from the target


@pytest.mark.parametrize(
    ("offset_arcsec", "margin", "refused"),
    [
        (0.0, 0.0, False),
        (0.9, 0.0, False),
        (1.1, 0.0, True),
        (1.1, 0.2, False),
        (1.1, 0.05, True),
        (0.9, -0.05, False),
        (0.9, -0.2, True),
        (0.0, -0.9, False),
    ],
)
def test_the_target_lies_inside_with_its_margin(exposure, target, offset_arcsec, margin, refused):
    """The chip's upper edge is 20 pixels of 0.05 arcsec from the target."""
    moved = TargetSettings(ra_deg=target.ra_deg, dec_deg=target.dec_deg + offset_arcsec / 3600)
    assert bool(reasons(exposure, moved, footprint_margin_arcsec=margin)) is refused


def test_the_reason_tells_how_far_outside(exposure, target):
    moved = TargetSettings(ra_deg=target.ra_deg, dec_deg=target.dec_deg + 2.0 / 3600)
    assert reasons(exposure, moved) == [
        "the target is 1.00 arcsec outside the footprint (footprint_margin_arcsec is 0)"
    ]


def test_great_distances_are_told_in_degrees(exposure):
    (reason,) = reasons(exposure, TargetSettings(ra_deg=150.1, dec_deg=-40.0))
    assert "42.20 deg outside" in reason


def test_without_a_position_the_footprint_does_not_matter(exposure):
    assert reasons(exposure) == []


@pytest.mark.parametrize("date", [{"after": "2021-01-01"}, {"before": "2020-01-01"}])
def test_all_reasons_are_listed_in_the_order_of_the_rules(exposure, date):
    bad = replace(exposure, expflag="INTERRUPTED", exptime_s=1.0, filter="F658N")
    found = reasons(
        bad,
        TargetSettings(ra_deg=0.0, dec_deg=0.0),
        only_filter=("F814W",),
        only_wide=True,
        **date,
    )
    words = [
        "EXPFLAG",
        "exposed",
        f"({next(iter(date))})",
        "(only_filter)",
        "(only_wide)",
        "footprint",
    ]
    assert [word in reason for word, reason in zip(words, found, strict=True)] == [True] * 6


def test_a_moving_target_is_no_reason(exposure_file):
    assert reasons(read_exposure(exposure_file(primary={"MTFLAG": "T"}))) == []
