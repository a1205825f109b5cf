import numpy as np
import pytest
from astropy.io import fits

from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.failures import UnusableInput


def write(path, **cards):
    primary = fits.PrimaryHDU()
    primary.header.update(cards)
    fits.HDUList([primary, fits.ImageHDU(np.ones((4, 4), "f4"), name="SCI")]).writeto(path)
    path.chmod(0o444)
    return path


@pytest.fixture
def folders(tmp_path):
    raw, scratch = tmp_path / "raw", tmp_path / "scratch"
    raw.mkdir()
    scratch.mkdir()
    return raw, scratch


def test_the_copy_can_be_written_and_the_raw_file_stays(folders):
    raw, scratch = folders
    source = write(raw / "jaaa01aaq_flt.fits")
    before = source.read_bytes()
    copy = make_working_copy(source, scratch)
    with fits.open(copy.science, mode="update") as hdus:
        hdus[0].header["MARK"] = 1
    assert source.read_bytes() == before
    assert source.stat().st_mode & 0o222 == 0


def test_a_header_that_makes_drizzlepac_ask_is_settled(folders):
    raw, scratch = folders
    copy = make_working_copy(write(raw / "j_flt.fits", DGEOFILE="jref$x_dxy.fits"), scratch)
    header = fits.getheader(copy.science)
    assert (header["NPOLFILE"], header["D2IMFILE"]) == ("N/A", "N/A")


@pytest.mark.parametrize(
    "cards",
    [{}, {"DGEOFILE": "N/A"}, {"DGEOFILE": "jref$x_dxy.fits", "NPOLFILE": "jref$y_npl.fits"}],
)
def test_other_headers_stay_byte_for_byte(folders, cards):
    raw, scratch = folders
    source = write(raw / "j_flt.fits", **cards)
    assert make_working_copy(source, scratch).science.read_bytes() == source.read_bytes()


def test_wfpc2_takes_its_data_quality_along(folders):
    raw, scratch = folders
    write(raw / "uaaa01aam_c1m.fits")
    copy = make_working_copy(write(raw / "uaaa01aam_c0m.fits"), scratch)
    assert [path.name for path in copy.files] == ["uaaa01aam_c0m.fits", "uaaa01aam_c1m.fits"]


def test_wfpc2_without_its_data_quality_is_refused(folders):
    raw, scratch = folders
    with pytest.raises(UnusableInput, match="the file is missing"):
        make_working_copy(write(raw / "uaaa01aam_c0m.fits"), scratch)


@pytest.mark.parametrize("left", [0.6, 0.1])
def test_a_file_that_was_cut_short_is_refused(folders, left):
    raw, scratch = folders
    source = write(raw / "j_flt.fits")
    whole = source.read_bytes()
    source.chmod(0o644)
    source.write_bytes(whole[: int(left * len(whole))])
    with pytest.raises(UnusableInput, match="not a complete FITS file") as caught:
        make_working_copy(source, scratch)
    assert caught.value.where == str(source)


def test_distortion_without_a_scale_gets_that_of_its_pixels(folders):
    raw, scratch = folders
    source = write(raw / "i_flc.fits")
    source.chmod(0o644)
    with fits.open(source, mode="update") as hdus:
        hdus["SCI"].header.update(
            {"A_ORDER": 4, "CD1_1": 8.8e-6, "CD1_2": 6.6e-6, "CD2_1": 6.6e-6, "CD2_2": -8.8e-6}
        )
    header = fits.getheader(make_working_copy(source, scratch).science, "SCI")
    assert header["IDCSCALE"] == pytest.approx(0.0396)
    assert "IDCSCALE" not in fits.getheader(source, "SCI")


def test_planes_that_only_headers_stand_for_are_written_out(folders):
    raw, scratch = folders
    source = write(raw / "jaaa01aaq_flt.fits")
    source.chmod(0o644)
    with fits.open(source, mode="append") as hdus:
        quality = fits.ImageHDU(name="DQ", ver=1)
        quality.header.update({"NPIX1": 4, "NPIX2": 4, "PIXVALUE": 0})
        hdus.append(quality)
    before = source.read_bytes()
    copy = make_working_copy(source, scratch)
    with fits.open(copy.quality) as hdus:
        assert hdus["DQ", 1].data.shape == (4, 4)
        assert not hdus["DQ", 1].data.any()
    assert source.read_bytes() == before
    assert [path.name for path in scratch.iterdir()] == [source.name]
