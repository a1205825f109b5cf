"""``hst-assets materialize``: walk all levels of a target in order."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from hst_assets.cli.clean import clean_target
from hst_assets.cli.deployment import opened_instance
from hst_assets.cli.terminal import RootOption, TargetArgument, errors, output, root_or_default
from hst_assets.failures import ToolFailed
from hst_assets.workdir import WorkDir

__all__ = ["materialize_command", "materialize_target"]


def materialize_command(
    target: TargetArgument,
    select: Annotated[
        list[str] | None, typer.Option(help="Only these assets (repeat, or separate by commas).")
    ] = None,
    visit: Annotated[list[str] | None, typer.Option(help="Only these visits.")] = None,
    redo: Annotated[bool, typer.Option("--redo", help="Align and drizzle again.")] = False,
    redo_astrometry: Annotated[
        bool, typer.Option("--redo-astrometry", help="Align again.")
    ] = False,
    redo_astrodrizzle: Annotated[
        bool, typer.Option("--redo-astrodrizzle", "--redrizzle", help="Drizzle again.")
    ] = False,
    clobber: Annotated[bool, typer.Option("--clobber", help="Make everything again.")] = False,
    cleanup: Annotated[
        bool,
        typer.Option("--cleanup", help="Afterwards, if nothing failed, clean as 'clean' does."),
    ] = False,
    root: RootOption = None,
) -> None:
    """Materialize the assets of a target; what has not changed is not made again."""
    workdir = WorkDir(root_or_default(root), target)
    materialize_target(
        workdir,
        assets=_split(select),
        visits=_split(visit),
        redo={
            "redo": redo,
            "redo_astrometry": redo_astrometry,
            "redo_astrodrizzle": redo_astrodrizzle,
            "clobber": clobber,
        },
    )
    if cleanup:
        clean_target(workdir)


def materialize_target(
    workdir: WorkDir,
    *,
    assets: list[str] | None = None,
    visits: list[str] | None = None,
    redo: dict[str, bool] | None = None,
) -> None:
    """Walk a target and print a line a level and partition.

    Raises
    ------
    HstAssetsError
        At the end, if anything that was asked for was not made.
    """
    workdir.existing()
    with opened_instance() as instance:
        from hst_assets.orchestration.build import build_defs
        from hst_assets.orchestration.resources import Redo
        from hst_assets.orchestration.walk import walk

        console = output()
        failures, misconfigured = 0, False
        with console.status("starting") as spinner:
            for outcome in walk(
                build_defs(root=str(workdir.root)),
                instance,
                workdir,
                assets=assets or [],
                visits=visits or [],
                redo=Redo(**(redo or {})),
                started=lambda level, key: spinner.update(f"{level.job} {key}"),
            ):
                failures += len(outcome.failures)
                misconfigured |= outcome.misconfigured
                console.print(_line(outcome), highlight=False)
                for text in outcome.failures:
                    errors().print(f"  [red]failed[/red] {escape(text)}", highlight=False)
                for text in outcome.warnings:
                    errors().print(f"  [yellow]note[/yellow] {escape(text)}", highlight=False)
    if failures:
        raise ToolFailed(
            f"{failures} steps failed",
            where=workdir.target,
            next_step=f"The logs are in {workdir.logs}; "
            + (
                "mend the settings first"
                if misconfigured
                else "the same command makes what is missing"
            ),
        )


def _line(outcome: object) -> str:
    from hst_assets.orchestration.walk import Outcome

    assert isinstance(outcome, Outcome)
    parts = []
    if outcome.made:
        parts.append(f"made {', '.join(outcome.made)}")
    if outcome.unchanged:
        parts.append(f"unchanged {', '.join(outcome.unchanged)}")
    return f"{outcome.partition:<24} {'; '.join(parts) or 'nothing made'}"


def _split(values: list[str] | None) -> list[str]:
    return [name.strip() for value in values or [] for name in value.split(",") if name.strip()]
