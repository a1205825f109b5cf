"""What a product's header says of its noise, from headers as the archive has them."""

from __future__ import annotations

import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.astrodrizzle.input_headers import Input
from hst_assets.imaging.astrodrizzle.noise_cards import describe_noise, flash_problems, mean_sky

UVIS, HRC, WFC, IR, WFPC2 = (
    DETECTORS[key] for key in ("wfc3_uvis", "acs_hrc", "acs_wfc", "wfc3_ir", "wfpc2")
)


def exposure(
    rootname: str, exptime: float, primary: dict[str, object], *chips: dict[str, object]
) -> Input:
    headers = []
    for number, cards in enumerate(chips or ({},), start=1):
        header = fits.Header()
        header.update({"EXTVER": number, **cards})
        headers.append(header)
    return Input(
        f"{rootname}_flt.fits",
        rootname,
        fits.Header(primary),
        headers[0],
        exptime,
        57000.0,
        57000.0 + exptime / 86400,
        tuple(headers),
    )


def described(
    *inputs: Input, detector=UVIS, skies: dict[str, dict[int, float]] | None = None
) -> fits.Header:
    primary = fits.Header()
    describe_noise(primary, inputs, detector, skies or {})
    return primary


# Figures of real headers: idsj02axq (UVIS, 200 s), j8bt06nyq (HRC, calacs 4.4.1, 60 s).
UVIS_PRIMARY = {"CCDAMP": "C", "READNSEC": 3.0799999, "ATODGNC": 1.5599999, "CAL_VER": "3.6.2"}
HRC_PRIMARY = {"CCDAMP": "C", "READNSEC": 4.71, "ATODGNC": 2.2160001, "CAL_VER": "4.4.1 (2004)"}


@pytest.mark.parametrize(
    ("detector", "exptime", "primary", "mean_dark", "e_per_s"),
    [
        (UVIS, 200.0, UVIS_PRIMARY, 0.28280312, 0.0022),  # 8 e/hour, WFC3 IHB 5.4.3
        (HRC, 60.0, HRC_PRIMARY, 0.071976945, 0.0027),  # 9 e/hour, ACS IHB of 2004
        (WFC, 500.0, {"CAL_VER": "10.3.5", "ATODGNA": 2.02}, 5.0, 0.0100),
    ],
)
def test_dark_current_is_in_electrons(detector, exptime, primary, mean_dark, e_per_s) -> None:
    """Calwf3 and calacs before version 8 wrote DN."""
    item = exposure("iaaa01a1q", exptime, primary, {"MEANDARK": mean_dark})
    assert described(item, detector=detector)["DARKCUR"] == pytest.approx(e_per_s, abs=5e-5)


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS)
def test_dark_current_that_no_header_tells_is_the_detectors(detector) -> None:
    """As WFPC2's never do; the product says so."""
    primary = described(exposure("uaaa01a1m", 1000.0, {"ATODGAIN": 7.0}), detector=detector)
    assert primary["DARKCUR"] == pytest.approx(detector.typical_dark_e_per_s)
    assert primary["DARKFROM"] == "TYPICAL"
    without = exposure("uaaa01a1m", 1000.0, {"ATODGAIN": 7.0}, {"MEANDARK": 0.0})
    told = described(without, detector=detector)
    assert (told["DARKCUR"], told["DARKFROM"]) == (0.0, "MEANDARK")
    added = primary["D001BVAR"] - told["D001BVAR"]
    # A ramp's line has Poisson's noise up to 1.2 times.
    assert 0.999 < added / (1000.0 * detector.typical_dark_e_per_s) < 1.21


def test_dark_current_that_was_not_subtracted_is_in_the_sky() -> None:
    primary = described(exposure("iaaa01a1q", 1000.0, {"DARKCORR": "OMIT"}))
    assert (primary["DARKCUR"], primary["DARKFROM"]) == (0.0, "OMIT")


def test_what_some_headers_tell_and_others_do_not_is_said() -> None:
    told = exposure("iaaa01a1q", 100.0, {"READNSEA": 3.0}, {"MEANDARK": 0.1})
    primary = described(told, exposure("iaaa01a2q", 100.0, {}))
    assert (primary["DARKFROM"], primary["RDNFROM"]) == ("MIXED", "MIXED")


#: Of real exposures: electrons a pair of reads, and a ramp.
RAMP = {"READNSEA": 20.2, "READNSEB": 19.8, "READNSEC": 19.9, "READNSED": 20.1}


@pytest.mark.parametrize(
    ("cards", "sky", "read_noise", "told"),
    [
        # The dark: 12 e with close to all of the 16 reads (WFC3 IHB 9.6).
        ({**RAMP, "NSAMP": 16, "SAMP_SEQ": "SPARS50"}, 0.0, 12.0, "NSAMP"),
        # Three reads on a line: the slope of the last and the first, over two thirds of the time.
        ({**RAMP, "NSAMP": 4, "SAMP_SEQ": "RAPID"}, 0.0, 30.0, "NSAMP"),
        ({"NSAMP": 2}, 0.0, 14.6 * 2**0.5, "NSAMP"),
        (RAMP, 0.0, 14.6, "TYPICAL"),
    ],
)
def test_the_read_noise_of_a_ramp_is_that_of_its_line(cards, sky, read_noise, told) -> None:
    item = exposure("iaaa01a1q", 702.9, cards, {"MEANDARK": 0.0})
    primary = described(item, detector=IR, skies={item.file: {1: sky}})
    assert primary["RDNOISE"] == pytest.approx(read_noise, abs=0.3)
    assert primary["RDNFROM"] == told


def test_the_variance_of_a_ramp_is_all_that_its_line_leaves() -> None:
    """A full ramp under a bright sky: noisier than photons and the reads in the dark."""
    item = exposure(
        "iaaa01a1q", 702.9, {**RAMP, "NSAMP": 16, "SAMP_SEQ": "SPARS50"}, {"MEANDARK": 0.0}
    )
    primary = described(item, detector=IR, skies={item.file: {1: 0.8}})
    assert primary["D001BVAR"] == pytest.approx(27.6**2, rel=0.01)  # drawn: test_ramps.py
    assert primary["D001BVAR"] > 0.8 * 702.9 + 12.0**2


@pytest.mark.parametrize(("atodgain", "electrons"), [(7.0, 27_000.0), (15.0, 53_000.0)])
def test_wfpc2_is_saturated_where_its_converter_ends(atodgain, electrons) -> None:
    """WFPC2 IHB; by the ratio of the mean gains it is 2 % more at gain 15."""
    primary = described(exposure("uaaa01a1m", 100.0, {"ATODGAIN": atodgain}), detector=WFPC2)
    assert primary["SATRATE"] == pytest.approx(electrons / 100.0, rel=0.02)


def test_the_exposure_that_is_full_first_saturates_a_product() -> None:
    """The longest of one gain, or a shorter one of the other: 270 e/s against 178."""
    short, long = (
        exposure(f"uaaa01a{n}m", seconds, {"ATODGAIN": gain})
        for n, (seconds, gain) in enumerate([(100.0, 7.0), (300.0, 15.0)])
    )
    assert described(short, long, detector=WFPC2)["SATRATE"] == pytest.approx(179.7, rel=0.01)


def test_the_mean_sky_is_that_of_all_the_time() -> None:
    """4 counts in 100 s and 24 in 300 s are 28 in 400 s."""
    short, long = exposure("iaaa01a1q", 100.0, {}), exposure("iaaa01a2q", 300.0, {})
    skies = {short.file: {1: 4.0}, long.file: {1: 24.0}}
    assert mean_sky(skies, [short, long], UVIS) == pytest.approx(0.07)
    assert described(short, long, skies=skies)["SKYMEAN"] == pytest.approx(0.07)


def test_the_mean_sky_of_rates_is_that_of_all_the_time() -> None:
    short, long = exposure("iaaa01a1q", 100.0, {}), exposure("iaaa01a2q", 300.0, {})
    skies = {short.file: {1: 0.4}, long.file: {1: 0.8}}
    assert mean_sky(skies, [short, long], IR) == pytest.approx(0.7)


def test_no_sky_looked_at_is_not_a_sky_of_zero() -> None:
    assert mean_sky({}, [exposure("iaaa01a1q", 100.0, {})], UVIS) is None


def test_each_chip_has_the_variance_of_its_own_sky() -> None:
    dark = {"MEANDARK": 0.0}
    item = exposure("iaaa01a1q", 100.0, {"READNSEA": 3.0, "CCDAMP": "A"}, dark, dark)
    primary = described(item, skies={item.file: {1: 4.0, 2: 6.0}})
    assert [primary["D001BVAR"], primary["D002BVAR"]] == pytest.approx([13.0, 15.0])


@pytest.mark.parametrize(
    ("primary", "electrons"),
    [
        ({}, 12.0),  # nothing tells the unit
        ({"ATODGNC": 1.56, "CCDAMP": "C"}, 12.0),
        ({"ATODGNC": 1.56, "CCDAMP": "C", "FLASHLVL": 12}, 12.0),
        ({"ATODGNC": 1.56, "CCDAMP": "C", "FLASHLVL": 20}, 18.72),
    ],
)
def test_the_noise_of_a_subtracted_flash_stays(primary, electrons) -> None:
    plain = exposure("iaaa01a1q", 300.0, {"CCDAMP": "C", "READNSEC": 3.0})
    flashed = exposure(
        "iaaa01a2q",
        300.0,
        {"CCDAMP": "C", "READNSEC": 3.0, "FLASHDUR": 3.0, **primary},
        {"MEANFLSH": 12.0},
    )
    found = described(plain, flashed)
    assert found["D002BVAR"] - found["D001BVAR"] == pytest.approx(electrons)
    assert found["POSTFLSH"] == pytest.approx(electrons / 2)
    assert flash_problems([plain, flashed]) == []


def test_a_flash_without_its_level_is_said() -> None:
    cards = {"FLASHDUR": 3.0, "FLSHCORR": "COMPLETE"}
    unknown = exposure("iaaa01a1q", 300.0, cards, {"MEANFLSH": 0.0})
    in_the_image = exposure("iaaa01a2q", 300.0, {**cards, "FLSHCORR": "OMIT"})
    (problem,) = flash_problems([unknown, in_the_image])
    assert "iaaa01a1q" in problem
    assert "iaaa01a2q" not in problem  # its light is in the sky that is measured
