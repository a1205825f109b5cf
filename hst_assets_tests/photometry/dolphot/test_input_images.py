"""The images of a run: DOLPHOT takes anything, this does not."""

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.dolphot.input_images import check_images, read_input_images
from hst_assets_tests.photometry.dolphot import small_field as field

CHIP = "iaaa01a1q_flc.chip1.fits"


@pytest.fixture
def workdir(tmp_path):
    return field.small_field(tmp_path)


def check(workdir, **more):
    return check_images(read_input_images(workdir), **{"with_wcs": True, **more})


def change(workdir, name=CHIP, **cards):
    path = workdir.dolphot / "inputs" / name
    with fits.open(path, mode="update", output_verify="exception") as hdus:
        for card, value in cards.items():
            if value is None:
                del hdus[0].header[card]
            else:
                hdus[0].header[card] = value


def change_pixels(workdir, name, values):
    path = workdir.dolphot / "inputs" / name
    header = fits.getheader(path)
    fits.writeto(path, values, header, overwrite=True)


def test_sound_images_are_accepted_the_reference_first(workdir):
    images = read_input_images(workdir)
    assert [image.label for image in images] == [
        "reference",
        "iaaa01a1q.chip1",
        "iaaa01a2q.chip1",
    ]
    assert check(workdir) == "generic"


def test_images_of_hst_are_told_by_their_cards(workdir):
    for path in workdir.dolphot.glob("inputs/*"):
        change(workdir, path.name, DOL_WFC3=1)
    assert check(workdir) == "hst"


def test_images_of_both_kinds_are_refused(workdir):
    change(workdir, DOL_WFC3=1)
    with pytest.raises(UnusableInput, match="not prepared for DOLPHOT"):
        check(workdir)


@pytest.mark.parametrize("card", ["GAIN", "EXPTIME", "RDNOISE", "BADPIX", "SATURATE"])
def test_a_missing_card_is_told_because_dolphot_takes_a_figure_of_its_own(workdir, card):
    change(workdir, **{card: None})
    with pytest.raises(UnusableInput, match=f"{CHIP}.*{card}"):
        check(workdir)


@pytest.mark.parametrize(
    "cards", [{"GAIN": 0.0}, {"EXPTIME": -1.0}, {"RDNOISE": -3.0}, {"SATURATE": -60.0}], ids=str
)
def test_values_without_sense_are_told(workdir, cards):
    change(workdir, **cards)
    with pytest.raises(UnusableInput, match=f"without sense in .*{next(iter(cards))}"):
        check(workdir)


def test_a_projection_that_dolphot_does_not_read_is_told_where_it_is_used(workdir):
    change(workdir, CTYPE1="RA---TPV")
    with pytest.raises(UnusableInput, match="RA---TPV"):
        check(workdir)
    assert check(workdir, with_wcs=False) == "generic"


def test_a_header_without_a_matrix_is_told_because_dolphot_stops_there(workdir):
    change(workdir, CD1_1=None, CD1_2=None, CD2_1=None, CD2_2=None)
    with pytest.raises(UnusableInput, match=f"{CHIP}: no matrix CD1_1"):
        check(workdir)
    assert check(workdir, with_wcs=False) == "generic"


def test_pixels_that_are_not_finite_are_told(workdir):
    plane = field.frame((0, 0), seed=1)
    plane[3, 4:6] = np.nan, np.inf
    change_pixels(workdir, CHIP, plane)
    with pytest.raises(UnusableInput, match=f"{CHIP}: 2 pixels are not finite"):
        check(workdir)


def test_a_sky_of_another_shape_is_told(workdir):
    name = CHIP.replace(".fits", ".sky.fits")
    change_pixels(workdir, name, np.ones((10, 20), np.float32))
    with pytest.raises(UnusableInput, match="the sky has 20x10 pixels, the image 150x150"):
        check(workdir)


def test_an_image_without_good_pixels_is_told(workdir):
    change_pixels(workdir, CHIP, np.full((field.SIDE, field.SIDE), -99.0, np.float32))
    with pytest.raises(UnusableInput, match="between BADPIX and SATURATE"):
        check(workdir)


@pytest.mark.parametrize("content", [b"", b"not a fits file", "half", "cube", "table"])
def test_what_is_no_image_is_told(workdir, content):
    path = workdir.dolphot / "inputs" / CHIP
    if content == "half":
        content = path.read_bytes()[:40000]
    if content == "cube":
        change_pixels(workdir, CHIP, np.zeros((4, 8, 8), np.float32))
    elif content == "table":
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU()]).writeto(path, overwrite=True)
    else:
        path.write_bytes(content)
    with pytest.raises(UnusableInput, match=CHIP):
        check(workdir)


def test_a_missing_sky_is_told_because_dolphot_runs_without(workdir):
    (workdir.dolphot / "inputs" / CHIP.replace(".fits", ".sky.fits")).unlink()
    with pytest.raises(MissingProduct, match=r"chip1\.sky\.fits"):
        check(workdir)


def test_a_table_without_a_reference_or_an_exposure_is_refused(workdir):
    rows = field.rows_of(workdir)
    field.write_inputs(workdir, rows[1:])
    with pytest.raises(UnusableInput, match="one reference, not 0"):
        read_input_images(workdir)
    field.write_inputs(workdir, [rows[0], *({**row, "used": False} for row in rows[1:])])
    with pytest.raises(UnusableInput, match="no chip of an exposure is used"):
        read_input_images(workdir)


def test_a_reference_of_no_known_detector_has_the_exposures_values(workdir):
    rows = field.rows_of(workdir)
    rows[0] |= {"instrument": "", "detector": ""}
    field.write_inputs(workdir, rows)
    assert read_input_images(workdir)[0].detector.key == "wfc3_uvis"


def test_two_images_of_one_name_are_refused(workdir):
    rows = field.rows_of(workdir)
    rows[2]["file"] = rows[1]["file"]
    field.write_inputs(workdir, rows)
    with pytest.raises(UnusableInput, match="one name"):
        read_input_images(workdir)
