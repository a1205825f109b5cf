"""``hst-assets materialize``: process all levels of a target in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hst_assets.cli.clean import clean_target
from hst_assets.cli.option_groups import takes_redo
from hst_assets.cli.run_target import raise_for, run_and_report
from hst_assets.cli.terminal import (
    RootOption,
    TargetArgument,
    output,
    root_or_default,
    split_names,
)
from hst_assets.reasons import shortened
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    from hst_assets.orchestration.forecast import Forecast

__all__ = ["materialize_command", "materialize_target", "tell_what_would_be_made"]


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
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be made, and why; change nothing."),
    ] = False,
    root: RootOption = None,
) -> None:
    """Materialize the assets of a target; products that are up to date are not remade."""
    workdir = WorkDir(root_or_default(root), target)
    if dry_run:
        tell_what_would_be_made(workdir, split_names(select), split_names(visit), redo)
        return
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


def tell_what_would_be_made(
    workdir: WorkDir, assets: list[str], visits: list[str], redo: dict[str, bool]
) -> None:
    """Print a line for each product that would be made, with the reason; nothing is written.

    Raises
    ------
    BadConfiguration
        If an asset or a visit does not exist.
    """
    from hst_assets.exposures.raw import visits_in
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.orchestration.forecast import forecast
    from hst_assets.orchestration.resources import Redo
    from hst_assets.orchestration.run_target import refuse_unknown

    held = visits_in(workdir.existing())
    refuse_unknown("asset", assets, [row.name for row in ASSETS])
    refuse_unknown("visit", visits, held)
    ordered = Redo(**redo)
    found = list(
        forecast(
            workdir,
            ASSETS,
            assets=assets,
            visits=visits,
            redone=lambda row: ordered.again(*row.redo),
        )
    )
    console = output()
    for each in found:
        if each.state not in ("up to date", "not wanted"):
            line = f"{each.partition:<24} {_verb(each)} {each.asset}: {shortened(each.reasons)}"
            console.print(line, highlight=False, markup=False)
    console.print(_counted(found), highlight=False)
    if load_settings(workdir).archive.query:
        console.print("the archive was not queried: new exposures there are not counted")


def _counted(found: Sequence[Forecast]) -> str:
    """How many products there are of each kind; those that may or may not be made by themselves."""
    states = Counter("made" if each.is_made else each.state for each in found)
    told = [f"{states['made']} would be made"]
    told += [f"{states['may be stale']} may be made"] if states["may be stale"] else []
    told += [f"{states['unknown']} cannot be determined"] if states["unknown"] else []
    return ", ".join([*told, f"{states['up to date']} are up to date"])


def _verb(found: Forecast) -> str:
    if found.state == "unknown":
        return "cannot determine"
    return "would make" if found.is_made else "may make"
