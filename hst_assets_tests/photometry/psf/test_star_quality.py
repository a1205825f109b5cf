"""Chi, sharpness, roundness, crowding and flags: stars, hot pixels, galaxies, and DOLPHOT's own."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.photometry.psf.spline_loops import psf_stamp
from hst_assets.photometry.psf.star_quality import star_quality
from hst_assets_tests.photometry.catalog.reference_runs import needs_runs
from hst_assets_tests.photometry.psf import dolphot_exposures
from hst_assets_tests.photometry.psf.star_frames import (
    Frame,
    frame_of,
    galaxies,
    hot_pixels,
    models,
    pixel_psf,
    stars,
)


@pytest.fixture(scope="module")
def bright() -> Frame:
    return stars(3000.0)


def test_the_compiled_psf_is_that_of_the_spline() -> None:
    psf = pixel_psf(6)
    stamp = np.empty((17, 17))
    psf_stamp(psf.coefficients[0, 0], 6, 20.3, 31.45, 20, 31, 8, stamp)
    dy, dx = np.mgrid[-8:9, -8:9].astype(float)
    expected = np.where(np.maximum(abs(dx), abs(dy)) <= 6, psf.at(dx - 0.3, dy - 0.45), 0)
    np.testing.assert_allclose(stamp, expected, atol=1e-12)  # rounding of two orders of sums


def test_chi_of_stars_is_one(bright: Frame) -> None:
    quality = bright.quality(noise_mult=0.0)
    # 100 stars of 12 degrees of freedom: 3 standard errors of the mean square are 0.12. Variances
    # are of the noisy data, which lowers the mean by a few percent.
    assert np.mean(quality.chi**2) == pytest.approx(1.0, abs=0.15)
    assert quality.chi_weight == pytest.approx(np.pi * 2.0**2 - 1, abs=0.6)  # area of the aperture


def test_stars_are_neither_sharp_nor_elongated(bright: Frame) -> None:
    quality = bright.quality()
    # Noise: 0.016 a star in sharpness. A variance from noisy data gives bright pixels less weight,
    # which makes stars 0.01 sharper than they are, in DOLPHOT as well.
    assert np.median(quality.sharpness) == pytest.approx(0.0, abs=0.015)
    assert np.median(quality.roundness_cos) == pytest.approx(0.0, abs=0.02)  # 0.07 / 10, 3 sigma
    assert np.median(quality.roundness_sin) == pytest.approx(0.0, abs=0.02)


def test_a_flux_and_its_error_are_those_of_a_weighted_fit(bright: Frame) -> None:
    fit = bright.quality().star
    pulls = (fit.flux_e - 3000.0) / fit.flux_error_e
    assert np.std(pulls) == pytest.approx(1.0, abs=0.25)  # 100 stars: 0.07 is one sigma


def test_hot_pixels_are_sharp() -> None:
    assert np.min(hot_pixels(2000.0, n=6).quality().sharpness) > 0.5


def test_galaxies_are_not_sharp() -> None:
    quality = galaxies(5000.0, 6.0, n=6).quality()
    assert np.max(quality.sharpness) < -0.3
    assert np.min(quality.chi) > 1.5


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 90.0, 145.0])
def test_the_position_angle_is_that_of_the_major_axis(angle_deg: float) -> None:
    quality = galaxies(30000.0, 4.0, ratio=0.5, angle_deg=angle_deg, n=4).quality()
    off = (quality.position_angle_deg - angle_deg + 90) % 180 - 90
    # Pixels are counted from the middle one, not from the star: a few degrees, on average none.
    assert np.median(off) == pytest.approx(0.0, abs=5.0)
    assert np.min(quality.roundness) > 0.1


def literal(frame: Frame, level: float) -> tuple[float, float, float]:
    """Chi, sharpness and crowding of the first star, by their formulas on the whole frame."""
    rows, columns = np.mgrid[: frame.data.shape[0], : frame.data.shape[1]]
    distance = np.hypot(columns - frame.x[0], rows - frame.y[0])
    weight = np.clip(3.465 - distance, 0, 1) * frame.good
    inner = np.clip(2.465 - distance, 0, 1) * frame.good
    p = models(frame.data.shape, frame.psf, frame.x[:1], frame.y[:1], np.ones(1))
    left = frame.residual - level
    variance = frame.variance.astype(float)
    model = p * frame.flux[0]
    square = inner * left**2 / (variance + (0.1 * model) ** 2)
    chi = np.sqrt(square.sum() / (inner.sum() - inner.max()))
    w = weight * p / variance
    height = (p - (p * w).sum() / w.sum()) * weight / np.sqrt(variance)
    centred = p - (p * w).sum() / w.sum()
    sharpness = (left * height).sum() / (frame.flux[0] * centred * height).sum()
    others = frame.model - model
    more = (others * w).sum() / (p * w).sum()
    return chi, sharpness, 2.5 * np.log10(1 + more / frame.flux[0])


def test_figures_are_those_of_the_formulas() -> None:
    psf = pixel_psf()
    x, y, flux = np.array([30.3, 32.4]), np.array([29.6, 31.2]), np.array([900.0, 1500.0])
    frame = frame_of(models((60, 60), psf, x, y, flux), psf, x, y, flux, seed=2)
    frame.good[31, 29] = False
    frame.data[31, 29] = 1e5
    quality = frame.quality(level_e=np.array([1.5, 0.0]))
    # Single precision of the images.
    measured = quality.chi[0], quality.sharpness[0], quality.crowding_mag[0]
    assert measured == pytest.approx(literal(frame, 1.5), rel=1e-4, abs=1e-5)


def test_a_lone_star_is_not_crowded(bright: Frame) -> None:
    # The next star is 30 pixels away: the PSF ends at 13.
    assert np.max(bright.quality().crowding_mag) < 1e-6


def test_sky_that_is_left_is_found_and_makes_no_difference(bright: Frame) -> None:
    higher = Frame(**{**vars(bright), "data": bright.data + 7.0, "sky": bright.sky})
    # 470 pixels of 8 e-: 0.37 e- a star, and the mean of 100 a tenth of that.
    assert np.mean(higher.quality().sky_e) == pytest.approx(7.0, abs=0.15)
    by_level = higher.quality(level_e=np.full(len(bright.x), 7.0))
    assert np.median(by_level.sharpness) == pytest.approx(0.0, abs=0.015)
    assert np.median(higher.quality(level_e=np.zeros(100)).sharpness) < -0.02


def rows_of(*rows: int) -> list[tuple[int, int]]:
    """Pixels of rows within the aperture of (20, 20): 3, 5, 7, 7, 7, 5, 3 of 17 to 23, of 37."""
    return [(row, column) for row in rows for column in range(16, 25)]


def blank(x: float, y: float) -> Frame:
    place = np.array([x]), np.array([y])
    return frame_of(np.zeros((40, 50)), pixel_psf(), *place, np.array([500.0]), seed=1)


@pytest.mark.parametrize(
    ("bad", "saturated", "flag"),
    [
        ([], [], 0),
        ([], [(20, 20)], 4),
        ([], [(19, 20), (20, 21)], 4),
        ([], [(19, 19), (19, 20)], 0),
        ([(20, 20)], [], 2),
        ([(19, 20), (20, 20), (21, 20)], [], 10),
        ([(20, 20)], [(19, 20), (20, 19)], 14),
        ([(20, 21)], [(20, 19)], 2),
        (rows_of(17, 18), [], 0),
        (rows_of(17, 18, 22), [], 2),
        ([*rows_of(17, 18, 22, 23), (20, 17), (20, 18), (20, 22)], [], 10),
    ],
)
def test_flags(bad: list, saturated: list, flag: int) -> None:
    frame = blank(20.0, 20.0)
    for row, column in bad + saturated:
        frame.good[row, column] = False
    for row, column in saturated:
        frame.saturated[row, column] = True
    assert frame.quality().flag[0] == flag


@pytest.mark.parametrize(
    ("x", "y", "flag"),
    [
        (3.0, 20.0, 0),
        (2.4, 20.0, 1),
        (47.0, 20.0, 1),
        (20.0, 38.0, 1),
        (0.0, 0.0, 11),
        (-0.6, 5, 9),
    ],
)
def test_flags_at_the_edge(x: float, y: float, flag: int) -> None:
    assert blank(x, y).quality().flag[0] == flag


def test_nothing_is_measured_off_the_image() -> None:
    quality = blank(-20.0, 20.0).quality()
    assert quality.flag[0] == 9
    assert quality.chi_weight[0] == 0
    for values in (quality.chi, quality.sharpness, quality.roundness, quality.crowding_mag):
        assert np.isnan(values[0])


def test_a_star_without_light_has_no_shape() -> None:
    frame = blank(20.0, 20.0)
    frame.flux[:] = -5.0
    quality = frame.quality()
    assert quality.sharpness[0] == -9.999
    assert quality.roundness[0] == 0.0


def test_the_psf_may_vary_over_the_chip(bright: Frame) -> None:
    psf = bright.psf
    cells = np.concatenate([psf.coefficients, 2 * psf.coefficients], axis=1)
    frame = Frame(**{**vars(bright), "psf": type(psf)(cells, (300.0, 1e6), psf.radius_pix)})
    # A profile twice as high is measured twice as well.
    moved = frame.quality(origin=(300, 0)).star.flux_error_e
    assert moved == pytest.approx(bright.quality().star.flux_error_e / 2)


def test_a_place_that_is_not_known_is_off_the_image() -> None:
    frame = blank(20.0, 20.0)
    model = frame.model
    quality = star_quality(
        frame.residual,
        frame.variance,
        frame.good,
        frame.saturated,
        frame.psf,
        np.array([np.nan]),
        frame.y,
        frame.flux,
        model_e=model,
    )
    assert quality.flag[0] == 9
    assert np.isnan(quality.chi[0])


def test_images_must_fit_each_other() -> None:
    frame = blank(20.0, 20.0)
    frame.good = frame.good[1:]
    with pytest.raises(ValueError, match="different shapes"):
        frame.quality()


class TestAgainstDolphot:
    """DOLPHOT's own columns of an exposure of 1132 stars."""

    pytestmark = needs_runs

    def test_flags_are_equal(self) -> None:
        for number in range(4):
            measured = dolphot_exposures.exposure(number)
            np.testing.assert_array_equal(measured.ours.flag, measured.theirs["flag"])

    def test_errors_of_fluxes_are_equal(self) -> None:
        measured = dolphot_exposures.exposure(0)
        good = (measured.theirs["flag"] == 0) & (measured.theirs["snr"] > 5)
        theirs = (measured.theirs["counts"] / np.where(good, measured.theirs["snr"], 1))[good]
        ratio = measured.ours.star.flux_error_e[good] / theirs
        assert np.median(ratio) == pytest.approx(1.0, abs=0.003)  # S/N has one decimal

    # Scatter is what was seen (see `dolphot_exposures` why) and a fifth more; above S/N = 40 chi
    # tells how exact a PSF is, and the two are not the same.
    @pytest.mark.parametrize(
        ("name", "low", "high", "correlation", "scatter"),
        [
            ("chi", 3.5, 10, 0.99, 0.008),
            ("chi", 10, 40, 0.99, 0.012),
            ("chi", 40, 1e9, 0.98, 0.030),
            ("sharpness", 3.5, 10, 0.97, 0.008),
            ("sharpness", 10, 40, 0.97, 0.004),
            ("sharpness", 40, 1e9, 0.97, 0.003),
            ("roundness", 3.5, 10, 0.90, 0.13),
            ("roundness", 10, 40, 0.90, 0.04),
            ("roundness", 40, 1e9, 0.90, 0.006),
            ("crowding", 3.5, 10, 0.98, 0.002),
            ("crowding", 10, 40, 0.93, 0.001),
            ("crowding", 40, 1e9, 0.96, 0.001),
        ],
    )
    def test_shapes_agree(
        self, name: str, low: float, high: float, correlation: float, scatter: float
    ) -> None:
        measured = dolphot_exposures.exposure(0)
        theirs = measured.theirs
        used = (theirs["flag"] == 0) & (theirs["snr"] >= low) & (theirs["snr"] < high)
        angle = np.deg2rad(2 * dolphot_exposures.catalogue()[:, dolphot_exposures.OBJECT["angle"]])
        ours = {
            "chi": measured.ours.chi,
            "sharpness": measured.ours.sharpness,
            # Along the object's major axis, as it is written.
            "roundness": measured.ours.roundness_cos * np.cos(angle)
            + measured.ours.roundness_sin * np.sin(angle),
            "crowding": measured.ours.crowding_mag,
        }[name]
        off = (ours - theirs[name])[used]
        assert np.corrcoef(ours[used], theirs[name][used])[0, 1] > correlation
        assert 1.4826 * np.median(np.abs(off - np.median(off))) < scatter
