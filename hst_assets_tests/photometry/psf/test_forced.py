"""Forced photometry against simulations whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS

from hst_assets.failures import UnusableInput
from hst_assets.photometry.psf.forced import forced_photometry, places_of
from hst_assets_tests.photometry.psf.known_fields import known_field

SHAPE = (300, 300)


@pytest.fixture(scope="module")
def crowded():
    """A star every 16 x 16 pixels, from 100 to 20,000 e, all of them in the catalogue."""
    rng = np.random.default_rng(4)
    n = 350
    x, y = rng.uniform(6, 294, n), rng.uniform(6, 294, n)
    flux = 10 ** rng.uniform(2, 4.3, n)
    return x, y, flux, known_field(x, y, np.tile(flux, (4, 1)), shape=SHAPE)


@pytest.fixture(scope="module")
def empty_places(crowded):
    """Fluxes of places drawn at random among the stars, none of which is on a star."""
    x, y, _, field = crowded
    rng = np.random.default_rng(5)
    places = rng.uniform(12, 288, (2, 500))
    alone = np.hypot(places[0][:, None] - x, places[1][:, None] - y).min(axis=1) > 0.5
    return forced_photometry(field.sources, field.kept, *places[:, alone])


def pulls(fluxes, truth):
    good = np.isfinite(fluxes.counts_error_e) & (fluxes.flag == 0)
    truth = np.broadcast_to(truth, good.shape)
    return (fluxes.counts_e[good] - truth[good]) / fluxes.counts_error_e[good]


def test_known_stars_have_their_fluxes_and_errors(crowded):
    """1300 pulls: their mean has an error of 0.028, their width one of 0.02."""
    x, y, flux, field = crowded
    fluxes = forced_photometry(field.sources, field.kept, x, y)
    found = pulls(fluxes, flux)
    assert len(found) > 1200
    assert abs(found.mean()) < 0.1
    assert 0.9 < found.std() < 1.1


def test_empty_places_have_no_flux(empty_places):
    """The mean is 0 within three standard errors, and the pulls have width 1."""
    found = pulls(empty_places, 0.0)
    assert len(found) > 1500
    assert abs(found.mean()) < 3 / np.sqrt(len(found))
    assert 0.9 < found.std() < 1.1
    assert (found < 0).sum() > 0.45 * len(found)  # negative fluxes are not cut off


def test_flags_tell_edges_and_images_that_do_not_hold_a_place(crowded):
    """The place is at the edge of the first image, off the second, and well on the third."""
    _, _, _, field = crowded
    fluxes = forced_photometry(field.sources, field.kept, [298.0], [150.0])
    assert fluxes.flag[:3, 0].tolist() == [1, 9, 0]


@pytest.fixture(scope="module")
def beside_bright():
    """60 faint stars, each 2.5 pixels from one 200 times brighter."""
    grid = np.arange(20, 280, 34.0)
    x, y = (each.ravel()[:60] for each in np.meshgrid(grid, grid))
    angle = np.linspace(0, 6, 60)
    faint = x + 2.5 * np.cos(angle), y + 2.5 * np.sin(angle)
    counts = np.concatenate([np.full(60, 40000.0), np.full(60, 200.0)])
    field = known_field(
        np.concatenate([x, faint[0]]),
        np.concatenate([y, faint[1]]),
        np.tile(counts, (4, 1)),
        shape=SHAPE,
        seed=6,
    )
    return faint, field.with_stars(x, y, np.full((4, 60), 40000.0))


def test_a_faint_star_beside_a_bright_one(beside_bright):
    """Not in the catalogue; 240 pulls: mean to 3 x 0.065, width to 0.14."""
    faint, field = beside_bright
    found = pulls(forced_photometry(field.sources, field.kept, *faint), 200.0)
    assert len(found) == 240
    assert abs(found.mean()) < 0.2
    assert 0.86 < found.std() < 1.14


def test_a_neighbours_share_in_the_error_is_counted():
    """Two stars that overlap: the error grows as the inverse of the normal matrix says.

    For two Gaussians of sigma s a distance d apart it is 1 / sqrt(1 - exp(-d^2 / (2 s^2))) where
    the sky is the noise; here s = 0.8 and d = 1.2: 1.218, for a catalogue star of no light.
    """
    field = known_field([50.0, 51.2], [50.0, 50.0], np.zeros((4, 2)), shape=(100, 100))
    alone = field.with_stars([], [], np.empty((4, 0)))
    beside = field.with_stars([51.2], [50.0], np.zeros((4, 1)))
    place = [50.0], [50.0]
    errors = [
        forced_photometry(f.sources, f.kept, *place, local_sky=False).counts_error_e[0, 0]
        for f in (alone, beside)
    ]
    assert errors[1] / errors[0] == pytest.approx(1.218, rel=0.01)


def test_a_place_stands_in_the_stead_of_the_catalogues_star(crowded):
    x, y, flux, field = crowded
    one = np.argmax(flux)
    fluxes = forced_photometry(field.sources, field.kept, [x[one] + 0.02, 150.3], [y[one], 149.9])
    assert fluxes.replaced.tolist() == [one, -1]
    assert fluxes.counts_e[:, 0] == pytest.approx(flux[one], rel=0.03)


@pytest.fixture(scope="module")
def moving():
    """A star of 10,000 e at 100, 40 that moves by 1.5 pixels after two images, and one at rest."""
    x = np.array([100.0, 100.0 + 5e-5, 101.5, 101.5 + 5e-5, 106.0])
    counts = np.concatenate([np.diag([1e4] * 4), np.full((4, 1), 3000.0)], axis=1)
    field = known_field(x, np.full(5, 40.0), counts, shape=(90, 200))
    only_on = np.array([0, 1, 2, 3, -1])
    kept = replace(field.kept, only_on=only_on, star=np.array([7, 7, 7, 7, 8]))
    return replace(field, kept=kept)


def test_a_star_that_moves_is_where_it_was_then(moving):
    """Pulls of 4 x 3 fluxes: none beyond 4 by chance."""
    fluxes = forced_photometry(moving.sources, moving.kept, [100.0, 101.5, 106.0], [40.0] * 3)
    assert fluxes.replaced.tolist() == [7, 7, 8]
    alone = forced_photometry(moving.sources, moving.kept, [100.1], [40.0])
    truth = np.array([[1e4, 0, 3e3], [1e4, 0, 3e3], [0, 1e4, 3e3], [0, 1e4, 3e3]])
    error = np.hypot(fluxes.counts_error_e, 0.01 * truth)  # 0.1 pixel off costs 0.5 %
    assert (fluxes.counts_error_e < 250).all()
    assert (abs(fluxes.counts_e - truth) < 4 * error).all()
    assert (abs(alone.counts_e[:, 0] - truth[:, 0]) < 4 * error[:, 0]).all()


def test_beside_a_star_that_moves_a_neighbour_keeps_flux_and_error(moving):
    """On each image, as beside one star at rest there.

    The photon noise follows from the mean of all images, which has some other neighbours: 0.2 % of
    the errors, and as much of the weights.
    """
    beside = forced_photometry(moving.sources, moving.kept, [106.0], [40.0])
    assert (abs(beside.counts_e - 3000.0) < 4 * beside.counts_error_e).all()
    for k in range(4):
        one = moving.kept.of(np.array([k, 4]))
        at_rest = replace(one, only_on=None, star=None)
        alone = forced_photometry(moving.sources, at_rest, [106.0], [40.0])
        assert beside.counts_error_e[k] == pytest.approx(alone.counts_error_e[k], rel=5e-3)
        assert beside.counts_e[k] == pytest.approx(alone.counts_e[k], abs=3.0)


def test_sky_that_was_left_is_taken_off():
    """3 e a pixel would make some 25 e; the mean of 4 x 49 places of 25 e has an error of 1.9."""
    field = known_field([], [], np.empty((4, 0)), shape=SHAPE, left_over_sky_e=3.0)
    grid = np.arange(30, 270, 36.0)
    places = [each.ravel() for each in np.meshgrid(grid, grid)]
    with_ring = forced_photometry(field.sources, field.kept, *places)
    without = forced_photometry(field.sources, field.kept, *places, local_sky=False)
    assert abs(with_ring.counts_e.mean()) < 5.5
    assert without.counts_e.mean() > 15
    assert with_ring.local_sky_e.mean() == pytest.approx(3.0, abs=0.15)
    ratio = with_ring.counts_error_e / without.counts_error_e
    assert np.all((ratio > 1) & (ratio < 1.06))


def test_edges_gaps_and_bad_pixels_are_flagged():
    bad = np.zeros((120, 120), dtype=bool)
    bad[55:75, 55:75] = True
    field = known_field([], [], np.empty((1, 0)), shape=(120, 120), n_images=1, bad=bad)
    fluxes = forced_photometry(field.sources, field.kept, [1.0, 65, 30, 400], [40.0, 65, 30, 40])
    edge, gap, good, off = fluxes.flag[0]
    assert edge & 1
    assert gap >= 8
    assert (good, off) == (0, 9)
    assert np.isfinite(fluxes.counts_e[0]).tolist() == [True, False, True, False]
    assert np.isinf(fluxes.counts_error_e[0]).tolist() == [False, True, False, True]


def test_rates_have_the_aperture_correction(crowded):
    x, y, _, field = crowded
    images = tuple(replace(image, aperture_correction_mag=-0.1) for image in field.kept.images)
    kept = replace(field.kept, images=images)
    fluxes = forced_photometry(field.sources, kept, x[:5], y[:5])
    assert fluxes.rate_e_s == pytest.approx(fluxes.counts_e / 500 * 10**0.04)
    assert fluxes.rate_error_e_s == pytest.approx(fluxes.counts_error_e / 500 * 10**0.04)


def test_two_places_that_cannot_be_told_apart_have_no_flux():
    field = known_field([60.0], [60.0], np.full((1, 1), 900.0), shape=(120, 120), n_images=1)
    fluxes = forced_photometry(field.sources, field.kept, [60.0, 60.0, 30.0], [60.0, 60.0, 30.0])
    assert np.isinf(fluxes.counts_error_e[0]).tolist() == [True, True, False]


def test_places_by_the_sky():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [10.0, -5.0], [51.0, 31.0], [-1e-5, 1e-5]
    assert np.ravel(places_of([10.0], [-5.0], wcs)) == pytest.approx([50.0, 30.0])


def test_other_images_are_refused(crowded):
    x, y, _, field = crowded
    with pytest.raises(UnusableInput, match="not those of the measurement"):
        forced_photometry(field.sources[:2], field.kept, x, y)


def test_a_place_that_is_not_finite_has_no_flux_and_harms_no_other(crowded):
    x, y, _, field = crowded
    with_hole = forced_photometry(field.sources, field.kept, [x[0], np.nan, x[1]], [y[0], 5, y[1]])
    alone = forced_photometry(field.sources, field.kept, x[:2], y[:2])
    assert np.isnan(with_hole.counts_e[:, 1]).all()
    assert np.isinf(with_hole.counts_error_e[:, 1]).all()
    assert (with_hole.flag[:, 1] == 9).all()
    assert with_hole.replaced[1] == -1
    assert with_hole.counts_e[:, [0, 2]] == pytest.approx(alone.counts_e, rel=1e-6)


def test_what_a_correction_for_lost_charge_needs_is_told(crowded):
    """Sky of 60 e; the second image is 3.3 and -2.6 pixels off; a star of constant light."""
    x, y, flux, field = crowded
    fluxes = forced_photometry(field.sources, field.kept, x, y)
    good = np.isfinite(fluxes.counts_e).all(axis=0)
    assert fluxes.sky_e[:, good] == pytest.approx(60.0)
    assert fluxes.chip_x[1, good] - x[good] == pytest.approx(3.3)
    assert fluxes.chip_y[1, good] - y[good] == pytest.approx(-2.6)
    scatter = (fluxes.expected_e[:, good] - flux[good]) / fluxes.counts_error_e[:, good]
    assert scatter.std() == pytest.approx(0.5, abs=0.1)  # of the mean of four
