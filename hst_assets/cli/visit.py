"""``hst-assets visit``: visits that were added by mistake are taken out."""

from __future__ import annotations

from typing import Annotated

import typer

from hst_assets.cli.deployment import opened_instance
from hst_assets.cli.help_pages import HelpfulCommand, HelpfulGroup
from hst_assets.cli.terminal import RootOption, output, root_or_default

__all__ = ["visit_commands"]

visit_commands = typer.Typer(
    name="visit",
    cls=HelpfulGroup,
    help="Remove visits from Dagster that were added by mistake.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@visit_commands.callback()
def _visits() -> None:
    """Remove visits from Dagster that were added by mistake."""


@visit_commands.command("forget", cls=HelpfulCommand)
def forget_command(
    keys: Annotated[
        list[str],
        typer.Argument(help="Keys as the web UI shows them: TARGET/VISIT.", show_default=False),
    ],
    root: RootOption = None,
) -> None:
    """Remove visits from Dagster, so that backfills and runs leave them out.

    A visit with exposures is not removed: the next run would register it again.
    """
    with opened_instance() as instance:
        from hst_assets.orchestration.forgetting import forget_visits

        forget_visits(instance, root_or_default(root), keys)
    for key in keys:
        output().print(f"forgotten: {key}", highlight=False, markup=False)
