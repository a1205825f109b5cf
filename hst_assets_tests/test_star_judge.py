"""The judge of star catalogues: its rule, and that it sees what it should."""

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.psf.pixel_map import PixelMap
from hst_assets_tests.photometry.catalog.reference_runs import RUNS, needs_runs
from hst_assets_tests.star_judge import (
    BINS_E,
    STUDY_10K,
    checks,
    combined,
    judged,
    judged_forced,
)

SHAPE = (400, 400)


def stars(n=2000, seed=1):
    """True stars on a lattice, 8 pixels apart, 200 to 400 electrons and some bright ones."""
    rng = np.random.default_rng(seed)
    place = 20.0 + 8.0 * np.arange(45)
    x, y = (each.ravel()[:n] for each in np.meshgrid(place, place))
    return x, y, rng.uniform(260.0, 490.0, len(x))


def observed(true, scatter=0.05, seed=2):
    """Measured with Gaussian errors of so large a share."""
    x, y, flux = true
    rng = np.random.default_rng(seed)
    return x, y, flux * (1 + rng.normal(0, scatter, len(x))), scatter * flux


def bin_of(result, flux):
    return next(b for b in result.bins if b.brightest_e >= flux > b.faintest_e)


def test_scatter_bias_and_pull_of_gaussian_errors():
    true = stars()
    x, y, flux, error = observed(true)
    found = bin_of(judged((x, y, flux * 1.02, error * 1.02), true, shape=SHAPE), 300.0)
    # 1764 stars: standard errors of 0.0016 mag, 0.0015 mag and 0.028.
    assert found.completeness == 1.0
    assert found.bias_mag == pytest.approx(-2.5 * np.log10(1.02), abs=0.006)
    assert found.scatter_mag == pytest.approx(0.05 * 1.0857, abs=0.006)
    assert found.pull == pytest.approx(1.0, abs=0.1)


def test_stars_that_were_not_measured_are_missing():
    true = stars()
    some = tuple(each[::2] for each in observed(true))
    assert bin_of(judged(some, true, shape=SHAPE), 300.0).completeness == pytest.approx(
        0.5, abs=0.02
    )


def test_pulls_of_stars_alone_leave_out_the_light_of_those_that_were_missed():
    x, y, flux, error = observed(stars())
    near = np.arange(0, len(x), 2)  # half of them hide a star of half their light
    true = [*stars()]
    hidden = (true[0][near] + 0.4, true[1][near], 0.5 * true[2][near])
    all_true = tuple(np.append(a, b) for a, b in zip(true, hidden, strict=True))
    seen = flux.copy()
    seen[near] += 0.5 * true[2][near]
    found = bin_of(judged((x, y, seen, error), all_true, shape=SHAPE), 300.0)
    assert found.pull > 2.0
    assert found.pull_alone == pytest.approx(1.0, abs=0.12)  # 882 stars: 0.04


def test_a_star_measured_far_too_bright_is_missing_and_not_spurious():
    true = (np.array([100.0]), np.array([100.0]), np.array([300.0]))
    found = judged((true[0], true[1], np.array([700.0]), np.array([10.0])), true, shape=SHAPE)
    assert bin_of(found, 300.0).matched == 0
    assert found.spurious == 1, "no true star has half its light"
    found = judged((true[0], true[1], np.array([599.0]), np.array([10.0])), true, shape=SHAPE)
    assert found.spurious == 0


def test_a_measured_star_is_given_once_and_the_brighter_takes_it():
    true = (np.array([100.0, 100.6]), np.array([100.0, 100.0]), np.array([300.0, 400.0]))
    one = tuple(np.array([each]) for each in (100.2, 100.0, 350.0, 10.0))
    assert judged(one, true, shape=SHAPE).match.tolist() == [-1, 0]


def test_spurious_stars_are_counted_except_about_galaxies():
    true = stars(9)
    x, y, flux, error = observed(true)
    more = (
        np.append(x, [300.0, 350.0]),
        np.append(y, [300.0, 350.0]),
        np.append(flux, [200.0, 200.0]),
        np.append(error, [10.0, 10.0]),
    )
    assert judged(more, true, shape=SHAPE).spurious == 2
    galaxies = np.array([[345.0, 350.0]])
    assert judged(more, true, shape=SHAPE, not_spurious=galaxies).spurious == 1


def test_an_empty_catalogue_is_of_no_completeness():
    none = tuple(np.zeros(0) for _ in range(4))
    found = judged(none, stars(), shape=SHAPE)
    assert bin_of(found, 300.0).completeness == 0.0
    assert "not checked" in {each.verdict for each in checks(found, None)}


def verdicts(found, reference, **how):
    return {each.what: each.verdict for each in checks(found, reference, **how)}


def test_what_is_as_good_as_the_reference_passes_and_what_is_worse_does_not():
    true = stars()
    reference = judged(observed(true, seed=3), true, shape=SHAPE)
    reference = replace(reference, spurious=10)
    good = verdicts(judged(observed(true), true, shape=SHAPE), reference)
    assert set(good.values()) <= {"ok", "near"}
    assert good["completeness 500-250"] == "ok"
    worse = verdicts(judged(observed(true, scatter=0.07), true, shape=SHAPE), reference)
    assert worse["scatter 500-250"] == "beyond"
    x, y, flux, error = observed(true)
    biased = judged((x, y, flux * 1.1, error * 1.5), true, shape=SHAPE)
    assert verdicts(biased, reference)["bias 500-250"] == "beyond"
    assert verdicts(biased, reference)["pull 500-250"] == "beyond"
    fewer = judged(tuple(each[50:] for each in observed(true)), true, shape=SHAPE)
    assert verdicts(fewer, reference)["completeness 500-250"] == "beyond"
    assert verdicts(replace(fewer, spurious=40), reference)["spurious a Mpx"] == "beyond"


def test_without_a_reference_its_limits_are_not_checked():
    true = stars()
    found = verdicts(judged(observed(true), true, shape=SHAPE), None)
    assert found["completeness 500-250"] == "not checked"
    assert found["spurious a Mpx"] == "not checked"
    assert found["bias 500-250"] == "ok"


def test_another_fields_reference_allows_for_chance():
    true = stars(60)
    found = judged(tuple(each[1:] for each in observed(true)), true, shape=SHAPE)
    # One of 60 against 0.986 +- 0.015: within two standard errors.
    assert verdicts(found, STUDY_10K, same_field=False)["completeness 500-250"] in ("ok", "near")
    few = judged(tuple(each[12:] for each in observed(true)), true, shape=SHAPE)
    assert verdicts(few, STUDY_10K, same_field=False)["completeness 500-250"] == "beyond"


# ------------------------------------------------------- forced fluxes beside a catalogue's


def at_the_limit(n_error=1.0):
    """Faint stars of a S/N of 3.5 to 6: the catalogue's, and forced fluxes of the same errors."""
    x, y, flux = stars()
    flux, error = flux / 3.5, np.full(len(x), 24.0)
    rng = np.random.default_rng(7)
    forced = flux + rng.normal(0, n_error * error)
    found = forced >= 3.5 * error
    measured = tuple(each[found] for each in (x, y, forced, error))
    return judged(measured, (x, y, flux), shape=SHAPE), (forced, error, flux)


def test_forced_fluxes_of_all_stars_have_no_bias_of_the_selection():
    """Of 1764 stars: standard errors of 0.03 in the width and 0.03 of an error in the middle."""
    catalogue, values = at_the_limit()
    found = judged_forced(*values, catalogue, least_snr=3.5)
    faint = next(b for b in found.everyone if b.brightest_e == 125.0)
    of_catalogue = bin_of(catalogue, 100.0)
    assert faint.matched == faint.n > 1000
    assert abs(faint.bias_mag) < 0.03
    assert faint.pull == pytest.approx(1.0, abs=0.1)
    assert of_catalogue.bias_mag < -0.05
    assert of_catalogue.pull < 0.9


def test_those_that_a_catalogue_would_have_have_its_bias_and_pulls():
    catalogue, values = at_the_limit()
    found = judged_forced(*values, catalogue, least_snr=3.5)
    selected = next(b for b in found.selected if b.brightest_e == 125.0)
    of_catalogue = bin_of(catalogue, 100.0)
    assert selected.matched == of_catalogue.matched
    assert selected.bias_mag == pytest.approx(of_catalogue.bias_mag)
    assert selected.pull == pytest.approx(of_catalogue.pull)


def test_a_place_without_a_flux_is_not_counted():
    catalogue, (forced, error, flux) = at_the_limit()
    forced[::2], error[::2] = np.nan, np.inf
    found = judged_forced(forced, error, flux, catalogue, least_snr=3.5)
    faint = next(b for b in found.everyone if b.brightest_e == 125.0)
    assert faint.matched == pytest.approx(faint.n / 2, abs=40)
    assert np.isfinite(faint.pull)


def test_forced_errors_that_are_too_small_are_beyond_the_limits_and_no_selection():
    catalogue, values = at_the_limit(n_error=1.4)
    found = verdicts(catalogue, None, forced=judged_forced(*values, catalogue, least_snr=3.5))
    assert found["forced pull 125-60"] == "beyond"
    catalogue, values = at_the_limit()
    found = verdicts(catalogue, None, forced=judged_forced(*values, catalogue, least_snr=3.5))
    assert found["pull 125-60"] == "beyond"
    assert found["forced pull 125-60"] == "ok"


def test_the_table_has_forced_fluxes_beside_the_catalogue():
    catalogue, values = at_the_limit()
    lines = catalogue.table(judged_forced(*values, catalogue, least_snr=3.5)).splitlines()
    assert len({line.count("|") for line in lines[:-1]}) == 1
    assert "forced N | bias | pull | selected N" in lines[0]
    assert "forced" not in catalogue.table()


def image(name, band, exptime_s):
    plane = np.zeros((4, 4), dtype=np.float32)
    mask = np.ones((4, 4), dtype=bool)
    return ChipImage(
        name, band, plane, mask, ~mask, plane, plane, 3.0, exptime_s, 58000.0,
        PixelMap(0.0, 0.0, 16.0, np.zeros((2, 2, 2))),
    )  # fmt: skip


def test_a_band_is_the_weighted_mean_of_its_images_rates():
    images = [image("a", "red", 100.0), image("b", "red", 50.0), image("c", "blue", 100.0)]
    blank = np.zeros((3, 2))
    measured = MeasuredStars(
        *np.zeros((4, 2)),
        object_type=np.ones(2, dtype=np.int32),
        counts_e=np.array([[200.0, 200.0], [120.0, 120.0], [9.0, 9.0]]),
        counts_error_e=np.array([[10.0, 10.0], [10.0, 10.0], [1.0, 1.0]]),
        sky_e=blank,
        chi=blank,
        sharpness=blank,
        roundness=blank,
        position_angle_deg=blank,
        crowding_mag=blank,
        flag=np.array([[0, 9], [0, 9], [0, 0]], dtype=np.int32),
        image_names=("a", "b", "c"),
        aperture_correction_mag=np.zeros(3),
        aperture_correction_error_mag=np.zeros(3),
    )
    flux, error = combined(measured, images, "red", nominal_s=100.0)
    # Rates 2.0 +- 0.1 and 2.4 +- 0.2: weights 100 and 25.
    assert flux[0] == pytest.approx(100.0 * (2.0 * 100 + 2.4 * 25) / 125)
    assert error[0] == pytest.approx(100.0 / np.sqrt(125))
    assert np.isnan(flux[1])
    assert np.isinf(error[1])


class TestOnARealRun:
    pytestmark = needs_runs

    def test_dolphots_catalogue_is_judged_as_the_study_did(self):
        from hst_assets_tests.dolphot_on_fields import read_run

        run = read_run(RUNS / "crowded_1k" / "dp.gz", nominal_s=500.0, zero_point_mag=24.680)
        stored = np.load(RUNS / "crowded_1k" / "truth_sim.npz")
        kept = run.snr >= 3.5
        found = judged(
            (run.x[kept], run.y[kept], run.flux_e[kept], run.error_e[kept]),
            (stored["x"], stored["y"], stored["f"]),
            shape=(1024, 1025),
        )
        # The figures that the study's own judge gives of this catalogue.
        shares = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.953, 0.632]
        assert [b.completeness for b in found.bins] == pytest.approx(shares, abs=5e-4)
        assert found.bins[5].scatter_mag == pytest.approx(0.0722, abs=1e-4)
        assert found.spurious == 285


def test_the_studys_table_has_a_row_for_each_bin():
    assert len(STUDY_10K.bins) == len(BINS_E) - 1
    assert sum(b.n for b in STUDY_10K.bins) == pytest.approx(10_000, abs=5)
