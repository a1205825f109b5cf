"""``hst-assets target``: targets that are followed, added, listed and retired."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hst_assets.cli.deployment import opened_instance, ready_home, require_writable
from hst_assets.cli.env_file import introduce_folder
from hst_assets.cli.help_pages import HelpfulCommand, HelpfulGroup
from hst_assets.cli.position_argument import PositionArgument, PositionCommand
from hst_assets.cli.setting_options import Changes, takes_settings
from hst_assets.cli.tables import print_table
from hst_assets.cli.target_settings import asked_settings, describe, place_from, refuse_move
from hst_assets.cli.terminal import RootOption, TargetArgument, output, root_or_default
from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.plain_instance import plain_instance
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    from hst_assets.orchestration.draining import Drained
    from hst_assets.orchestration.targets import TargetState

__all__ = ["target_commands"]

target_commands = typer.Typer(
    name="target",
    cls=HelpfulGroup,
    help="Add, list, retire and forget targets that are followed in the archive.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@target_commands.command("add", cls=PositionCommand)
@takes_settings("archive", "selection")
def add_command(
    target: TargetArgument,
    position: PositionArgument = None,
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the object, instead of RA and DEC.")
    ] = None,
    root: RootOption = None,
    move: Annotated[
        bool, typer.Option("--move", help="Change the position of a known target.")
    ] = False,
    changes: Changes,
) -> None:
    """Register a target whose exposures come from the archive; the sensor follows it from then on.

    For a known target, change the query; a retired target is followed again.
    """
    workdir = WorkDir(root_or_default(root), target)
    asked = asked_settings(workdir, place_from(position, name), changes, query=True)
    if not move:
        refuse_move(workdir, asked)
    _refuse_nowhere(workdir, asked)
    require_writable(workdir)
    introduce_folder(workdir)
    _add(workdir, asked)
    output().print(f"{target}: {describe(load_settings(workdir))}", highlight=False, markup=False)
    output().print(
        f"'hst-assets archive {target}' shows what the archive holds, "
        f"'hst-assets materialize {target}' fetches and processes it; "
        "under 'hst-assets up', new_mast_data_sensor does so once it is started",
        highlight=False,
    )


def _add(workdir: WorkDir, asked: Changes) -> None:
    """Register without Dagster where that can be done; its import alone takes a second."""
    from hst_assets.orchestration.targets import add_target

    plain = plain_instance(ready_home())
    if plain is not None and plain.knows_root_of(workdir.target):
        add_target(plain, workdir, asked)
        return
    with opened_instance() as instance:
        add_target(instance, workdir, asked)


def _refuse_nowhere(workdir: WorkDir, asked: Changes) -> None:
    standing = load_settings(workdir)
    known = standing.target.ra_deg is not None or standing.archive.proposals
    given = "ra_deg" in asked.get("target", {}) or asked.get("archive", {}).get("proposals")
    if not known and not given:
        raise BadConfiguration(
            "no archive query: neither position nor proposal is known",
            where=workdir.target,
            next_step="Give RA and DEC, --name or --proposal",
        )


@target_commands.command("list", cls=HelpfulCommand)
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    root: RootOption = None,
) -> None:
    """List the targets, whether they are followed, and how many files are still to be fetched."""
    from hst_assets.orchestration.targets import list_targets

    states = list_targets(root_or_default(root), _in_flight())
    if as_json:
        typer.echo(json.dumps([_facts(state) for state in states], indent=2))
    else:
        _print_states(states)


def _in_flight() -> set[str]:
    """Partitions with runs in flight. Dagster is asked only if there are any."""
    plain = plain_instance(ready_home())
    if plain is not None and plain.is_idle():
        return set()
    with opened_instance() as instance:
        from hst_assets.orchestration.runs import partitions_in_flight

        return partitions_in_flight(instance)


@target_commands.command("retire", cls=HelpfulCommand)
def retire_command(
    target: TargetArgument,
    root: RootOption = None,
    drain: Annotated[
        bool,
        typer.Option("--drain", help="Cancel its queued runs and end those in progress."),
    ] = False,
) -> None:
    """Stop following a target; its files are kept. Refused while its runs are in flight.

    With --drain, queued runs are cancelled, and runs in progress are told to end.
    """
    workdir = WorkDir(root_or_default(root), target).existing()
    with opened_instance() as instance:
        if drain:
            from hst_assets.orchestration.draining import drain_target

            _show_drained(drain_target(instance, workdir))
        else:
            from hst_assets.orchestration.targets import retire_target

            retire_target(instance, workdir)
    output().print(
        f"{target} is retired; 'hst-assets target add {target}' follows it again", highlight=False
    )


def _show_drained(drained: Drained) -> None:
    lines = [f"cancelled before they began: {drained.cancelled}"]
    lines += [f"told to end: {each}" for each in drained.told]
    lines += [f"told before, has not ended yet: {each}" for each in drained.told_before]
    lines += [f"goes on, stop it yourself: {each}" for each in drained.of_commands]
    lines += [f"could not be told to end, give the command again: {each}" for each in drained.left]
    for line in lines:
        output().print(line, highlight=False, markup=False)


@target_commands.command("forget", cls=HelpfulCommand)
def forget_command(
    target: Annotated[
        str, typer.Argument(help="Name of the target, or an invalid key.", show_default=False)
    ],
    root: RootOption = None,
) -> None:
    """Remove a target and its visits from Dagster, such as one that was added by mistake.

    A work directory without exposures is deleted. One with exposures is kept, and the target is
    retired.
    """
    with opened_instance() as instance:
        from hst_assets.orchestration.forgetting import forget_target

        left = forget_target(instance, root_or_default(root), target)
    output().print(f"forgotten: {target}", highlight=False, markup=False)
    if left is not None:
        output().print(
            f"its exposures are kept in {left}, and it is retired", highlight=False, markup=False
        )


def _facts(state: TargetState) -> dict[str, Any]:
    return {**asdict(state), "status": _status(state)}


def _status(state: TargetState) -> str:
    if state.problem:
        return f"cannot be read: {state.problem}"
    if state.retired:
        return "retired"
    return "followed" if state.archive else "local"


def _print_states(states: list[TargetState]) -> None:
    columns = ("target", "status", "visits", "files to fetch", "last query", "runs in flight")
    rows = [
        (
            state.target,
            _status(state),
            str(state.n_visits),
            str(state.n_outstanding) if state.archive else "-",
            _moment(state.asked_mjd),
            str(state.in_flight),
        )
        for state in states
    ]
    print_table(columns, rows)


def _moment(mjd: float | None) -> str:
    if mjd is None:
        return "-"
    from astropy.time import Time

    return str(Time(mjd, format="mjd").isot)[:16]
