"""Which star is the one at a place: nearest kept star in its errors, and what hides it."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detection.image_planes import read_wcs
from hst_assets.photometry.light_curve.matching import match_places, stars_within
from hst_assets.photometry.light_curve.measured_catalog import open_measured_catalog
from hst_assets.photometry.light_curve.points import Place
from hst_assets.settings import LightCurveSettings, load_settings
from hst_assets_tests.photometry.dolphot import small_field
from hst_assets_tests.photometry.light_curve.measured_target import (
    PIXEL_ARCSEC,
    Stars,
    measured_target,
)
from hst_assets_tests.photometry.psf.known_fields import known_field

#: An error of the position of 0.1 arcsec is 2.5 pixels.
ALONE, CUT, BESIDE, LEFT, RIGHT, FAINT = range(6)
X = np.array([20.0, 60.0, 63.0, 100.0, 105.0, 20.0])
Y = np.array([20.0, 20.0, 20.0, 20.0, 20.0, 120.0])
#: The cut one is brighter than the star beside it, and of the pair the right one is.
FLUX_UJY = np.array([50.0, 100.0, 50.0, 50.0, 80.0, 0.04])
ERROR_UJY = 0.05
TYPES = (1, 4, 1, 1, 1, 1)
KEPT = np.array(TYPES) == 1


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    stars = Stars(np.tile(FLUX_UJY, (4, 1)), ERROR_UJY, X, Y, TYPES)
    workdir = measured_target(tmp_path_factory.mktemp("matching"), stars)
    return open_measured_catalog(workdir, load_settings(workdir))


def place(x, y=20.0):
    """A place by its pixel."""
    wcs = read_wcs(small_field.header((0.0, 0.0)), fits.HDUList())
    ra_deg, dec_deg = (float(value) for value in wcs.all_pix2world(x, y, 0))
    return Place(source=0, name="a", ra_deg=ra_deg, dec_deg=dec_deg)


def match(measured, x, y=20.0, *, kept=KEPT, **settings):
    (found,) = match_places(measured, [place(x, y)], kept, LightCurveSettings(**settings))
    return found


def test_the_nearest_star_is_the_one_with_its_offset_in_its_errors(measured):
    found = match(measured, 102.0)
    assert found.row == LEFT
    # Places in the catalogue have two decimals of a pixel: 0.0004 arcsec.
    assert found.offset_arcsec == pytest.approx(2 * PIXEL_ARCSEC, abs=4e-4)
    assert found.offset_sigma == pytest.approx(0.8, abs=5e-3)
    assert found.note == ""
    assert match(measured, 103.0).row == RIGHT


def test_of_a_star_that_moves_it_is_said(measured):
    moving = replace(measured, moving=frozenset({LEFT}))
    assert match(moving, 102.0).row == LEFT
    assert match(moving, 102.0).note.startswith("object 4 moves between epochs: ")
    assert match(moving, 103.0).note == ""


def test_which_stars_move_is_read_from_what_the_measurement_kept(tmp_path):
    workdir = measured_target(tmp_path, Stars(np.tile(FLUX_UJY, (4, 1)), ERROR_UJY, X, Y, TYPES))
    settings, path = load_settings(workdir), workdir.dolphot_catalog("dp")
    without = open_measured_catalog(workdir, settings)
    assert "whether stars move: not checked: the measurement did not keep it" in without.notes
    rows = np.arange(7)
    field = known_field(rows, rows, np.ones((4, 7)))
    told = {"only_on": np.array([-1, -1, 0, 1, 2, 3, -1]), "star": np.array([0, 1, 4, 4, 4, 4, 5])}
    replace(field.kept, **told).save(path.with_name(f"{path.name}.psf.h5"))
    measured = open_measured_catalog(workdir, settings)
    assert measured.moving == {4}
    assert not any("stars move" in note for note in measured.notes)


def test_every_place_has_its_own(measured):
    found = match_places(measured, [place(105), place(40), place(20)], KEPT, LightCurveSettings())
    assert [one.row for one in found] == [RIGHT, -1, ALONE]


def test_a_star_beyond_its_errors_is_named_and_not_taken(measured):
    found = match(measured, 28.0)
    assert not found.found
    assert np.isnan([found.offset_arcsec, found.offset_sigma]).all()
    assert found.note == (
        "not in the catalogue: the nearest object, 1, is 0.320 arcsec away (3.2 sigma)"
    )
    assert match(measured, 28.0, max_offset_sigma=3.3).row == ALONE


def test_a_place_far_off_is_told_in_degrees(measured):
    far = Place(source=0, name="a", ra_deg=330.0, dec_deg=-2.0)
    (found,) = match_places(measured, [far], KEPT, LightCurveSettings())
    assert found.note.startswith("not in the catalogue: the nearest object, ")
    assert found.note.endswith(", is 180.0 deg away")


def test_a_star_outside_the_radius_is_not_taken_whatever_the_errors(measured):
    chosen = {"position_error_arcsec": 1.0}
    assert match(measured, 32.0, **chosen).row == ALONE  # 0.48 arcsec
    assert not match(measured, 33.0, **chosen).found  # 0.52
    assert match(measured, 33.0, **chosen, scrape_radius_arcsec=0.55).row == ALONE


def test_the_error_of_the_star_s_own_place_counts(measured):
    """Of S/N 1.6 in four exposures: its width over that, by King (1983)."""
    found = match(measured, 20.5, 120.0, position_error_arcsec=0.0)
    snr = 2 * FLUX_UJY[FAINT] / ERROR_UJY
    own = measured.alignment.fwhm_arcsec / 2.3548 / snr
    assert found.row == FAINT
    # Printed ratios have one decimal, and places two: 0.02 of this offset.
    assert found.offset_sigma == pytest.approx(0.5 * PIXEL_ARCSEC / own, rel=0.05)
    assert not match(measured, 20.5, position_error_arcsec=0.0).found


def test_the_error_of_the_alignment_counts(measured):
    worse = replace(measured, alignment=replace(measured.alignment, error_arcsec=0.1))
    assert match(worse, 24.0).offset_sigma == pytest.approx(1.6 / np.sqrt(2), abs=5e-3)


def test_a_cut_object_that_is_much_likelier_hides_a_star(measured):
    """Chi2 are 1.2^2 and 2.4^2, 4.3 apart."""
    found = match(measured, 57.0)
    assert not found.found
    assert "object 2, 0.120 arcsec away (1.2 sigma), is left out by the cuts" in found.note
    assert "(hot pixel)" in found.note
    assert "light_curve.no_cuts takes it" in found.note


def test_a_cut_object_that_is_hardly_likelier_is_named_beside_the_star(measured):
    """Chi2 are 0.22^2 and 0.98^2, 0.9 apart."""
    found = match(measured, 60.56)
    assert found.row == BESIDE
    assert found.offset_sigma == pytest.approx(0.976, abs=5e-3)
    assert found.note == (
        "object 2, 0.022 arcsec away (0.2 sigma), is left out by the cuts (hot pixel)"
    )


def test_a_cut_object_farther_than_the_star_is_not_spoken_of(measured):
    assert match(measured, 64.0).note == ""


def test_without_cuts_the_object_itself_is_taken(measured):
    found = match(measured, 57.0, kept=np.ones(len(X), dtype=bool))
    assert (found.row, found.note) == (CUT, "")


def test_the_brightest_may_be_missing_in_the_first_image(tmp_path):
    flux = np.tile(FLUX_UJY, (4, 1))
    flux[0, RIGHT] = -0.04  # a star of which the first image has nothing
    workdir = measured_target(tmp_path, Stars(flux, ERROR_UJY, X, Y, TYPES))
    measured = open_measured_catalog(workdir, load_settings(workdir))
    assert match(measured, 99.0, brightest=True).row == RIGHT


def test_the_brightest_kept_star_within_the_radius_is_taken_whatever_its_offset(measured):
    found = match(measured, 97.0, brightest=True)
    assert found.row == RIGHT
    assert found.offset_arcsec == pytest.approx(8 * PIXEL_ARCSEC, abs=4e-4)
    assert found.offset_sigma == pytest.approx(3.2, abs=0.02)
    assert found.note == "the brightest of 2 stars within 0.5 arcsec in F606W"
    assert match(measured, 60.0, brightest=True).row == BESIDE


def test_where_no_star_is_bright_the_nearest_object_is_named(measured):
    found = match(measured, 40.0, brightest=True)
    assert not found.found
    assert "the nearest object, " in found.note


def test_an_empty_catalogue_has_no_star(measured):
    nothing = np.zeros(0, dtype=np.int64)
    empty = replace(measured, catalog=measured.catalog.select(nothing))
    found = match(empty, 20.0, kept=np.zeros(0, dtype=bool))
    assert (found.found, found.note) == (False, "not in the catalogue: it is empty")
    assert stars_within(empty, place(20.0), np.zeros(0, dtype=bool), 1.0).tolist() == []


def test_stars_within_a_radius_are_told_the_nearest_first(measured):
    # From 104: 1, 4, then 41 pixels; the cut one is at 44, 1.76 arcsec.
    at = place(104.0)
    assert stars_within(measured, at, KEPT, 0.1).tolist() == [RIGHT]
    assert stars_within(measured, at, KEPT, 0.5).tolist() == [RIGHT, LEFT]
    assert stars_within(measured, at, KEPT, 1.80).tolist() == [RIGHT, LEFT, BESIDE]
    every = np.ones(len(X), dtype=bool)
    assert stars_within(measured, at, every, 1.80).tolist() == [RIGHT, LEFT, BESIDE, CUT]
