"""``hst-assets up`` and ``hst-assets home``: the web UI, and where Dagster's records are."""

from __future__ import annotations

import os
import socket
import sys
from typing import Annotated

import typer

from hst_assets.cli.deployment import CELERY_CONFIGURATION, HOME_VARIABLE, ready_home
from hst_assets.cli.env_file import write_env_file
from hst_assets.cli.terminal import RootOption, output, root_or_default
from hst_assets.failures import BadConfiguration
from hst_assets.workdir import ROOT_VARIABLE
from hst_assets.workdir.shared_root import mark_root

__all__ = ["home_command", "up_command"]


def up_command(
    host: Annotated[
        str, typer.Option(help="Address to listen on. The UI has no login.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3000,
    root: RootOption = None,
) -> None:
    """Serve the web UI, with the daemon that runs sensors and schedules, until interrupted.

    It is 'dagster dev' on the instance and the folder of work directories that the other
    commands use.
    """
    _refuse_busy(host, port)
    home, folder = ready_home(), root_or_default(root)
    output().print(f"instance {home}; work directories {folder}", highlight=False)
    sys.stdout.flush()
    command = [sys.executable, "-m", "dagster", "dev", "-m", "hst_assets.definitions"]
    environment = {**os.environ, HOME_VARIABLE: str(home), ROOT_VARIABLE: str(folder)}
    # In place of this process, so that signals reach Dagster itself.
    os.execve(sys.executable, [*command, "-h", host, "-p", str(port)], environment)  # noqa: S606


def _refuse_busy(host: str, port: int) -> None:
    """Raise if nobody could listen there; Dagster would say so at the end of a long traceback.

    Raises
    ------
    BadConfiguration
        If the port is taken, or the address is none of this computer.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            # As the server does, which may take over a port from a connection that just closed.
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        raise BadConfiguration(
            f"cannot listen on port {port}: {error.strerror or error}",
            where=host,
            next_step="Another 'hst-assets up' may be running; or give --port another number "
            "(make up PORT=3001)",
        ) from error


def home_command(
    write_env: Annotated[
        bool,
        typer.Option(
            "--write-env",
            help="Write the instance and the root to the file .env of the current folder, "
            "where Dagster's own commands read them.",
        ),
    ] = False,
    celery: Annotated[
        bool,
        typer.Option(
            "--celery",
            help="Set up an instance for several machines: create its folder and dagster.yaml "
            "where they are missing, and mark the root as shared.",
        ),
    ] = False,
    root: RootOption = None,
) -> None:
    """Print the folder of the Dagster instance, for DAGSTER_HOME."""
    if celery:
        home = ready_home(CELERY_CONFIGURATION)
        mark_root(root_or_default(root))
    else:
        home = ready_home()
    if write_env:
        write_env_file({HOME_VARIABLE: str(home), ROOT_VARIABLE: str(root_or_default(root))})
    typer.echo(home)
