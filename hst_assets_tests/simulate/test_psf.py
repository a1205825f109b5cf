import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hst_assets.simulate.bands import BANDS, band_of
from hst_assets.simulate.psf import psf_model

UVIS = psf_model("wfc3_uvis", band_of("wfc3_uvis", "F606W"), (0.0398, 0.0398))


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
@settings(max_examples=30, deadline=None)
def test_a_stamp_holds_the_light_and_is_centred_on_the_star(dx, dy):
    stamp, x0, y0 = UVIS.stamp(100 + dx, 40 + dy, 58)
    # What lies beyond 2.3 arcsec is missing.
    assert stamp.sum() == pytest.approx(0.997, abs=0.001)
    rows, columns = np.indices(stamp.shape)
    window = np.exp(-((columns + x0 - 100 - dx) ** 2 + (rows + y0 - 40 - dy) ** 2) / 8)
    weight = stamp * window
    assert (weight * (columns + x0)).sum() / weight.sum() == pytest.approx(100 + dx, abs=0.002)
    assert (weight * (rows + y0)).sum() / weight.sum() == pytest.approx(40 + dy, abs=0.002)


def test_encircled_light_grows_with_radius_and_is_that_of_an_aperture_on_a_stamp():
    shares = [UVIS.net_encircled(radius, (1.4, 2.0)) for radius in (0.1, 0.2, 0.4, 0.8)]
    assert shares == sorted(shares)
    stamp, x0, y0 = UVIS.stamp(0.2, -0.1, 58)
    fine = np.kron(stamp / 100, np.ones((10, 10)))
    rows, columns = (np.indices(fine.shape) + 0.5) / 10 - 0.5
    inside = np.hypot(columns + x0 - 0.2, rows + y0 + 0.1) * 0.0398 <= 0.4
    # The annulus takes next to nothing; pixels are coarse against the oversampled model.
    assert fine[inside].sum() == pytest.approx(UVIS.net_encircled(0.4, (1.4, 2.0)), abs=0.004)


@pytest.mark.parametrize(
    ("key", "filter_name", "pixel", "low", "high"),
    [
        # FWHM from the instrument handbooks: UVIS 0.067-0.075, IR 0.15, HRC 0.05-0.07
        # arcsec; the pixel that is folded in widens them.
        ("wfc3_uvis", "F606W", (0.0398, 0.0398), 0.060, 0.090),
        ("wfc3_ir", "F160W", (0.1354, 0.1210), 0.13, 0.20),
        ("acs_hrc", "F606W", (0.0284, 0.0248), 0.045, 0.075),
    ],
)
def test_width_is_that_of_the_handbooks(key, filter_name, pixel, low, high):
    model = psf_model(key, band_of(key, filter_name), pixel)
    middle = model.grid.shape[0] // 2
    profile = model.grid[middle]
    width = np.count_nonzero(profile > profile.max() / 2) * pixel[0] / 8
    assert low < width < high


def test_redder_light_spreads_wider():
    blue, red = (
        psf_model("wfc3_uvis", BANDS["wfc3_uvis"][name], (0.0398, 0.0398)).peak
        for name in ("F336W", "F814W")
    )
    assert red < blue
