"""How a light curve is judged by the truth, epoch by epoch, on tables made by hand."""

import math

import pytest

from hst_assets.photometry.encircled_energy import encircled_energy
from hst_assets.simulate.bands import band_of
from hst_assets.simulate.geometry import chip_views
from hst_assets.simulate.light_curve_scoring import light_curve_scores
from hst_assets.simulate.psf import psf_model
from hst_assets_tests.simulate.made_light_curve import (
    RADIUS_ARCSEC,
    TRUE_UJY,
    epoch_point,
    measured_workdir,
    truth,
)


def found_share(key="wfc3_uvis", name="F606W", radius_arcsec=RADIUS_ARCSEC):
    """What is measured of a simulated star's light when the table of the telescope is believed."""
    psf = psf_model(key, band_of(key, name), chip_views(key)[0].pixel_arcsec)

    def net(within):
        """The light within the radius, less as much sky as the ring of 0.6 to 1 arcsec has."""
        return within(radius_arcsec) - (within(1.0) - within(0.6)) * radius_arcsec**2 / 0.64

    simulated = net(lambda radius: float(psf.net_encircled(radius, (math.inf, math.inf))))
    return simulated / net(lambda radius: encircled_energy(key, name, radius))


def scores(workdir):
    return light_curve_scores(
        workdir, truth(), radius_arcsec=RADIUS_ARCSEC, difference_radius_arcsec=RADIUS_ARCSEC
    )


def test_the_truth_of_an_epoch_is_the_mean_of_its_used_exposures_as_an_aperture_finds_it(tmp_path):
    points = [epoch_point(epoch, 7.0) for epoch in TRUE_UJY]
    found = scores(measured_workdir(tmp_path, points))
    # The two wings are not the same: without them the truth were off by more than the tolerance.
    assert abs(found_share() - 1) > 1e-3
    expected = [flux * found_share() for flux in TRUE_UJY.values()]
    assert [one.true_flux_ujy for one in found] == pytest.approx(expected, rel=1e-6)
    assert [(one.method, one.band, one.epoch) for one in found] == [
        ("forced", "wfc3_uvis.f606w", epoch) for epoch in TRUE_UJY
    ]


def test_the_pull_is_the_error_over_its_estimate(tmp_path):
    true = TRUE_UJY[2] * found_share()
    points = [epoch_point(2, true + 0.3, 0.1), epoch_point(2, true - 0.3, 0.2, method="catalog")]
    found = scores(measured_workdir(tmp_path, points))
    # Tables are written with all digits.
    assert [one.pull for one in found] == pytest.approx([3.0, -1.5], abs=1e-6)


def test_a_difference_is_judged_against_that_of_its_epochs(tmp_path):
    points = [
        epoch_point(2, 13.0, method="difference"),
        epoch_point(3, -7.0, method="difference"),
        epoch_point(2, 20.0),
    ]
    found = scores(measured_workdir(tmp_path, points, {2: 1, 3: 1}))
    expected = [(TRUE_UJY[epoch] - TRUE_UJY[1]) * found_share() for epoch in (2, 3)]
    assert [one.true_flux_ujy for one in found[:2]] == pytest.approx(expected, rel=1e-6)
    assert found[2].true_flux_ujy == pytest.approx(TRUE_UJY[2] * found_share(), rel=1e-6)


def test_only_epochs_of_the_target_that_were_measured_are_judged(tmp_path):
    points = [
        epoch_point(1, 7.0),
        epoch_point(1, 7.0, level="exposure"),
        epoch_point(-1, 7.0, level="filter"),
        epoch_point(1, 7.0, source=1),
        epoch_point(2, float("nan"), float("inf"), n_images=0),
    ]
    assert [one.epoch for one in scores(measured_workdir(tmp_path, points))] == [1]


def test_a_model_that_reaches_beyond_the_ring_leaves_none_of_the_star_in_it(tmp_path):
    """Of a difference nothing is modelled: what the ring takes away stays."""
    points = [epoch_point(2, 20.0), epoch_point(2, 13.0, method="difference")]
    workdir = measured_workdir(tmp_path, points, {2: 1})
    view = chip_views("wfc3_uvis")[0]
    psf = psf_model("wfc3_uvis", band_of("wfc3_uvis", "F606W"), view.pixel_arcsec)
    inside = psf.net_encircled(RADIUS_ARCSEC, (math.inf, math.inf))
    whole = float(inside) / encircled_energy("wfc3_uvis", "F606W", RADIUS_ARCSEC)
    forced, difference = light_curve_scores(
        workdir,
        truth(),
        radius_arcsec=RADIUS_ARCSEC,
        difference_radius_arcsec=RADIUS_ARCSEC,
        model_pix=30.0,
    )
    assert forced.true_flux_ujy == pytest.approx(TRUE_UJY[2] * whole, rel=1e-6)
    expected = (TRUE_UJY[2] - TRUE_UJY[1]) * found_share()
    assert difference.true_flux_ujy == pytest.approx(expected, rel=1e-6)


def test_a_difference_has_an_aperture_of_its_own(tmp_path):
    """Among WFPC2's exposures the photometer's is wider than that of the differences."""
    points = [epoch_point(2, 20.0), epoch_point(2, 13.0, method="difference")]
    workdir = measured_workdir(tmp_path, points, {2: 1})
    forced, difference = light_curve_scores(
        workdir, truth(), radius_arcsec=0.5, difference_radius_arcsec=RADIUS_ARCSEC
    )
    assert abs(found_share(radius_arcsec=0.5) / found_share() - 1) > 3e-3
    expected = TRUE_UJY[2] * found_share(radius_arcsec=0.5)
    assert forced.true_flux_ujy == pytest.approx(expected, rel=1e-6)
    expected = (TRUE_UJY[2] - TRUE_UJY[1]) * found_share()
    assert difference.true_flux_ujy == pytest.approx(expected, rel=1e-6)
