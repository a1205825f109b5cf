"""Stamps are north up and to scale, whatever the images are."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hst_assets.counterpart.stamps import Mark, cut_stamp, write_stamps
from hst_assets.failures import UnusableInput
from hst_assets_tests.counterpart.sky_images import FRAME, write_image

PLACE = FRAME.ra_deg, FRAME.dec_deg
#: North-east of the place.
STAR = (0.5, 0.7, 100.0)


@pytest.mark.parametrize("orientation_deg", [0.0, 37.0, 180.0])
def test_north_is_up_and_east_to_the_left(tmp_path, orientation_deg):
    frame = replace(FRAME, orientation_deg=orientation_deg)
    image = write_image(tmp_path / "a.fits", [STAR], frame=frame, noise=0.1)
    stamp = cut_stamp(image, PLACE, 2.5, title="a")
    row, column = np.unravel_index(np.nanargmax(stamp.pixels), stamp.pixels.shape)
    n = len(stamp.pixels)
    scale = 2.5 / n
    assert (row - (n - 1) / 2) * scale == pytest.approx(0.7, abs=0.03)  # a pixel of the image
    assert ((n - 1) / 2 - column) * scale == pytest.approx(0.5, abs=0.03)


def test_an_image_of_another_place_has_no_stamp(tmp_path):
    image = write_image(tmp_path / "a.fits", [STAR])
    assert cut_stamp(image, (PLACE[0], PLACE[1] + 0.1), 2.0, title="a") is None


def test_an_image_of_the_opposite_sky_has_no_stamp(tmp_path):
    """Its tangent plane has no such place: there are no pixels, not even wrong ones."""
    image = write_image(tmp_path / "a.fits", [STAR])
    assert cut_stamp(image, ((PLACE[0] + 180.0) % 360.0, -PLACE[1]), 2.0, title="a") is None


def test_beyond_the_image_there_is_nothing(tmp_path):
    image = write_image(tmp_path / "a.fits", [STAR])
    stamp = cut_stamp(image, (PLACE[0], PLACE[1] + 2.3 / 3600), 2.0, title="a")
    assert np.isnan(stamp.pixels[-1]).all()
    assert np.isfinite(stamp.pixels[0]).all()


def test_the_figure_shows_circles_and_sources(tmp_path):
    image = write_image(tmp_path / "a.fits", [STAR], noise=0.1)
    stamp = cut_stamp(image, PLACE, 2.5, title="wfc3_uvis.f814w")
    path = tmp_path / "figure.png"
    more = {"side_arcsec": 2.5, "marks": [Mark(0.5, 0.7, "1")]}
    write_stamps([stamp] * 5, path, radii_arcsec=[0.3, 0.6], **more)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    red = (pixels[..., 0] > 180) & (pixels[..., 1] < 110) & (pixels[..., 2] < 130)
    assert red.sum() > 300
    write_stamps([stamp] * 5, path, radii_arcsec=[], **more)
    without = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert ((without[..., 0] > 180) & (without[..., 1] < 110)).sum() < red.sum() / 10


def test_nothing_cannot_be_drawn(tmp_path):
    with pytest.raises(UnusableInput, match="no image shows the place"):
        write_stamps([], tmp_path / "a.png", side_arcsec=2.0, radii_arcsec=[])
