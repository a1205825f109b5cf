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
    from hst_assets.identifiers import VisitKey
    from hst_assets.orchestration.io_managers import PRODUCTS, product_path
    from hst_assets.orchestration.jobs import ARCHIVE_LEVEL, LEVELS
    from hst_assets.provenance import read_record

    table = Table(title=escape(workdir.target), title_justify="left")
    for column in ("partition", "asset", "made at", "status"):
        table.add_column(column)
    keys = [str(VisitKey(workdir.target, visit)) for visit in visits_in(workdir)]
    for level in LEVELS:
        for key in keys if level.by_visit else [workdir.target]:
            for asset in level.assets:
                if asset not in PRODUCTS or level == ARCHIVE_LEVEL:
                    continue  # what the archive has is shown by 'hst-assets archive'
                record = read_record(product_path(workdir.root, asset, key))
                status = "missing" if record is None else "valid"
                if record is not None and not record.whole(workdir):
                    status = "invalid: a file was changed or is missing"
                table.add_row(key, asset, record.created if record else "", status)
    return table
