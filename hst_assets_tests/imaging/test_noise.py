"""The error model against arithmetic, against chance, and against drops laid by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import UnusableInput
from hst_assets.imaging.noise import (
    Exposed,
    aperture_factor,
    background_variance_e2,
    circular_aperture_factor,
    correlation_ratio,
    drop_ratio,
    error_plane,
    exposed,
    noise_model,
    weighted_sum_factor,
)
from hst_assets_tests.imaging.synthetic_stacks import (
    BACKGROUND_E2,
    DARK_E_PER_S,
    EXPTIME_S,
    READ_NOISE_E,
    SKY_PER_S,
    planes,
    primary_header,
)


def error_of(header: fits.Header, rate: float, wht: float, ctx: int = 3) -> float:
    """The error of a uniform image."""
    model = noise_model(header)
    shape = (7, 7)
    reached = exposed(model, np.full(shape, wht, np.float32), np.full(shape, ctx, np.int32))
    return float(error_plane(np.full(shape, rate, np.float32), reached, model)[3, 3])


# ------------------------------------------------------------------------------ single pixels


def test_an_empty_pixel_has_the_noise_of_sky_dark_current_and_reads() -> None:
    total = 2 * EXPTIME_S
    expected = math.sqrt((SKY_PER_S + DARK_E_PER_S) * total + 2 * READ_NOISE_E**2) / total
    assert error_of(primary_header(), 0.0, total) == pytest.approx(expected, rel=1e-5)


def test_a_star_adds_its_photons() -> None:
    total = 2 * EXPTIME_S
    expected = math.sqrt((20.0 + SKY_PER_S + DARK_E_PER_S) * total + 2 * READ_NOISE_E**2) / total
    assert error_of(primary_header(), 20.0, total) == pytest.approx(expected, rel=1e-5)


def test_a_pixel_that_one_exposure_saw_was_read_once() -> None:
    expected = math.sqrt((SKY_PER_S + DARK_E_PER_S) * EXPTIME_S + READ_NOISE_E**2) / EXPTIME_S
    assert error_of(primary_header(), 0.0, EXPTIME_S, ctx=2) == pytest.approx(expected, rel=1e-5)


def test_a_short_exposure_has_its_own_read_noise() -> None:
    variance_e2 = (SKY_PER_S + DARK_E_PER_S) * 20.0 + READ_NOISE_E**2
    header = primary_header(D001DEXP=20.0, D001BVAR=variance_e2, EXPTIME=20.0 + EXPTIME_S)
    expected = math.sqrt((SKY_PER_S + DARK_E_PER_S) * 20.0 + READ_NOISE_E**2) / 20.0
    assert error_of(header, 0.0, 20.0, ctx=1) == pytest.approx(expected, rel=1e-5)


def test_dn_have_the_noise_of_their_electrons() -> None:
    one = (7.0 * SKY_PER_S + DARK_E_PER_S) * EXPTIME_S + READ_NOISE_E**2
    header = primary_header(GAIN=7.0, D001BVAR=one, D002BVAR=one)
    total = 2 * EXPTIME_S
    variance_e = (7.0 * SKY_PER_S + DARK_E_PER_S) * total + 2 * READ_NOISE_E**2
    expected = math.sqrt(variance_e) / total / 7.0
    assert error_of(header, 0.0, total) == pytest.approx(expected, rel=1e-5)


def test_smaller_pixels_take_their_share_of_sky_and_reads() -> None:
    """Errors that add up: four pixels of half the side have the error of the whole one."""
    whole = error_of(primary_header(), 0.0, 2 * EXPTIME_S)
    half = primary_header()
    half["D_SCALE"] = half["D_SCALE"] / 2
    # AstroDrizzle's weights go with the area of the pixel.
    quarter = error_of(half, 0.0, 2 * EXPTIME_S / 4)
    assert 2 * quarter == pytest.approx(whole, rel=1e-5)


def test_other_weights_than_times_leave_the_time_to_the_context() -> None:
    expected = error_of(primary_header(), 0.0, 2 * EXPTIME_S)
    found = error_of(primary_header(D_WTTYPE="IVM"), 0.0, 12345.6)
    assert found == pytest.approx(expected, rel=1e-5)


def test_each_exposure_brings_its_own_background() -> None:
    """Two of unlike sky and flash: their variances add up, whichever was longer."""
    header = primary_header(D001DEXP=100.0, D001BVAR=20.0, D002DEXP=700.0, D002BVAR=95.0)
    header["EXPTIME"] = 800.0
    expected = math.sqrt(20.0 + 95.0) / 800.0
    assert error_of(header, 0.0, 800.0) == pytest.approx(expected, rel=1e-5)


def test_an_empty_native_pixel_has_the_noise_of_all_that_was_subtracted() -> None:
    found = background_variance_e2(sky_e=5.0, dark_e=0.5, post_flash_e=12.0, read_noise_e=3.0)
    assert found == pytest.approx(5.0 + 0.5 + 12.0 + 9.0)


@pytest.mark.parametrize(
    ("times", "weight", "alone"),
    [
        ((400.0, 400.0), 800.0, False),
        ((400.0, 400.0), 620.0, False),
        ((400.0, 400.0), 440.0, True),  # the border of one: both bits, the weight of one
        ((400.0, 100.0), 500.0, False),
        ((400.0, 100.0), 430.0, True),
        ((400.0, 10.0), 404.0, False),  # distortion changes the weight by more than the short one
    ],
)
def test_an_exposure_that_only_touches_a_pixel_does_not_count(
    times: tuple[float, float], weight: float, alone: bool
) -> None:
    header = primary_header(D001DEXP=times[0], D002DEXP=times[1], EXPTIME=sum(times))
    one_pixel = np.ones((1, 1))
    reached = exposed(
        noise_model(header),
        (weight * one_pixel).astype(np.float32),
        (3 * one_pixel).astype(np.int32),
    )
    assert bool(reached.alone[0, 0]) is alone


def _reached(header: fits.Header, weight: float, bits: int) -> Exposed:
    ctx = np.full((1, 1, 1), bits & 0xFFFFFFFF, np.uint32).view(np.int32)
    return exposed(noise_model(header), np.full((1, 1), weight, np.float32), ctx)


@pytest.mark.parametrize(("bits", "number", "alone"), [(0b0011, 1, True), (0b0111, 2, False)])
def test_two_chips_of_one_exposure_are_one_exposure(bits: int, number: int, alone: bool) -> None:
    """At the gap between the chips, whose drops share a pixel."""
    names = ("iaaa01a1q[sci,1]", "iaaa01a1q[sci,2]", "iaaa01a2q[sci,1]", "iaaa01a2q[sci,2]")
    header = primary_header(4, **{f"D{n:03d}DATA": name for n, name in enumerate(names, start=1)})
    reached = _reached(header, number * EXPTIME_S, bits)
    assert reached.number[0, 0] == number
    assert bool(reached.alone[0, 0]) is alone
    assert reached.variance_e2_per_s[0, 0] == pytest.approx(BACKGROUND_E2 / EXPTIME_S)


def test_exposures_of_three_chips_keep_theirs_together_over_bytes_and_planes() -> None:
    """Bits 30 to 32 are the eleventh exposure, 33 to 35 the twelfth, in the next plane."""
    names = {f"D{n:03d}DATA": f"iaaa01{(n - 1) // 3:02d}q[sci,{n}]" for n in range(1, 37)}
    model = noise_model(primary_header(36, **names))
    ctx = np.zeros((2, 1, 3), np.int32)
    ctx[0, 0, 0] = 0b111 << 6  # the third exposure, which eight bits would part
    ctx[:, 0, 1] = (np.array([0b11 << 30, 1], np.uint32)).view(np.int32)  # over the planes
    ctx[:, 0, 2] = -1
    reached = exposed(model, np.full((1, 3), EXPTIME_S, np.float32), ctx)
    assert list(reached.number[0]) == [1, 1, 12]
    assert list(reached.alone[0]) == [True, True, True]


def test_nothing_reached_no_error() -> None:
    assert math.isnan(error_of(primary_header(), 0.0, 0.0, ctx=0))


def test_the_last_bit_and_the_next_plane_count() -> None:
    header = primary_header(33)
    model = noise_model(header)
    ctx = np.zeros((2, 1, 3), np.int32)
    ctx[0, 0, 0] = -(2**31)  # bit 32 alone
    ctx[1, 0, 1] = 1  # the 33rd chip
    ctx[0, 0, 2] = -1  # all 32 of the first plane
    reached = exposed(model, np.full((1, 3), EXPTIME_S, np.float32), ctx)
    assert reached.number.ravel().tolist() == [1, 1, 32]
    assert reached.variance_e2_per_s.ravel() == pytest.approx(BACKGROUND_E2 / EXPTIME_S)


def test_a_header_that_does_not_tell_its_noise_is_refused() -> None:
    header = primary_header()
    del header["RDNOISE"]
    with pytest.raises(UnusableInput, match="RDNOISE"):
        noise_model(header)


def test_pixels_of_known_noise_scatter_as_their_errors_say() -> None:
    """44,000 pixels fix the width to 0.4 %; the tolerance is five times that."""
    header = primary_header()
    model = noise_model(header)
    made = planes(header, stars=[])
    error = error_plane(made["SCI"], exposed(model, made["WHT"], made["CTX"]), model)
    assert np.std(made["SCI"] / error) == pytest.approx(1.0, abs=0.02)


# -------------------------------------------------------------------------------- correlation


def scatter_of_blocks(ratio: float, side: int) -> float:
    """Scatter of sums over side x side pixels over that of independent pixels, drops laid by hand.

    One axis is enough, since the overlaps of a square drop multiply: many unit-variance values,
    each shared among the pixels that its drop (of `ratio` pixels) covers.
    """
    rng = np.random.default_rng(1)
    start = rng.uniform(0, side + 4 * ratio, 400_000) - 2 * ratio
    inside = np.clip(np.minimum(start + ratio, side) - np.maximum(start, 0), 0, None) / ratio
    density = len(start) / (side + 4 * ratio)
    variance = np.sum(inside**2) / (density * side)
    return float(variance)  # of both axes: sqrt(variance)**2


@pytest.mark.parametrize("ratio", [0.4, 0.8, 1.0, 1.6, 2.5])
def test_the_ratio_is_that_of_drops_laid_by_hand(ratio: float) -> None:
    found = correlation_ratio(ratio)
    assert found is not None
    assert 1.0 / found == pytest.approx(scatter_of_blocks(ratio, 1), rel=0.02)


@pytest.mark.parametrize("side", [2, 5])
def test_the_factor_of_an_aperture_is_that_of_drops_laid_by_hand(side: int) -> None:
    found = aperture_factor(0.8, side**2)
    assert found == pytest.approx(scatter_of_blocks(0.8, side), rel=0.02)


def scatter_of_circle(ratio: float, radius: float) -> float:
    """The same for a circle that counts the pixels it cuts by their share, drops laid by hand."""
    from photutils.aperture import CircularAperture

    rng = np.random.default_rng(2)
    half = ratio / 2.0
    found = []
    for centre in rng.uniform(12.0, 13.0, (8, 2)):
        weights = CircularAperture(centre, radius).to_mask(method="exact").to_image((25, 25))
        side = 2 * radius + 4
        x, y = rng.uniform(12.5 - side / 2, 12.5 + side / 2, (2, 60_000))
        inside = np.zeros(x.shape)
        for columns in (np.rint(x).astype(int) + step for step in (-1, 0, 1)):
            across = np.minimum(x + half, columns + 0.5) - np.maximum(x - half, columns - 0.5)
            for rows in (np.rint(y).astype(int) + step for step in (-1, 0, 1)):
                up = np.minimum(y + half, rows + 0.5) - np.maximum(y - half, rows - 0.5)
                inside += weights[rows, columns] * np.clip(across, 0, None) * np.clip(up, 0, None)
        found.append(np.mean((inside / ratio**2) ** 2) * side**2 / weights.sum())
    return math.sqrt(np.mean(found))


@pytest.mark.parametrize(("ratio", "radius"), [(0.8, 2.0), (0.8, 5.0), (1.7, 3.0)])
def test_the_factor_of_a_circle_is_that_of_drops_laid_by_hand(ratio: float, radius: float) -> None:
    found = circular_aperture_factor(ratio, radius)
    assert found == pytest.approx(scatter_of_circle(ratio, radius), rel=0.01)


def test_a_wide_circle_needs_no_factor_and_other_drops_have_none() -> None:
    assert circular_aperture_factor(0.8, 40.0) == pytest.approx(1.0, abs=0.01)
    assert circular_aperture_factor(0.8, 5.0, "lanczos3") is None


def test_the_published_values() -> None:
    """Fruchter & Hook 2002: R is 1.5 where drop and pixel are equal."""
    assert correlation_ratio(1.0) == pytest.approx(1.5)
    assert correlation_ratio(2.0) == pytest.approx(2.0 / (1.0 - 1.0 / 6.0))
    assert drop_ratio(0.8, 0.05, 0.1) == pytest.approx(1.6)


def test_a_point_shares_nothing_and_other_drops_have_no_formula() -> None:
    assert correlation_ratio(0.8, "point") == 1.0
    assert correlation_ratio(0.8, "lanczos3") is None
    assert aperture_factor(0.8, 20.0, "gaussian") is None


def test_a_weighted_sum_is_as_certain_as_drops_laid_by_hand_make_it() -> None:
    """Native pixels of white noise, dropped at random places on a grid as fine: 3 % of 4000."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[-4:5, -4:5]
    weights = np.exp(-(x**2 + y**2) / (2 * 1.2**2))
    ratio = 1.0
    sums = []
    for _ in range(4000):
        noise = rng.normal(size=(11, 11))
        dx, dy = rng.random(2)
        # A drop of a pixel's side is shared by four pixels as bilinear interpolation shares it.
        rows = (1 - dy) * noise[:-1] + dy * noise[1:]
        image = (1 - dx) * rows[:, :-1] + dx * rows[:, 1:]
        sums.append(np.sum(weights * image[:9, :9]))
    expected = weighted_sum_factor(ratio, weights) * np.sqrt(np.sum(weights**2))
    assert np.std(sums) == pytest.approx(expected, rel=0.03)


def test_there_is_no_factor_without_a_formula() -> None:
    assert weighted_sum_factor(0.8, np.ones((3, 3)), "lanczos3") is None
    assert weighted_sum_factor(0.8, np.ones((3, 3)), "point") == pytest.approx(1.0)
