from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from hst_assets.failures import UnusableInput
from hst_assets.imaging.frames import Frame
from hst_assets.products import preview
from hst_assets.products.preview import thumbnail, write_preview


@pytest.fixture
def image(tmp_path: Path) -> Path:
    data = np.random.default_rng(2).normal(0.1, 0.01, (900, 1300)).astype(np.float32)
    data[100:140, 600:640] = 5.0  # low in the array: must be low in the picture
    data[:, :200] = np.nan
    path = tmp_path / "image.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, name="SCI")])
    cards = {"CD1_1": -1.1e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1.1e-5}
    hdus["SCI"].header.update(cards)
    hdus.writeto(path)
    return path


def test_the_picture_fits_and_keeps_its_shape(image: Path, tmp_path: Path) -> None:
    with Image.open(write_preview(image, tmp_path / "image.png", max_side=640)) as picture:
        width, height = picture.size
    assert max(width, height) <= 640
    assert width / height == pytest.approx(1300 / 900, rel=0.02)


def test_the_picture_has_the_arrays_orientation(image: Path, tmp_path: Path) -> None:
    with Image.open(write_preview(image, tmp_path / "image.png")) as picture:
        grey = np.array(picture.convert("L"), float)
    rows, _ = np.nonzero(grey[:, 195:220] > 250)  # columns 600 to 640, binned by 3
    assert np.median(rows) / grey.shape[0] == pytest.approx(1 - 120 / 900, abs=0.02)


def test_large_images_are_averaged_in_parts(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_preview(image, tmp_path / "image.png").read_bytes()
    monkeypatch.setattr(preview, "_STRIP_PIXELS", 5000)
    assert write_preview(image, tmp_path / "parts.png").read_bytes() == whole


def test_missing_data_are_grey_and_the_sky_is_dark(image: Path, tmp_path: Path) -> None:
    with Image.open(write_preview(image, tmp_path / "image.png")) as picture:
        pixels = np.array(picture)
    blank = pixels[40:60, 20:40].reshape(-1, 3)
    assert len(np.unique(blank, axis=0)) == 1
    assert blank[0, 2] > blank[0, 0]  # bluish: no sky looks like it
    assert pixels[100:150, 200:280].mean() < 90


def test_a_difference_is_grey_at_zero_and_even_on_both_sides(tmp_path: Path) -> None:
    data = np.random.default_rng(2).normal(0.0, 0.01, (300, 300)).astype(np.float32)
    data[50:60, 50:60], data[50:60, 200:210] = 1.0, -1.0
    path = tmp_path / "difference.fits"
    fits.PrimaryHDU(data).writeto(path)
    with Image.open(write_preview(path, tmp_path / "image.png", symmetric=True)) as picture:
        grey = np.array(picture.convert("L"), float)
    each = grey.shape[0] // 300
    assert np.median(grey) == pytest.approx(127.5, abs=3)
    brighter, fainter = (
        grey[grey.shape[0] - 58 * each : grey.shape[0] - 52 * each, x * each : (x + 6) * each]
        for x in (52, 202)
    )
    assert brighter.mean() > 250
    assert fainter.mean() < 5


@pytest.mark.parametrize(
    ("angle_deg", "right", "up"), [(0.0, 0.0, 1.0), (90.0, 1.0, 0.0), (180.0, 0.0, -1.0)]
)
def test_the_compass_points_north_whatever_the_orientation(
    tmp_path: Path, angle_deg: float, right: float, up: float
) -> None:
    """The ink of the picture with the compass that is not on the picture without a WCS."""
    path, plain = tmp_path / "turned.fits", tmp_path / "plain.fits"
    frame = Frame(150.0, 2.0, 0.04, 300, 300, 150, 150, orientation_deg=angle_deg)
    data = np.zeros((300, 300), np.float32)
    fits.PrimaryHDU(data).writeto(plain)
    fits.PrimaryHDU(data, frame.wcs.to_header()).writeto(path)
    header = fits.getheader(path)
    header.update(
        {f"CD{i + 1}_{j + 1}": frame.wcs.wcs.cd[i, j] for i in range(2) for j in range(2)}
    )
    fits.writeto(path, data, header, overwrite=True)
    with (
        Image.open(write_preview(path, tmp_path / "turned.png", max_side=320)) as picture,
        Image.open(write_preview(plain, tmp_path / "plain.png", max_side=320)) as blank,
    ):
        ink = np.any(np.array(picture) != np.array(blank), axis=2)
    centre = np.array([picture.width - 48, 52])
    for step in (8, 16, 24):  # along the arm to the north
        x, y = (centre + step * np.array([right, -up])).round().astype(int)
        assert ink[y - 2 : y + 3, x - 2 : x + 3].any()
    x, y = (centre - 12 * (np.array([right, -up]) - np.array([-up, -right]))).round().astype(int)
    assert not ink[y - 2 : y + 3, x - 2 : x + 3].any()  # between the other two directions


def test_a_small_image_is_enlarged(tmp_path: Path) -> None:
    path = tmp_path / "small.fits"
    fits.PrimaryHDU(np.random.default_rng(3).normal(size=(50, 40))).writeto(path)
    with Image.open(write_preview(path, tmp_path / "small.png", max_side=640)) as picture:
        assert picture.size == (40 * 8, 50 * 8)


@pytest.mark.parametrize("max_bytes", [50_000, 12_000])
def test_a_thumbnail_is_small_enough(image: Path, tmp_path: Path, max_bytes: int) -> None:
    png = write_preview(image, tmp_path / "image.png")
    small = thumbnail(png, max_bytes=max_bytes)
    assert len(small) <= max_bytes
    with Image.open(io.BytesIO(small)) as picture:
        assert picture.format == "WEBP"
        assert max(picture.size) <= 480


@pytest.mark.parametrize(
    ("hdu", "reason"),
    [
        (fits.PrimaryHDU(), "no image"),
        (fits.PrimaryHDU(np.full((20, 20), np.nan)), "no pixel of the image is finite"),
    ],
)
def test_files_without_a_picture_are_refused(tmp_path: Path, hdu, reason: str) -> None:
    hdu.writeto(tmp_path / "bad.fits")
    with pytest.raises(UnusableInput, match=reason):
        write_preview(tmp_path / "bad.fits", tmp_path / "bad.png")
    assert not (tmp_path / "bad.png").exists()


def test_a_constant_image_is_no_failure(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((30, 30), np.float32)).writeto(tmp_path / "flat.fits")
    assert write_preview(tmp_path / "flat.fits", tmp_path / "flat.png").is_file()
