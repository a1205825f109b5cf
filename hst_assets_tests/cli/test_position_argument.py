"""RA and DEC on a command line: what people type, and what is refused."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hst_assets.cli.position_argument import (
    PositionArgument,
    PositionCommand,
    position_from,
    read_position,
)
from hst_assets.failures import BadConfiguration


@pytest.fixture(scope="module")
def call():
    application = typer.Typer()

    @application.command(cls=PositionCommand)
    def show(position: PositionArgument = None, *, shift: float = 0.0, loud: bool = False) -> None:
        typer.echo(repr((read_position(position), shift, loud)))

    return lambda *words: CliRunner().invoke(application, list(words))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["12:30:00", "-45.0"], (187.5, -45.0)),
        (["0:00:00", "-00:30:00"], (0.0, -0.5)),
        (["0.25", "-.5"], (0.25, -0.5)),
        (["12h30m", "-0d30m"], (187.5, -0.5)),
        (["12", "30", "00", "-45", "00", "00"], (187.5, -45.0)),
        (["12 30 00", "-45 00 00"], (187.5, -45.0)),
        (["187.5,", "-45"], (187.5, -45.0)),
        (["187.5,-45"], (187.5, -45.0)),
        (["12:30:00 \N{MINUS SIGN}45.0"], (187.5, -45.0)),
        (["12:22:56.15", "+15:49:34.18"], (185.733958333, 15.826161111)),
    ],
)
def test_positions_as_they_are_typed(call, words, expected):
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert result.output.strip() == repr((expected, 0.0, False))


def test_negative_values_of_options_stay_numbers(call):
    result = call("12:30:00", "-45.0", "--shift", "-2.5", "--loud")
    assert result.output.strip() == repr(((187.5, -45.0), -2.5, True))
    assert call("--loud", "12:30:00", "-45.0", "--shift=-2.5").output == result.output


def test_an_unknown_option_is_still_one(call):
    assert call("12:30:00", "-45.0", "--lout").exit_code == 2
    assert call("12:30:00", "-45.0", "-x").exit_code == 2


@pytest.mark.parametrize(
    "words", [["here"], ["1", "2", "3"], ["360", "0"], ["0", "91"], ["x", "y"]]
)
def test_anything_else_is_refused(words):
    with pytest.raises(BadConfiguration, match="not "):
        read_position(words)


def test_no_words_are_no_position():
    assert read_position(None) is None
    assert read_position([]) is None


def test_the_options_belong_together():
    assert position_from("10:00:24", "-2.5") == (150.1, -2.5)
    with pytest.raises(BadConfiguration, match="must be given together"):
        position_from("10", None)


@given(ra=st.floats(min_value=0, max_value=359.999999), dec=st.floats(min_value=-90, max_value=90))
def test_degrees_survive_being_typed(ra, dec):
    """To the nine decimals that positions are rounded to."""
    assert read_position([f"{ra:.9f}", f"{dec:.9f}"]) == pytest.approx((ra, dec), abs=1e-9)
