"""``hst-assets status``: which products of each target are made and valid."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hst_assets.cli.terminal import RootOption, output, root_or_default
from hst_assets.workdir import WorkDir, targets_in

__all__ = ["status_command"]


def status_command(
    target: Annotated[str | None, typer.Argument(help="Only this target.")] = None,
    root: RootOption = None,
) -> None:
    """Show the products of each target by visit: valid, invalid or missing."""
    folder = root_or_default(root)
    names = [target] if target else targets_in(folder)
    if not names:
        output().print(f"no targets in {folder}")
    for name in names:
        output().print(_table(WorkDir(folder, name).existing()))


def _table(workdir: WorkDir) -> Table:
    from hst_assets.exposures.raw import visits_in
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.provenance import read_record

    table = Table(title=escape(workdir.target), title_justify="left")
    for column in ("partition", "asset", "made at", "status"):
        table.add_column(column)
    visits = visits_in(workdir)
    # What the archive has is shown by 'hst-assets archive'; a pointer has no file.
    shown = [row for row in ASSETS if row.path and row.source != "archive"]
    for row in shown:
        for visit in visits if row.by_visit else [None]:
            record = read_record(row.product(workdir, visit))
            key = f"{workdir.target}/{visit}" if visit else workdir.target
            status = "missing" if record is None else "valid"
            if record is not None and not record.whole(workdir):
                status = "invalid: a file was changed or is missing"
            table.add_row(key, row.name, record.created if record else "", status)
    return table
