import pytest
from astropy.io import fits

from hst_assets.exposures.header import read_exposure
from hst_assets.failures import UnusableInput


@pytest.mark.parametrize(
    ("key", "primary", "name", "elements"),
    [
        ("wfc3_uvis", {"FILTER": "F606W"}, "F606W", ("F606W",)),
        ("wfc3_uvis", {"FILTER": "FQ937N"}, "FQ937N", ("FQ937N",)),
        ("wfc3_uvis", {"FILTER": "f502n"}, "F502N", ("F502N",)),
        ("wfc3_ir", {"FILTER": "F110W"}, "F110W", ("F110W",)),
        ("acs_wfc", {"FILTER1": "CLEAR1L", "FILTER2": "F814W"}, "F814W", ("CLEAR1L", "F814W")),
        ("acs_wfc", {"FILTER1": "F502N", "FILTER2": "CLEAR2L"}, "F502N", ("F502N", "CLEAR2L")),
        ("acs_wfc", {"FILTER1": "CLEAR1L", "FILTER2": "FR914M"}, "FR914M", ("CLEAR1L", "FR914M")),
        (
            "acs_wfc",
            {"FILTER1": "CLEAR1L", "FILTER2": "FR914M", "LRFWAVE": 8600.0},
            "FR914M-8600",
            ("CLEAR1L", "FR914M"),
        ),
        (
            "wfpc2",
            {"FILTNAM1": "FR533N18", "FILTNAM2": "", "LRFWAVE": 5007.3},
            "FR533N18-5007",
            ("FR533N18",),
        ),
        ("acs_wfc", {"FILTER1": "F606W", "FILTER2": "CLEAR2L", "LRFWAVE": 0.0}, "F606W", None),
        ("wfpc2", {"FILTNAM1": "F160BN15", "FILTNAM2": ""}, "F160BN15", ("F160BN15",)),
        ("wfpc2", {"FILTNAM1": "F160AN15", "FILTNAM2": ""}, "F160AN15", ("F160AN15",)),
        ("acs_wfc", {"FILTER1": "F606W", "FILTER2": "POL0V"}, "F606W-POL0V", ("F606W", "POL0V")),
        (
            "acs_hrc",
            {"FILTER1": "POL60UV", "FILTER2": "F330W"},
            "F330W-POL60UV",
            ("POL60UV", "F330W"),
        ),
        ("wfpc2", {"FILTNAM1": "F170W", "FILTNAM2": ""}, "F170W", ("F170W",)),
        ("wfpc2", {"FILTNAM1": "F160BW", "FILTNAM2": ""}, "F160BW", ("F160BW",)),
        ("wfpc2", {"FILTNAM1": "", "FILTNAM2": "F814W"}, "F814W", ("F814W",)),
        ("wfpc2", {"FILTNAM1": "F675W", "FILTNAM2": "POLQ"}, "F675W-POLQ", ("F675W", "POLQ")),
        ("wfpc2", {"FILTNAM1": "FR533N18", "FILTNAM2": ""}, "FR533N18", ("FR533N18",)),
        ("wfpc2", {"FILTNAM1": "FQCH4N15", "FILTNAM2": ""}, "FQCH4N15", ("FQCH4N15",)),
    ],
)
def test_both_wheels_make_the_filter(exposure_file, key, primary, name, elements):
    exposure = read_exposure(exposure_file(key, primary=primary))
    assert exposure.filter == name
    assert elements is None or exposure.filter_elements == elements


def test_times_are_those_of_the_header(exposure_file):
    exposure = read_exposure(exposure_file(primary={"EXPSTART": 59000.5, "EXPEND": 59000.75}))
    assert (exposure.mjd_start, exposure.mjd_mid, exposure.mjd_end) == (
        59000.5,
        59000.625,
        59000.75,
    )


@pytest.mark.parametrize("missing", [None, 0.0, 0, "", "N/A"])
def test_without_expstart_the_dates_tell_the_time(exposure_file, missing):
    primary = {"EXPSTART": missing, "EXPEND": missing, "EXPTIME": 864.0}
    exposure = read_exposure(exposure_file(primary=primary))
    assert exposure.mjd_start == pytest.approx(59000.25, abs=1e-9)  # 2020-05-31 06:00
    assert exposure.mjd_end == pytest.approx(59000.26, abs=1e-9)


@pytest.mark.parametrize(
    ("primary", "reason"),
    [
        ({"EXPSTART": None, "DATE-OBS": None}, "keyword DATE-OBS is missing"),
        ({"EXPSTART": None, "DATE-OBS": "31/05/20"}, "DATE-OBS and TIME-OBS are not a date"),
    ],
)
def test_without_any_time_an_exposure_is_refused(exposure_file, primary, reason):
    with pytest.raises(UnusableInput, match=reason):
        read_exposure(exposure_file(primary=primary))


# Pixels of PHOTFLAM and PHOTPLAM of ACS/WFC F606W, and its zero points from the ACS calculator.
@pytest.mark.parametrize(
    ("key", "options", "subarray"),
    [
        ("acs_hrc", {"shape": (1024, 1024), "primary": {"SUBARRAY": False}}, False),
        ("acs_hrc", {"shape": (1024, 1024), "primary": {"SUBARRAY": True}}, True),
        ("acs_hrc", {"shape": (512, 512), "primary": {"SUBARRAY": None}}, True),
        ("acs_hrc", {"shape": (1024, 1024), "primary": {"SUBARRAY": "T"}}, True),
        ("wfpc2", {"shape": (800, 800), "n_chips": 4}, False),
        ("wfpc2", {"shape": (800, 800), "n_chips": 1}, True),
    ],
)
def test_subarrays_are_known(exposure_file, key, options, subarray):
    assert read_exposure(exposure_file(key, **options)).subarray is subarray


@pytest.mark.parametrize(
    ("primary", "notes"),
    [
        ({}, ()),
        ({"MTFLAG": "T"}, ("moving target",)),
        ({"MTFLAG": True}, ("moving target",)),
        ({"MTFLAG": "F"}, ()),
        ({"FGSLOCK": "GYROS"}, ("guiding GYROS",)),
        ({"QUALITY": "lock lost"}, ("quality comment lock lost",)),
        ({"QUALITY": "OK"}, ()),
    ],
)
def test_circumstances_are_noted(exposure_file, primary, notes):
    assert read_exposure(exposure_file("wfc3_ir", primary=primary)).notes == notes


@pytest.mark.parametrize(
    ("primary", "lock", "quality"),
    [
        ({"FGSLOCK": "fine", "QUALITY": "OK"}, "FINE", ""),
        ({"FGSLOCK": None, "QUALITY": None}, "", ""),
        (
            {"FGSLOCK": "FINE/GYRO", "QUALITY": " GSFAIL; DEGRADED "},
            "FINE/GYRO",
            "GSFAIL; DEGRADED",
        ),
        ({"QUALITY": "N/A"}, "FINE", ""),
    ],
)
def test_guiding_is_read(exposure_file, primary, lock, quality):
    exposure = read_exposure(exposure_file(primary=primary))
    assert (exposure.fgslock, exposure.quality) == (lock, quality)


def test_a_missing_expflag_is_empty(exposure_file):
    assert read_exposure(exposure_file(primary={"EXPFLAG": None})).expflag == ""


def test_without_target_position_the_field_centre_stands_in(exposure_file, field_position):
    exposure = read_exposure(exposure_file(primary={"RA_TARG": None, "DEC_TARG": None}))
    assert (exposure.ra_target_deg, exposure.dec_target_deg) == pytest.approx(field_position)


def test_each_file_is_opened_once(exposure_file, monkeypatch):
    path = exposure_file("acs_wfc", n_chips=2)
    opened = []
    original = fits.open

    def counting(name, *args, **options):
        opened.append(name)
        return original(name, *args, **options)

    monkeypatch.setattr(fits, "open", counting)
    read_exposure(path)
    assert len(opened) == 1


def test_reading_leaves_no_trace(exposure_file):
    path = exposure_file()
    path.chmod(0o444)
    before = path.read_bytes(), path.stat().st_mtime_ns
    read_exposure(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UnusableInput, match="cannot be read as FITS"):
        read_exposure(tmp_path / "iaaa01abq_flc.fits")


@pytest.mark.parametrize(
    ("key", "primary", "science", "said"),
    [
        ("acs_hrc", {}, {"BUNIT": "COUNTS/S"}, "BUNIT is COUNTS/S, not ELECTRONS"),
        ("wfc3_uvis", {}, {"BUNIT": "ELECTRONS/S"}, "BUNIT is ELECTRONS/S, not ELECTRONS"),
        ("wfc3_ir", {}, {"BUNIT": "ELECTRONS"}, "BUNIT is ELECTRONS, not ELECTRONS/S"),
        ("wfpc2", {}, {"BUNIT": "COUNTS/S"}, "BUNIT is COUNTS/S, not COUNTS"),
        ("acs_hrc", {"TARGNAME": "DARK-EARTH-CALIB"}, {}, "an image of the Earth"),
        ("acs_wfc", {"FILTER1": "FR656N"}, {}, "LRFWAVE is missing: the passband of FR656N"),
        ("acs_wfc", {"FILTER1": "FR656N", "LRFWAVE": 0.0}, {}, "LRFWAVE is missing"),
        ("wfpc2", {"FILTNAM1": "FQUVN"}, {}, "FQUVN is another filter or polarizer"),
        ("wfpc2", {"FILTNAM1": "FQCH4P15"}, {}, "FQCH4P15 is another filter or polarizer"),
        ("wfpc2", {"FILTNAM2": "POLQN33"}, {}, "POLQN33 is another filter or polarizer"),
        ("wfc3_uvis", {"FILTER": "FQ575N"}, {"CCDCHIP": 1}, "no pixel was read behind FQ575N"),
    ],
)
def test_what_would_make_numbers_wrong_is_a_fault(exposure_file, key, primary, science, said):
    exposure = read_exposure(exposure_file(key, primary=primary, science=science))
    (fault,) = exposure.faults
    assert said in fault


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        ("acs_hrc", "electrons"),
        ("acs_hrc", None),
        ("wfc3_ir", "ELECTRONS/SEC"),
        ("wfc3_ir", "electron s-1"),
        ("wfpc2", "DN"),
        ("wfpc2", " "),
    ],
)
def test_units_in_other_spellings_are_no_fault(exposure_file, key, unit):
    assert read_exposure(exposure_file(key, science={"BUNIT": unit})).faults == ()


@pytest.mark.real_data
def test_real_exposures_have_no_fault(real_data):
    paths = [*real_data.glob("*/*_fl?.fits"), *real_data.glob("*/*_c0m.fits")]
    paths = [path for path in paths if path.parent.name != "headers_only"]
    assert len(paths) == 14
    assert {path.name: read_exposure(path).faults for path in paths} == {
        path.name: () for path in paths
    }


@pytest.mark.parametrize(
    ("key", "primary", "note"),
    [
        ("acs_hrc", {}, "CTE losses are not corrected"),
        ("wfpc2", {}, "CTE losses are not corrected"),
        ("wfc3_uvis", {"PCTECORR": "COMPLETE"}, None),
        ("acs_wfc", {"PCTECORR": "OMIT"}, "CTE losses are not corrected"),
        ("acs_wfc", {"PCTECORR": None}, "CTE correction not checked: PCTECORR is missing"),
        ("wfc3_ir", {"PCTECORR": "OMIT"}, None),
    ],
)
def test_losses_of_charge_are_noted_where_nothing_corrects_them(exposure_file, key, primary, note):
    notes = read_exposure(exposure_file(key, primary=primary)).notes
    assert [text for text in notes if "CTE" in text] == ([note] if note else [])
