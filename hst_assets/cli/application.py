"""Joins the commands; turns failures into one clear line and an exit code."""

from __future__ import annotations

import logging
import sys

import typer

from hst_assets.cli import demo, ingest, materialize, settings, status
from hst_assets.cli.terminal import errors
from hst_assets.failures import BadConfiguration, HstAssetsError

__all__ = ["application", "run"]

EXIT_FAILED = 1
EXIT_USAGE = 2

application = typer.Typer(
    name="hst-assets",
    help="Hubble imaging as software-defined assets: ingest exposures, materialize products.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
application.command("ingest")(ingest.ingest_command)
application.command("materialize")(materialize.materialize_command)
application.command("status")(status.status_command)
application.command("settings")(settings.settings_command)
application.command("demo")(demo.demo_command)


def run() -> None:
    """Run the application; exit 0 when done, 1 on failure, 2 on a wrong call."""
    # What the project says while it works goes to the session logs; the commands report it.
    logging.getLogger("hst_assets").addHandler(logging.NullHandler())
    try:
        application()
    except BadConfiguration as error:
        errors().print(f"[red]{type(error).__name__}[/red] {error}", highlight=False)
        sys.exit(EXIT_USAGE)
    except HstAssetsError as error:
        errors().print(f"[red]{type(error).__name__}[/red] {error}", highlight=False)
        sys.exit(EXIT_FAILED)
