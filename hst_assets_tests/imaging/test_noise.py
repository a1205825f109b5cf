"""The error model against arithmetic and against chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import UnusableInput
from hst_assets.imaging.noise import (
    Exposed,
    background_variance_e2,
    error_plane,
    exposed,
    noise_model,
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
