from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import UnusableInput
from hst_assets.imaging.zero_point import rescale

FLAM, PIVOT = 1.1e-19, 5889.0
OWN = -2.5 * math.log10(FLAM) - 5 * math.log10(PIVOT) - 2.408


def product(**cards: object) -> tuple[dict[str, np.ndarray], dict[str, fits.Header]]:
    planes = {
        "SCI": np.array([[1.0, 20.0], [np.nan, -0.5]], np.float32),
        "WHT": np.array([[300.0, 310.0], [0.0, 290.0]], np.float32),
        "CTX": np.ones((2, 2), np.int32),
    }
    header = fits.Header()
    header.update({"PHOTFLAM": FLAM, "PHOTPLAM": PIVOT, "ZPAB": OWN, "ZPST": 26.3, "BUNIT": "E/S"})
    header.update({"GAIN": 1.0, "SKYMEAN": 0.04, **cards})
    return planes, {"PRIMARY": header, "SCI": header.copy(), "WHT": fits.Header()}


def scaled(zero_point: float = 25.0, weight_type: str = "EXP", **cards: object):
    planes, headers = product(**cards)
    return rescale(planes, headers, zero_point=zero_point, weight_type=weight_type), headers


def test_magnitudes_stay_and_the_zero_point_is_the_one_asked_for() -> None:
    planes, headers = scaled(25.0)
    before = OWN - 2.5 * math.log10(20.0)
    for header in (headers["PRIMARY"], headers["SCI"]):
        assert header["ZPAB"] == header["FIXZPT"] == 25.0
        magnitude = header["ZPAB"] - 2.5 * math.log10(planes["SCI"][0, 1])
        assert magnitude == pytest.approx(before, abs=1e-5)  # float32


def test_the_cards_agree_with_the_zero_point() -> None:
    _, headers = scaled(25.0)
    header = headers["SCI"]
    own = -2.5 * math.log10(header["PHOTFLAM"]) - 5 * math.log10(PIVOT) - 2.408
    assert own == pytest.approx(25.0, abs=1e-6)
    assert header["ZPST"] - header["ZPAB"] == pytest.approx(26.3 - OWN, abs=1e-5)
    assert header["BUNIT"] == "COUNTS/S"


def test_electrons_are_still_told() -> None:
    planes, headers = scaled(25.0)
    header = headers["PRIMARY"]
    assert planes["SCI"][0, 1] * header["GAIN"] == pytest.approx(20.0, rel=1e-6)
    assert header["SKYMEAN"] * header["GAIN"] == pytest.approx(0.04, rel=1e-6)
    assert header["FIXSCALE"] * header["GAIN"] == pytest.approx(1.0)


@pytest.mark.parametrize(("weight_type", "power"), [("EXP", 0), ("IVM", -2), ("ERR", -2)])
def test_weights_mean_what_they_meant(weight_type: str, power: int) -> None:
    """Times stay times; inverse variances are those of SCI as it is now."""
    planes, headers = scaled(25.0, weight_type)
    factor = headers["PRIMARY"]["FIXSCALE"] ** power
    assert planes["WHT"] == pytest.approx(product()[0]["WHT"] * factor, rel=1e-6)


def test_a_pixel_without_value_stays_without_and_the_context_is_the_same() -> None:
    planes, _ = scaled()
    assert np.isnan(planes["SCI"][1, 0])
    assert np.array_equal(planes["CTX"], product()[0]["CTX"])


def test_an_unknown_zero_point_cannot_be_fixed() -> None:
    planes, headers = product()
    del headers["PRIMARY"]["ZPAB"]
    with pytest.raises(UnusableInput, match="zero point is not known"):
        rescale(planes, headers, zero_point=25.0, weight_type="EXP")


def test_a_zero_point_beyond_all_floats_is_refused() -> None:
    with pytest.raises(UnusableInput, match="cannot be rescaled"), np.errstate(over="ignore"):
        scaled(200.0)
