import math

import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.exposures.header import read_exposure
from hst_assets.exposures.photometry import (
    Calibration,
    ab_zero_point,
    calibration_of,
    odd_ones_out,
    photometry_of,
    st_zero_point,
)

#: Primary header (wheels), detector, PHOTMODE as archive files have it.
THEIR_OWN = [
    ("acs_hrc", {"FILTER1": "F606W", "FILTER2": "CLEAR2S"}, "ACS HRC F606W"),
    ("acs_wfc", {"FILTER1": "F606W", "FILTER2": "CLEAR2L"}, "ACS WFC1 F606W MJD#53000.0"),
    ("acs_wfc", {"FILTER1": "CLEAR1L", "FILTER2": "F814W"}, "ACS,WFC2,F814W"),
    ("acs_wfc", {"FILTER1": "F606W", "FILTER2": "POL0V"}, "ACS WFC1 POL_V F606W"),
    (
        "acs_wfc",
        {"FILTER1": "CLEAR1L", "FILTER2": "FR656N", "LRFWAVE": 6560.0},
        "ACS WFC1 FR656N#6560",
    ),
    ("wfc3_uvis", {"FILTER": "F350LP"}, "WFC3 UVIS2 F350LP MJD#58270.9554"),
    ("wfc3_uvis", {"FILTER": "FQ575N"}, "WFC3 UVIS2 FQ575N"),
    ("wfc3_ir", {"FILTER": "F130N"}, "WFC3 IR F130N"),
    ("wfpc2", {"FILTNAM1": "F555W", "FILTNAM2": ""}, "WFPC2,1,A2D7,F555W,,CAL"),
    ("wfpc2", {"FILTNAM1": "FR533N18", "LRFWAVE": 5007.0}, "WFPC2,3,A2D7,LRF#5007.0,,CAL"),
    ("wfpc2", {"FILTNAM1": "F160BN15"}, "WFPC2,4,A2D7,F160BW,,CAL"),
]


def photometry(key, primary, mode, flam=1e-19, plam=6000.0):
    science = {"PHOTMODE": mode, "PHOTFLAM": flam, "PHOTPLAM": plam}
    return photometry_of(science, primary, DETECTORS[key])


@pytest.mark.parametrize(("key", "primary", "mode"), THEIR_OWN)
def test_a_photmode_of_the_exposure_itself_is_believed(key, primary, mode):
    found = photometry(key, primary, mode)
    assert (found.fault, found.unchecked, found.flam) == ("", "", 1e-19)


@pytest.mark.parametrize(
    ("key", "primary", "mode", "said"),
    [
        ("acs_hrc", {"FILTER1": "F555W"}, "ACS HRC F606W", "ACS HRC F606W, the filter F555W"),
        ("acs_hrc", {"FILTER1": "F606W"}, "ACS WFC1 F606W", "the exposure is of ACS/HRC"),
        ("wfc3_uvis", {"FILTER": "F606W"}, "ACS WFC1 F606W", "the exposure is of WFC3/UVIS"),
        ("acs_wfc", {"FILTER1": "F606W", "FILTER2": "POL0V"}, "ACS WFC1 F606W", "with POL0V"),
        (
            "acs_wfc",
            {"FILTER2": "FR656N", "LRFWAVE": 6710.0},
            "ACS WFC1 FR656N#6560.0",
            "LRFWAVE 6710",
        ),
        ("wfpc2", {"FILTNAM1": "F555W"}, "WFPC2,1,A2D7,F814W,,CAL", "the filter F555W"),
    ],
)
def test_a_zero_point_of_another_passband_is_none(key, primary, mode, said):
    found = photometry(key, primary, mode)
    assert said in found.fault
    assert math.isnan(found.flam)
    assert math.isnan(found.plam)


@pytest.mark.parametrize(
    ("flam", "plam", "said"),
    [
        (0.0, 6000.0, "PHOTFLAM missing"),
        ("N/A", 6000.0, "PHOTFLAM missing"),
        (-1e-19, 6000.0, "PHOTFLAM missing"),
        (1e-19, 0.0, "PHOTPLAM missing"),
        (None, None, "PHOTFLAM and PHOTPLAM missing"),
    ],
)
def test_a_missing_figure_is_named(flam, plam, said):
    found = photometry("wfc3_uvis", {"FILTER": "F606W"}, "WFC3 UVIS1 F606W", flam, plam)
    assert found.fault == said


@pytest.mark.parametrize("mode", ["", "N/A", "WFC3 UVIS1", ",,,"])
def test_what_names_no_filter_is_not_checked(mode):
    found = photometry("wfc3_uvis", {"FILTER": "F606W"}, mode)
    assert found.flam == 1e-19
    assert found.unchecked


@pytest.mark.real_data
def test_the_zero_point_of_another_filter_on_a_real_exposure(real_data):
    """Its wheels say F555W, its PHOTMODE, PHOTFLAM and PHOTPLAM are those of F606W."""
    exposure = read_exposure(real_data / "acs_hrc_47tuc" / "j8bt05njq_flt.fits")
    assert math.isnan(exposure.chips[0].zp_ab)
    assert "no zero point: PHOTMODE is ACS HRC F606W, the filter F555W" in exposure.notes


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "zp_ab"),
    [
        ("acs_hrc_47tuc/j8bt06nyq_flt.fits", 25.97),
        ("wfc3_uvis_2013fy27/idsj02axq_flc.fits", 26.96),
        ("wfc3_ir_gj1214/ibxy01z8q_flt.fits", 22.98),
        ("wfpc2_omegacen/u40x010hm_c0m.fits", 22.56),
    ],
)
def test_zero_points_of_other_real_exposures_are_their_own(real_data, name, zp_ab):
    """By -2.5 log10 PHOTFLAM - 5 log10 PHOTPLAM - 2.408 on paper, rounded."""
    exposure = read_exposure(real_data / name)
    assert exposure.chips[0].zp_ab == pytest.approx(zp_ab, abs=0.01)
    assert not [note for note in exposure.notes if "zero point" in note]


# ------------------------------------------------------------------------------ calibration

NEW, OLD = Calibration("51c1638pi_imp.fits", "3.7.1"), Calibration("4af1533ai_imp.fits", "3.5.2")


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        (NEW, NEW, True),
        (NEW, OLD, False),
        (NEW, Calibration("51c1638pi_imp.fits", "3.6.2"), True),
        (NEW, Calibration("", "3.7.1"), False),
        (Calibration("", "3.7.1"), Calibration("", "3.7.1"), True),
        (Calibration("", ""), Calibration("", ""), False),
        (Calibration("MIXED", "3.7.1"), Calibration("MIXED", "3.7.1"), False),
    ],
)
def test_sensitivities_compare_within_one_table(one, other, agree):
    assert one.agrees_with(other) is agree
    assert other.agrees_with(one) is agree


def test_the_table_is_named_without_its_folder():
    primary = {"IMPHTTAB": "iref$51c1638pi_imp.fits", "CAL_VER": "3.7.1 (Oct-18-2023)"}
    assert calibration_of(primary).table == "51c1638pi_imp.fits"
    older = {"IMPHTTAB": "N/A", "GRAPHTAB": "mtab$a_tmg.fits", "COMPTAB": "mtab$b_tmc.fits"}
    assert calibration_of(older).table == "a_tmg.fits b_tmc.fits"


@pytest.mark.parametrize(("switch", "ratio"), [("COMPLETE", 1.04), ("OMIT", math.nan)])
def test_the_ratio_of_the_chips_counts_where_it_was_applied(switch, ratio):
    primary = {"FLUXCORR": switch, "PHTRATIO": 1.04}
    assert calibration_of(primary).ratio == pytest.approx(ratio, nan_ok=True)


def test_the_exposure_of_another_version_is_found():
    notes = odd_ones_out([NEW] * 7 + [OLD])
    assert notes[:7] == [""] * 7
    assert "CAL_VER 3.5.2, of most others 3.7.1" in notes[7]
    assert "4af1533ai_imp.fits, of most others 51c1638pi_imp.fits" in notes[7]


F606W = {"PHOTFLAM": 7.8625e-20, "PHOTPLAM": 5921.9}


def test_zero_points_are_those_of_the_handbook():
    # STScI's zero-point calculator for ACS/WFC F606W gives AB 26.49 and ST 26.66 (rounded here).
    assert ab_zero_point(*F606W.values()) == pytest.approx(26.49, abs=0.01)
    assert st_zero_point(F606W["PHOTFLAM"]) == pytest.approx(26.66, abs=0.01)


@pytest.mark.parametrize(("photflam", "photplam"), [(0.0, 6000.0), (math.nan, 6000.0), (-1.0, 1.0)])
def test_without_sensitivity_there_is_no_zero_point(photflam, photplam):
    assert math.isnan(ab_zero_point(photflam, photplam))
    assert math.isnan(st_zero_point(photflam))


def test_each_chip_has_its_own_zero_point(exposure_file):
    def edit(hdus):
        hdus["SCI", 2].header["PHOTFLAM"] = 2e-19

    exposure = read_exposure(exposure_file("acs_wfc", n_chips=2, edit=edit))
    first, second = (chip.zp_ab for chip in exposure.chips)
    assert first - second == pytest.approx(2.5 * math.log10(2))


def test_the_primary_header_may_hold_the_sensitivity(exposure_file):
    missing = {"PHOTFLAM": None, "PHOTPLAM": None}
    exposure = read_exposure(exposure_file(primary=F606W, science=missing))
    assert exposure.chips[0].zp_ab == pytest.approx(ab_zero_point(*F606W.values()))


def test_an_exposure_without_sensitivity_is_read_all_the_same(exposure_file):
    path = exposure_file(science={"PHOTFLAM": None, "PHOTPLAM": None})
    assert math.isnan(read_exposure(path).chips[0].zp_ab)
