"""``hst-assets status``: which products of each target are up to date, and why the others not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hst_assets.cli.terminal import RootOption, errors, output, root_or_default
from hst_assets.failures import BadConfiguration, HstAssetsError, TransientFailure, shared_kind
from hst_assets.machine_failures import machine_failure
from hst_assets.reasons import FIRST, shortened
from hst_assets.workdir import ROOT_VARIABLE, WorkDir, targets_in

__all__ = ["status_command"]


def status_command(
    target: Annotated[str | None, typer.Argument(help="Only this target.")] = None,
    root: RootOption = None,
) -> None:
    """Show the products of each target: up to date, stale (and why), invalid or missing."""
    folder = root_or_default(root)
    if not folder.is_dir():
        raise BadConfiguration(
            "there is no such folder of work directories",
            where=folder,
            next_step=f"Name it with --root or {ROOT_VARIABLE}; the first 'hst-assets ingest' or "
            "'hst-assets target add' makes it",
        )
    if target:
        output().print(_table(WorkDir(folder, target).existing()))
        return
    names = targets_in(folder)
    if not names:
        output().print(f"no targets in {folder}")
    broken = [error for name in names if (error := _shown(folder, name)) is not None]
    if broken:
        raise shared_kind(map(type, broken))(
            f"{len(broken)} of {len(names)} targets cannot be read",
            where=folder,
            next_step="See the reasons above",
        )


def _shown(root: Path, target: str) -> HstAssetsError | None:
    """Print the table of one target of many; of one that cannot be read, why."""
    try:
        output().print(_table(WorkDir(root, target).existing()))
    except HstAssetsError as error:
        failure = error
    except OSError as error:
        failure = machine_failure(error) or TransientFailure(str(error), where=target)
    else:
        return None
    errors().print(
        f"[red]cannot be read[/red] {escape(f'{target}: {failure.brief}')}", highlight=False
    )
    return failure


def _table(workdir: WorkDir) -> Table:
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.orchestration.forecast import forecast

    table = Table(title=escape(workdir.target), title_justify="left")
    for column in ("partition", "asset", "made at", "status"):
        table.add_column(column)
    # What the archive has is shown by 'hst-assets archive'; a pointer has no file.
    for found in forecast(workdir, ASSETS):
        told: str = found.state
        if found.reasons and found.reasons != (FIRST,):
            told = f"{found.state}: {shortened(found.reasons)}"
        table.add_row(found.partition, found.asset, found.created, escape(told))
    return table
