"""The photometer where it is hard: each case is a simulation with its truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import KDTree

from hst_assets.photometry.psf.artificial_stars import measure_artificial_stars
from hst_assets.photometry.psf.background import fine_structure, without_local_level
from hst_assets.photometry.psf.combined_quality import EXTENDED
from hst_assets.photometry.psf.consistency import is_seen, seen_once
from hst_assets.photometry.psf.forced import forced_photometry
from hst_assets.photometry.psf.measurement import MeasureParameters, measure_target
from hst_assets.photometry.psf.saturated_stars import with_trail_ends
from hst_assets.photometry.psf.tiles import ChipInMemory
from hst_assets_tests.star_fields import make_field
from hst_assets_tests.star_scenes import CAMERAS, Scene, Shot, shots

BAND = CAMERAS["wfc3_uvis"].band
BLUE = CAMERAS["wfc3_uvis_blue"].band
FIELD = Scene(60, shape=(200, 200), shots=shots(3), faintest_e=400.0, brightest_e=4e4)
#: PSFs as they are given: these tests are of stars, not of PSFs.
GIVEN = MeasureParameters(max_psf_stars=0, cosmic_rays=False)


def measured(field, folder, parameters=GIVEN):
    sources = [ChipInMemory(image, image.band) for image in field.images]
    psfs = {source.band: field.psf(source.band) for source in sources}
    return measure_target(sources, psfs, folder=folder, parameters=parameters)


def one_scene(monkeypatch, scene, places, electrons, *, motion=0.0, blue=None):
    """A field with stars where they are wanted; electrons in the nominal time."""
    import hst_assets_tests.star_fields as module

    made = module._stars
    electrons = np.asarray(electrons, dtype=float)

    def placed(scene, rng):
        truth = made(scene, rng)
        rates = dict.fromkeys(truth.rates, electrons / scene.nominal_s)
        if blue is not None:
            rates[BLUE] = np.asarray(blue, dtype=float) / scene.nominal_s
        x, y = np.array(places, dtype=float).T
        still = np.zeros(len(x))
        moving = np.broadcast_to(np.asarray(motion, dtype=float), x.shape)
        return replace(truth, x=x, y=y, rates=rates, motion_x=moving, motion_y=still)

    monkeypatch.setattr(module, "_stars", placed)
    return make_field(scene, 4)


def nearest(stars, x, y):
    """Distance of the nearest star, and its index."""
    return KDTree(np.column_stack([stars.x, stars.y])).query([x, y])


def unmatched(stars, field):
    """Stars within the field with no true one within a pixel."""
    ny, nx = field.scene.shape
    inside = (stars.x > 8) & (stars.x < nx - 9) & (stars.y > 8) & (stars.y < ny - 9)
    true = KDTree(np.column_stack([field.truth.x, field.truth.y]))
    distance, _ = true.query(np.column_stack([stars.x, stars.y]))
    return inside & (distance > 1.0)


def signal_to_noise(stars):
    return np.sqrt(((np.maximum(stars.counts_e, 0) / stars.counts_error_e) ** 2).sum(axis=0))


# ------------------------------------------------------------------------ saturated stars


def test_a_saturated_star_is_measured_by_its_wings(monkeypatch, tmp_path):
    scene = replace(FIELD, shape=(160, 160))
    field = one_scene(monkeypatch, scene, [(80.3, 78.8), (30, 40)], [3e6, 5e3])
    stars = measured(field, tmp_path)
    distance, at = nearest(stars, 80.3, 78.8)
    # The core is lost over some ten pixels, 20 rows with the trail.
    assert distance < 0.1
    off = stars.counts_e[:, at] - 3e6
    # Errors have 1 % of the PSF's wings.
    assert (abs(off) < 3 * stars.counts_error_e[:, at]).all()
    assert (stars.counts_error_e[:, at] < 0.03 * 3e6).all()
    assert (stars.flag[:, at] & 12 == 4).all()


def test_neither_halo_nor_trail_of_a_saturated_star_is_made_of_stars(monkeypatch, tmp_path):
    scene = replace(FIELD, shape=(160, 160))
    field = one_scene(monkeypatch, scene, [(80.3, 78.8)], [3e6])
    stars = measured(field, tmp_path)
    # Noise gives about 70 a Mpx above 3.5: 1.5 here.
    assert unmatched(stars, field).sum() <= 6


def test_the_short_exposure_decides_of_a_star_that_saturates_the_long_one(monkeypatch, tmp_path):
    both = tuple(
        replace(shot, exptime_s=time) for shot, time in zip(shots(2), (10.0, 1500.0), strict=True)
    )
    scene = replace(FIELD, shape=(160, 160), shots=both)
    field = one_scene(monkeypatch, scene, [(80.3, 78.8), (30, 40)], [1e6, 5e3])
    stars = measured(field, tmp_path)
    distance, at = nearest(stars, 80.3, 78.8)
    # 20,000 electrons in the short one: 0.007 by photons in its flux, 0.01 pixel in its place.
    assert distance < 0.05
    assert stars.counts_e[0, at] == pytest.approx(20_000.0, rel=0.03)
    assert stars.flag[0, at] == 0
    assert stars.flag[1, at] & 4


def test_the_pixels_at_the_ends_of_a_trail_do_not_count():
    saturated = np.zeros((5, 3), dtype=bool)
    saturated[2, 1] = True
    assert with_trail_ends(saturated).sum() == 3
    assert with_trail_ends(saturated)[[1, 3], 1].all()


# ---------------------------------------------------------------- seen on one exposure only


def test_what_one_of_three_exposures_shows_is_no_star():
    rate, variance = np.array([[30.0], [0.2], [-0.3]]), np.ones((3, 1))
    bands, dates = np.zeros(3, dtype=np.int64), np.full(3, 58000.0)
    false, struck = seen_once(rate, variance, bands, dates)
    assert false[0]
    assert struck[:, 0].tolist() == [True, False, False]


def test_a_faint_star_is_not_dropped_for_its_noise():
    rng = np.random.default_rng(1)
    rate = 2.5 + rng.normal(0, 1, (3, 5000))
    bands, dates = np.zeros(3, dtype=np.int64), np.full(3, 58000.0)
    false, _ = seen_once(rate, np.ones((3, 5000)), bands, dates)
    assert false.mean() < 0.005


def test_epochs_do_not_ask_each_other():
    rate, variance = np.array([[30.0], [0.2]]), np.ones((2, 1))
    bands = np.zeros(2, dtype=np.int64)
    assert not seen_once(rate, variance, bands, np.array([58000.0, 58400.0]))[0].any()
    assert seen_once(rate, variance, bands, np.array([58000.0, 58000.1]))[0].all()


def test_a_cosmic_ray_on_a_star_that_another_band_shows_leaves_the_star():
    rate, variance = np.array([[30.0], [0.2], [9.0]]), np.ones((3, 1))
    bands, dates = np.array([0, 0, 1]), np.full(3, 58000.0)
    assert not seen_once(rate, variance, bands, dates)[0].any()


def test_unmasked_cosmic_rays_and_hot_pixels_are_no_bright_stars(tmp_path):
    scene = replace(FIELD, n_stars=60, cosmic_rays=1.0, hot_pixels=40)
    field = make_field(scene, 7)
    # No mask at all: what is left to the comparison in the fit.
    stars = measured(field, tmp_path)
    bright = unmatched(stars, field) & (signal_to_noise(stars) > 10)
    # Some 120 hits and 30 hot pixels, on three exposures: one in ten may pass, next to stars.
    assert (bright & (stars.object_type <= 2)).sum() <= 9


def test_a_place_that_no_image_shows_is_not_seen():
    good = np.ones((1, 20, 20), dtype=bool)
    good[0, :, 9:12] = False
    shapes = np.array([[20, 20]])
    seen = is_seen(good, shapes, np.array([[10.0, 4.0]]), np.array([[10.0, 10.0]]))
    assert seen.tolist() == [False, True]


# ------------------------------------------------------------------------------ structure


def _cloud(side=256, *, size, height, noise=8.0):
    rows, columns = np.mgrid[:side, :side]
    cloud = height * np.exp(-((rows - 120) ** 2 + (columns - 130) ** 2) / 2 / size**2)
    rng = np.random.default_rng(2)
    return cloud, (cloud + rng.normal(0, noise, cloud.shape)).astype(np.float32)


def test_a_cloud_is_sky():
    cloud, image = _cloud(size=20.0, height=200.0)
    found = fine_structure(image, np.ones(image.shape, dtype=bool))
    # Meshes of 8 pixels have errors of 1 electron.
    assert np.std(found - cloud) < 1.5
    assert abs(found - cloud).max() < 10


def test_noise_has_no_structure():
    _, image = _cloud(size=20.0, height=0.0)
    assert fine_structure(image, np.ones(image.shape, dtype=bool)) is None


def test_a_star_keeps_its_light_beside_a_local_level():
    image = np.zeros((64, 64), dtype=np.float32)
    image[30:33, 30:33] = 100.0
    left = without_local_level(image, np.full(image.shape, 1 / 64, dtype=np.float32))
    # 24 electrons, clipped, on 9 of 441 pixels, less a fifth of the noise.
    np.testing.assert_allclose(left, image, atol=0.5)


@pytest.mark.slow
def test_nebulosity_is_not_made_of_stars(tmp_path):
    field = make_field(replace(FIELD, shape=(300, 300), nebula=3.0), 5)
    stars = measured(field, tmp_path)
    # 28 were found, all below S/N 5; with meshes of 64 pixels alone 1336, most of them above.
    false = unmatched(stars, field)
    assert false.sum() <= 60
    assert (false & (signal_to_noise(stars) > 5.5)).sum() <= 2


# --------------------------------------------------------------------- few images, few stars


def test_one_exposure_is_enough(tmp_path):
    field = make_field(replace(FIELD, shots=shots(1)), 1)
    stars = measured(field, tmp_path)
    rates = field.truth.rates[BAND] * 500
    bright = (rates > 3000) & (abs(field.truth.x - 100) < 85) & (abs(field.truth.y - 100) < 85)
    for x, y, flux in zip(field.truth.x[bright], field.truth.y[bright], rates[bright], strict=True):
        distance, at = nearest(stars, x, y)
        assert distance < 0.3
        assert abs(stars.counts_e[0, at] - flux) < 5 * stars.counts_error_e[0, at] + 0.02 * flux


def test_without_psf_stars_the_prior_is_taken_and_shifts_stay_and_both_are_said(
    monkeypatch, tmp_path
):
    places = [(30, 40), (60.2, 90.7), (120.5, 50.1), (140, 150), (90.8, 120.4)]
    field = one_scene(monkeypatch, replace(FIELD, shape=(180, 180)), places, [600.0] * 5)
    stars = measured(field, tmp_path, MeasureParameters(cosmic_rays=False))
    assert any("prior PSF" in remark for remark in stars.remarks)
    assert sum("shift was not measured" in remark for remark in stars.remarks) >= 3
    for x, y in places:
        # 600 electrons on three exposures: S/N 30, 0.05 pixel.
        assert nearest(stars, x, y)[0] < 0.3


# ------------------------------------------------------------------ borders, bands, motion


@pytest.mark.slow
def test_tiles_neither_double_nor_lose_stars(tmp_path):
    field = make_field(replace(FIELD, n_stars=150), 3)
    found = []
    for name, side in (("one", 1024), ("four", 110)):
        (tmp_path / name).mkdir()
        found.append(measured(field, tmp_path / name, replace(GIVEN, tile_pix=side)))
    one, four = found
    assert not KDTree(np.column_stack([four.x, four.y])).query_pairs(0.6)
    for these, others in ((one, four), (four, one)):
        sure = signal_to_noise(these) > 8
        distance, _ = KDTree(np.column_stack([others.x, others.y])).query(
            np.column_stack([these.x, these.y])[sure]
        )
        assert (distance < 0.3).mean() > 0.99


def test_a_star_at_the_edge_of_a_chip_is_flagged(monkeypatch, tmp_path):
    scene = replace(FIELD, shape=(120, 120), shots=shots(1))
    field = one_scene(monkeypatch, scene, [(1.2, 60.0), (60.0, 60.0)], [2e4, 2e4])
    stars = measured(field, tmp_path)
    edge, middle = nearest(stars, 1.2, 60.0)[1], nearest(stars, 60.0, 60.0)[1]
    assert stars.flag[0, edge] & 1
    assert stars.flag[0, middle] == 0


def test_a_star_of_one_band_has_no_flux_in_the_other(monkeypatch, tmp_path):
    both = (*shots(2), *shots(2, "wfc3_uvis_blue"))
    scene = replace(FIELD, shape=(140, 140), shots=both)
    places = [(40, 40), (100.3, 40.6), (60.5, 100.2)]
    field = one_scene(monkeypatch, scene, places, [2000.0, 0.0, 1000.0], blue=[0.0, 2000.0, 1000.0])
    stars = measured(field, tmp_path)
    for (x, y), dark in zip(places[:2], (slice(2, 4), slice(0, 2)), strict=True):
        distance, at = nearest(stars, x, y)
        assert distance < 0.2
        assert (abs(stars.counts_e[dark, at]) < 4 * stars.counts_error_e[dark, at]).all()


def test_detectors_of_different_pixels_share_a_catalogue(monkeypatch, tmp_path):
    both = (Shot("wfc3_uvis"), Shot("wfc3_ir", dither=(0.4, -0.3)))
    scene = replace(FIELD, shape=(256, 256), shots=both)
    field = one_scene(monkeypatch, scene, [(80.2, 90.9), (170.4, 150.1)], [2e4, 8e3])
    stars = measured(field, tmp_path)
    for x, y, flux in ((80.2, 90.9, 2e4), (170.4, 150.1, 8e3)):
        distance, at = nearest(stars, x, y)
        assert distance < 0.1
        for k in range(2):
            # The sky of WFC3/IR under a star is known to 2 electrons on some 10 pixels.
            assert stars.counts_e[k, at] == pytest.approx(flux, rel=0.05)


@pytest.mark.parametrize("motion", [0.6, 1.5])
def test_a_star_that_moves_is_one_star_in_the_catalogue(monkeypatch, tmp_path, motion):
    years = tuple(replace(shot, mjd=58000.0 + 365.25 * (k // 2)) for k, shot in enumerate(shots(4)))
    scene = replace(FIELD, shape=(140, 140), shots=years)
    field = one_scene(monkeypatch, scene, [(70.4, 66.2), (30, 30)], [1e4, 1e4], motion=motion)
    stars = measured(field, tmp_path)
    near = np.hypot(stars.x - 70.4, stars.y - 66.2) < 4
    at = nearest(stars, 70.4, 66.2)[1]
    assert (signal_to_noise(stars)[near] > 10).sum() == 1
    # What is known of 10,000 electrons, with the aperture of the PSF given: 1 % each, 2 % of light
    # that 0.3 pixel off a place that is held costs.
    assert stars.counts_e[:, at] == pytest.approx(1e4, rel=0.05)
    assert stars.object_type[at] == 1


def test_the_motion_of_a_star_is_told_and_kept(monkeypatch, tmp_path):
    years = tuple(replace(shot, mjd=58000.0 + 365.25 * (k // 2)) for k, shot in enumerate(shots(4)))
    scene = replace(FIELD, shape=(140, 140), shots=years)
    field = one_scene(monkeypatch, scene, [(70.4, 66.2)], [1e4], motion=1.5)
    stars = measured(field, tmp_path)
    at = nearest(stars, 70.4, 66.2)[1]
    assert stars.motion_pix_yr[at] == pytest.approx([1.5, 0.0], abs=0.05)
    assert stars.moving.tolist() == [at]
    assert set(stars.kept.star_of_row[stars.kept.image_of_row >= 0].tolist()) == {at}
    # Of a few detections it is one: too many for a field that is aligned.
    assert any("stars move between epochs, by up to 1.5 pixels" in each for each in stars.remarks)
    # For artificial stars and forced photometry it is on each image where it was then.
    shines = np.flatnonzero(stars.kept.counts_e.max(axis=0) > 5000)
    assert len(shines) == 4
    for k, star in enumerate(
        sorted(shines, key=lambda row: np.argmax(stars.kept.counts_e[:, row]))
    ):
        assert np.flatnonzero(stars.kept.counts_e[:, star]).tolist() == [k]
        assert stars.kept.x[star] == pytest.approx(70.4 + 1.5 * (k // 2 - 0.5), abs=0.05)


def test_forced_fluxes_about_a_star_that_moves_are_the_truth(monkeypatch, tmp_path):
    """At a place where it was, it has its light in that year and none in the other."""
    years = tuple(replace(shot, mjd=58000.0 + 365.25 * (k // 2)) for k, shot in enumerate(shots(4)))
    scene = replace(FIELD, shape=(140, 140), shots=years)
    places = [(70.4, 66.2), (75.9, 67.0)]  # the second is at rest
    field = one_scene(monkeypatch, scene, places, [1e4, 3e3], motion=[1.5, 0.0])
    kept = measured(field, tmp_path).kept
    x, y = [70.4 - 0.75, 70.4 + 0.75, 75.9], [66.2, 66.2, 67.0]
    fluxes = forced_photometry(
        [ChipInMemory(image, image.band) for image in field.images], kept, x, y
    )
    assert len(set(fluxes.replaced.tolist())) == 2
    truth = np.array([[1e4, 0, 3e3], [1e4, 0, 3e3], [0, 1e4, 3e3], [0, 1e4, 3e3]])
    # Photons: 1 % and 2.5 %; of the star's light the given PSF may be off by some per cent.
    error = np.hypot(fluxes.counts_error_e, 0.02 * truth)
    assert (fluxes.counts_error_e < 250).all()
    assert (abs(fluxes.counts_e - truth) < 4 * error).all()


def test_artificial_stars_in_a_galaxy_are_extended_as_its_pieces_are(monkeypatch, tmp_path):
    """Faint ones, which do not change what is there; beside it, they are stars."""
    import hst_assets_tests.star_fields as module

    galaxy = np.array([[70.3, 66.4, 2e4 / 500, 2.5, 0.6, 0.7]])
    monkeypatch.setattr(module, "_galaxies", lambda scene, rng: galaxy)
    scene = replace(FIELD, shape=(140, 140), galaxies=1)
    field = one_scene(monkeypatch, scene, [(30.2, 30.4)], [1e4])
    stars = measured(field, tmp_path)
    x, y = np.array([71.0, 69.5, 100.3, 40.2]), np.array([66.0, 67.2, 99.6, 100.8])
    sources = [ChipInMemory(image, image.band) for image in field.images]
    found = measure_artificial_stars(sources, stars.kept, x, y, np.full((3, 4), 600.0), seed=(1,))
    assert stars.object_type[nearest(stars, 70.3, 66.4)[1]] == EXTENDED
    assert found.recovered.all()
    assert found.stars.object_type.tolist() == [EXTENDED, EXTENDED, 1, 1]


def test_the_pieces_of_a_galaxy_are_extended_objects(monkeypatch, tmp_path):
    import hst_assets_tests.star_fields as module

    galaxy = np.array([[70.3, 66.4, 2e4 / 500, 2.5, 0.6, 0.7]])
    monkeypatch.setattr(module, "_galaxies", lambda scene, rng: galaxy)
    scene = replace(FIELD, shape=(140, 140), galaxies=1)
    field = one_scene(monkeypatch, scene, [(30.2, 30.4)], [1e4])
    stars = measured(field, tmp_path)
    pieces = np.hypot(stars.x - 70.3, stars.y - 66.4) < 8
    assert pieces.sum() >= 3
    assert (stars.object_type[pieces] == 5).all()
    assert stars.object_type[nearest(stars, 30.2, 30.4)[1]] == 1
