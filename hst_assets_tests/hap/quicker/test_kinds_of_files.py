"""What kind of FITS file a name is of: the answers of stsci.tools, and who gives them."""

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.hap.quicker.kinds_of_files import by_first_blocks


@pytest.fixture
def is_fits():
    asked = []

    def theirs(what):
        asked.append(what)
        return True, "another"

    ask = by_first_blocks(theirs)
    ask.asked = asked
    return ask


def _written(path, primary, n_cards=0):
    for number in range(n_cards):
        primary.header[f"KEY{number}"] = number
    image = fits.ImageHDU(np.ones((3, 3), np.float32), name="SCI")
    fits.HDUList([primary, image]).writeto(path)
    return str(path)


@pytest.mark.parametrize("n_cards", [0, 36, 300])
def test_a_file_of_extensions_is_told_by_its_first_header(is_fits, tmp_path, n_cards):
    name = _written(tmp_path / "one_flt.fits", fits.PrimaryHDU(), n_cards)
    assert is_fits(name) == (True, "mef")
    assert is_fits.asked == []


def test_an_image_in_the_first_unit_is_asked_about(is_fits, tmp_path):
    name = _written(tmp_path / "one.fits", fits.PrimaryHDU(np.ones((2, 2), np.int16)))
    assert is_fits(name) == (True, "another")


def test_a_constant_in_the_first_unit_is_asked_about(is_fits, tmp_path):
    primary = fits.PrimaryHDU()
    primary.header["PIXVALUE"] = 1.0
    assert is_fits(_written(tmp_path / "one.fits", primary)) == (True, "another")


@pytest.mark.parametrize("content", [b"", b"SIMPLE  =                    T".ljust(2880)])
def test_a_damaged_file_is_asked_about(is_fits, tmp_path, content):
    path = tmp_path / "one.fits"
    path.write_bytes(content)
    assert is_fits(str(path)) == (True, "another")


def test_what_is_no_name_of_a_fits_file_is_asked_about(is_fits, tmp_path):
    with fits.HDUList([fits.PrimaryHDU()]) as hdus:
        for what in (hdus, str(tmp_path / "missing.fits"), str(tmp_path)):
            assert is_fits(what) == (True, "another")
    assert len(is_fits.asked) == 3
