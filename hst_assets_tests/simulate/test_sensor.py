import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.simulate.geometry import Subarray, chip_views
from hst_assets.simulate.sensor import SENSORS, bad_pixels, read_out

KEYS = sorted(DETECTORS)


def _view(key, size=200):
    return chip_views(key, None if key == "wfpc2" else Subarray(100, 120, size, size))[-1]


def _read(key, light, **options):
    view = _view(key)
    rng = np.random.default_rng(11)
    switches = {"noise": False, "cosmic_rays": False, "defects": False} | options
    return read_out(np.full(view.shape, float(light)), key, view, 300.0, rng, **switches)


@pytest.mark.parametrize("key", KEYS)
def test_without_noise_light_comes_out_as_it_went_in(key):
    readout = _read(key, 123.0)
    np.testing.assert_allclose(readout.science, 123.0)
    assert not readout.quality.any()


@pytest.mark.parametrize("key", KEYS)
def test_noise_is_that_of_photons_dark_current_and_readout(key):
    readout = _read(key, 400.0, noise=True)
    light = 400.0 + 300.0 * SENSORS[key].dark_e_per_s
    variance = light + DETECTORS[key].read_noise_e ** 2
    if key == "wfc3_ir":
        # A line through 13 evenly spaced reads of 14.6 electrons, with the weights of calwf3:
        # drawn 40,000 times, as in test_ramps.py.
        variance = 26.3**2
    # 40,000 pixels: the standard deviation is known to 0.4 %.
    assert readout.science.std() == pytest.approx(np.sqrt(variance), rel=0.02)
    assert readout.science.mean() == pytest.approx(400.0, abs=0.6)
    np.testing.assert_allclose(readout.error, np.sqrt(variance), rtol=0.005)


@pytest.mark.parametrize("key", [key for key in KEYS if key != "wfc3_ir"])
def test_cosmic_rays_on_ccds_are_in_the_image_and_in_no_flag(key):
    readout = _read(key, 50.0, cosmic_rays=True)
    assert not readout.quality.any()
    hit = readout.science > 50.5
    np.testing.assert_array_equal(hit, readout.cosmic_rays)
    # 1 to 2 per cent of the pixels in 1000 s, so about 0.4 % in 300 s.
    assert 0.001 < hit.mean() < 0.01


def test_cosmic_rays_on_the_infrared_detector_are_flagged_and_gone():
    view = chip_views("wfc3_ir")[0]
    light = np.full(view.shape, 50.0)
    readout = read_out(
        light, "wfc3_ir", view, 2000.0, np.random.default_rng(1), noise=False, defects=False
    )
    flagged = (readout.quality & 8192) > 0
    assert 10 < flagged.sum() < 200
    np.testing.assert_array_equal(flagged, readout.cosmic_rays)
    assert np.abs(readout.science - 50.0).max() < 1e-6


@pytest.mark.parametrize("key", KEYS)
def test_bad_pixels_belong_to_the_detector(key):
    whole, part = chip_views(key)[0], _view(key) if key != "wfpc2" else chip_views(key)[0]
    flags = bad_pixels(key, whole)
    assert 0.001 < (flags > 0).mean() < 0.15
    crop = flags[part.y0 : part.y0 + part.ny, part.x0 : part.x0 + part.nx]
    np.testing.assert_array_equal(bad_pixels(key, part), crop)


def test_saturated_ccd_columns_bleed_and_keep_their_charge():
    view = _view("wfc3_uvis")
    full_well = DETECTORS["wfc3_uvis"].saturation_e
    light = np.full(view.shape, 10.0)
    light[100, 50] = 5.5 * full_well
    readout = read_out(
        light,
        "wfc3_uvis",
        view,
        1.0,
        np.random.default_rng(1),
        noise=False,
        cosmic_rays=False,
        defects=False,
    )
    saturated = (readout.quality & 256) > 0
    rows, columns = np.nonzero(saturated)
    assert set(columns) == {50}
    assert rows.min() == 98
    assert rows.max() == 102
    assert readout.science.sum() == pytest.approx(light.sum(), rel=1e-9)


@pytest.mark.parametrize("key", ["wfc3_ir", "wfpc2"])
def test_other_saturated_pixels_are_clipped_and_flagged(key):
    readout = _read(key, 3 * DETECTORS[key].saturation_e)
    assert ((readout.quality & DETECTORS[key].dq_saturated) > 0).all()
    assert readout.science.max() <= DETECTORS[key].saturation_e


def test_the_edges_of_wfpc2_see_no_light():
    readout = _read("wfpc2", 500.0, defects=True)
    assert ((readout.quality[:46] & 2) > 0).all()
    assert ((readout.quality[:, :46] & 2) > 0).all()
    assert abs(np.mean(readout.science[:40, 100:])) < 2.0
    assert (readout.quality[60:, 60:] & 2).sum() == 0
