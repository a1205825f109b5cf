"""The star fields of the photometer's tests: light, places and areas are what the truth says."""

from dataclasses import replace

import numpy as np
import pytest

from hst_assets_tests.field_psfs import STEPS, psf_tables
from hst_assets_tests.star_fields import make_field
from hst_assets_tests.star_scenes import CAMERAS, DITHERS, Scene, Shot, shots

BAND = CAMERAS["wfc3_uvis"].band
SMALL = Scene(1, shape=(160, 160), shots=shots(2))


def light_about(image, x, y, radius):
    """Electrons less the sky in a square about a place, and the share of pixels that is good."""
    i, j = (round(float(each)) for each in image.pixel_map(np.array(x), np.array(y)))
    part = np.s_[j - radius : j + radius + 1, i - radius : i + radius + 1]
    return float((image.data_e - image.sky_e)[part].sum()), image.good[part].mean()


def one_star(scene, *, rate=200.0, place=(80.3, 79.6), motion=0.0, monkeypatch):
    """A field with one star at a known place."""
    import hst_assets_tests.star_fields as module

    made = module._stars

    def only(scene, rng):
        truth = made(scene, rng)
        fast, still = np.array([motion]), np.zeros(1)
        rates = dict.fromkeys(truth.rates, np.array([rate]))
        x, y = (np.array([each]) for each in place)
        return replace(truth, x=x, y=y, rates=rates, motion_x=fast, motion_y=still)

    monkeypatch.setattr(module, "_stars", only)
    return make_field(scene, 5)


def test_a_field_is_that_of_its_seed():
    scene = Scene(20, shape=(100, 100), shots=shots(1), cosmic_rays=1.0, hot_pixels=5, galaxies=2)
    first, again, other = make_field(scene, 1), make_field(scene, 1), make_field(scene, 2)
    np.testing.assert_array_equal(first.images[0].data_e, again.images[0].data_e)
    assert (first.images[0].data_e != other.images[0].data_e).any()


@pytest.mark.parametrize("family", ["moffat", "airy"])
def test_a_psf_holds_all_light_but_that_of_its_far_wings(family):
    (table,) = psf_tables(family, 1.8)
    # An obscured aperture's rings fall as r^-3, the Moffats' faster.
    assert table[::STEPS, ::STEPS].sum() == pytest.approx(1.0, abs=0.02)
    assert table[::STEPS, ::STEPS].sum() < 1.0
    assert table[7::STEPS, 3::STEPS].sum() == pytest.approx(table[::STEPS, ::STEPS].sum(), abs=2e-4)


def test_a_stars_electrons_are_rate_times_time_on_each_exposure(monkeypatch):
    first, second = shots(2)
    times = (replace(first, exptime_s=100.0), replace(second, exptime_s=1000.0))
    sky = one_star(replace(SMALL, shots=times, sky_e=20.0), monkeypatch=monkeypatch)
    share = sky.psf(BAND, radius_pix=12).at(*np.meshgrid(np.arange(-8.0, 9), np.arange(-8.0, 9)))
    for image in sky.images:
        counts, good = light_about(image, 80.3, 79.6, 8)
        assert good == 1.0
        # Poisson of 20,000 electrons is 0.7 %, that of the sky and its estimate less.
        assert counts == pytest.approx(200.0 * image.exptime_s * share.sum(), rel=0.03)


@pytest.mark.parametrize("distorted", [False, True])
def test_the_star_is_where_the_tabulated_map_says(distorted, monkeypatch):
    scene = replace(SMALL, distorted=distorted, shots=shots(3, turn_deg=20.0))
    sky = one_star(scene, rate=100.0, monkeypatch=monkeypatch)
    for image in sky.images:
        x, y = (float(each) for each in image.pixel_map(np.array(80.3), np.array(79.6)))
        i, j = round(x), round(y)
        part = (image.data_e - image.sky_e)[j - 3 : j + 4, i - 3 : i + 4]
        rows, columns = np.mgrid[-3:4, -3:4]
        # 50,000 electrons of 0.8 pixel: 0.004, and the centroid in a box misses some wing.
        assert i + (part * columns).sum() / part.sum() == pytest.approx(x, abs=0.06)
        assert j + (part * rows).sum() / part.sum() == pytest.approx(y, abs=0.06)


def test_dithers_are_those_of_the_study():
    sky = make_field(replace(SMALL, shots=shots(4)), 1)
    for image, (dx, dy) in zip(sky.images, DITHERS[:4], strict=True):
        x, y = image.pixel_map(np.array(50.0), np.array(60.0))
        assert (float(x), float(y)) == pytest.approx((50.0 + dx, 60.0 + dy), abs=1e-9)


def test_pixel_areas_are_those_of_the_map():
    scene = replace(SMALL, shape=(700, 700), distorted=True, shots=shots(1, turn_deg=30.0))
    (image,) = make_field(scene, 1).images
    for x, y in ((100.0, 100.0), (600.0, 350.0)):
        corners = [
            image.pixel_map(np.array(x + a), np.array(y + b)) for a, b in ((0, 0), (16, 0), (0, 16))
        ]
        (px, py), (qx, qy), (rx, ry) = ([float(each) for each in corner] for corner in corners)
        on_chip = abs((qx - px) * (ry - py) - (rx - px) * (qy - py)) / 16**2
        assert image.area[round(py), round(px)] == pytest.approx(1 / on_chip, rel=3e-4)
    assert np.ptp(image.area) > 0.005


def test_the_sky_follows_the_pixel_area():
    scene = replace(SMALL, shape=(700, 700), distorted=True, shots=shots(1), sky_e=1000.0)
    (image,) = make_field(scene, 1).images
    level = image.data_e / image.area
    left, right = np.median(level[:, :100]), np.median(level[:, -100:])
    # 70,000 pixels of 32 electrons noise.
    assert left == pytest.approx(right, abs=1.0)


def test_cosmic_rays_are_good_pixels_of_the_image_and_masked_ones_of_the_masked():
    sky = make_field(replace(SMALL, n_stars=60, cosmic_rays=1.0), 1)
    for image, masked, struck in zip(sky.images, sky.masked(), sky.struck, strict=True):
        assert struck.sum() > 60
        assert image.good[struck].all()
        assert not masked.good[struck].any()
        assert np.median((image.data_e - image.sky_e)[struck]) > 100


def test_exposures_are_not_hit_in_the_same_places():
    first, second = make_field(replace(SMALL, n_stars=60, cosmic_rays=1.0), 1).struck
    assert (first & second).mean() < 0.01


def test_hot_pixels_stay_and_one_in_four_is_known():
    scene = replace(SMALL, hot_pixels=200, sky_e=10.0)
    first, second = make_field(scene, 1).images
    np.testing.assert_array_equal(first.good, second.good)
    assert 45 <= (~first.good).sum() <= 50
    hot = first.data_e > first.sky_e + 200
    assert (second.data_e[hot] > second.sky_e[hot] + 100).mean() > 0.97


def test_charge_beyond_the_full_well_runs_along_the_column(monkeypatch):
    scene = replace(SMALL, shots=shots(1), sky_e=10.0)
    sky = one_star(scene, rate=4000.0, place=(80.0, 80.0), monkeypatch=monkeypatch)
    (image,) = sky.images
    rows, columns = np.nonzero(image.saturated)
    assert np.ptp(rows) > np.ptp(columns) + 4
    assert not image.good[image.saturated].any()
    share = sky.psf(BAND, radius_pix=40).at(
        *np.meshgrid(np.arange(-40.0, 41), np.arange(-40.0, 41))
    )
    # No electron is lost on a CCD: 2e6 electrons.
    assert light_about(image, 80.0, 80.0, 40)[0] == pytest.approx(2e6 * share.sum(), rel=0.01)


def test_a_gap_leaves_two_chips_and_no_pixel_between():
    scene = replace(SMALL, gap_pix=20, shots=shots(1))
    lower, upper = make_field(scene, 1).images
    assert lower.shape == (70, 160)
    assert upper.shape == (70, 160)
    for y, on_lower, on_upper in ((60.0, 60.0, -30.0), (100.0, 100.0, 10.0)):
        assert float(lower.pixel_map(np.array(5.0), np.array(y))[1]) == pytest.approx(on_lower)
        assert float(upper.pixel_map(np.array(5.0), np.array(y))[1]) == pytest.approx(on_upper)


def test_detectors_of_other_pixels_see_the_same_sky():
    scene = replace(SMALL, shots=(Shot("wfc3_uvis"), Shot("wfc3_ir")))
    uvis, ir = make_field(scene, 1).images
    assert ir.shape == (50, 50)
    middle = (np.array(79.5), np.array(79.5))
    assert [float(each) for each in uvis.pixel_map(*middle)] == pytest.approx([79.5, 79.5])
    assert [float(each) for each in ir.pixel_map(*middle)] == pytest.approx([24.5, 24.5])


def test_moving_stars_are_where_they_were_at_the_date(monkeypatch):
    years = (Shot(mjd=58000.0), Shot(mjd=58000.0 + 365.25))
    sky = one_star(replace(SMALL, shots=years), motion=4.0, monkeypatch=monkeypatch)
    # Half a year before and after the mean of the dates: 2 pixels to the left and to the right.
    for image, x in zip(sky.images, (78.3, 82.3), strict=True):
        signal = image.data_e - image.sky_e
        assert np.unravel_index(np.argmax(signal), signal.shape) == (80, round(x))


def test_so_many_of_the_stars_move():
    scene = replace(SMALL, n_stars=300, moving=0.5, motion_pix_yr=2.0)
    truth = make_field(scene, 1).truth
    speed = np.hypot(truth.motion_x, truth.motion_y)
    # 500 stars or so: 0.022.
    assert (speed > 0).mean() == pytest.approx(0.5, abs=0.09)
    assert speed[speed > 0] == pytest.approx(2.0)


def test_a_varying_psf_is_wider_on_the_right_and_known_to_the_exact_one():
    sky = make_field(replace(SMALL, varying=True), 1)
    psf = sky.psf(BAND)
    zero = np.zeros(1)
    left, right = (float(psf.at(zero, zero, cell=psf.cell_of(x, 80))[0]) for x in (5, 155))
    # The peak falls as FWHM**-1.4 or so, pixel included: 10 %.
    assert right < 0.93 * left
    assert sky.psf(BAND, wider=1.1).coefficients.shape[:2] == (1, 1)


def test_stars_follow_the_luminosity_function():
    truth = make_field(Scene(5000, shape=(200, 200), shots=shots(1, exptime_s=1.0)), 1).truth
    electrons = truth.rates[BAND] * 500.0
    assert electrons.min() >= 60.0
    assert electrons.max() <= 2e5
    # N(>f) goes as f**-0.75: a tenth of it at 10**(4/3) times the flux.
    ratio = (electrons > 60 * 10 ** (4 / 3)).mean()
    assert ratio == pytest.approx(0.1, abs=0.01)
