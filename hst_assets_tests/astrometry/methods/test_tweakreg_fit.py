import pytest

from hst_assets.astrometry.methods.tweakreg_fit import read_shift_row
from hst_assets.failures import UnusableInput
from hst_assets.isolation import run_isolated

HEAD = "# frame: output\n# refimage: shifts_wcs.fits[wcs]\n# form: delta\n# units: pixels\n"


def test_the_row_of_the_exposure_is_read(tmp_path):
    path = tmp_path / "shifts.txt"
    path.write_text(HEAD + "a_flt.fits  1.0 2.0  359.9 1.0  0.071 0.076\n")
    assert read_shift_row(path, "a_flt.fits") == (0.071, 0.076)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no shift file"),
        ("a_flt.fits  nan nan  nan nan  0.0 0.0\n", "too few matches"),
        ("a_flt.fits  1.0 2.0\n", "too few matches"),
        ("b_flt.fits  1.0 2.0  0.0 1.0  0.1 0.1\n", "does not name the exposure"),
        ("", "does not name the exposure"),
    ],
)
def test_each_way_tweakreg_fails_is_seen(tmp_path, text, words):
    path = tmp_path / "shifts.txt"
    if text is not None:
        path.write_text(HEAD + text)
    with pytest.raises(UnusableInput, match=words):
        read_shift_row(path, "a_flt.fits")


@pytest.mark.slow
@pytest.mark.parametrize(
    "most_by_chip",
    [
        pytest.param({}, id="all stars"),
        # TweakReg gives up on a chip with two stars, which have no outline, or with none.
        pytest.param({1: 2, 3: 0}, id="two stars on the PC, none on WF3"),
    ],
)
def test_wfpc2_is_searched_in_its_own_pixels_not_in_the_pcs(tmp_path, most_by_chip):
    error_pix = run_isolated(
        "hst_assets_tests.astrometry.fitted_lists:fit_lists",
        {
            "detector": "wfpc2",
            "n_common": 80,
            "error_arcsec": [0.6, -0.6],  # beyond an arcsec of PC pixels counted as WF pixels
            "search_arcsec": 1.0,
            "most_by_chip": most_by_chip,
        },
        scratch=tmp_path,
        log_path=tmp_path / "log.txt",
        timeout_s=200,
    )
    # Some 50 stars of 0.1 to 0.3 px.
    assert error_pix < 0.2
