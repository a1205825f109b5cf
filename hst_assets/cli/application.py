"""Joins the commands; turns failures into one clear line and an exit code."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer
from rich.markup import escape

from hst_assets.cli.console_log import keep_traceback, kept_console
from hst_assets.cli.interruption import EXIT_INTERRUPTED, Interruption
from hst_assets.cli.late_commands import LateCommand, late_group
from hst_assets.cli.terminal import errors, output
from hst_assets.failures import (
    AccessRefused,
    BadConfiguration,
    HstAssetsError,
    NothingFound,
    TransientFailure,
)
from hst_assets.machine.failures import has_more_behind, machine_failure, refusal_of_system

__all__ = ["application", "run"]

EXIT_FAILED = 1
EXIT_USAGE = 2
#: Columns of the help on a wide terminal.
_WIDTH = 110
#: Of failures that a script may want to tell from others.
_EXIT_CODES: dict[type[HstAssetsError], int] = {
    BadConfiguration: EXIT_USAGE,
    NothingFound: 3,
    TransientFailure: 4,
    AccessRefused: 5,
}

_POSITION = "position_argument.PositionCommand"
#: In the order of the help.
_COMMANDS = {
    "run": LateCommand("run.run_command", "run.RunCommand"),
    "ingest": LateCommand("ingest.ingest_command"),
    "materialize": LateCommand("materialize.materialize_command"),
    "lightcurve": LateCommand("light_curve.light_curve_command", _POSITION),
    "publish": LateCommand("publish.publish_command"),
    "status": LateCommand("status.status_command"),
    "retry": LateCommand("retry.retry_command"),
    "explain": LateCommand("explain.explain_command"),
    "archive": LateCommand("archive.archive_command"),
    "counterpart": LateCommand("counterpart.counterpart_command", _POSITION),
    "settings": LateCommand("settings.settings_command"),
    "clean": LateCommand("clean.clean_command"),
    "doctor": LateCommand("doctor.doctor_command"),
    "up": LateCommand("up.up_command"),
    "home": LateCommand("up.home_command"),
    "worker": LateCommand("worker.worker_command"),
    "hap": LateCommand("hap.hap_command"),
    "demo": LateCommand("demo.demo_command"),
    "target": LateCommand("target.target_commands"),
    "visit": LateCommand("visit.visit_commands"),
}

application = typer.Typer(
    name="hst-assets",
    cls=late_group(_COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output().print(f"hst-assets {version('hst_assets')}", highlight=False)
        raise typer.Exit


@application.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Hubble imaging as software-defined assets: ingest exposures, materialize products."""


def run(interruption: Interruption) -> None:
    """Exit with 0 when done, 130 if interrupted, 143 if terminated, else by what failed.

    For the failures see `_EXIT_CODES`; of others the exit code is 1.

    Parameters
    ----------
    interruption : Interruption
        Of this command.
    """
    # What the project says while it works goes to the session logs; the commands report it.
    logging.getLogger("hst_assets").addHandler(logging.NullHandler())
    with kept_console():
        _run(interruption)


def _run(interruption: Interruption) -> None:
    """Run the command; its failure is told, and becomes the exit code."""
    try:
        application()
    except HstAssetsError as error:
        if has_more_behind(error) or error.log_tail:
            keep_traceback(error)
        _tell(error)
        sys.exit(_EXIT_CODES.get(type(error), EXIT_FAILED))
    except Exception as error:  # raised again, unless the machine is at fault
        machine = machine_failure(error)
        if machine is None and isinstance(error, OSError):
            machine = refusal_of_system(error)
        if machine is None:
            raise
        keep_traceback(error)
        _tell(machine)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:  # before the command began, or after its end
        interruption.end(errors().print)
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:
            interruption.end(errors().print)
        raise


def _tell(error: HstAssetsError) -> None:
    errors().print(f"[red]error:[/red] {escape(error.one_line)}", highlight=False)
