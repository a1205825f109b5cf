"""What the commands share of the terminal: consoles, and the options that several take."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from hst_assets.cli.console_log import KeptConsole
from hst_assets.shown_text import plain_text
from hst_assets.workdir import ROOT_VARIABLE, default_root

__all__ = ["RootOption", "TargetArgument", "errors", "output", "root_or_default", "split_names"]

_PIPED_WIDTH = 120

RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", help=f"Folder of work directories; by default ${ROOT_VARIABLE}, or data/"
    ),
]
TargetArgument = Annotated[str, typer.Argument(help="Name of the target.", show_default=False)]


class _PlainConsole(KeptConsole):
    """A console that lets no control character of a header or an archive reach the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Render text as rich does, without what is no text."""
        return super().render_str(plain_text(text), **options)


def output() -> Console:
    """The console for results."""
    return _PlainConsole(
        soft_wrap=True, emoji=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH
    )


def errors() -> Console:
    """The console for failures and warnings."""
    return _PlainConsole(stderr=True, soft_wrap=True, emoji=False)


def root_or_default(root: Path | None) -> Path:
    """The folder of work directories that a command works in."""
    return root.absolute() if root else default_root()


def split_names(values: list[str] | None) -> list[str]:
    """Names of an option that may be repeated, or hold several separated by commas."""
    return [name.strip() for value in values or [] for name in value.split(",") if name.strip()]
