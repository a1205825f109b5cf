"""Pages of ``--help``: options in groups with headings, and whole sentences about the commands."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["HelpfulCommand", "HelpfulGroup"]

_ALSO = "Options"


class HelpfulCommand(TyperCommand):
    """A command whose options are listed by group (typer's ``rich_help_panel``)."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then the options of each group, and those of no group at the end."""
        arguments: list[tuple[str, str]] = []
        grouped: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                arguments.append(record)
            else:
                heading = getattr(parameter, "rich_help_panel", None) or _ALSO
                grouped.setdefault(heading, []).append(record)
        last = grouped.pop(_ALSO, [])
        for heading, rows in (("Arguments", arguments), *grouped.items(), (_ALSO, last)):
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


class HelpfulGroup(TyperGroup):
    """Commands with the whole first sentence of what each does."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, in the order in which they were added."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                paragraph = " ".join((command.help or "").split("\n\n")[0].split())
                rows.append((name, paragraph.partition("; ")[0].partition(". ")[0].rstrip(".")))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
