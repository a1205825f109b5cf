"""Tables on the terminal, also of a thousand rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import HEAVY_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hst_assets.cli.terminal import output
from hst_assets.shown_text import plain_text

__all__ = ["print_table"]

#: rich folds, pads and measures each cell by itself, which takes longer than to find out what is
#: in a thousand rows: 1.1 s of 3.2 s of ``hst-assets status``, as measured. So longer tables are
#: laid out here, if no cell has to be folded.
_MANY_ROWS = 100


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output; cells that are too wide for it are folded.

    Parameters
    ----------
    columns : sequence of str
        The names of the columns.
    rows : sequence of sequence of str
        Cells as they are read, without markup; as many a row as there are columns.
    """
    console = output()
    shown = _laid_out(columns, rows, console) if len(rows) >= _MANY_ROWS else None
    console.print(_by_rich(columns, rows) if shown is None else shown)


def _by_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _laid_out(
    columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console
) -> Text | None:
    """The text that rich would make of a table; None if a cell needs more than one line."""
    cells = [[plain_text(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    is_narrow = sum(widths) + 3 * len(widths) + 1 > console.width
    folded = any(not cell.isprintable() for row in cells for cell in row)
    if is_narrow or folded or console.options.ascii_only or console.legacy_windows:
        return None
    head, *body = cells
    box = HEAVY_HEAD
    outer = [width + 2 for width in widths]
    text = Text(f"{box.get_top(outer)}\n")
    for number, cell in enumerate(_padded(head, widths)):
        text.append(box.head_vertical if number else box.head_left)
        text.append(cell, style="bold")
    text.append(f"{box.head_right}\n{box.get_row(outer, 'head')}\n")
    lines = (box.mid_vertical.join(_padded(row, widths)) for row in body)
    text.append("".join(f"{box.mid_left}{line}{box.mid_right}\n" for line in lines))
    text.append(box.get_bottom(outer))
    return text


def _padded(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for cell, width in zip(row, widths, strict=True):
        yield f" {cell}{' ' * (width - cell_len(cell))} "
