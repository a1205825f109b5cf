"""Which sources are candidates, and the figures that go with them."""

import math

import numpy as np
import pytest

from hst_assets.counterpart.candidates import find_candidates
from hst_assets.counterpart.earlier_sources import centroid_error_mas
from hst_assets.counterpart.error_circle import ErrorBudget, ErrorTerm
from hst_assets_tests.counterpart.made_sources import BAND, OTHER, PLACE, sources

BUDGET = ErrorBudget((ErrorTerm("position", 10.0, "given"),))


def find(found, **more):
    chosen = {
        "floor_mas": 0.0,
        "search_sigma": 5.0,
        "detection_snr": 3.0,
        "density_radius_arcsec": 10.0,
        **more,
    }
    return find_candidates(found, PLACE, BUDGET, **chosen)


def test_sources_within_so_many_errors_are_candidates_the_nearest_first():
    near = sources([0.03, -0.01, 0.2], [0.0, 0.0, 0.0], {BAND: [500.0, 500.0, 500.0]})
    first, second = find(near)
    assert (first.row, second.row) == (1, 0)
    assert first.east_mas == pytest.approx(-10.0, abs=1e-3)
    assert first.sigma == pytest.approx(1.0, rel=0.01)
    assert first.offset_probability == pytest.approx(math.exp(-0.5), rel=0.01)
    assert second.is_inside  # 30 mas; the circle of 99 % has 30.35


def test_what_is_not_seen_in_the_earlier_images_is_none():
    """The object itself is in the catalogue, by its later images."""
    assert find(sources([0.0], [0.0], {BAND: [1.5], OTHER: [2.9]})) == []


def test_a_faint_source_has_a_larger_error_of_its_own():
    faint, bright = find(sources([0.01, 0.0], [0.0, 0.01], {BAND: [4.0, 400.0]}))[::1]
    by_row = {one.row: one for one in (faint, bright)}
    fwhm_mas = 2.0 * 39.62
    assert by_row[0].own_error_mas == pytest.approx(fwhm_mas / 2.3548 / 4.0, rel=0.01)
    assert by_row[0].error_mas > by_row[1].error_mas


def test_bands_tell_a_place_together():
    one = sources([0.0], [0.0], {BAND: [10.0]})
    two = sources([0.0], [0.0], {BAND: [10.0], OTHER: [10.0]})
    ratio = centroid_error_mas(one, 0.0) / centroid_error_mas(two, 0.0)
    assert ratio == pytest.approx(math.sqrt(2))


def test_a_crowded_source_and_the_floor_have_larger_errors():
    plain = sources([0.0], [0.0], {BAND: [500.0]})
    crowded = sources([0.0], [0.0], {BAND: [500.0]}, crowding_mag=np.array([1.0]))
    assert centroid_error_mas(crowded, 0.0) > 2 * centroid_error_mas(plain, 0.0)
    assert centroid_error_mas(plain, 3.0) > 3.0
    assert centroid_error_mas(plain, math.nan) == centroid_error_mas(plain, 0.0)


def test_the_density_is_that_of_sources_as_bright_around():
    rng = np.random.default_rng(1)
    east, north = rng.uniform(-9, 9, (2, 300))
    flux = np.where(np.arange(300) < 30, 100.0, 10.0)
    field = sources([0.0, *east], [0.01, *north], {BAND: [50.0, *flux]})
    (one,) = [each for each in find(field) if each.row == 0]
    inside = np.hypot(east, north) <= 10
    expected = (np.count_nonzero(inside[:30]) + 0.5) / (math.pi * 100)
    assert one.density_arcsec2 == pytest.approx(expected, rel=0.01)
    radius = 10.0 * 3.0349 / 1e3  # that of 99 %, which is larger than the separation
    assert one.chance_probability == pytest.approx(math.pi * radius**2 * expected, rel=0.05)


def test_the_share_of_the_ring_that_was_measured_counts():
    field = sources([0.0, 3.0], [0.01, 0.0], {BAND: [50.0, 60.0]})
    whole, half = (find(field, covered=lambda *_, s=share: s)[0] for share in (1.0, 0.5))
    assert half.density_arcsec2 == pytest.approx(2 * whole.density_arcsec2)
