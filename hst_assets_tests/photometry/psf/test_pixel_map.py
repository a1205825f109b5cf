"""Maps from the reference to a chip: against astropy's WCS with distortion."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.failures import UnusableInput
from hst_assets.photometry.psf.pixel_map import PixelMap, map_between

SCALE_DEG = 0.04 / 3600


def plain(*, angle_deg: float = 0.0) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.crpix = [101.0, 101.0]
    wcs.wcs.crval = [150.0, 2.2]
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    wcs.wcs.cd = SCALE_DEG * np.array([[-c, s], [s, c]])
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.set()
    return wcs


def distorted(quadratic: float = 6e-6) -> WCS:
    """A chip turned by 30 degrees, with the quadratic distortion of HST's cameras."""
    header = plain(angle_deg=30.0).to_header()
    for key in ("PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2"):
        header.remove(key, ignore_missing=True)
    cd = plain(angle_deg=30.0).wcs.cd
    for i in (1, 2):
        for j in (1, 2):
            header[f"CD{i}_{j}"] = cd[i - 1, j - 1]
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["A_ORDER"] = header["B_ORDER"] = 2
    header["A_2_0"], header["A_1_1"], header["B_0_2"] = quadratic, -quadratic, quadratic
    return WCS(fits.Header(header))


@pytest.fixture(scope="module")
def places() -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(2).uniform(0, 200, (2, 500)))


def test_between_knots_it_is_the_wcs_with_its_distortion(places) -> None:
    pixel_map = map_between(plain(), distorted(), box=(0.0, 200.0, 0.0, 200.0))
    expected = distorted().all_world2pix(*plain().all_pix2world(*places, 0), 0, tolerance=1e-7)
    # A parabola of 6e-6 a pixel squared, interpolated over 16 pixels: 6e-6 (16/2)^2 = 4e-4 at most
    # for each of the terms.
    np.testing.assert_allclose(pixel_map(*places), expected, atol=8e-4)


def test_a_finer_lattice_is_nearer(places) -> None:
    expected = np.array(
        distorted().all_world2pix(*plain().all_pix2world(*places, 0), 0, tolerance=1e-7)
    )
    coarse, fine = (
        map_between(plain(), distorted(), box=(0.0, 200.0, 0.0, 200.0), step=step)
        for step in (32.0, 8.0)
    )
    error = [abs(np.array(each(*places)) - expected).max() for each in (coarse, fine)]
    assert error[1] < error[0] / 8  # by the square of the step: 16, less rounding


def test_a_reference_may_be_a_function(places) -> None:
    def to_sky(x, y):
        return plain().all_pix2world(x, y, 0)

    box = (0.0, 200.0, 0.0, 200.0)
    by_function = map_between(to_sky, distorted(), box=box)
    np.testing.assert_array_equal(
        by_function.knots, map_between(plain(), distorted(), box=box).knots
    )


def test_knots_reach_the_far_side_of_the_box() -> None:
    pixel_map = map_between(plain(), plain(), box=(-10.0, 205.0, 3.0, 50.0))
    ny, nx = pixel_map.knots.shape[:2]
    assert pixel_map.x0 + pixel_map.step * (nx - 1) >= 205.0
    assert pixel_map.y0 + pixel_map.step * (ny - 1) >= 50.0


def test_beyond_the_knots_it_goes_on_straight() -> None:
    knots = np.stack(np.meshgrid(np.arange(3) * 16.0, np.arange(3) * 16.0), axis=-1) * 1.5 + 7.0
    x, y = PixelMap(0.0, 0.0, 16.0, knots)(np.array([-20.0, 80.0]), np.array([60.0, -5.0]))
    np.testing.assert_allclose(x, [-23.0, 127.0])
    np.testing.assert_allclose(y, [97.0, -0.5])


def test_a_moved_map_counts_pixels_from_elsewhere(places) -> None:
    whole = map_between(plain(), distorted(), box=(0.0, 200.0, 0.0, 200.0))
    x, y = whole(*places)
    moved_x, moved_y = whole.moved(-30.0, 12.5)(*places)
    np.testing.assert_allclose([moved_x, moved_y], [x - 30.0, y + 12.5], atol=1e-9)


def test_a_place_behind_the_sky_is_refused() -> None:
    def nowhere(x, y):
        return np.full(x.shape, np.nan), y

    with pytest.raises(UnusableInput, match="cannot be inverted"):
        map_between(nowhere, plain(), box=(0.0, 50.0, 0.0, 50.0))
