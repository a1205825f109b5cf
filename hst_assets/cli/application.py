"""Joins the commands; turns failures into one clear line and an exit code."""

from __future__ import annotations

import logging
import signal
import sys

import typer
from rich.markup import escape

from hst_assets.cli import (
    archive,
    clean,
    counterpart,
    demo,
    explain,
    hap,
    ingest,
    light_curve,
    materialize,
    settings,
    status,
    target,
    up,
)
from hst_assets.cli import run as run_module
from hst_assets.cli.position_argument import PositionCommand
from hst_assets.cli.terminal import errors
from hst_assets.failures import (
    AccessRefused,
    BadConfiguration,
    HstAssetsError,
    NothingFound,
    TransientFailure,
)
from hst_assets.machine_failures import machine_failure

__all__ = ["application", "run"]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
#: Of failures that a script may want to tell from others.
_EXIT_CODES: dict[type[HstAssetsError], int] = {
    BadConfiguration: EXIT_USAGE,
    NothingFound: 3,
    TransientFailure: 4,
    AccessRefused: 5,
}

application = typer.Typer(
    name="hst-assets",
    help="Hubble imaging as software-defined assets: ingest exposures, materialize products.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
application.command("run", cls=run_module.RunCommand)(run_module.run_command)
application.command("ingest")(ingest.ingest_command)
application.command("materialize")(materialize.materialize_command)
application.command("lightcurve", cls=PositionCommand)(light_curve.light_curve_command)
application.command("status")(status.status_command)
application.command("explain")(explain.explain_command)
application.add_typer(target.target_commands)
application.command("archive")(archive.archive_command)
application.command("counterpart", cls=PositionCommand)(counterpart.counterpart_command)
application.command("settings")(settings.settings_command)
application.command("clean")(clean.clean_command)
application.command("up")(up.up_command)
application.command("home")(up.home_command)
application.command("hap")(hap.hap_command)
application.command("demo")(demo.demo_command)


def run() -> None:
    """Exit with 0 when done, 130 if interrupted, else by what failed (`_EXIT_CODES`, or 1)."""
    # What the project says while it works goes to the session logs; the commands report it.
    logging.getLogger("hst_assets").addHandler(logging.NullHandler())
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        application()
    except HstAssetsError as error:
        _tell(error)
        sys.exit(_EXIT_CODES.get(type(error), EXIT_FAILED))
    except Exception as error:  # raised again, unless the machine is at fault
        machine = machine_failure(error)
        if machine is None:
            raise
        _tell(machine)
        sys.exit(EXIT_FAILED)
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:
            errors().print("interrupted; run the same command again to continue")
        raise


def _interrupt(_number: int, _frame: object) -> None:
    """Let a request to terminate take the way of Ctrl-C, on which tools are stopped as well."""
    signal.raise_signal(signal.SIGINT)


def _tell(error: HstAssetsError) -> None:
    errors().print(f"[red]{type(error).__name__}[/red] {escape(str(error))}", highlight=False)
