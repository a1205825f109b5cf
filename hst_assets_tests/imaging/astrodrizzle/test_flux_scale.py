"""What chips are multiplied by to have one zero point, by their headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.astrodrizzle.flux_scale import FluxScale, flux_scale

UVIS, WFPC2 = DETECTORS["wfc3_uvis"], DETECTORS["wfpc2"]
FLAM, PIVOT = 1.1e-19, 5889.0
NEW = {"IMPHTTAB": "iref$51c1638pi_imp.fits", "CAL_VER": "3.7.1"}
OLD = {"IMPHTTAB": "iref$1681905hi_imp.fits", "CAL_VER": "3.3"}


def uvis(folder: Path, rootname: str, *chips: dict[str, object], **primary: object) -> Path:
    """An exposure of UVIS2 and UVIS1, in the order of the files, with these cards."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header.update(
        {"ROOTNAME": rootname, "FILTER": "F606W", "FLUXCORR": "COMPLETE", **NEW, **primary}
    )
    for extver, cards in enumerate(chips or ({}, {}), start=1):
        hdu = fits.ImageHDU(np.ones((4, 4), np.float32), name="SCI", ver=extver)
        number = 3 - extver
        hdu.header.update(
            {
                "CCDCHIP": number,
                "PHOTMODE": f"WFC3 UVIS{number} F606W MJD#58000.0",
                "PHOTFLAM": FLAM,
                "PHOTPLAM": PIVOT,
                **cards,
            }
        )
        hdus.append(hdu)
    path = folder / f"{rootname}_flc.fits"
    hdus.writeto(path)
    return path


def scale_of(*paths: Path, detector=UVIS, **given: tuple[float, float]) -> FluxScale:
    bands = {name.replace("__", "."): figures for name, figures in given.items()}
    return flux_scale(paths, detector, bands)


def test_sensitivities_by_one_table_are_brought_to_the_first(tmp_path: Path) -> None:
    one = uvis(tmp_path, "iaaa01a1q")
    two = uvis(tmp_path, "iaaa02a1q", {"PHOTFLAM": 1.02 * FLAM}, {"PHOTFLAM": 1.02 * FLAM})
    scale = scale_of(one, two)
    assert scale.factors[one.name, 1] == 1.0
    assert scale.factors[two.name, 1] == pytest.approx(1.02)
    assert scale.cards["PHOTFLAM"] == FLAM
    assert scale.note == ""


def test_what_is_another_table_is_not_taken_for_another_sensitivity(tmp_path: Path) -> None:
    """Only UVIS2 was multiplied by another ratio, which is undone; nothing of the 2.7 % is."""
    one = uvis(tmp_path, "iaaa01a1q", PHTRATIO=1.04)
    other = uvis(
        tmp_path,
        "iaaa01a2q",
        {"PHOTFLAM": 1.027 * FLAM},
        {"PHOTFLAM": 1.027 * FLAM},
        PHTRATIO=1.02,
        **OLD,
    )
    scale = scale_of(one, other)
    assert scale.factors[other.name, 1] == pytest.approx(1.04 / 1.02)  # UVIS2
    assert scale.factors[other.name, 2] == 1.0  # UVIS1
    assert scale.cards["PHOTFLAM"] == FLAM
    (problem,) = scale.problems
    assert "iaaa01a2q: zero point of 1681905hi_imp.fits" in problem
    assert "of the others 51c1638pi_imp.fits" in problem


def test_counts_of_another_gain_are_scaled_whatever_the_table(tmp_path: Path) -> None:
    """As those of WFPC2's gains 7 and 15."""
    one = uvis(tmp_path, "iaaa01a1q")
    other = uvis(tmp_path, "iaaa01a2q", {"PHOTFLAM": 2 * FLAM}, {"PHOTFLAM": 2 * FLAM}, **OLD)
    scale = scale_of(one, other)
    assert scale.factors[other.name, 1] == pytest.approx(2.0)
    (problem,) = scale.problems
    assert "right to some per cent" in problem


def test_another_version_of_the_software_with_the_same_table_is_no_problem(tmp_path: Path) -> None:
    one = uvis(tmp_path, "iaaa01a1q")
    two = uvis(tmp_path, "iaaa02a1q", {"PHOTFLAM": 1.02 * FLAM}, {}, CAL_VER="3.6.2")
    assert scale_of(one, two).problems == ()


@pytest.mark.parametrize("fault", [0.0, "N/A", None])
@pytest.mark.parametrize("first", [True, False])
def test_an_exposure_without_photflam_takes_the_zero_point_away(
    tmp_path: Path, fault: object, first: bool
) -> None:
    """Whichever comes first, its counts and those of the others stay as they are."""
    good = uvis(tmp_path, "iaaa01a1q")
    poor = uvis(tmp_path, "iaaa01a2q", {"PHOTFLAM": fault}, {"PHOTFLAM": fault})
    scale = scale_of(*((poor, good) if first else (good, poor)))
    assert scale.cards == {}
    assert all(factor == 1.0 for factor in scale.factors.values())
    assert (poor.name, 1) not in scale.factors
    (problem,) = scale.problems
    assert "no zero point: iaaa01a2q: PHOTFLAM missing" in problem


def test_the_users_zero_point_is_for_those_without_one(tmp_path: Path) -> None:
    good = uvis(tmp_path, "iaaa01a1q")
    wrong = {"PHOTMODE": "WFC3 UVIS1 F814W", "PHOTFLAM": 9e-19}
    poor = uvis(tmp_path, "iaaa01a2q", wrong, wrong)
    given = {"wfc3_uvis__f606w": (1.2e-19, 5900.0)}
    both, alone = scale_of(good, poor, **given), scale_of(poor, **given)
    assert both.factors[poor.name, 1] == pytest.approx(1.2 / 1.1)
    assert (both.cards["PHOTFLAM"], both.problems) == (FLAM, ())
    assert (alone.cards["PHOTFLAM"], alone.cards["PHOTPLAM"]) == (1.2e-19, 5900.0)
    assert alone.cards["PHOTMODE"] == "drizzle.photometry"


def test_a_zero_point_given_for_another_band_is_for_that_one(tmp_path: Path) -> None:
    poor = uvis(tmp_path, "iaaa01a1q", {"PHOTFLAM": 0.0})
    assert scale_of(poor, wfc3_uvis__f814w=(1.2e-19, 5900.0)).cards == {}


def test_copies_say_what_they_were_scaled_to(tmp_path: Path) -> None:
    one = uvis(tmp_path, "iaaa01a1q")
    two = uvis(tmp_path, "iaaa02a1q", {"PHOTFLAM": 1.1 * FLAM}, {"PHOTFLAM": 1.1 * FLAM})
    scale = scale_of(one, two)
    with fits.open(two, memmap=False) as hdus:
        scale.apply(hdus, two.name)
        assert hdus["SCI", 1].data == pytest.approx(1.1)
        assert hdus["SCI", 1].header["PHOTFLAM"] == FLAM


def test_copies_without_a_common_zero_point_claim_none(tmp_path: Path) -> None:
    good, poor = uvis(tmp_path, "iaaa01a1q"), uvis(tmp_path, "iaaa01a2q", {"PHOTFLAM": 0.0})
    scale = scale_of(good, poor)
    with fits.open(good, memmap=False) as hdus:
        scale.apply(hdus, good.name)
        assert "PHOTFLAM" not in hdus["SCI", 1].header
        assert hdus["SCI", 1].data == pytest.approx(1.0)


@pytest.mark.real_data
def test_the_real_visits_of_one_table_are_scaled_as_their_headers_say(real_data: Path) -> None:
    """Eight exposures of one orbit: PHOTFLAM changes by 6e-8 of itself."""
    paths = sorted((real_data / "wfc3_uvis_2013fy27").glob("*_flc.fits"))
    scale = scale_of(*paths)
    assert len(scale.factors) == 8
    assert max(abs(factor - 1.0) for factor in scale.factors.values()) < 1e-6
    assert scale.note == ""


def wfpc2(folder: Path, rootname: str, *flams: float, atodgain: float = 7.0) -> Path:
    """An exposure of WFPC2's four chips."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header.update({"ROOTNAME": rootname, "FILTNAM1": "F555W", "ATODGAIN": atodgain})
    for number, flam in enumerate(flams, start=1):
        hdu = fits.ImageHDU(np.ones((4, 4), np.float32), name="SCI", ver=number)
        hdu.header.update({"DETECTOR": number, "PHOTFLAM": flam, "PHOTPLAM": 5442.0})
        hdus.append(hdu)
    path = folder / f"{rootname}_c0m.fits"
    hdus.writeto(path)
    return path


def test_wfpc2_chips_without_a_zero_point_are_brought_to_one_gain(tmp_path: Path) -> None:
    """Gains of the chips: wfpc2Data of drizzlepac, WFPC2 IHB table 4.2."""
    seven = wfpc2(tmp_path, "uaaa01a1m", *[0.0] * 4)
    fifteen = wfpc2(tmp_path, "uaaa01a2m", *[0.0] * 4, atodgain=15.0)
    scale = scale_of(seven, fifteen, detector=WFPC2)
    assert (scale.cards, scale.gain_e) == ({}, 7.12)
    assert scale.factors[seven.name, 3] == pytest.approx(6.90 / 7.12)
    assert scale.factors[fifteen.name, 2] == pytest.approx(14.50 / 7.12)
    missing, unchecked = scale.problems
    assert "PHOTFLAM missing" in missing
    assert "uaaa01a1m, uaaa01a2m: chips scaled by their gains" in unchecked
    assert "not checked" in unchecked


def test_a_wfpc2_exposure_without_a_zero_point_joins_the_others_by_its_gain(tmp_path: Path) -> None:
    good = wfpc2(tmp_path, "uaaa01a1m", 3.48e-18, 3.40e-18, 3.44e-18, 3.51e-18)
    poor = wfpc2(tmp_path, "uaaa01a2m", *[0.0] * 4, atodgain=15.0)
    scale = scale_of(poor, good, detector=WFPC2)
    assert scale.factors[good.name, 2] == pytest.approx(3.40 / 3.48)
    assert scale.factors[poor.name, 1] == pytest.approx(13.99 / 7.12)
    assert (scale.cards, scale.gain_e) == ({}, 7.12)
    assert "uaaa01a2m: chips scaled by their gains" in scale.note


@pytest.mark.real_data
def test_the_chips_of_a_real_wfpc2_exposure_are_brought_to_the_pc(real_data: Path) -> None:
    path = real_data / "wfpc2_omegacen" / "u40x010hm_c0m.fits"
    factors = scale_of(path, detector=WFPC2).factors
    expected = np.array([3.482944, 3.395806, 3.439046, 3.506729]) / 3.482944
    assert [factors[path.name, chip] for chip in (1, 2, 3, 4)] == pytest.approx(list(expected))
