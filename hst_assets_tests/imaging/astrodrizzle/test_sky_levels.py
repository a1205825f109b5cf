"""Levels of the sky that the user gives, in place of measured ones."""

from __future__ import annotations

import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.imaging.astrodrizzle.input_headers import Input
from hst_assets.imaging.astrodrizzle.noise_cards import mean_sky
from hst_assets.imaging.astrodrizzle.parameters import parameters
from hst_assets.imaging.astrodrizzle.sky_levels import brought_to_levels, given_levels, sky_cards
from hst_assets.settings import DrizzleSettings

UVIS, IR, WFPC2 = (DETECTORS[key] for key in ("wfc3_uvis", "wfc3_ir", "wfpc2"))
BAND = "wfc3_uvis.f606w"
FIRST, SECOND = "iaaa01a1q", "iaaa01a2q"


def exposure(rootname: str, exptime: float, *scales: float) -> Input:
    headers = []
    for number, scale in enumerate(scales or (0.04,), start=1):
        header = fits.Header()
        header.update({"EXTVER": number, "IDCSCALE": scale})
        headers.append(header)
    end = 57000.0 + exptime / 86400
    return Input(
        f"{rootname}_flt.fits",
        rootname,
        fits.Header(),
        headers[0],
        exptime,
        57000.0,
        end,
        tuple(headers),
    )


def test_one_level_is_the_mean_and_differences_stay() -> None:
    """0.10 and 0.14 per second in 100 and 300 s have a mean of 0.13: each loses 0.01."""
    inputs = [exposure(FIRST, 100.0), exposure(SECOND, 300.0)]
    measured = {inputs[0].file: {1: 10.0}, inputs[1].file: {1: 42.0}}
    skies = brought_to_levels(measured, inputs=inputs, detector=UVIS, levels={BAND: 0.12})
    assert skies[inputs[0].file][1] == pytest.approx(9.0)
    assert skies[inputs[1].file][1] == pytest.approx(39.0)
    assert mean_sky(skies, inputs, UVIS) == pytest.approx(0.12)


def test_one_level_of_rates_is_the_mean_too() -> None:
    inputs = [exposure(FIRST, 100.0), exposure(SECOND, 300.0)]
    measured = {inputs[0].file: {1: 1.0}, inputs[1].file: {1: 1.4}}
    skies = brought_to_levels(measured, inputs=inputs, detector=IR, levels={"wfc3_ir.f110w": 1.2})
    assert skies[inputs[0].file][1] == pytest.approx(0.9)
    assert skies[inputs[1].file][1] == pytest.approx(1.3)


def test_exposures_without_a_level_follow_the_one_that_has() -> None:
    """0.02 per second too much in one, so 0.02 in the other."""
    inputs = [exposure(FIRST, 100.0), exposure(SECOND, 300.0)]
    measured = {inputs[0].file: {1: 10.0}, inputs[1].file: {1: 42.0}}
    skies = brought_to_levels(measured, inputs=inputs, detector=UVIS, levels={FIRST: 0.08})
    assert skies[inputs[0].file][1] == pytest.approx(8.0)
    assert skies[inputs[1].file][1] == pytest.approx(36.0)


def test_every_exposure_has_the_level_of_its_own() -> None:
    inputs = [exposure(FIRST, 100.0), exposure(SECOND, 300.0)]
    measured = {inputs[0].file: {1: 10.0}, inputs[1].file: {1: 42.0}}
    levels = {FIRST: 0.05, SECOND: 0.02}
    skies = brought_to_levels(measured, inputs=inputs, detector=UVIS, levels=levels)
    assert skies[inputs[0].file][1] == pytest.approx(5.0)
    assert skies[inputs[1].file][1] == pytest.approx(6.0)


def test_small_pixels_lose_as_much_per_area() -> None:
    """WFPC2: four times the area, four times the counts; the mean over the chips is the level."""
    item = exposure("uaaa0101r", 100.0, 0.05, 0.1)
    skies = brought_to_levels(
        {item.file: {1: 2.0, 2: 8.0}}, inputs=[item], detector=WFPC2, levels={"wfpc2.f606w": 0.025}
    )
    assert skies[item.file] == pytest.approx({1: 1.0, 2: 4.0})


def test_nothing_measured_is_a_measured_sky_of_zero() -> None:
    item = exposure(FIRST, 100.0)
    skies = brought_to_levels(
        {item.file: {1: 0.0}}, inputs=[item], detector=UVIS, levels={BAND: 0.12}
    )
    assert skies[item.file] == pytest.approx({1: 12.0})


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        ({}, {}),
        ({BAND: 0.1}, {BAND: 0.1}),
        ({BAND: 0.1, SECOND: 0.2}, {SECOND: 0.2}),
        ({"wfc3_uvis.f814w": 0.1, "iaaa01a9q": 0.2}, {}),
    ],
)
def test_levels_of_exposures_count_before_that_of_the_band(levels, found) -> None:
    settings = DrizzleSettings(sky_level=levels)
    asked = parameters(UVIS, 2, settings)
    assert given_levels(settings, asked, band=BAND, rootnames=[FIRST, SECOND]) == found


def test_a_level_that_would_not_be_subtracted_is_refused() -> None:
    tables = {"wfc3_uvis": {"skysub": False}}
    settings = DrizzleSettings(sky_level={BAND: 0.1}, parameters=tables)
    asked = parameters(UVIS, 2, settings)
    with pytest.raises(BadConfiguration, match="none is to be subtracted"):
        given_levels(settings, asked, band=BAND, rootnames=[FIRST, SECOND])
    assert given_levels(settings, asked, band="wfc3_uvis.f814w", rootnames=[FIRST]) == {}


def test_the_card_says_whose_level_was_given() -> None:
    assert sky_cards({}, 2) == {}
    assert sky_cards({BAND: 0.1}, 2)["D_SKYLEV"][0] == BAND
    assert sky_cards({FIRST: 0.1}, 2)["D_SKYLEV"][0] == "1 OF 2 EXPOSURES"
