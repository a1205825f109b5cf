"""Which stars are pieces of a galaxy: simulations whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.extended_objects import pieces_of_extended
from hst_assets.photometry.psf.image_stack import image_stack
from hst_assets.photometry.psf.star_search import fit_field
from hst_assets_tests.star_fields import make_field
from hst_assets_tests.star_scenes import Scene, shots

SCENE = Scene(1, shape=(110, 110), shots=shots(3))


def fitted(monkeypatch, scene, *, galaxies=(), stars=()):
    """A field of these galaxies (x, y, electrons, size, axis ratio, angle) and stars (x, y, e)."""
    import hst_assets_tests.star_fields as module

    made = module._stars
    shine = np.reshape(galaxies, (-1, 6)).astype(float)
    shine[:, 2] /= scene.nominal_s

    def placed(scene, rng):
        truth = made(scene, rng)
        x, y, electrons = np.reshape(stars, (-1, 3)).T.astype(float)
        still = np.zeros(len(x))
        rates = dict.fromkeys(truth.rates, electrons / scene.nominal_s)
        return replace(truth, x=x, y=y, rates=rates, motion_x=still, motion_y=still)

    monkeypatch.setattr(module, "_stars", placed)
    monkeypatch.setattr(module, "_galaxies", lambda scene, rng: shine)
    field = make_field(replace(scene, galaxies=len(shine)), 3)
    ny, nx = scene.shape
    box = (0.0, nx - 1.0, 0.0, ny - 1.0)
    psfs = {band: field.psf(band) for band in field.truth.rates}
    return fit_field(image_stack(field.images, psfs, box=box), box)


def near(fit, x, y, radius=8.0):
    return np.hypot(fit.stars.x - x, fit.stars.y - y) < radius


@pytest.mark.parametrize("electrons", [3e3, 3e4])
def test_a_galaxy_is_told_by_all_of_its_pieces(monkeypatch, electrons):
    galaxy = (55.3, 54.6, electrons, 2.5, 0.6, 0.7)
    fit = fitted(monkeypatch, SCENE, galaxies=[galaxy], stars=[(20.2, 80.7, 5e3)])
    about = near(fit, 55.3, 54.6)
    assert about.sum() >= 3
    pieces = pieces_of_extended(fit)
    assert pieces[about].all()
    assert not pieces[near(fit, 20.2, 80.7)].any()


def test_a_clump_of_stars_stays_stars(monkeypatch):
    rng = np.random.default_rng(8)
    # Some 2 pixels apart, as bright as each other within a factor of four.
    x, y = np.meshgrid(50 + 2.2 * np.arange(3), 52 + 2.2 * np.arange(3))
    stars = np.column_stack(
        [x.ravel() + rng.normal(0, 0.3, 9), y.ravel(), 10 ** rng.uniform(3, 3.6, 9)]
    )
    fit = fitted(monkeypatch, SCENE, stars=stars)
    assert near(fit, 52, 54, 5.0).sum() >= 6
    assert not pieces_of_extended(fit).any()


def test_a_star_with_its_own_faint_companions_stays_one(monkeypatch):
    stars = [(55, 55, 4e4), (57.6, 55.4, 600), (54.1, 52.6, 500), (53.0, 57.1, 500)]
    fit = fitted(monkeypatch, SCENE, stars=stars)
    assert near(fit, 55, 55, 4.0).sum() >= 3
    assert not pieces_of_extended(fit).any()


def test_a_galaxy_of_two_bands_is_told(monkeypatch):
    both = (*shots(2), *shots(2, "wfc3_uvis_blue"))
    fit = fitted(
        monkeypatch, replace(SCENE, shots=both), galaxies=[(55.3, 54.6, 1e4, 2.0, 0.8, 0.2)]
    )
    about = near(fit, 55.3, 54.6)
    assert about.sum() >= 3
    assert pieces_of_extended(fit)[about].all()


def test_asked_of_one_star_the_answer_is_that_of_its_group(monkeypatch):
    galaxy = (55.3, 54.6, 1e4, 2.5, 0.6, 0.7)
    fit = fitted(monkeypatch, SCENE, galaxies=[galaxy], stars=[(20.2, 80.7, 5e3)])
    pieces = pieces_of_extended(fit)
    (piece, *_), (star, *_) = np.flatnonzero(pieces), np.flatnonzero(~pieces)
    about = pieces_of_extended(fit, about=piece)
    assert about[piece]
    assert (about <= pieces).all()
    assert not pieces_of_extended(fit, about=star).any()


def test_with_a_star_that_moves_nothing_is_a_piece(monkeypatch):
    """Whose light on each image is elsewhere than its place: nothing can be compared there."""
    fit = fitted(monkeypatch, SCENE, galaxies=[(55.3, 54.6, 1e4, 2.5, 0.6, 0.7)])
    assert pieces_of_extended(fit).any()
    fit.stars.motion[pieces_of_extended(fit)] = [0.01, 0.0]
    assert not pieces_of_extended(fit).any()


def test_where_no_stars_are_nothing_is_a_piece(monkeypatch):
    fit = fitted(monkeypatch, SCENE)
    fit.stars = fit.stars.select(np.zeros(len(fit.stars), dtype=bool))
    assert pieces_of_extended(fit).tolist() == []
