"""Stars that move between epochs: simulations whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.image_fluxes import forced_fit
from hst_assets.photometry.psf.image_stack import image_stack
from hst_assets.photometry.psf.moving_stars import join_moving
from hst_assets.photometry.psf.star_search import fit_field
from hst_assets_tests.star_fields import make_field
from hst_assets_tests.star_scenes import Scene, Shot, shots

YEAR = 365.25
#: Two exposures in each of three years.
EPOCHS = tuple(
    replace(shot, mjd=58000.0 + YEAR * (at // 2) + 0.02 * at) for at, shot in enumerate(shots(6))
)
SCENE = Scene(1, shape=(100, 100), shots=EPOCHS)


def field_of(monkeypatch, scene, stars, *, motion=0.0, brightness=None):
    """Stars (x, y, electrons) that all move along X; each by its own factor in each year."""
    import hst_assets_tests.star_fields as module

    made, added = module._stars, module._add_stars_of
    x, y, electrons = np.reshape(stars, (-1, 3)).T.astype(float)

    def placed(scene, rng):
        truth = made(scene, rng)
        rates = dict.fromkeys(truth.rates, electrons / scene.nominal_s)
        moving = np.full(len(x), motion)
        return replace(truth, x=x, y=y, rates=rates, motion_x=moving, motion_y=0 * moving)

    def varied(scene, chip, truth, light):
        year = round((chip.shot.mjd - 58000.0) / YEAR)
        factor = np.ones(len(x)) if brightness is None else np.array(brightness)[:, year]
        rates = {band: rate * factor for band, rate in truth.rates.items()}
        added(scene, chip, replace(truth, rates=rates), light)

    monkeypatch.setattr(module, "_stars", placed)
    monkeypatch.setattr(module, "_add_stars_of", varied)
    return make_field(scene, 6)


def fitted(field):
    ny, nx = field.scene.shape
    box = (0.0, nx - 1.0, 0.0, ny - 1.0)
    psfs = {band: field.psf(band) for band in field.truth.rates}
    return fit_field(image_stack(field.images, psfs, box=box), box)


def joined(field):
    """The fit afterwards, and how many stars were joined."""
    fit = fitted(field)
    n = join_moving(fit, forced_fit(fit), date_mjd=float(fit.stack.mjd.mean()))
    return fit, n


@pytest.mark.parametrize("motion", [1.0, 1.5, 2.5])
def test_a_moving_star_is_one_star_with_all_of_its_light(monkeypatch, motion):
    star = (50.3, 46.8, 1e4)
    fit, n = joined(field_of(monkeypatch, SCENE, [star, (20, 75, 4e3)], motion=motion))
    assert n == 2
    near = np.flatnonzero(np.hypot(fit.stars.x - 50.3, fit.stars.y - 46.8) < 2 * motion + 1)
    assert len(near) == 1
    (at,) = near
    # S/N 230 on six exposures: 0.004 pixel by photons, 0.005 a year in the motion.
    assert [fit.stars.x[at], fit.stars.y[at]] == pytest.approx([50.3, 46.8], abs=0.02)
    assert fit.stars.motion[at] * YEAR == pytest.approx([motion, 0], abs=0.03)
    counts = forced_fit(fit).counts_e[:, at]
    assert counts == pytest.approx(1e4, rel=0.05)
    # The mean has 0.5 % by photons, the aperture of the PSF given 1 %.
    assert counts.mean() == pytest.approx(1e4, rel=0.02)


def test_what_a_moving_star_leaves_is_noise(monkeypatch):
    fit, _ = joined(field_of(monkeypatch, SCENE, [(50.3, 46.8, 1e4)], motion=1.5))
    part = np.s_[:, 35:60, 35:65]
    sigma = fit.residual_e[part] / np.sqrt(fit.variance_e2()[part])
    # 4500 pixels: 0.02 is two standard errors of the width.
    assert sigma.std() == pytest.approx(1.0, abs=0.06)


def test_one_that_fades_beside_one_that_brightens_is_two(monkeypatch):
    stars = [(50.0, 50.0, 1e4), (52.5, 50.0, 1e4)]
    fit, n = joined(field_of(monkeypatch, SCENE, stars, brightness=[[1, 0.7, 0.4], [0.4, 0.7, 1]]))
    assert n == 0
    assert (np.hypot(fit.stars.x - 51, fit.stars.y - 50) < 3).sum() >= 2


def test_two_transients_of_different_brightness_are_two(monkeypatch):
    stars = [(50.0, 50.0, 1e4), (52.0, 50.0, 3e3)]
    _, n = joined(field_of(monkeypatch, SCENE, stars, brightness=[[1, 0, 0], [0, 0, 1]]))
    assert n == 0


def test_stars_at_rest_stay_as_they_are(monkeypatch):
    stars = [(50.0, 50.0, 1e4), (52.5, 50.4, 6e3), (30, 30, 500)]
    field = field_of(monkeypatch, SCENE, stars)
    fit = fitted(field)
    before = fit.stars.x.tolist(), fit.residual_e.copy()
    assert join_moving(fit, forced_fit(fit), date_mjd=58400.0) == 0
    assert fit.stars.x.tolist() == before[0]
    assert np.array_equal(fit.residual_e, before[1])


def test_exposures_of_one_epoch_tell_of_no_motion(monkeypatch):
    night = tuple(replace(shot, mjd=58000.0 + 0.5 * at) for at, shot in enumerate(shots(4)))
    field = field_of(monkeypatch, replace(SCENE, shots=night), [(50.3, 46.8, 1e4)])
    assert joined(field)[1] == 0


def test_a_star_moves_on_the_sky_whatever_the_roll(monkeypatch):
    turned = tuple(
        Shot(exptime_s=500.0, mjd=58000.0 + YEAR * at, dither=(at, -at), turn_deg=40.0 * at)
        for at in range(3)
    )
    field = field_of(monkeypatch, replace(SCENE, shots=turned), [(50.3, 48.8, 2e4)], motion=1.5)
    fit, n = joined(field)
    assert n == 1
    at = np.argmin(np.hypot(fit.stars.x - 50.3, fit.stars.y - 48.8))
    assert fit.stars.motion[at] * YEAR == pytest.approx([1.5, 0], abs=0.05)
