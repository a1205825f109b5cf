"""Flags and pixel areas in the pixels, and limits beside them."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.failures import UnusableInput
from hst_assets.photometry.dolphot.detector_rules import RULES
from hst_assets.photometry.dolphot.masks import MaskedImage, mask_chip, mask_drizzled

HEADER = {"GOODMIN": -10.0, "GOODMAX": 1000.0}


def masked(key: str, flag: int, value: float = 50.0, **options: object) -> tuple[str, MaskedImage]:
    """What becomes of one pixel with this flag and value, and the chip."""
    data = np.full((4, 5), 50.0, dtype=np.float32)
    flags = np.zeros((4, 5), dtype=np.int16)
    data[1, 2], flags[1, 2] = value, flag
    header = {"RSDPFILL": -100, "SATURATE": 4095} if key == "wfpc2" else HEADER
    found = mask_chip(data, flags, np.ones((4, 5)), header, RULES[key], **options)
    pixel = found.data[1, 2]
    if pixel >= found.max_value:
        return "saturated", found
    return ("good" if pixel > found.min_value else "bad"), found


@pytest.mark.parametrize(
    ("key", "flags"),
    [
        ("wfc3_uvis", {256: "saturated", 2048: "saturated", 64: "good", 512: "bad", 4096: "bad"}),
        ("wfc3_ir", {256: "saturated", 2048: "bad", 512: "good", 1024: "good", 8192: "bad"}),
        ("acs_wfc", {256: "saturated", 2048: "saturated", 64: "good", 1024: "bad", 8192: "bad"}),
        ("acs_hrc", {256: "saturated", 128: "bad", 64: "good", 4096: "bad", 16384: "good"}),
        ("wfpc2", {8: "saturated", 1024: "good", 512: "bad", 4096: "bad", 64: "good"}),
    ],
)
def test_flags_mean_what_the_programs_take_them_for(key: str, flags: dict[int, str]) -> None:
    assert {flag: masked(key, flag)[0] for flag in flags} == flags
    assert {masked(key, 1 << bit)[0] for bit in (0, 1, 2, 4, 5)} == {"bad"}


def test_saturation_goes_before_what_else_is_flagged() -> None:
    assert masked("wfc3_uvis", 256 | 16 | 4096)[0] == "saturated"


@pytest.mark.parametrize(
    ("value", "kind"),
    [(np.nan, "bad"), (-np.inf, "bad"), (np.inf, "saturated"), (2e4, "saturated")],
)
def test_values_beyond_the_limits_are_not_good(value: float, kind: str) -> None:
    assert masked("acs_wfc", 0, value)[0] == kind


def test_pixels_are_counted_once_each() -> None:
    struck = np.zeros((4, 5), dtype=bool)
    struck[1, 2] = struck[3, 3] = True
    _, found = masked("acs_wfc", 16, struck=struck)
    assert (found.n_bad, found.n_saturated, found.n_cosmic_ray) == (1, 0, 1)


def test_the_last_row_and_column_of_wfpc2_are_bad_and_large_counts_saturated() -> None:
    kind, found = masked("wfpc2", 0, 3600.0)
    assert kind == "saturated"
    assert found.n_bad == 4 + 5 - 1
    assert (found.data[-1] < found.min_value).all()
    assert (found.data[:, -1] < found.min_value).all()


def test_areas_multiply_good_pixels_and_limits_have_room() -> None:
    data = np.array([[50.0, 1000.0], [-10.0, 7.0]], dtype=np.float32)
    flags = np.array([[0, 0], [0, 4]], dtype=np.int16)
    areas = np.array([[1.05, 1.08], [1.05, 1.0]])
    found = mask_chip(data, flags, areas, HEADER, RULES["acs_hrc"])
    scale = 1.124583
    # Of what GOODMIN and GOODMAX are, one further, and half as far out again.
    assert (found.min_value, found.max_value) == (1.5 * -11, 1.5 * 1001)
    expected = [[50 * 1.05 / scale, 1000 * 1.08 / scale], [-10 * 1.05 / scale, 1.5 * -11 - 1]]
    np.testing.assert_allclose(found.data, expected, rtol=1e-6)  # single precision


def test_rates_become_counts_of_the_whole_exposure() -> None:
    _, once = masked("wfc3_ir", 256)
    _, timed = masked("wfc3_ir", 256, seconds=100.0)
    np.testing.assert_allclose(timed.data, 100 * once.data, rtol=1e-6)
    assert timed.max_value == pytest.approx(100 * once.max_value)
    assert timed.n_saturated == 1


def test_limits_are_measured_where_the_header_has_none() -> None:
    data = np.array([[1.0, 2.0], [3.0, 500.0]])
    flags = np.array([[0, 0], [0, 16]])
    found = mask_chip(data, flags, np.ones((2, 2)), {}, RULES["wfc3_uvis"])
    assert (found.min_value, found.max_value) == (0.0, 1.5 * 4)


@pytest.mark.parametrize(
    ("flags", "header", "said"),
    [
        (4, HEADER, "no pixel of the chip is good"),
        (4, {}, "no pixel without a flag"),
        (0, {"GOODMIN": 5.0, "GOODMAX": 5.0}, "limits"),
        (0, {"GOODMIN": "low", "GOODMAX": 5.0}, "GOODMIN"),
    ],
)
def test_a_chip_without_good_pixels_or_limits_is_rejected(
    flags: int, header: dict[str, object], said: str
) -> None:
    quality = np.full((3, 3), flags, dtype=np.int16)
    with pytest.raises(UnusableInput, match=said):
        mask_chip(np.ones((3, 3)), quality, np.ones((3, 3)), header, RULES["wfc3_uvis"])


def test_what_nothing_was_exposed_on_is_bad_in_a_drizzled_image() -> None:
    data = np.array([[0.5, np.nan, 0.0], [2.0, -0.25, 1.0]], dtype=np.float32)
    exposed = np.array([[True, True, False], [True, True, True]])
    found = mask_drizzled(data, exposed, factor=10.0)
    good = (found.data > found.min_value) & (found.data < found.max_value)
    # The least and the greatest value are the limits themselves.
    assert good.tolist() == [[True, False, False], [False, False, True]]
    assert (found.min_value, found.max_value) == (-2.5, 20.0)
    assert (found.n_bad, found.n_saturated) == (3, 1)
    assert found.data[0, 0] == 5.0


def test_a_drizzled_image_of_nothing_is_rejected() -> None:
    with pytest.raises(UnusableInput, match="exposed"):
        mask_drizzled(np.ones((3, 3)), np.zeros((3, 3), dtype=bool))


def test_limits_that_are_of_other_pixels_are_measured_and_said() -> None:
    """A real ACS/HRC exposure of 2002 has GOODMIN and GOODMAX of its raw counts."""
    data = np.linspace(30, 900, 400, dtype=np.float32).reshape(20, 20)
    flags = np.zeros(data.shape, dtype=np.int16)
    flags[0, 0] = 4
    header = {"GOODMIN": 500.0, "GOODMAX": 65535.0}
    found = mask_chip(data, flags, np.ones(data.shape), header, RULES["acs_hrc"])
    assert found.n_bad == 1
    assert "GOODMIN 500 and GOODMAX 65535 are not of these pixels (54% are beyond)" in found.note
    flags[data < 500] = 4
    assert mask_chip(data, flags, np.ones(data.shape), header, RULES["acs_hrc"]).note == ""
