"""``hst-assets status``: which products of each target are up to date, and why the others not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from hst_assets.cli.deployment import dagster_home, opened_instance
from hst_assets.cli.tables import print_table
from hst_assets.cli.terminal import RootOption, errors, output, root_or_default
from hst_assets.failures import BadConfiguration, HstAssetsError, shared_kind
from hst_assets.machine.failures import refusal_of_system
from hst_assets.reasons import FIRST, shortened
from hst_assets.settings import load_settings
from hst_assets.workdir import ROOT_VARIABLE, WorkDir, targets_in

if TYPE_CHECKING:
    from hst_assets.orchestration.forecast import Forecast
    from hst_assets.orchestration.target_summary import TargetSummary

__all__ = ["status_command"]

_Answer = TypeVar("_Answer")
#: States in the order of the summary's words.
_AMISS = ("stale", "may be stale", "invalid", "missing", "unknown")


def status_command(
    target: Annotated[str | None, typer.Argument(help="Only this target, in detail.")] = None,
    root: RootOption = None,
    stale: Annotated[
        bool,
        typer.Option(
            "--stale",
            help="Only what is not up to date; targets that have changed are compared again.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    metrics: Annotated[
        bool,
        typer.Option(
            "--metrics", help="Print counts of all targets in Prometheus' text format instead."
        ),
    ] = False,
) -> None:
    """Show the products of a target: up to date, stale (and why), invalid or missing.

    Without a target: one line each, with the result of its last comparison. "Not compared" means
    that the target has changed since then, or was never compared.
    """
    folder = root_or_default(root)
    if not folder.is_dir():
        raise BadConfiguration(
            "no such folder of work directories",
            where=folder,
            next_step=f"Name it with --root or {ROOT_VARIABLE}; the first 'hst-assets ingest' or "
            "'hst-assets target add' creates it",
        )
    if metrics:
        if target or stale or as_json:
            raise BadConfiguration(
                "metrics are of all targets, in one format",
                where="--metrics",
                next_step="Leave out the target, --stale and --json",
            )
        _print_metrics(folder)
        return
    if target:
        rows = _compared(WorkDir(folder, target).existing(), stale=stale)
        _show_products(rows, as_json=as_json, title=target)
        return
    names = targets_in(folder)
    if not names and not as_json:
        output().print(f"no targets in {folder}")
    broken: list[HstAssetsError] = []
    if stale:
        found = _of_each(folder, names, lambda workdir: _compared(workdir, stale=True), broken)
        _show_products([row for rows in found for row in rows], as_json=as_json)
    elif names or as_json:
        _show_summaries(_of_each(folder, names, _summary, broken), as_json=as_json)
    if broken:
        raise shared_kind(map(type, broken))(
            f"{len(broken)} of {len(names)} targets cannot be read",
            where=folder,
            next_step="See the reasons above",
        )


def _summary(workdir: WorkDir) -> TargetSummary:
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.orchestration.target_summary import summary

    return summary(workdir, ASSETS)


@dataclass(frozen=True)
class _Product:
    """A product: how it stands, and whether it is published so; empty if it is not to be."""

    found: Forecast
    published: str = ""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.found), "published": self.published}


def _compared(workdir: WorkDir, *, stale: bool) -> list[_Product]:
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.orchestration.target_summary import compared
    from hst_assets.publishing.receipt import publications
    from hst_assets.publishing.selection import product_key

    # What the archive has is shown by 'hst-assets archive'; a pointer has no file.
    rows = compared(workdir, ASSETS, anew=not stale)
    published = publications(workdir, load_settings(workdir))
    keys = [product_key(row.asset, row.partition.partition("/")[2]) for row in rows]
    return [
        _Product(row, published.get(key, ""))
        for row, key in zip(rows, keys, strict=True)
        if not stale or not row.is_fine
    ]


def _of_each(
    root: Path,
    names: Iterable[str],
    look: Callable[[WorkDir], _Answer],
    broken: list[HstAssetsError],
) -> list[_Answer]:
    """Look at each target; of those that cannot be read print why, and add it to `broken`."""
    found = []
    for name in names:
        try:
            found.append(look(WorkDir(root, name).existing()))
        except (HstAssetsError, OSError) as error:
            failure = error if isinstance(error, HstAssetsError) else refusal_of_system(error)
            errors().print(
                f"[red]cannot be read[/red] {escape(f'{name}: {failure.brief}')}", highlight=False
            )
            broken.append(failure)
    return found


def _show_summaries(found: list[TargetSummary], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    columns = ["target", "visits", "made", "last made", "compared", "status"]
    is_published = any(each.published for each in found)
    rows = []
    for each in found:
        made = f"{each.n_made} of {each.n_wanted}"
        when = each.compared[:16] or "not compared"
        cells = [each.target, str(each.n_visits), made, each.last_made[:16], when, _told(each)]
        rows.append([*cells, *[_told_published(each)] * is_published])
    print_table([*columns, *["published"] * is_published], rows)
    if any(not each.compared for each in found):
        output().print(
            "'hst-assets status TARGET' or 'hst-assets status --stale' compares", highlight=False
        )


def _print_metrics(folder: Path) -> None:
    """A target that cannot be read is counted as such, and named on standard error."""
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.orchestration.metrics import metrics_text

    broken: list[HstAssetsError] = []
    found = _of_each(folder, targets_in(folder), _summary, broken)
    with opened_instance() as instance:
        text = metrics_text(
            instance,
            ASSETS,
            found,
            n_unreadable=len(broken),
            root=folder,
            folders={"work directories": folder, "instance": dagster_home()},
        )
    typer.echo(text, nl=False)


def _told(found: TargetSummary) -> str:
    if not found.compared:
        return "not checked"
    amiss = [f"{found.states[state]} {state}" for state in _AMISS if found.states.get(state)]
    if amiss:
        return ", ".join(amiss)
    return "up to date" if found.states.get("up to date") else "nothing to compare"


def _told_published(found: TargetSummary) -> str:
    """How many of the target's products are published as they are, and what of the others."""
    total = sum(found.published.values())
    if not total:
        return ""
    states = {state: n for state, n in found.published.items() if state != "published"}
    told = [f"{found.published.get('published', 0)} of {total}"]
    return ", ".join([*told, *(f"{n} {state}" for state, n in sorted(states.items()))])


def _show_products(products: list[_Product], *, as_json: bool, title: str = "") -> None:
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in products], indent=2))
        return
    table = Table(title=escape(title) or None, title_justify="left")
    is_published = any(each.published for each in products)
    for column in ("partition", "asset", "made at", *["published"] * is_published, "status"):
        table.add_column(column)
    for product in products:
        each = product.found
        told: str = each.state
        if each.reasons and each.reasons != (FIRST,):
            told = f"{each.state}: {shortened(each.reasons)}"
        published = [product.published] * is_published
        table.add_row(escape(each.partition), each.asset, each.created, *published, escape(told))
    output().print(table)
