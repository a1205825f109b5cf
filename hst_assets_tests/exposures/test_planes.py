import numpy as np
import pytest
from astropy.io import fits

from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.header import read_exposure
from hst_assets.exposures.planes import (
    chips_with_data,
    constant_plane,
    is_empty,
    plane_shape,
    repair_planes,
)
from hst_assets.exposures.verification import verify_exposure
from hst_assets.failures import UnusableInput


def header_only(name="DQ", **cards):
    hdu = fits.ImageHDU(name=name, ver=1)
    hdu.header.update({"NPIX1": 50, "NPIX2": 40, "PIXVALUE": 0, **cards})
    return hdu


@pytest.mark.parametrize(("name", "value", "kind"), [("DQ", 16, "i2"), ("ERR", 2.5, "f4")])
def test_a_header_stands_for_a_constant_plane(name, value, kind):
    plane = constant_plane(header_only(name, PIXVALUE=value))
    assert (plane.shape, plane.dtype) == ((40, 50), np.dtype(kind))
    assert np.all(plane == value)
    assert plane_shape(header_only(name)) == (40, 50)


def test_without_a_size_there_is_no_plane():
    assert constant_plane(fits.ImageHDU(name="DQ", ver=1)) is None
    assert plane_shape(fits.ImageHDU(name="DQ", ver=1)) == ()


@pytest.mark.parametrize(
    "cards",
    [
        {"NPIX1": 10**9},
        {"NPIX2": -40},
        {"NPIX2": "40"},
        {"PIXVALUE": "N/A"},
        {"PIXVALUE": 0.5},
        {"PIXVALUE": 40_000},
        {"PIXVALUE": True},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(cards, exposure_file):
    with pytest.raises(UnusableInput, match=r"DQ,1 has no pixels, and"):
        constant_plane(header_only(**cards))

    def edit(hdus):
        hdus["DQ", 1] = header_only(**cards)

    with pytest.raises(UnusableInput, match=r"DQ,1 has no pixels, and"):
        verify_exposure(exposure_file(edit=edit))


@pytest.mark.parametrize(
    ("value", "empty"), [(0.0, True), (np.nan, True), (np.inf, True), (1.0, False)]
)
def test_an_empty_image(value, empty):
    assert is_empty(fits.ImageHDU(np.full((9, 9), value, np.float32))) is empty


def test_one_pixel_with_light_is_enough():
    data = np.zeros((9, 9), np.float32)
    data[0, 0] = -1.0
    assert not is_empty(fits.ImageHDU(data))


def _kill(extver, value=0.0):
    def edit(hdus):
        hdus["SCI", extver].data[:] = value

    return edit


@pytest.mark.parametrize("value", [0.0, np.nan])
@pytest.mark.parametrize(("key", "n_chips"), [("wfpc2", 4), ("wfc3_uvis", 2), ("acs_wfc", 2)])
def test_of_several_chips_one_may_hold_nothing(exposure_file, key, n_chips, value):
    whole = read_exposure(exposure_file(key, n_chips=n_chips))
    path = exposure_file(key, n_chips=n_chips, edit=_kill(2, value))
    exposure = verify_exposure(path, quality_file(path))
    assert [chip.extver for chip in exposure.chips] == [n for n in range(1, n_chips + 1) if n != 2]
    assert "SCI,2 holds nothing: not used" in exposure.notes
    assert exposure.subarray == whole.subarray
    assert read_exposure(path).notes == exposure.notes


def test_no_chip_at_all_is_refused(exposure_file):
    def edit(hdus):
        _kill(1)(hdus)
        _kill(2)(hdus)

    with pytest.raises(UnusableInput, match="SCI,1 is zero everywhere"):
        verify_exposure(exposure_file("acs_wfc", n_chips=2, edit=edit))


def test_repairing_writes_planes_out_and_flags_empty_chips(exposure_file):
    def edit(hdus):
        hdus["DQ", 1] = header_only(PIXVALUE=16)
        hdus["ERR", 2].data = None
        hdus["ERR", 2].header.update({"NPIX1": 50, "NPIX2": 40, "PIXVALUE": 3.0})
        _kill(2)(hdus)

    with fits.open(exposure_file("acs_wfc", n_chips=2, edit=edit), memmap=False) as hdus:
        assert [hdu.ver for hdu in chips_with_data(hdus)] == [1]
        assert repair_planes(hdus, hdus)
        assert np.all(hdus["DQ", 1].data == 16)
        assert np.all(hdus["ERR", 2].data == 3.0)
        assert np.all(hdus["DQ", 2].data & 4)
        assert "NPIX1" not in hdus["ERR", 2].header


def test_the_companion_of_a_dead_chip_is_flagged(exposure_file):
    path = exposure_file("wfpc2", n_chips=4, edit=_kill(3))
    with fits.open(path) as hdus, fits.open(quality_file(path), memmap=False) as quality:
        assert repair_planes(hdus, quality)
        flagged = [bool(np.all(quality["SDQ", n].data & 4)) for n in (1, 2, 3, 4)]
    assert flagged == [False, False, True, False]


def test_a_whole_exposure_is_left_as_it_is(exposure_file):
    with fits.open(exposure_file("acs_wfc", n_chips=2)) as hdus:
        assert not repair_planes(hdus, hdus)
