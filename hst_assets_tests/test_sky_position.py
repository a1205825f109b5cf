from __future__ import annotations

import subprocess
import sys

import pytest

from hst_assets.sky_position import parse_position


@pytest.mark.parametrize(
    "text",
    [
        "150.1,-2.5",
        " 150.1 , -2.5 ",
        "150.1 -2.5",
        "10:00:24.0,-02:30:00",
        "10:00:24.0 -02:30:00",
        "10h00m24s, -2d30m00s",
        "10h00m24s -2d30m",
        "10 00 24 -02 30 00",
        "10 00 24, -02 30 00",
        "150d06m00s, -2d30m",
        "10:00:24,-2.5",
    ],
)
def test_usual_notations_are_read(text: str) -> None:
    assert parse_position(text) == pytest.approx((150.1, -2.5), abs=1e-9)


def test_signs_may_come_out_of_a_paper() -> None:
    assert parse_position("10:00:24 \N{MINUS SIGN}02:30:00") == (150.1, -2.5)
    assert parse_position("150.1, \N{EN DASH}2.5") == (150.1, -2.5)


def test_a_declination_just_south_of_the_equator_is_south() -> None:
    assert parse_position("0:00:00,-00:30:00") == pytest.approx((0.0, -0.5), abs=1e-9)


def test_numbers_with_an_exponent_are_degrees() -> None:
    assert parse_position("1.5e1,2") == (15.0, 2.0)
    assert parse_position("1.5E+2, -2.5e-1") == (150.0, -0.25)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("text", ["10:60:00,0", "24:00:00,0", "10:00:60,0", "10:00:00,+2:60:00"])
def test_sixty_minutes_and_twenty_four_hours_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        parse_position(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "150.1", "150.1,", "150.1,-2.5,3", "here, there", "1 2 3", "nan,2"),
        *("360,0", "-1,0", "10,91", "25:00:00,0", "10:61:00,0", "10:00:24,+91:00:00"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        parse_position(text)


def test_decimal_degrees_do_not_wait_for_the_library_of_coordinates() -> None:
    program = (
        "import sys\nfrom hst_assets.sky_position import parse_position\n"
        "parse_position('150.1, -2.5')\nassert 'astropy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
