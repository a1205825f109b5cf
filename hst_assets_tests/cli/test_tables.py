"""Tables on the terminal."""

import pytest
from rich.console import Console

from hst_assets.cli import tables
from hst_assets.cli.tables import print_table

COLUMNS = ("target", "made", "status")


def rows_of(n, *more):
    return [*((f"t{number:03d}", f"{number} of 47", "up to date") for number in range(n)), *more]


@pytest.mark.parametrize(
    "more",
    [
        (),
        (("[red]no markup[/red]", "", ":smile:"),),
        (("M\N{LATIN SMALL LETTER E WITH ACUTE}ssier", "\u661f\u661f", "\x1b[31mnot red"),),
        (("folded", "x" * 300, ""),),
        (("two\nlines", "", ""),),
    ],
    ids=["plain", "markup", "wide characters", "too wide", "lines"],
)
def test_a_long_table_is_as_rich_prints_it(capsys, monkeypatch, more):
    rows = rows_of(120, *more)
    print_table(COLUMNS, rows)
    ours = capsys.readouterr().out
    monkeypatch.setattr(tables, "_MANY_ROWS", 1000)
    print_table(COLUMNS, rows)
    assert ours == capsys.readouterr().out
    assert "t119" in ours


def test_long_tables_are_not_laid_out_cell_by_cell(capsys, monkeypatch):
    def refuse(*_):
        raise AssertionError("rich lays the table out")

    monkeypatch.setattr(tables, "_by_rich", refuse)
    print_table(COLUMNS, rows_of(100))
    assert "t099" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="lays"):
        print_table(COLUMNS, rows_of(99))


def test_the_head_is_bold_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(
        tables, "output", lambda: Console(force_terminal=True, width=100, color_system="standard")
    )
    print_table(COLUMNS, rows_of(100))
    first, head, *_ = capsys.readouterr().out.splitlines()
    assert "\x1b[1m target " in head
    assert "\x1b" not in first
