"""``hst-assets up`` and ``hst-assets home``: the web UI, and where Dagster's records are."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from hst_assets.cli.deployment import HOME_VARIABLE, ready_home
from hst_assets.cli.env_file import write_env_file
from hst_assets.cli.terminal import RootOption, output, root_or_default
from hst_assets.workdir import ROOT_VARIABLE

__all__ = ["home_command", "up_command"]


def up_command(
    host: Annotated[
        str, typer.Option(help="Address to listen on. The UI has no login.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3000,
    root: RootOption = None,
) -> None:
    """Serve the web UI, with the daemon that runs sensors and schedules, until interrupted.

    It is ``dagster dev`` on the instance and the folder of work directories that the other
    commands use.
    """
    home, folder = ready_home(), root_or_default(root)
    output().print(f"instance {home}; work directories {folder}", highlight=False)
    sys.stdout.flush()
    command = [sys.executable, "-m", "dagster", "dev", "-m", "hst_assets.definitions"]
    environment = {**os.environ, HOME_VARIABLE: str(home), ROOT_VARIABLE: str(folder)}
    # In place of this process, so that signals reach Dagster itself.
    os.execve(sys.executable, [*command, "-h", host, "-p", str(port)], environment)  # noqa: S606


def home_command(
    write_env: Annotated[
        bool,
        typer.Option(
            "--write-env",
            help="Name instance and work directories in the file .env of the current folder, "
            "which Dagster's own commands read there.",
        ),
    ] = False,
    root: RootOption = None,
) -> None:
    """Print the folder of the Dagster instance, for DAGSTER_HOME."""
    home = ready_home()
    if write_env:
        write_env_file({HOME_VARIABLE: str(home), ROOT_VARIABLE: str(root_or_default(root))})
    typer.echo(home)
