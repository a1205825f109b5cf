"""Aperture corrections of simulated stars whose light is known to all distances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.aperture_correction import (
    ApertureCorrection,
    _clipped_mean,
    aperture_correction,
    combined_correction,
    corrections_of_one_psf,
)
from hst_assets_tests.photometry.catalog.reference_runs import needs_runs
from hst_assets_tests.photometry.psf import dolphot_exposures as reference
from hst_assets_tests.photometry.psf.star_frames import (
    Frame,
    frame_of,
    lattice,
    models,
    pixel_psf,
    share_within,
)

SCALE_ARCSEC = 0.04


def energy(radius_arcsec: float) -> float:
    return share_within(radius_arcsec / SCALE_ARCSEC)


@pytest.fixture(scope="module")
def truth() -> Frame:
    """Stars with light out to 40 pixels, fitted with a PSF out to 10."""
    x, y = lattice(6, step=60)
    flux = np.full(len(x), 2e4)
    image = models((420, 420), pixel_psf(38), x, y, flux)
    return frame_of(image, pixel_psf(10), x, y, flux, seed=3)


def corrected(frame: Frame, *, flux: np.ndarray | None = None, **options) -> ApertureCorrection:
    flux = frame.flux if flux is None else flux
    given = {"encircled_energy": energy, "pixel_scale_arcsec": SCALE_ARCSEC, **options}
    return aperture_correction(
        frame.residual,
        frame.variance,
        frame.good,
        frame.psf,
        frame.x,
        frame.y,
        flux,
        np.sqrt(frame.flux + 700.0),
        **given,
    )


@pytest.mark.parametrize("radius_arcsec", [0.2, 0.4, 0.5])
def test_true_fluxes_need_no_correction_to_all_light(truth: Frame, radius_arcsec: float) -> None:
    found = corrected(truth, radius_arcsec=radius_arcsec)
    # 36 stars of 1 % each: 0.002 mag; and 0.3 electrons a pixel, which stars of one brightness
    # cannot tell from light of their own.
    unknown = 0.3 * np.pi * (radius_arcsec / SCALE_ARCSEC) ** 2 / 2e4
    assert found.mag == pytest.approx(0.0, abs=4 * 0.003)
    assert found.error_mag == pytest.approx(np.hypot(0.0025, 1.086 * unknown), rel=0.25)
    assert found.to_radius_mag == pytest.approx(-2.5 * np.log10(energy(radius_arcsec)), abs=0.008)
    assert found.remark == ""


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_light_in_the_ring_that_the_model_has_is_not_missed_twice(scale: float) -> None:
    """As of WFC3/IR, whose ring of 0.6 to 1 arcsec lies within the PSF (scale 0.5: half of it)."""
    x, y = lattice(5, step=70)
    flux = np.full(len(x), 2e5)
    image = models((370, 370), pixel_psf(38), x, y, flux)
    frame = frame_of(image, pixel_psf(26), x, y, flux, seed=5)
    found = corrected(frame, annulus_arcsec=(15 * SCALE_ARCSEC, 25 * SCALE_ARCSEC / scale))
    # 25 stars of 0.3 % each; taken off twice, the ring's light would be 0.004 mag and more.
    assert found.to_radius_mag == pytest.approx(-2.5 * np.log10(energy(0.4)), abs=0.002)


def test_a_psf_that_takes_a_part_for_the_whole_is_corrected(truth: Frame) -> None:
    # Fluxes 5 % too small, with a PSF 5 % too high: the models are the same.
    high = replace(truth.psf, coefficients=truth.psf.coefficients / 0.95)
    frame = replace(truth, psf=high, flux=truth.flux * 0.95)
    assert corrected(frame).mag == pytest.approx(2.5 * np.log10(0.95), abs=0.008)


def test_without_a_table_the_correction_ends_at_the_radius(truth: Frame) -> None:
    found = corrected(truth, encircled_energy=None)
    assert "no table" in found.remark
    assert np.isnan(found.to_infinity_mag)
    # The star's own light in the annulus is taken for sky: 0.002 mag.
    assert found.mag == pytest.approx(-2.5 * np.log10(energy(0.4)), abs=0.01)
    unknown = corrected(truth, encircled_energy=lambda _: np.nan)
    assert unknown.mag == found.mag


def test_too_few_stars_make_no_correction(truth: Frame) -> None:
    usable = np.arange(len(truth.x)) < 4
    found = corrected(truth, usable=usable)
    assert (found.mag, found.error_mag, found.n_stars) == (0.0, np.inf, 4)
    assert "not measured: 4 stars" in found.remark


def test_faint_stars_are_not_used(truth: Frame) -> None:
    found = corrected(truth, flux=np.full(len(truth.x), 300.0))
    assert found.n_stars == 0


def test_stars_with_bad_cores_and_outliers_are_not_used(truth: Frame) -> None:
    data, good = truth.data.copy(), truth.good.copy()
    for k in range(6):
        good[round(truth.y[k]), round(truth.x[k])] = False
    for k in range(6, 12):  # something else in the aperture
        data[round(truth.y[k]) + 5, round(truth.x[k])] += 5000
    found = corrected(replace(truth, data=data, good=good))
    assert found.n_stars == pytest.approx(24, abs=2)  # 1 in 370 is beyond 3 sigma
    assert found.mag == pytest.approx(0.0, abs=4 * found.error_mag)


def test_the_model_stands_in_for_few_bad_pixels(truth: Frame) -> None:
    data, good = truth.data.copy(), truth.good.copy()
    rows, columns = np.round(truth.y).astype(int), np.round(truth.x).astype(int)
    data[rows + 3, columns + 3] = 1e5
    good[rows + 3, columns + 3] = False
    found = corrected(replace(truth, data=data, good=good))
    assert found.n_stars > 30
    assert found.mag == pytest.approx(0.0, abs=4 * found.error_mag)


def test_stars_beside_bright_ones_are_not_used() -> None:
    psf = pixel_psf(10)
    x, y = lattice(6, step=60)
    x, y = np.append(x, x[:6] + 6), np.append(y, y[:6])
    flux = np.where(np.arange(42) < 36, 2e4, 1e4)
    frame = frame_of(models((420, 420), psf, x, y, flux), psf, x, y, flux, seed=3)
    found = corrected(frame, encircled_energy=None)
    assert found.n_stars == pytest.approx(30, abs=2)


class TestReferenceExposures:
    """The exposures that DOLPHOT measured, a thousand stars whose fluxes are known."""

    pytestmark = needs_runs

    @pytest.mark.parametrize("number", range(4))
    def test_true_fluxes_need_no_correction(self, number: int) -> None:
        given = np.load(reference.CROWDED.catalog.with_name("truth_sim.npz"))
        dx, dy = reference.OFFSETS[number]
        frame = replace(
            reference.exposure(number).frame, x=given["x"] + dx, y=given["y"] + dy, flux=given["f"]
        )
        found = corrected(frame)
        assert found.n_stars > 50
        assert found.mag == pytest.approx(0.0, abs=4 * found.error_mag)
        assert found.error_mag < 0.003


def test_the_level_of_a_ring_is_not_too_low_by_the_tail_of_the_counts() -> None:
    generator = np.random.default_rng(1)
    counts = generator.poisson(40.0, 4_000_000) + generator.normal(0.0, 3.0, 4_000_000)
    level, error = _clipped_mean(counts)
    assert error == pytest.approx(0.0035, rel=0.02)
    # Three standard errors; without what is 3 standard deviations off it is 0.037 too low.
    assert level == pytest.approx(40.0, abs=0.011)


def test_stray_light_in_all_apertures_makes_no_star_brighter() -> None:
    """Half an electron a pixel: 1.5 % of the faintest star, 0.1 % of the brightest."""
    x, y = lattice(10, step=60)
    flux = np.geomspace(1e4, 2e5, len(x))
    frame = frame_of(
        models((660, 660), pixel_psf(38), x, y, flux), pixel_psf(10), x, y, flux, seed=3
    )
    clean = corrected(frame)
    rows, columns = np.indices(frame.data.shape)
    stray = np.zeros(frame.data.shape)
    for at_x, at_y in zip(x, y, strict=True):
        stray[np.hypot(columns - at_x, rows - at_y) < 13] += 0.5
    found = corrected(replace(frame, data=frame.data + stray))
    # A mean of all stars is 0.0031 mag too bright, with an error of 0.0008.
    assert found.mag == pytest.approx(clean.mag, abs=0.001)
    assert found.error_mag < 0.003


@pytest.mark.parametrize(
    ("faintest", "brightest"), [(1e4, 2e5), (1.8e4, 2.2e4)], ids=["all", "alike"]
)
def test_errors_hold_the_stray_light_that_tiles_share(faintest: float, brightest: float) -> None:
    """Nine tiles of 12 stars, an aperture of 314 pixels, 0.3 electrons a pixel (one sigma)."""
    rng = np.random.default_rng(8)
    pulls = []
    for _ in range(300):
        flux = np.exp(rng.uniform(np.log(faintest), np.log(brightest), (9, 12)))
        unit = 1.0857 * 0.3 * 314 / flux
        error = 1.0857 * np.sqrt(flux + 314 * 25) / flux
        # And the flat field's error, which is 0.005 mag.
        mags = 0.02 - rng.normal() * unit + np.hypot(error, 0.005) * rng.normal(size=flux.shape)
        stars = np.stack([mags, error, unit], axis=-1)
        parts = [ApertureCorrection(0.0, 1.0, 0.0, np.nan, 12, stars=tile) for tile in stars]
        found = combined_correction(parts)
        pulls.append((found.mag - 0.02) / found.error_mag)
    # 300 pulls: 4 %.
    assert np.std(pulls) == pytest.approx(1.0, abs=0.15)
    assert abs(np.mean(pulls)) < 0.2


def measured(mag: float, error: float) -> ApertureCorrection:
    return ApertureCorrection(mag, error, mag + 0.1, -0.1, 0 if np.isinf(error) else 50)


def test_the_correction_of_a_single_image_stays() -> None:
    one = measured(-0.12, 0.045)
    (same,) = corrections_of_one_psf([one])
    assert (same.mag, same.error_mag) == pytest.approx((one.mag, one.error_mag))


def test_a_correction_that_is_known_well_stays() -> None:
    well, badly = corrections_of_one_psf([measured(0.01, 0.002), measured(-0.12, 0.06)])
    assert well.mag == pytest.approx(0.01, abs=0.001)
    # Of 0.13 mag, the share that the focus may have: by hand, a third and less.
    assert abs(badly.mag - 0.01) < 0.05
    assert badly.to_radius_mag - badly.mag == pytest.approx(0.1)


def test_corrections_of_one_psf_are_nearer_to_the_truth_and_their_errors_hold() -> None:
    rng = np.random.default_rng(5)
    pulls, before, after = [], [], []
    for _ in range(400):
        errors = rng.choice([0.005, 0.03, 0.08], 4)
        truth = rng.normal(0.02, 0.03, 4)
        own = [
            measured(mag, error)
            for mag, error in zip(truth + errors * rng.normal(size=4), errors, strict=True)
        ]
        found = corrections_of_one_psf(own)
        before += [each.mag - mag for each, mag in zip(own, truth, strict=True)]
        after += [each.mag - mag for each, mag in zip(found, truth, strict=True)]
        pulls += [(each.mag - mag) / each.error_mag for each, mag in zip(found, truth, strict=True)]
    # 1,600 pulls, the four of a trial not independent: their spread is known to 3 %.
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)
    assert np.std(after) < 0.6 * np.std(before)


def test_an_image_without_a_correction_takes_that_of_its_psf() -> None:
    known, missing = corrections_of_one_psf([measured(0.04, 0.01), measured(0.0, np.inf)])
    assert missing.mag == pytest.approx(known.mag)
    # The other's error, and the focus of both.
    assert missing.error_mag == pytest.approx(np.sqrt(0.01**2 + 2 * 0.03**2))
    assert "the mean of 1 other images of its PSF" in missing.remark


def test_without_any_measurement_nothing_is_made_up() -> None:
    missing = measured(0.0, np.inf)
    assert corrections_of_one_psf([missing, missing]) == [missing, missing]
