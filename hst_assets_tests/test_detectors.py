import pytest

from hst_assets.detectors import DETECTORS, detector_for
from hst_assets.failures import UnusableInput
from hst_assets.filter_names import is_wide

# The filters that hst123 1.1.0 accepts for any instrument.
HST123_FILTERS = [
    "F098M",
    "F1042M",
    "F105W",
    "F110W",
    "F122M",
    "F125W",
    "F126N",
    "F127M",
    "F128N",
    "F130N",
    "F132N",
    "F139M",
    "F140W",
    "F153M",
    "F160BW",
    "F160W",
    "F164N",
    "F167N",
    "F185W",
    "F200LP",
    "F218W",
    "F220W",
    "F225W",
    "F250W",
    "F255W",
    "F275W",
    "F280N",
    "F300W",
    "F300X",
    "F330W",
    "F336W",
    "F343N",
    "F344N",
    "F350LP",
    "F373N",
    "F375N",
    "F380W",
    "F390M",
    "F390N",
    "F390W",
    "F395N",
    "F410M",
    "F435W",
    "F437N",
    "F438W",
    "F439W",
    "F450W",
    "F467M",
    "F469N",
    "F475W",
    "F475X",
    "F487N",
    "F547M",
    "F550M",
    "F555W",
    "F569W",
    "F588N",
    "F600LP",
    "F606W",
    "F621M",
    "F622W",
    "F625W",
    "F631N",
    "F645N",
    "F656N",
    "F657N",
    "F658N",
    "F660N",
    "F665N",
    "F673N",
    "F675W",
    "F680N",
    "F689M",
    "F702W",
    "F763M",
    "F775W",
    "F785LP",
    "F791W",
    "F814W",
    "F845M",
    "F850LP",
    "F892N",
    "F953N",
]


@pytest.mark.parametrize(
    ("instrument", "detector", "key"),
    [
        ("WFC3", "UVIS", "wfc3_uvis"),
        ("WFC3", "IR", "wfc3_ir"),
        ("ACS", "WFC", "acs_wfc"),
        ("acs ", " hrc", "acs_hrc"),
        ("WFPC2", "", "wfpc2"),
        ("WFPC2", None, "wfpc2"),
        ("WFPC2", "1", "wfpc2"),
    ],
)
def test_headers_find_their_row(instrument, detector, key):
    assert detector_for(instrument, detector).key == key


@pytest.mark.parametrize(
    ("instrument", "detector"),
    [("ACS", "SBC"), ("STIS", "CCD"), ("NICMOS", None), ("COS", "FUV"), ("", ""), ("WFC3", None)],
)
def test_other_detectors_are_refused_with_the_supported_ones(instrument, detector):
    with pytest.raises(UnusableInput, match=r"not supported\. Supported: .*ACS/HRC.*WFPC2"):
        detector_for(instrument, detector)


@pytest.mark.parametrize("key", list(DETECTORS))
def test_every_row_is_consistent(key):
    row = DETECTORS[key]
    assert row.key == key
    assert row.suffix == {"wfc3_uvis": "flc", "acs_wfc": "flc", "wfpc2": "c0m"}.get(key, "flt")
    assert row.has_separate_dq == (key == "wfpc2")
    assert row.is_infrared == (key == "wfc3_ir") == row.rate_units
    assert row.clean_cosmic_rays == (not row.is_infrared)
    # WFPC2 drizzles with saturated pixels (1032 = 1024 + 8), as its handbook does.
    assert (row.drizzle_good_bits & row.dq_saturated != 0) == (key == "wfpc2")
    assert row.dq_bad & row.dq_cosmic_ray == 0


@pytest.mark.parametrize("name", HST123_FILTERS)
def test_every_filter_of_hst123_is_known(name):
    assert any(row.images_with(name) for row in DETECTORS.values())


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("wfc3_uvis", "F502N FQ232N FQ937N F953N F200LP f606w"),
        ("wfc3_ir", "F098M F160W F167N"),
        ("acs_wfc", "F502N FR388N FR1016N FR914M POL0V POL120UV F892N"),
        ("acs_hrc", "F220W F330W F344N FR388N FR914M POL60UV"),
        ("wfpc2", "F160BW F170W F502N F1042M FR418N FR868P15 FQUVN FQCH4N15 POLQ POLQN33"),
    ],
)
def test_filters_that_others_drop_are_known(key, names):
    assert all(DETECTORS[key].images_with(name) for name in names.split())


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("wfc3_uvis", "G280 F160W F435W FQ999N F606"),
        ("wfc3_ir", "G102 G141 BLANK F606W"),
        ("acs_wfc", "G800L F220W FR999N POL0"),
        ("acs_hrc", "PR200L G800L FR388 FR423N"),
        ("wfpc2", "F105W FR999 PRISM"),
    ],
)
def test_what_is_no_imaging_filter_of_the_detector_is_not(key, names):
    assert not any(DETECTORS[key].images_with(name) for name in names.split())


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        (("CLEAR1L", "F814W"), "F814W"),
        (("F502N", "CLEAR2L"), "F502N"),
        ((" f606w ", ""), "F606W"),
        (("POL0V", "F606W"), "F606W-POL0V"),
        (("F606W", "N/A"), "F606W"),
    ],
)
def test_the_filter_is_made_of_both_wheels(elements, name):
    assert DETECTORS["acs_wfc"].filter_of(elements) == name


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        (("CLEAR1L", "CLEAR2L"), "no filter in the wheels of ACS/WFC"),
        ((), "no filter in the wheels"),
        (("G800L", "CLEAR2L"), "G800L is not an imaging filter of ACS/WFC"),
    ],
)
def test_wheels_without_imaging_filter_are_refused(elements, reason):
    with pytest.raises(UnusableInput, match=reason):
        DETECTORS["acs_wfc"].filter_of(elements)


@pytest.mark.parametrize(
    ("name", "wide"),
    [("F606W", True), ("F475X", True), ("F850LP", True), ("F160BW", True), ("f606w-pol0v", True),
     ("F658N", False), ("F098M", False), ("FR914M", False), ("FQ232N", False)],
)  # fmt: skip
def test_wide_filters(name, wide):
    assert is_wide(name) is wide


def test_bands_name_products():
    assert DETECTORS["acs_wfc"].band("F606W-POL0V") == "acs_wfc.f606w-pol0v"
