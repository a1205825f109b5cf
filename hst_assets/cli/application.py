"""Joins the commands; turns failures into one clear line and an exit code."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from hst_assets.cli import (
    archive,
    clean,
    counterpart,
    demo,
    doctor,
    explain,
    hap,
    ingest,
    light_curve,
    materialize,
    publish,
    retry,
    settings,
    status,
    target,
    up,
    visit,
    worker,
)
from hst_assets.cli import run as run_module
from hst_assets.cli.console_log import keep_traceback, kept_console
from hst_assets.cli.help_pages import HelpfulCommand, HelpfulGroup
from hst_assets.cli.interruption import EXIT_INTERRUPTED, Interruption
from hst_assets.cli.position_argument import PositionCommand
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

application = typer.Typer(
    name="hst-assets",
    cls=HelpfulGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
)


def _show_version(wanted: bool) -> None:
    if wanted:
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


application.command("run", cls=run_module.RunCommand)(run_module.run_command)
application.command("ingest", cls=HelpfulCommand)(ingest.ingest_command)
application.command("materialize", cls=HelpfulCommand)(materialize.materialize_command)
application.command("lightcurve", cls=PositionCommand)(light_curve.light_curve_command)
application.command("publish", cls=HelpfulCommand)(publish.publish_command)
application.command("status", cls=HelpfulCommand)(status.status_command)
application.command("retry", cls=HelpfulCommand)(retry.retry_command)
application.command("explain", cls=HelpfulCommand)(explain.explain_command)
application.add_typer(target.target_commands)
application.add_typer(visit.visit_commands)
application.command("archive", cls=HelpfulCommand)(archive.archive_command)
application.command("counterpart", cls=PositionCommand)(counterpart.counterpart_command)
application.command("settings", cls=HelpfulCommand)(settings.settings_command)
application.command("clean", cls=HelpfulCommand)(clean.clean_command)
application.command("doctor", cls=HelpfulCommand)(doctor.doctor_command)
application.command("up", cls=HelpfulCommand)(up.up_command)
application.command("home", cls=HelpfulCommand)(up.home_command)
application.command("worker", cls=HelpfulCommand)(worker.worker_command)
application.command("hap", cls=HelpfulCommand)(hap.hap_command)
application.command("demo", cls=HelpfulCommand)(demo.demo_command)


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
