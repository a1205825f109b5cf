"""``hst-assets clean``: free disk space by removing what can be remade."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from hst_assets.cli.terminal import RootOption, TargetArgument, output, root_or_default
from hst_assets.workdir import WorkDir

__all__ = ["clean_command", "clean_target"]

_MEGABYTE = 1e6
_DAY_S = 86400.0


def clean_command(
    target: TargetArgument,
    working_copies: Annotated[
        bool,
        typer.Option(
            "--working-copies",
            help="Also remove aligned exposures and drizzled images of visits; remade when needed.",
        ),
    ] = False,
    logs: Annotated[
        int | None,
        typer.Option("--logs", min=1, metavar="DAYS", help="Also remove logs older than this."),
    ] = None,
    root: RootOption = None,
) -> None:
    """Remove intermediate files and remains of killed runs, and report the space freed."""
    workdir = WorkDir(root_or_default(root), target).existing()
    clean_target(workdir, working_copies=working_copies, logs_days=logs)


def clean_target(
    workdir: WorkDir, *, working_copies: bool = False, logs_days: int | None = None
) -> None:
    """Clean a work directory and print a line a kind."""
    from hst_assets.cleaning import clean
    from hst_assets.orchestration.asset_table import ASSETS

    console = output()
    freed = clean(
        workdir,
        working_copies=ASSETS.cleanable if working_copies else {},
        logs_before=None if logs_days is None else time.time() - logs_days * _DAY_S,
    )
    for kind in freed:
        console.print(
            f"removed {kind.n_items} {kind.what}: {kind.size_bytes / _MEGABYTE:.1f} MB",
            highlight=False,
        )
    total = sum(kind.size_bytes for kind in freed)
    console.print(f"freed {total / _MEGABYTE:.1f} MB", highlight=False)
