"""``hst-assets materialize``: walk all levels of a target in order."""

from __future__ import annotations

from typing import Annotated

import typer

from hst_assets.cli.clean import clean_target
from hst_assets.cli.option_groups import takes_redo
from hst_assets.cli.run_target import raise_for, run_and_report
from hst_assets.cli.terminal import RootOption, TargetArgument, root_or_default, split_names
from hst_assets.workdir import WorkDir

__all__ = ["materialize_command", "materialize_target"]


@takes_redo
def materialize_command(
    target: TargetArgument,
    *,
    redo: dict[str, bool],
    select: Annotated[
        list[str] | None, typer.Option(help="Only these assets (repeat, or separate by commas).")
    ] = None,
    visit: Annotated[list[str] | None, typer.Option(help="Only these visits.")] = None,
    cleanup: Annotated[
        bool,
        typer.Option("--cleanup", help="Afterwards, if nothing failed, clean as 'clean' does."),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Ask and fetch nothing; take what raw/ holds."),
    ] = False,
    root: RootOption = None,
) -> None:
    """Materialize the assets of a target; what has not changed is not made again."""
    workdir = WorkDir(root_or_default(root), target)
    materialize_target(
        workdir,
        assets=split_names(select),
        visits=split_names(visit),
        redo=redo,
        offline=offline,
    )
    if cleanup:
        clean_target(workdir)


def materialize_target(
    workdir: WorkDir,
    *,
    assets: list[str] | None = None,
    visits: list[str] | None = None,
    redo: dict[str, bool] | None = None,
    offline: bool = False,
) -> None:
    """Walk a target and print a line a level and partition.

    Raises
    ------
    HstAssetsError
        At the end, if anything that was asked for was not made or not delivered.
    """
    workdir.existing()
    walked = run_and_report(
        workdir, assets=assets or (), visits=visits or (), redo=redo, offline=offline
    )
    raise_for(walked, workdir)
