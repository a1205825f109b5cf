"""``hst-assets status``: which products of each target are up to date, and why the others not."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hst_assets.cli.terminal import RootOption, output, root_or_default
from hst_assets.reasons import shortened
from hst_assets.workdir import WorkDir, targets_in

__all__ = ["status_command"]


def status_command(
    target: Annotated[str | None, typer.Argument(help="Only this target.")] = None,
    root: RootOption = None,
) -> None:
    """Show the products of each target: up to date, stale (and why), invalid or missing."""
    folder = root_or_default(root)
    names = [target] if target else targets_in(folder)
    if not names:
        output().print(f"no targets in {folder}")
    for name in names:
        output().print(_table(WorkDir(folder, name).existing()))


def _table(workdir: WorkDir) -> Table:
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.orchestration.forecast import forecast

    table = Table(title=escape(workdir.target), title_justify="left")
    for column in ("partition", "asset", "made at", "status"):
        table.add_column(column)
    # What the archive has is shown by 'hst-assets archive'; a pointer has no file.
    for found in forecast(workdir, ASSETS):
        told: str = found.state
        if found.reasons and found.state != "missing":
            told = f"{found.state}: {shortened(found.reasons)}"
        table.add_row(found.partition, found.asset, found.created, escape(told))
    return table
