import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.hap.wfpc2_exposures import flt_name, write_flt

GAIN, READ_NOISE = 7.06, 5.29


@pytest.fixture
def c0m(tmp_path):
    """Two chips of 8 x 8 pixels whose sky, 0 DN, is below zero in half of them."""
    rng = np.random.default_rng(3)
    primary = fits.Header(
        {"INSTRUME": "WFPC2", "FILENAME": "u40x010hm_c0m.fits", "ATODGAIN": 7.0, "PRIMESI": "WFPC2"}
    )
    for kind, extname in (("c0m", "SCI"), ("c1m", "SDQ")):
        hdus = [fits.PrimaryHDU(header=primary)]
        for number in (1, 2):
            data = rng.normal(0.0, 1.0, (8, 8)).astype(np.float32)
            if kind == "c1m":
                data = (data > 1).astype(np.int16) * 2
            header = fits.Header({"EXTNAME": extname, "EXTVER": number, "DETECTOR": number})
            hdus.append(fits.ImageHDU(data, header=header))
        fits.HDUList(hdus).writeto(tmp_path / f"u40x010hm_{kind}.fits")
    return tmp_path / "u40x010hm_c0m.fits"


def test_the_file_is_drizzlepacs_but_for_errors_that_are_numbers(c0m, tmp_path, drizzlepac):
    told = drizzlepac("flt_of_wfpc2", {"c0m": c0m.name}, folder=tmp_path)
    theirs = (tmp_path / told["file"]).rename(tmp_path / "theirs.fits")
    # The defect: when this fails, drizzlepac has mended it.
    assert told["missing_errors"] > 0
    path = write_flt(c0m, tmp_path)
    assert path.name == told["file"]
    with fits.open(theirs) as expected, fits.open(path) as made:
        assert [hdu.name for hdu in made] == [hdu.name for hdu in expected]
        for one, other in zip(expected, made, strict=True):
            for keyword in ("EXTVER", "DETECTOR", "PRIMESI", "FILENAME"):
                assert one.header.get(keyword) == other.header.get(keyword)
            if one.name in ("SCI", "DQ"):
                np.testing.assert_array_equal(one.data, other.data)


def test_errors_are_those_of_photons_and_of_reading(c0m, tmp_path):
    with fits.open(write_flt(c0m, tmp_path)) as hdus:
        for number in (1, 2):
            electrons = np.maximum(hdus["SCI", number].data * GAIN, 0.0)
            due = np.sqrt(electrons + READ_NOISE**2) / GAIN
            np.testing.assert_allclose(hdus["ERR", number].data, due, rtol=1e-6)


def test_an_exposure_without_its_data_quality_is_refused(c0m, tmp_path):
    (tmp_path / "u40x010hm_c1m.fits").unlink()
    with pytest.raises(MissingProduct, match="data quality"):
        write_flt(c0m, tmp_path)
    assert not (tmp_path / "u40x010hm_flt.fits").exists()


def test_the_data_quality_of_other_chips_is_refused(c0m, tmp_path):
    with fits.open(tmp_path / "u40x010hm_c1m.fits", mode="update") as hdus:
        del hdus[2]
    with pytest.raises(UnusableInput, match="other chips"):
        write_flt(c0m, tmp_path)


def test_a_gain_that_wfpc2_does_not_have_is_refused(c0m, tmp_path):
    fits.setval(c0m, "ATODGAIN", value=8.0)
    with pytest.raises(UnusableInput, match=r"8\.0"):
        write_flt(c0m, tmp_path)


@pytest.mark.parametrize("name", ["u40x010hm_c1m.fits", "j40x010hm_c0m.fits", "c0m.fits"])
def test_other_files_are_no_exposures_of_wfpc2(name):
    with pytest.raises(BadConfiguration, match="WFPC2"):
        flt_name(name)
