from __future__ import annotations

import math

import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.imaging.cards import Input, product_headers, read_input
from hst_assets.imaging.frames import Frame
from hst_assets.imaging.parameters import parameters
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


def headers_of(*inputs: Input, extra=None, **settings: object) -> dict[str, fits.Header]:
    choices = DrizzleSettings(**settings)
    return product_headers(
        inputs,
        detector=UVIS,
        frame=FRAME,
        settings=choices,
        parameters=parameters(UVIS, len(inputs), choices),
        extra=extra or {},
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


def test_an_exposure_without_time_is_refused(tmp_path) -> None:
    path = tmp_path / "iaaa01a1q_flc.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="SCI")])
    hdus[0].header.update({"EXPTIME": 0.0, "EXPSTART": 57000.0})
    hdus.writeto(path)
    with pytest.raises(UnusableInput, match="EXPTIME"):
        read_input(path)
