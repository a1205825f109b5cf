from __future__ import annotations

import math
from dataclasses import replace

import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.imaging.astrodrizzle.cards import product_headers
from hst_assets.imaging.astrodrizzle.input_headers import Input, read_input
from hst_assets.imaging.astrodrizzle.parameters import parameters
from hst_assets.imaging.frames import Frame
from hst_assets.settings import DrizzleSettings

UVIS = DETECTORS["wfc3_uvis"]
FRAME = Frame(150.0, 2.0, 0.04, 220, 200, 110, 100)
FLAM, PIVOT = 1.1e-19, 5889.0


def exposure(rootname: str, exptime: float, start: float, **cards: object) -> Input:
    primary = fits.Header()
    primary.update({"INSTRUME": "WFC3", "DETECTOR": "UVIS", "FILTER": "F606W", "TARGNAME": "SN"})
    for key, value in cards.items():
        primary[f"HIERARCH {key.replace('__', ' ')}" if "__" in key else key] = value
    science = fits.Header()
    science.update({"PHOTFLAM": FLAM, "PHOTPLAM": PIVOT, "WCSNAME": "TWEAK"})
    return Input(
        f"{rootname}_flc.fits", rootname, primary, science, exptime, start, start + exptime / 86400
    )


def headers_of(
    *inputs: Input, extra=None, detector=UVIS, skies=None, **settings: object
) -> dict[str, fits.Header]:
    choices = DrizzleSettings(**settings)
    return product_headers(
        inputs,
        detector=detector,
        frame=FRAME,
        settings=choices,
        parameters=parameters(detector, len(inputs), choices),
        extra=extra or {},
        skies=skies,
    )


ONE = exposure("iaaa01a1q", 100.0, 57000.0)
TWO = exposure("iaaa01a2q", 300.0, 57001.0)


def test_times_are_those_of_all_exposures() -> None:
    primary = headers_of(TWO, ONE)["PRIMARY"]
    assert primary["EXPTIME"] == 400.0
    assert primary["DATE-OBS"] == "2014-12-09"
    assert primary["EXPSTART"] == 57000.0
    assert primary["EXPEND"] == pytest.approx(57001.0 + 300 / 86400)
    middle = (100 * (57000 + 50 / 86400) + 300 * (57001 + 150 / 86400)) / 400
    assert primary["MJD-AVG"] == pytest.approx(middle, abs=1e-9)


def test_inputs_are_named() -> None:
    primary = headers_of(ONE, TWO)["PRIMARY"]
    assert (primary["NINPUT"], primary["INPUT001"], primary["INPUT002"]) == (
        2,
        "iaaa01a1q",
        "iaaa01a2q",
    )


@pytest.mark.parametrize(("units", "exposed"), [("cps", 0.0), ("counts", 2.5 * math.log10(400))])
def test_the_zero_point_belongs_to_the_units(units: str, exposed: float) -> None:
    headers = headers_of(ONE, TWO, units=units)
    expected = -2.5 * math.log10(FLAM) - 5 * math.log10(PIVOT) - 2.408 + exposed
    assert headers["SCI"]["ZPAB"] == pytest.approx(expected, abs=1e-4)
    assert headers["SCI"]["PHOTFLAM"] == FLAM
    assert headers["SCI"]["BUNIT"] == ("ELECTRONS/S" if units == "cps" else "ELECTRONS")


def test_cards_that_differ_between_exposures_are_not_handed_on() -> None:
    one = exposure("iaaa01a1q", 100.0, 57000.0, PROPOSID=1, PA_V3=40.0)
    two = exposure("iaaa01a2q", 100.0, 57000.1, PROPOSID=1, PA_V3=41.0)
    primary = headers_of(one, two)["PRIMARY"]
    assert primary["PROPOSID"] == 1
    assert "PA_V3" not in primary


@pytest.mark.parametrize(
    ("first", "second", "ok", "status"),
    [("PASS", "PASS", True, "PASS"), ("PASS", "FAIL", False, "MIXED")],
)
def test_the_alignment_is_told(first: str, second: str, ok: bool, status: str) -> None:
    inputs = [
        exposure(
            f"iaaa01a{number}q",
            100.0,
            57000.0 + number,
            HST123__ALIGNST=verdict,
            HST123__ALIGNOK=verdict == "PASS",
            HST123__ALIGNMT="tweakreg",
        )
        for number, verdict in enumerate((first, second))
    ]
    primary = headers_of(*inputs)["PRIMARY"]
    assert primary["HST123 ALIGNOK"] is ok
    assert primary["HST123 ALIGNST"] == status
    assert primary["HST123 ALIGNMT"] == "tweakreg"


def test_exposures_that_say_nothing_of_their_alignment_are_told() -> None:
    primary = headers_of(ONE, TWO)["PRIMARY"]
    assert primary["HST123 ALIGNOK"] is False
    assert primary["HST123 ALIGNST"] == "NONE"
    assert primary["HST123 ALIGNNX"] == "2 NONE"


def test_a_skipped_alignment_is_told_and_counted() -> None:
    inputs = [
        exposure(f"iaaa01a{n}q", 100.0, 57000.0 + n, HST123__ALIGNST=verdict)
        for n, verdict in enumerate(("SKIPPED", "PASS", "SKIPPED"))
    ]
    primary = headers_of(*inputs)["PRIMARY"]
    assert primary["HST123 ALIGNST"] == "MIXED"
    assert primary["HST123 ALIGNNX"] == "1 PASS, 2 SKIPPED"
    assert headers_of(inputs[0])["PRIMARY"]["HST123 ALIGNST"] == "SKIPPED"


def test_what_the_caller_says_of_the_alignment_stands() -> None:
    extra = {"HIERARCH HST123 ALIGNST": ["PASS", ""], "HIERARCH HST123 ALIGNOK": [True, ""]}
    primary = headers_of(ONE, extra=extra)["PRIMARY"]
    assert (primary["HST123 ALIGNST"], primary["HST123 ALIGNOK"]) == ("PASS", True)


def with_chips(item: Input, *chips: dict[str, object]) -> Input:
    headers = []
    for number, cards in enumerate(chips, start=1):
        header = item.science.copy()
        header.update({"EXTVER": number, **cards})
        headers.append(header)
    return replace(item, chips=tuple(headers))


def test_the_chip_behind_each_bit_of_the_context_is_named() -> None:
    one = with_chips(ONE, {"IDCSCALE": 0.0396}, {"IDCSCALE": 0.0455})
    primary = headers_of(one, with_chips(TWO, {}))["PRIMARY"]
    assert [primary[f"D{n:03d}DATA"] for n in (1, 2, 3)] == [
        "iaaa01a1q[sci,1]",
        "iaaa01a1q[sci,2]",
        "iaaa01a2q[sci,1]",
    ]
    assert [primary[f"D{n:03d}DEXP"] for n in (1, 2, 3)] == [100.0, 100.0, 300.0]
    assert [primary[f"D{n:03d}ISCL"] for n in (1, 2, 3)] == [
        0.0396,
        0.0455,
        UVIS.flat_scales_arcsec[0],
    ]


def test_calibrations_that_differ_are_told() -> None:
    one = exposure("iaaa01a1q", 100.0, 57000.0, CAL_VER="3.7.1", IMPHTTAB="iref$a_imp.fits")
    two = exposure("iaaa01a2q", 100.0, 57000.1, CAL_VER="3.3", IMPHTTAB="iref$a_imp.fits")
    primary = headers_of(one, two)["PRIMARY"]
    assert (primary["CAL_VER"], primary["IMPHTTAB"]) == ("MIXED", "iref$a_imp.fits")
    assert headers_of(one, ONE)["PRIMARY"]["IMPHTTAB"] == "MIXED"


@pytest.mark.parametrize(
    ("key", "switches", "state"),
    [
        ("wfc3_uvis", ("COMPLETE", "COMPLETE"), "COMPLETE"),
        ("wfc3_uvis", ("COMPLETE", "OMIT"), "MIXED"),
        ("wfc3_uvis", ("", ""), "UNKNOWN"),
        ("acs_hrc", ("COMPLETE", "COMPLETE"), "OMIT"),
        ("wfc3_ir", ("OMIT", "OMIT"), None),
    ],
)
def test_corrected_losses_of_charge_are_told(key: str, switches: tuple, state: str | None) -> None:
    filters = {"FILTER": "F110W" if key == "wfc3_ir" else "F606W", "FILTER1": "F606W"}
    inputs = [
        exposure(f"iaaa01a{number}q", 100.0, 57000.0, PCTECORR=switch, **filters)
        for number, switch in enumerate(switches)
    ]
    primary = headers_of(*inputs, detector=DETECTORS[key])["PRIMARY"]
    if state is None:
        assert "CTE losses" not in primary.comments["PCTECORR"]
    else:
        assert primary["PCTECORR"] == state


def test_the_noise_is_told_from_the_headers() -> None:
    """Only the amplifiers that were read count; the dark current is per second."""
    amplifiers = {"CCDAMP": "AC", "READNSEA": 3.0, "READNSEB": 9.0, "READNSEC": 3.2}
    one = exposure("iaaa01a1q", 100.0, 57000.0, **amplifiers)
    skies = {one.file: {1: 4.0}}
    primary = headers_of(with_chips(one, {"MEANDARK": 0.2}), skies=skies)["PRIMARY"]
    assert primary["RDNOISE"] == pytest.approx(3.1)
    assert primary["DARKCUR"] == pytest.approx(0.002)
    assert (primary["GAIN"], primary["SKYMEAN"]) == (1.0, 0.04)
    assert primary["D001BVAR"] == pytest.approx(4.0 + 0.2 + 3.1**2)


def test_amplifiers_without_a_figure_leave_it_to_the_registry() -> None:
    one = exposure("iaaa01a1q", 100.0, 57000.0, CCDAMP="C", READNSEC=0.0)
    assert headers_of(one)["PRIMARY"]["RDNOISE"] == UVIS.read_noise_e


def test_the_reads_of_an_unknown_infrared_ramp_are_the_registrys() -> None:
    ir = DETECTORS["wfc3_ir"]
    one = exposure("iaaa01a1q", 100.0, 57000.0, FILTER="F110W", READNSEA=20.2, READNSEB=20.0)
    assert headers_of(one, detector=ir)["PRIMARY"]["RDNOISE"] == ir.read_noise_e


@pytest.mark.parametrize(("atodgain", "gain"), [(7.0, 7.06), (15.0, 14.10)])
def test_dn_have_the_gain_that_was_in_use(atodgain: float, gain: float) -> None:
    cards = {"ATODGAIN": atodgain, "FILTNAM1": "F606W"}
    one = exposure("u2aa0101t", 100.0, 50000.0, **cards)
    primary = headers_of(one, detector=DETECTORS["wfpc2"])["PRIMARY"]
    assert primary["GAIN"] == gain
    assert primary["RDNOISE"] > 5.0


def test_a_sky_of_one_exposure_is_not_handed_on_as_the_products() -> None:
    one = exposure("iaaa01a1q", 100.0, 57000.0, MDRIZSKY=20.0)
    assert "MDRIZSKY" not in headers_of(one)["PRIMARY"]


@pytest.mark.parametrize(
    ("weight", "unit"), [("EXP", "s"), ("IVM", "UNITLESS"), ("ERR", "UNITLESS")]
)
def test_every_plane_has_a_unit_and_the_name_of_its_wcs(weight: str, unit: str) -> None:
    headers = headers_of(ONE, TWO, weight_type=weight)
    assert headers["WHT"]["BUNIT"] == unit
    assert headers["CTX"]["BUNIT"] == "UNITLESS"
    assert {headers[name]["WCSNAME"] for name in ("SCI", "WHT", "CTX", "ERR", "DQ")} == {"TWEAK"}


def test_the_object_is_the_users() -> None:
    assert headers_of(ONE, object_name="2013fy27")["PRIMARY"]["TARGNAME"] == "2013fy27"


def test_the_same_exposures_give_the_same_cards() -> None:
    assert headers_of(ONE, TWO)["PRIMARY"].tostring() == headers_of(ONE, TWO)["PRIMARY"].tostring()


def test_the_headers_are_legal_fits() -> None:
    headers = headers_of(ONE, TWO, extra={"RECIPE": ["a" * 64, "much too long a comment"]})
    hdus = fits.HDUList([fits.PrimaryHDU(header=headers["PRIMARY"])])
    for name in ("SCI", "WHT", "CTX"):
        hdus.append(fits.ImageHDU(header=headers[name], name=name))
    hdus.verify("exception")
    assert hdus[0].header["RECIPE"] == "a" * 64


def test_a_start_of_zero_is_that_of_the_dates(tmp_path) -> None:
    """Half a day after the start of MJD 57000."""
    path = tmp_path / "iaaa01a1q_flc.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="SCI")])
    times = {"EXPTIME": 864.0, "EXPSTART": 0.0, "DATE-OBS": "2014-12-09", "TIME-OBS": "12:00:00"}
    hdus[0].header.update(times)
    hdus.writeto(path)
    found = read_input(path)
    assert (found.start_mjd, found.end_mjd) == pytest.approx((57000.5, 57000.51), abs=1e-8)


def test_an_exposure_without_time_is_refused(tmp_path) -> None:
    path = tmp_path / "iaaa01a1q_flc.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="SCI")])
    hdus[0].header.update({"EXPTIME": 0.0, "EXPSTART": 57000.0})
    hdus.writeto(path)
    with pytest.raises(UnusableInput, match="EXPTIME"):
        read_input(path)
