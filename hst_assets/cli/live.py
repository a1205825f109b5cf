"""The live display of a run: the present level, its tool's progress, and downloaded bytes.

On a terminal two lines that are redrawn; elsewhere plain lines: of bytes at most one every few
seconds, of a tool at most one a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TransferSpeedColumn,
)
from rich.spinner import Spinner

if TYPE_CHECKING:
    from hst_assets.archive.download import Progress as Fetching

__all__ = ["Display", "display"]

_PLAIN_EVERY_S = 5.0
#: DOLPHOT works for days.
_TOOL_EVERY_S = 60.0


class Display:
    """Plain lines; `fetching` and `following` may be called from any thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._told = time.monotonic()
        self._followed = time.monotonic()

    def working(self, what: str) -> None:
        """Take note that a level of a partition begins."""

    def fetching(self, state: Fetching) -> None:
        """Take note of bytes that came, or of a file that ended."""
        with self._lock:
            now = time.monotonic()
            if now - self._told < _PLAIN_EVERY_S:
                return
            self._told = now
        self._console.print(_in_words(state), highlight=False)

    def following(self, state: object) -> None:
        """Take note of how far a tool is; the text of `state` is a line."""
        with self._lock:
            now = time.monotonic()
            if now - self._followed < _TOOL_EVERY_S:
                return
            self._followed = now
        self._console.print(str(state), markup=False, highlight=False)


class _Redrawn(Display):
    """A spinner with the level, and below it a bar while files come, or a tool works."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._what = "starting"
        self._spinner = Spinner("dots", text=self._what)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        self._bar = self._bars.add_task("", visible=False)
        self._tool = Progress(BarColumn(bar_width=30), TaskProgressColumn())
        self._share = self._tool.add_task("", total=1.0, visible=False)
        self.shown = Group(self._spinner, self._bars, self._tool)

    def working(self, what: str) -> None:
        self._what = escape(what)
        self._spinner.update(text=self._what)
        self._bars.reset(self._bar, visible=False)
        self._tool.reset(self._share, visible=False)

    def fetching(self, state: Fetching) -> None:
        self._bars.update(
            self._bar,
            description=f"{state.n_done} of {state.n_files} files",
            completed=state.bytes_done,
            total=state.bytes_total,
            visible=state.n_done < state.n_files,
        )

    def following(self, state: object) -> None:
        self._spinner.update(text=f"{self._what}  {escape(str(state))}")
        share = getattr(state, "fraction", None)
        if share is not None:
            self._tool.update(self._share, completed=share, visible=True)


def _in_words(state: Fetching) -> str:
    total = "?" if state.bytes_total is None else decimal(state.bytes_total)
    return (
        f"fetching: {state.n_done} of {state.n_files} files, {decimal(state.bytes_done)} of {total}"
    )


@contextmanager
def display(console: Console) -> Iterator[Display]:
    """A display for the time of a run, as `console` can show it."""
    if not console.is_terminal:
        yield Display(console)
        return
    redrawn = _Redrawn(console)
    with Live(redrawn.shown, console=console, transient=True, refresh_per_second=8):
        yield redrawn
