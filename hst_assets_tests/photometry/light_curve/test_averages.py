from dataclasses import replace

import numpy as np
import pytest

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.photometry.light_curve.averages import averaged, with_expected_errors
from hst_assets_tests.photometry.light_curve.test_points import point


def electrons_counted(mean, n, rng):
    """Points of a star of so many electrons in each of n exposures, on no background."""
    counts = np.maximum(rng.poisson(mean, n), 1)
    return [
        point(float(count), float(np.sqrt(count)), images=(f"e{at}",))
        for at, count in enumerate(counts)
    ]


def test_weights_of_their_own_fluxes_would_bias_the_mean_and_do_not():
    rng = np.random.default_rng(4)
    per_electron = {f"e{at}": 1.0 for at in range(4)}
    means, biased = [], []
    for _ in range(800):
        points = electrons_counted(25.0, 4, rng)
        *_, epoch, _ = averaged(points, per_electron)
        means.append(epoch.flux_ujy)
        *_, alone, _ = averaged(points, {})
        biased.append(alone.flux_ujy)
    # 800 means of 4 x 25 electrons: the error of their mean is 2.5 / sqrt(800) = 0.09.
    assert np.mean(means) == pytest.approx(25.0, abs=0.27)
    # By own errors it is the harmonic mean, low by 1 - 1/n electrons.
    assert np.mean(biased) == pytest.approx(24.25, abs=0.3)


def test_the_error_of_the_mean_holds_for_a_star_on_a_background():
    rng = np.random.default_rng(5)
    per_electron = {f"e{at}": 1.0 for at in range(4)}
    pulls = []
    for _ in range(800):
        flux = rng.normal(50.0, np.sqrt(150.0), 4)
        errors = np.sqrt(100.0 + np.maximum(flux, 0))
        points = [
            point(float(f), float(e), images=(f"e{at}",))
            for at, (f, e) in enumerate(zip(flux, errors, strict=True))
        ]
        *_, mean, _ = averaged(points, per_electron)
        pulls.append((mean.flux_ujy - 50.0) / mean.flux_error_ujy)
    # Of 800 pulls the scatter is known within 2.5 %.
    assert np.std(pulls) == pytest.approx(1.0, abs=0.08)
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.12)


def test_the_mean_of_a_star_that_varies_is_not_drawn_to_where_it_was_faint():
    """Errors hold each epoch's own light, as of a forced flux unlike its band's mean.

    10,000 and 5,000 electrons, each counted twice on a background of 1,000: the mean is
    7,500; by own errors it is 6,760.
    """
    points = []
    for at, flux in enumerate((1e4, 1e4, 5e3, 5e3)):
        error = np.sqrt(1e3 + flux)
        told = {"ujy_per_electron": 1.0, "expected_ujy": flux}
        points.append(point(flux, float(error), images=(f"e{at}",), epoch=1 + at // 2, **told))
    *_, whole = averaged(points, {})
    assert whole.flux_ujy == pytest.approx(7500.0, rel=1e-6)
    # Four exposures with the noise of the mean light and the background.
    assert whole.flux_error_ujy == pytest.approx(np.sqrt(8500.0 / 4), rel=1e-6)
    *_, biased = averaged([replace(each, ujy_per_electron=np.nan) for each in points], {})
    assert biased.flux_ujy < 6800.0


def test_an_error_by_the_mean_light_is_not_taken_for_that_of_the_flux():
    """Four counts of 100 electrons on no background, each error by their mean."""
    points = [
        point(flux, 10.0, images=(f"e{at}",), ujy_per_electron=1.0, expected_ujy=100.0)
        for at, flux in enumerate((80.0, 95.0, 105.0, 120.0))
    ]
    *_, whole = averaged(points, {})
    assert whole.flux_ujy == pytest.approx(100.0, rel=1e-9)
    assert whole.flux_error_ujy == pytest.approx(5.0, rel=1e-6)


def test_epochs_and_the_filter_follow_the_exposures():
    points = [point(1.0, 0.1), point(2.0, 0.1, epoch=2), point(3.0, 0.1, filter_name="F606W")]
    found = averaged(points, {})
    assert [(each.level, each.epoch, each.filter_name) for each in found] == [
        ("exposure", 1, "F814W"),
        ("exposure", 2, "F814W"),
        ("epoch", 1, "F814W"),
        ("epoch", 2, "F814W"),
        ("filter", NO_EPOCH, "F814W"),
        ("exposure", 1, "F606W"),
        ("epoch", 1, "F606W"),
        ("filter", NO_EPOCH, "F606W"),
    ]
    assert found[4].flux_ujy == pytest.approx(1.5)


def test_points_of_epochs_are_left_as_they_are():
    of_epoch = point(1.0, 0.1, level="epoch", method="difference")
    assert averaged([of_epoch], {}) == [of_epoch]


def test_an_error_that_is_not_known_to_hold_light_is_kept():
    points = [point(1.0, 0.1, images=("a",)), point(2.0, 0.2, images=("b",))]
    assert with_expected_errors(points, {"a": 0.01}) == points


def test_a_points_own_flux_of_an_electron_goes_before_the_exposures():
    """Two counts of 50 and 150 electrons on no background; the table is for who does not tell."""
    own = [
        point(flux, float(np.sqrt(flux)), images=(f"e{at}",), ujy_per_electron=1.0)
        for at, flux in enumerate((50.0, 150.0))
    ]
    misleading = {"e0": 1e-3, "e1": 1e-3}
    told = with_expected_errors(own, misleading)
    assert [each.flux_error_ujy for each in told] == pytest.approx([10.0, 10.0])
    silent = [replace(each, ujy_per_electron=np.nan) for each in own]
    by_table = with_expected_errors(silent, {"e0": 1.0, "e1": 1.0})
    assert [each.flux_error_ujy for each in by_table] == pytest.approx([10.0, 10.0])


def test_what_measured_nothing_stays_so():
    nothing = point(np.nan, np.inf, images=("c",), n_images=0)
    points = [point(1.0, 0.1, images=("a",)), point(2.0, 0.2, images=("b",)), nothing]
    found = with_expected_errors(points, {"a": 0.001, "b": 0.001, "c": 0.001})
    assert found[2] is nothing
