"""How far a tool is, on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from hst_assets.cli import live
from hst_assets.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds, which the test moves."""
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_of_a_tool_are_a_minute_apart(clock):
    said = io.StringIO()
    with live.display(Console(file=said, width=100)) as shown:
        for second, fraction in ((0, 0.1), (61, 0.2), (90, 0.3), (122, 0.4)):
            clock[0] = 100.0 + second
            shown.following(Progress("finding stars", fraction, "DOLPHOT"))
    assert said.getvalue().splitlines() == [
        "DOLPHOT: finding stars (20%)",
        "DOLPHOT: finding stars (40%)",
    ]


def test_on_a_terminal_the_level_says_how_far_its_tool_is():
    said = io.StringIO()
    console = Console(file=said, width=100, force_terminal=True)
    with live.display(console) as shown:
        shown.working("target_photometry [sn]")
        shown.following(Progress("finding stars", 0.2, "DOLPHOT"))
        console.print(shown.shown)
        shown.working("target_artificial_stars")
        console.print(shown.shown)
    lines = [line for line in said.getvalue().splitlines() if "target_" in line]
    assert any("target_photometry [sn]  DOLPHOT: finding stars (20%)" in line for line in lines)
    assert not any("target_artificial_stars  DOLPHOT" in line for line in lines)


def test_on_a_terminal_a_bar_says_it_too_while_the_level_lasts():
    said = io.StringIO()
    console = Console(file=said, width=100, force_terminal=True, color_system=None)
    with live.display(console) as shown:
        shown.working("target_photometry")
        shown.following(Progress("finding stars", 0.5, "psf photometry"))
        console.print(shown.shown)
        bars = said.getvalue().count("━")
        assert bars >= 15
        assert " 50%" in said.getvalue()
        shown.working("target_artificial_stars")
        console.print(shown.shown)
    assert " 50%" not in said.getvalue().rpartition("target_artificial_stars")[2]
