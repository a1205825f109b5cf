"""Points from catalogues: fluxes of all light, chips of one exposure, flags, and errors."""

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.photometry.light_curve.catalog_points import catalog_points, ujy_per_electron
from hst_assets.photometry.light_curve.matching import Match
from hst_assets.photometry.light_curve.measured_catalog import open_measured_catalog
from hst_assets.photometry.light_curve.points import Place
from hst_assets.settings import load_settings
from hst_assets_tests.photometry.light_curve.measured_target import (
    EXPTIME_S,
    ROOTNAMES,
    Stars,
    electrons,
    measured_target,
)

#: Variance of one microjansky's own light.
UJY_PER_ELECTRON = 1 / float(electrons(1.0))
ERROR_UJY = 0.1
#: A star like any, one that is gone in the last exposure (an epoch of F606W), one that stays,
#: and faint ones, whose errors are the noise without starlight.
USUAL, GONE, STAYS = range(3)
N_FAINT = 5
FLUXES = ((1.0, 100.0, 100.0), (1.2, 100.0, 100.0), (3.0, 100.0, 100.0), (-0.05, 0.0, 100.0))


def mean_light(fluxes):
    """Of each image, that of its band: the first, second and fourth are of one."""
    light = np.maximum(np.array(fluxes), 0.0)
    return np.where([[True], [True], [False], [True]], light[[0, 1, 3]].mean(axis=0), light[2])


def embedded_target(root, *, errors=None, flags=None):
    """A catalogue with the errors of the embedded photometer, of the mean light in the band."""
    fluxes = np.column_stack([FLUXES, np.zeros((4, N_FAINT))])
    if errors is None:
        errors = np.sqrt(ERROR_UJY**2 + UJY_PER_ELECTRON * mean_light(fluxes))
    n = fluxes.shape[1]
    more = {} if flags is None else {"flag": flags}
    place = 20.0 + 12.0 * np.arange(n)
    workdir = measured_target(root, Stars(fluxes, errors, place, place, [1] * n, more))
    return open_measured_catalog(workdir, load_settings(workdir))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    return embedded_target(tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="module")
def of_dolphot(embedded):
    """The same, as one whose errors hold each flux's own light."""
    return replace(embedded, errors_hold_own_light=True)


def points_of(measured, *rows):
    places = [Place(source=at, name="a", ra_deg=150.0, dec_deg=2.0) for at in range(len(rows))]
    matches = [Match(row, 0.02, 0.4) for row in rows]
    return catalog_points(measured, places, matches)


def by_exposure(points):
    return {one.images[0]: one for one in points}


@pytest.mark.parametrize("kind", ["embedded", "of_dolphot"])
def test_each_exposure_has_the_flux_of_the_star(kind, request):
    points = points_of(request.getfixturevalue(kind), USUAL)
    assert [one.images for one in points] == [(name,) for name in ROOTNAMES]
    # Printed counts, from which a negative flux follows, have one decimal.
    assert [one.flux_ujy for one in points] == pytest.approx(
        [1.0, 1.2, 3.0, -0.05], rel=2e-3, abs=1e-3
    )
    assert {one.level for one in points} == {"exposure"}
    assert {(one.offset_arcsec, one.offset_sigma) for one in points} == {(0.02, 0.4)}
    assert {one.note for one in points} == {""}


def test_points_are_of_the_place_whose_star_it_is(embedded):
    points = points_of(embedded, STAYS, USUAL)
    fluxes = {source: [one.flux_ujy for one in points if one.source == source] for source in (0, 1)}
    assert fluxes[0] == pytest.approx([100.0] * 4, rel=2e-3)
    assert fluxes[1][0] == pytest.approx(1.0, rel=2e-3)


def test_errors_that_hold_the_star_s_light_stay_as_they_are(of_dolphot):
    last = by_exposure(points_of(of_dolphot, GONE))[ROOTNAMES[3]]
    was = np.sqrt(ERROR_UJY**2 + UJY_PER_ELECTRON * 200 / 3)
    assert last.flux_error_ujy == pytest.approx(was, rel=1e-2)  # printed digits


def test_a_star_that_vanished_has_the_noise_of_what_is_left(embedded):
    found = by_exposure(points_of(embedded, GONE))
    # Printed digits of errors, twice that of what is taken from them.
    assert found[ROOTNAMES[3]].flux_error_ujy == pytest.approx(ERROR_UJY, rel=0.05)
    shining = np.sqrt(ERROR_UJY**2 + UJY_PER_ELECTRON * 100.0)
    assert found[ROOTNAMES[0]].flux_error_ujy == pytest.approx(shining, rel=0.02)
    assert found[ROOTNAMES[1]].flux_error_ujy == pytest.approx(shining, rel=0.02)


def test_a_star_that_stays_keeps_its_errors(embedded, of_dolphot):
    before, after = (points_of(each, STAYS) for each in (of_dolphot, embedded))
    assert [one.flux_error_ujy for one in after] == pytest.approx(
        [one.flux_error_ujy for one in before], rel=0.02
    )


def test_what_is_left_is_no_quieter_than_faint_stars(tmp_path):
    """Errors that hold less than the star's mean light would leave nothing, or less."""
    errors = np.full((4, 3 + N_FAINT), ERROR_UJY)
    errors[:, GONE] = 1.5 * ERROR_UJY  # its mean light alone is 1.8 times
    measured = embedded_target(tmp_path, errors=errors)
    last = by_exposure(points_of(measured, GONE))[ROOTNAMES[3]]
    assert last.flux_error_ujy == pytest.approx(ERROR_UJY, rel=1e-2)


def test_a_star_quieter_than_faint_ones_keeps_its_own_error(tmp_path):
    errors = np.full((4, 3 + N_FAINT), ERROR_UJY)
    errors[:, GONE] = 0.5 * ERROR_UJY
    measured = embedded_target(tmp_path, errors=errors)
    last = by_exposure(points_of(measured, GONE))[ROOTNAMES[3]]
    assert last.flux_error_ujy == pytest.approx(0.5 * ERROR_UJY, rel=2e-2)


def test_an_exposure_that_flags_exclude_has_a_note_and_no_flux(tmp_path):
    flags = np.zeros((4, 3 + N_FAINT), np.int32)
    flags[0, USUAL], flags[3, USUAL] = 4, 9
    measured = embedded_target(tmp_path, flags=flags)
    found = by_exposure(points_of(measured, USUAL))
    excluded = found[ROOTNAMES[0]]
    assert (excluded.n_images, excluded.flag, excluded.counts) == (0, 4, False)
    assert excluded.note == "left out by its quality flag 4"
    assert found[ROOTNAMES[1]].note == ""
    assert ROOTNAMES[3] not in found  # the star is not on that image


def test_two_chips_count_as_one_exposure(of_dolphot):
    """The first two images, as if they were chips of one exposure that both saw the star."""
    first, second, *others = of_dolphot.images
    chips = replace(of_dolphot, images=(first, replace(second, exposure=first.exposure), *others))
    points = points_of(chips, USUAL)
    assert len(points) == 3
    one = by_exposure(points)[ROOTNAMES[0]]
    assert (one.n_images, one.exptime_s) == (1, EXPTIME_S)
    assert one.flux_ujy == pytest.approx(1.1, rel=2e-3)
    of_each = np.sqrt(ERROR_UJY**2 + UJY_PER_ELECTRON * (1.0 + 1.2 + 0.0) / 3)
    assert one.flux_error_ujy == pytest.approx(of_each / np.sqrt(2), rel=1e-2)


def test_of_two_chips_a_flagged_one_does_not_count(tmp_path):
    flags = np.zeros((4, 3 + N_FAINT), np.int32)
    flags[0, USUAL] = 4
    measured = embedded_target(tmp_path, flags=flags)
    first, second, *others = measured.images
    chips = replace(measured, images=(first, replace(second, exposure=first.exposure), *others))
    one = by_exposure(points_of(chips, USUAL))[ROOTNAMES[0]]
    assert (one.n_images, one.flag, one.note) == (1, 0, "")
    assert one.flux_ujy == pytest.approx(1.2, rel=2e-3)


def test_a_place_without_a_star_has_a_point_without_a_flux_in_each_band(embedded):
    place = Place(source=3, name="a", ra_deg=150.0, dec_deg=2.0)
    points = catalog_points(embedded, [place], [Match(-1, np.nan, np.nan, "none here")])
    assert [one.filter_name for one in points] == ["F606W", "F814W"]
    assert {(one.source, one.level, one.epoch) for one in points} == {(3, "filter", NO_EPOCH)}
    assert not any(one.counts for one in points)
    assert {one.note for one in points} == {"none here"}
    assert points[0].mjd == pytest.approx((58000.0 + 58000.1 + 58030.0) / 3)


def test_the_flux_of_an_electron_is_by_zero_point_time_and_gain(embedded):
    found = ujy_per_electron(embedded)
    assert set(found) == set(ROOTNAMES)
    assert list(found.values()) == pytest.approx([UJY_PER_ELECTRON] * 4, rel=2e-3)
