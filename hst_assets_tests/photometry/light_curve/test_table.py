from dataclasses import fields

import astropy.units as u
import numpy as np
import pytest

from hst_assets.photometry.light_curve.points import NOT_IN_CATALOG, Place, Point
from hst_assets.photometry.light_curve.table import (
    FROM_ERROR,
    FROM_LOCAL_NOISE,
    LIGHT_CURVE_COLUMNS,
    PointLimits,
    light_curve_table,
    time_series,
)
from hst_assets_tests.photometry.light_curve.test_points import point

PLACE = Place(source=0, name="sn", ra_deg=10.0, dec_deg=-5.0)


def table_of(*points, limits=None):
    return light_curve_table(points, [PLACE], limits or [PointLimits()] * len(points))


def test_every_field_of_a_point_is_a_column():
    """But what means of exposures alone are weighted by."""
    of_weights = {"ujy_per_electron", "expected_ujy"}
    columns = {spec.name for spec in LIGHT_CURVE_COLUMNS}
    assert {each.name for each in fields(Point)} - of_weights <= columns


def test_systems_follow_from_the_flux():
    row = table_of(point(3631e6, 1.0, st_minus_ab_mag=0.3, vega_minus_ab_mag=-0.1))[0]
    mags = [row[name].to_value(u.mag) for name in ("ab_mag", "st_mag", "vega_mag")]
    assert mags == pytest.approx([0.0, 0.3, -0.1], abs=1e-4)


def test_a_negative_flux_is_a_row_without_magnitude_and_with_limits():
    row = table_of(point(-0.1, 0.2))[0]
    assert row["flux_ujy"] == -0.1 * u.uJy
    assert np.isnan(row["ab_mag"])
    # Three times 0.2 microjansky: 23.9 - 2.5 lg 0.6.
    assert row["limit_3sigma_ab_mag"].value == pytest.approx(24.4546, abs=1e-3)
    assert row["limits_from"] == FROM_ERROR


def test_limits_are_those_of_the_local_noise_where_it_was_measured():
    noise = PointLimits(noise_ujy=0.4, half_found_ab_mag=25.2)
    row = table_of(point(1.0, 0.2), limits=[noise])[0]
    assert row["limit_5sigma_ab_mag"].value == pytest.approx(23.9 - 2.5 * np.log10(2.0))
    assert row["limits_from"] == FROM_LOCAL_NOISE
    assert row["limit_50_ab_mag"].value == 25.2


def test_what_was_not_measured_has_no_limit():
    row = table_of(point(np.nan, np.inf, n_images=0, note="off"))[0]
    assert np.isnan(row["limit_3sigma_ab_mag"])
    assert row["limits_from"] == ""


def test_what_was_left_out_has_no_limit_of_empty_places():
    """A saturated star is not fainter than they are."""
    noise = PointLimits(noise_ujy=0.4)
    left_out = point(np.nan, np.inf, n_images=0, note="not counted: saturated")
    row = table_of(left_out, limits=[noise])[0]
    assert np.isnan(row["limit_3sigma_ab_mag"])
    assert row["limits_from"] == ""


def test_a_place_without_a_star_has_the_limit_of_empty_places():
    noise = PointLimits(noise_ujy=0.4)
    absent = point(np.nan, np.inf, n_images=0, note=f"{NOT_IN_CATALOG}: nothing is near")
    row = table_of(absent, limits=[noise])[0]
    assert row["limit_3sigma_ab_mag"].value == pytest.approx(23.9 - 2.5 * np.log10(1.2))


def test_beside_a_bright_neighbour_the_limit_is_that_of_the_flux_itself():
    """Empty places elsewhere do not have the neighbour's light."""
    noise = PointLimits(noise_ujy=0.04)
    row = table_of(point(-0.1, 0.2), limits=[noise])[0]
    assert row["limit_3sigma_ab_mag"].value == pytest.approx(24.4546, abs=1e-3)
    assert row["limits_from"] == FROM_ERROR


def test_the_light_of_what_is_seen_is_in_no_limit():
    row = table_of(point(40.0, 0.2), limits=[PointLimits(noise_ujy=0.04)])[0]
    assert row["limits_from"] == FROM_LOCAL_NOISE


def test_a_time_series_is_in_the_order_of_time():
    late = point(1.0, 0.2, mjd_first=56010.0, mjd_last=56010.5)
    series = time_series(table_of(late, point(2.0, 0.2, mjd_first=56000.0, mjd_last=56000.25)))
    assert series.time_bin_start.mjd.tolist() == [56000.0, 56010.0]
    assert series.time_bin_size.to_value(u.day).tolist() == [0.25, 0.5]
    assert series["flux_ujy"].value.tolist() == [2.0, 1.0]
