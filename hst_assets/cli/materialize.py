"""``hst-assets materialize``: process all levels of a target in order."""

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
    visit: Annotated[
        list[str] | None, typer.Option(help="Only these visits (repeat, or separate by commas).")
    ] = None,
    cleanup: Annotated[
        bool,
        typer.Option("--cleanup", help="If nothing failed, clean up like 'hst-assets clean'."),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Do not query the archive; use the exposures in raw/."),
    ] = False,
    root: RootOption = None,
) -> None:
    """Materialize the assets of a target; products that are up to date are not remade."""
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
    """Process a target and print a line for each level and partition.

    Raises
    ------
    HstAssetsError
        At the end, if anything was not made or not fetched.
    """
    workdir.existing()
    summary = run_and_report(
        workdir, assets=assets or (), visits=visits or (), redo=redo, offline=offline
    )
    raise_for(summary, workdir)
