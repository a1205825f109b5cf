"""Commands that are imported when they are asked for.

Each has imports of its own, settings and tables among them. The start of every command would
otherwise wait for those of all others: three quarters of the time of ``--version``.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command

from hst_assets.cli.help_pages import HelpfulGroup

__all__ = ["LateCommand", "late_group"]


@dataclass(frozen=True)
class LateCommand:
    """Where a command is.

    Attributes
    ----------
    function : str
        ``module.name`` within ``hst_assets.cli``, of its function, or of a `typer.Typer` with
        commands of its own.
    kind : str
        ``module.name`` of its class.
    """

    function: str
    kind: str = "help_pages.HelpfulCommand"

    def load(self, name: str) -> Any:
        """Import the command, and build it."""
        found = _named(self.function)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(name, cls=_named(self.kind))(found)
            found = alone
        return get_command(found)


def late_group(commands: Mapping[str, LateCommand]) -> type[HelpfulGroup]:
    """A group of commands that has these too, in this order, before its own."""

    class LateGroup(HelpfulGroup):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.commands = _Commands({**commands, **self.commands})

    return LateGroup


class _Commands(UserDict[str, Any]):
    """Command names to commands, which are loaded once."""

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if isinstance(found, LateCommand):
            try:
                found = self.data[name] = found.load(name)
            except KeyError as error:  # it would say that there is no such command
                raise ImportError(f"hst-assets {name} cannot be imported: {error!r}") from error
        return found


def _named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"hst_assets.cli.{module}"), name)
