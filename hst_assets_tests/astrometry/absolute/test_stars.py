"""Where stars are in another year, and how sure that is."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time

from hst_assets.astrometry.absolute.stars import julian_year, read_stars, star_table, stars_at
from hst_assets.failures import MissingProduct

GENEROUS = 1e9


@pytest.mark.parametrize("dec", [0.0, -45.0, 89.999])
@pytest.mark.parametrize("year", [1994.5, 2016.0, 2026.9])
def test_motion_is_that_of_astropy_at_every_declination(dec, year):
    star = {"ra": [359.9999], "dec": [dec], "epoch": [2016.0], "pmra": [850.0], "pmdec": [-420.0]}
    moved = stars_at(star_table(star), year, max_error_mas=GENEROUS)
    expected = SkyCoord(
        359.9999 * u.deg,
        dec * u.deg,
        pm_ra_cosdec=850 * u.mas / u.yr,
        pm_dec=-420 * u.mas / u.yr,
        distance=10 * u.pc,
        obstime=Time(2016.0, format="jyear", scale="tcb"),
    ).apply_space_motion(new_obstime=Time(year, format="jyear", scale="tcb"))
    found = SkyCoord(moved["ra"], moved["dec"])
    # In 22 years the star moves 19 arcsec; nothing that is left out here adds 10 microarcsec.
    assert found.separation(expected).arcsec[0] < 1e-5


def test_pmra_is_an_angle_on_the_sky_not_a_coordinate():
    star = {"ra": [10.0], "dec": [60.0], "epoch": [2016.0], "pmra": [1000.0], "pmdec": [0.0]}
    moved = stars_at(star_table(star), 2017.0, max_error_mas=GENEROUS)
    # One arcsec on the sky is two arcsec of right ascension at 60 degrees.
    assert (moved["ra"][0].value - 10.0) * 3600 == pytest.approx(2.0, abs=1e-4)


def test_a_star_without_motion_stays_where_it_is():
    moved = stars_at(star_table({"ra": [10.0], "dec": [-20.0]}), 1999.0, max_error_mas=0.1)
    assert moved["ra"][0].value == pytest.approx(10.0, abs=1e-12)
    assert moved["dec"][0].value == pytest.approx(-20.0, abs=1e-12)


def test_the_error_grows_with_the_years_and_cuts():
    stars = star_table(
        {
            "ra": [1.0, 2.0, 3.0],
            "dec": [0.0, 0.0, 0.0],
            "epoch": [2016.0] * 3,
            "position_error": [3.0, 3.0, 3.0],
            "motion_error": [0.0, 0.4, 0.0],
            "parallax": [0.0, 0.0, 8.0],
            "mag": [15, 16, 17],
        }
    )
    then = stars_at(stars, 2006.0, max_error_mas=GENEROUS)
    assert then["error"].to_value("mas") == pytest.approx([3.0, 5.0, np.hypot(3, 8)])
    assert len(stars_at(stars, 2016.0, max_error_mas=4.0)) == 2  # the near star is never sure
    assert list(stars_at(stars, 2006.0, max_error_mas=4.0)["ra"].value) == [1.0]


def test_brightest_first_and_stars_without_magnitude_last_in_their_order():
    table = star_table({"ra": [1, 2, 3, 4], "dec": [0, 0, 0, 0], "mag": [np.nan, 20, np.nan, 15]})
    assert list(table["ra"].value) == [4, 2, 1, 3]


def test_a_star_without_position_is_left_out():
    masked = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])
    table = star_table({"ra": masked, "dec": [0, 0, np.nan]})
    assert list(table["ra"].value) == [1.0]


def test_the_middle_of_an_exposure_as_a_year():
    # J2000.0 is MJD 51544.5 TT; UTC is a minute behind.
    assert julian_year(51544.5) == pytest.approx(2000.0, abs=1e-5)


def test_a_catalogue_that_is_gone_is_said_to_be(tmp_path):
    with pytest.raises(MissingProduct, match="Materialize reference_image"):
        read_stars(tmp_path / "absolute_catalog.ecsv")
