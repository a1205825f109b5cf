import pytest

from hst_assets.astrometry.tweakreg_fit import read_shift_row
from hst_assets.failures import UnusableInput

HEAD = "# frame: output\n# refimage: shifts_wcs.fits[wcs]\n# form: delta\n# units: pixels\n"


def test_the_row_of_the_exposure_is_read(tmp_path):
    path = tmp_path / "shifts.txt"
    path.write_text(HEAD + "a_flt.fits  1.0 2.0  359.9 1.0  0.071 0.076\n")
    assert read_shift_row(path, "a_flt.fits") == (0.071, 0.076)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "left no shift file"),
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
