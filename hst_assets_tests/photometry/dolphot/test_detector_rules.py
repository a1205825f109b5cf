"""Read noise and tags of each detector."""

from __future__ import annotations

import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.photometry.dolphot.detector_rules import RULES, ReadMode, read_mode

AMPLIFIERS = {"READNSEA": 3.0, "READNSEB": 3.2, "READNSEC": 4.0, "READNSED": 4.4}


def test_every_detector_has_rules() -> None:
    assert set(RULES) == set(DETECTORS)


@pytest.mark.parametrize(
    ("in_use", "chip", "noise"),
    [("ABCD", 1, 3.1), ("ABCD", 2, 4.2), ("ABCD", 0, 3.65), ("C", 2, 4.0), ("C", 0, 4.0)],
)
def test_each_chip_has_the_noise_of_its_amplifiers(in_use: str, chip: int, noise: float) -> None:
    header = {"CCDAMP": in_use, **AMPLIFIERS}
    for key in ("wfc3_uvis", "acs_wfc"):
        assert read_mode(header, DETECTORS[key], chip=chip).read_noise_e == pytest.approx(noise)


def test_a_header_without_amplifiers_has_the_nominal_noise() -> None:
    noise = read_mode({}, DETECTORS["acs_wfc"], n_combined=4).read_noise_e
    assert noise == pytest.approx(2 * DETECTORS["acs_wfc"].read_noise_e)


def test_more_reads_of_a_ramp_have_less_noise() -> None:
    # Two reads are their difference: the noise of one, times the root of 2.
    two, sixteen = (read_mode({"NSAMP": n}, DETECTORS["wfc3_ir"]).read_noise_e for n in (2, 16))
    assert two == pytest.approx(14.6 * 2**0.5)
    assert sixteen == pytest.approx(14.6 * (12 * 15 / (16 * 17)) ** 0.5)


def test_wfpc2_has_two_gains() -> None:
    detector = DETECTORS["wfpc2"]
    assert read_mode({"ATODGAIN": 7.0}, detector) == ReadMode(7.0, 5.0)
    assert read_mode({"ATODGAIN": 15.0}, detector) == ReadMode(14.0, 7.5)
    with pytest.raises(UnusableInput, match="ATODGAIN 3"):
        read_mode({"ATODGAIN": 3.0}, detector)


@pytest.mark.parametrize(
    ("key", "header", "tag"),
    [
        ("wfc3_uvis", {"CCDCHIP": 2}, 2),
        ("acs_wfc", {"CCDCHIP": 1}, 1),
        ("wfc3_ir", {}, 0),
        ("acs_hrc", {}, 0),
        ("wfpc2", {"DETECTOR": 4}, 3),
    ],
)
def test_chips_are_tagged_as_dolphot_counts_them(
    key: str, header: dict[str, int], tag: int
) -> None:
    assert RULES[key].chip_tag(header, DETECTORS[key]) == tag


@pytest.mark.parametrize(
    ("key", "header"),
    [("wfc3_uvis", {}), ("wfc3_uvis", {"CCDCHIP": 3}), ("wfpc2", {"DETECTOR": 5})],
)
def test_a_chip_without_a_number_of_its_detector_is_rejected(
    key: str, header: dict[str, int]
) -> None:
    with pytest.raises(UnusableInput):
        RULES[key].chip_tag(header, DETECTORS[key])
