"""``hst-assets lightcurve``: the light curve of a target, or of another place in its field."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hst_assets.cli.materialize import materialize_target
from hst_assets.cli.option_groups import takes_redo
from hst_assets.cli.position_argument import PositionArgument, read_position
from hst_assets.cli.setting_options import Changes, takes_settings
from hst_assets.cli.terminal import RootOption, TargetArgument, output, root_or_default
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["light_curve_command"]

_ASSET = "light_curve"
_SHOWN = ("method", "band", "epoch", "MJD", "flux (uJy)", "AB mag", "limit (3 sigma)", "S/N")


@takes_settings("light_curve")
@takes_redo
def light_curve_command(
    target: TargetArgument,
    position: PositionArgument = None,
    *,
    redo: dict[str, bool],
    upstream: Annotated[
        bool,
        typer.Option("--all", help="Also make what the light curve is made from, if needed."),
    ] = False,
    root: RootOption = None,
    changes: Changes,
) -> None:
    """Make the light curve of a target, or of the place RA DEC in its field, and print its means.

    The place and the options are saved in the target's settings.
    """
    workdir = WorkDir(root_or_default(root), target).existing()
    place = read_position(position)
    if place is not None:
        changes.setdefault(_ASSET, {}).update(ra_deg=place[0], dec_deg=place[1])
    if upstream:
        changes.setdefault(_ASSET, {})["make"] = True
    if changes:
        write_settings(workdir, changes)
    assets = [] if upstream else [_ASSET]
    materialize_target(workdir, assets=assets, redo=redo, offline=not upstream)
    _show(workdir)


def _show(workdir: WorkDir) -> None:
    from hst_assets.products.columns import read_table

    table = read_table(workdir.light_curve)
    shown = table[(table["source"] == 0) & (table["level"] != "exposure")]
    output().print(_as_shown(shown))
    for text in (*table.meta["not_measured"], *table.meta["notes"], *_notes(shown)):
        output().print(text, highlight=False, markup=False)
    output().print(f"{workdir.light_curve}", highlight=False, markup=False)


def _notes(rows: QTable) -> list[str]:
    return list(dict.fromkeys(f"{row['method']}: {row['note']}" for row in rows if row["note"]))


def _as_shown(rows: QTable) -> Table:
    shown = Table(*_SHOWN)
    for row in rows:
        shown.add_row(
            str(row["method"]),
            f"{row['detector']}.{str(row['filter_name']).lower()}",
            "all" if row["level"] == "filter" else str(row["epoch"]),
            f"{row['mjd'].value:.3f}",
            _with_error(row, "flux_ujy", "flux_error_ujy", 4),
            _with_error(row, "ab_mag", "ab_mag_error", 3),
            _shown(row["limit_3sigma_ab_mag"].value, 2),
            _shown(row["snr"], 1),
        )
    return shown


def _with_error(row: Any, name: str, error: str, digits: int) -> str:
    value = row[name].value
    shown = _shown(value, digits)
    return f"{shown} ± {row[error].value:.{digits}f}" if math.isfinite(value) else shown


def _shown(value: float, digits: int) -> str:
    """A number; where there is none, such as of the template of differences, a dash."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"
