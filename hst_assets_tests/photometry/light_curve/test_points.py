import numpy as np
import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.photometry.light_curve.points import Point, ab_mag, ab_mag_error, mean_point


def point(flux, error, **others):
    values = {
        "source": 0,
        "method": "forced",
        "level": "exposure",
        "detector": "wfc3_uvis",
        "filter_name": "F814W",
        "epoch": 1,
        "images": ("a",),
        "mjd": 56000.0,
        "mjd_first": 55999.9,
        "mjd_last": 56000.1,
        "exptime_s": 100.0,
        "n_images": 1,
    } | others
    return Point(flux_ujy=flux, flux_error_ujy=error, **values)


def test_a_microjansky_in_ab():
    # 3631 Jy are magnitude 0, by definition.
    assert ab_mag(3631e6) == pytest.approx(0, abs=1e-4)
    assert np.isnan(ab_mag(-1.0))


def test_a_tenth_is_a_tenth_of_a_magnitude():
    assert ab_mag_error(10.0, 1.0) == pytest.approx(0.10857, abs=1e-5)


def test_four_equal_points_have_half_the_error():
    mean = mean_point([point(1.0, 0.05)] * 4, level="epoch", epoch=1)
    assert mean.flux_error_ujy == pytest.approx(0.025)
    assert mean.scatter_ujy == 0
    assert mean.exptime_s == 400


def test_a_poor_point_hardly_counts():
    mean = mean_point([point(1.0, 0.01), point(2.0, 0.2)], level="epoch", epoch=1)
    assert mean.flux_error_ujy == pytest.approx(0.01, rel=0.002)
    assert mean.flux_ujy == pytest.approx(1 + 0.0001 / 0.0401, rel=1e-9)


def test_negative_fluxes_stay_in_the_mean():
    mean = mean_point([point(1.0, 1.0), point(-1.0, 1.0)], level="filter", epoch=-1)
    assert mean.flux_ujy == 0
    assert mean.chi2 == pytest.approx(2)


def test_the_scatter_is_that_of_the_fluxes():
    rng = np.random.default_rng(3)
    fluxes = rng.normal(5, 0.3, 4000)
    mean = mean_point([point(flux, 1.0) for flux in fluxes], level="filter", epoch=-1)
    assert mean.scatter_ujy == pytest.approx(0.3, rel=0.04)  # 3.5 standard errors


def test_what_measured_nothing_does_not_count():
    mean = mean_point(
        [point(1.0, 0.1), point(np.nan, np.inf, exptime_s=500.0, n_images=0)],
        level="epoch",
        epoch=1,
    )
    assert (mean.flux_ujy, mean.n_images, mean.exptime_s) == (1.0, 1, 100.0)


def test_without_any_measurement_the_mean_is_none():
    mean = mean_point([point(np.nan, np.inf, n_images=0)], level="epoch", epoch=1)
    assert not mean.counts
    assert np.isnan(mean.snr)
    assert mean.mjd == 56000.0


def test_the_middle_is_weighted_by_exposure_time():
    long = point(1.0, 0.1, mjd=56003.0, exptime_s=300.0)
    assert mean_point([point(1.0, 0.1), long], level="epoch", epoch=1).mjd == 56002.25


def test_points_of_two_filters_have_no_mean():
    with pytest.raises(BadConfiguration, match="2 places, methods or bands"):
        mean_point([point(1, 1), point(1, 1, filter_name="F606W")], level="filter", epoch=-1)
    with pytest.raises(BadConfiguration, match="0 places"):
        mean_point([], level="filter", epoch=-1)


def test_no_mean_makes_a_shared_error_smaller():
    """Of four with errors of 0.3 of their own and 0.4 in common: 0.15 and 0.4."""
    mean = mean_point([point(2.0, 0.5, shared_error_ujy=0.4)] * 4, level="filter", epoch=-1)
    assert mean.shared_error_ujy == pytest.approx(0.4)
    assert mean.flux_error_ujy == pytest.approx(np.hypot(0.15, 0.4))


def test_what_is_shared_does_not_weigh():
    """Errors of their own are 0.3 and 0.4: weights as 16 to 9."""
    points = [
        point(1.0, np.hypot(0.3, 5.0), shared_error_ujy=5.0),
        point(0.0, 0.4, shared_error_ujy=0.0),
    ]
    assert mean_point(points, level="filter", epoch=-1).flux_ujy == pytest.approx(16 / 25)
