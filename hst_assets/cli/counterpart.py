"""``hst-assets counterpart``: which source of the earlier images is the object at a position."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hst_assets.cli.materialize import materialize_target
from hst_assets.cli.position_argument import PositionArgument, read_position
from hst_assets.cli.terminal import RootOption, TargetArgument, output, root_or_default
from hst_assets.failures import BadConfiguration
from hst_assets.settings import Settings, load_settings, write_settings
from hst_assets.workdir import WorkDir

__all__ = ["counterpart_command"]


def _help(key: str) -> str:
    return type(Settings().counterpart).summary(key)


def counterpart_command(
    target: TargetArgument,
    position: PositionArgument = None,
    *,
    error: Annotated[
        float | None, typer.Option("--error", help=_help("error_mas"), metavar="MAS")
    ] = None,
    frame_error: Annotated[
        float | None, typer.Option("--frame-error", help=_help("frame_error_mas"), metavar="MAS")
    ] = None,
    epoch: Annotated[
        int | None, typer.Option("--epoch", help=_help("measured_on"), show_default=False)
    ] = None,
    on_stack: Annotated[
        bool,
        typer.Option("--on-stack", help="Measure on the epoch's stack, not on its difference."),
    ] = False,
    appeared: Annotated[
        str | None, typer.Option("--appeared", help=_help("appeared"), metavar="DATE")
    ] = None,
    faded: Annotated[
        str | None, typer.Option("--faded", help=_help("faded"), metavar="DATE")
    ] = None,
    root: RootOption = None,
) -> None:
    """Look for the counterpart of the object at RA and DEC in a target's earlier images.

    With RA and DEC, these options replace all former ones in the target's settings. Without them,
    the position in the settings is used, and only the options given are changed. Aligned
    exposures, stacks, differences and the catalogue must have been made.
    """
    workdir = WorkDir(root_or_default(root), target).existing()
    changes = {
        "error_mas": error,
        "frame_error_mas": frame_error,
        "measured_on": epoch,
        "on_difference": False if on_stack else None,
        "appeared": appeared,
        "faded": faded,
    }
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    place = read_position(position)
    if place is not None:
        given = {**changes, "ra_deg": place[0], "dec_deg": place[1]}
    elif load_settings(workdir).counterpart.ra_deg is None:
        raise BadConfiguration(
            "no position whose counterpart could be looked for",
            where=target,
            next_step="Give RA and DEC with --error, or with --epoch where it is to be measured",
        )
    if epoch is not None:
        _require_epoch(workdir, epoch)
    if given:
        write_settings(workdir, {"counterpart": given})
    materialize_target(workdir, assets=["counterpart"])
    output().print(
        workdir.counterpart_verdict.read_text(encoding="utf-8").rstrip(),
        highlight=False,
        markup=False,
    )
    output().print(f"written to {workdir.counterpart.parent}", highlight=False, markup=False)


def _require_epoch(workdir: WorkDir, epoch: int) -> None:
    """Refuse a wrong epoch before it is kept, where the exposures are known."""
    from hst_assets.counterpart.image_groups import require_epoch
    from hst_assets.products.columns import read_table

    if workdir.target_exposures.is_file():
        require_epoch(read_table(workdir.target_exposures), epoch)
