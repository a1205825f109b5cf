"""``hst-assets archive``: what the archive holds for a target, and what is still to be fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from hst_assets.cli.terminal import RootOption, TargetArgument, errors, output, root_or_default
from hst_assets.failures import NothingFound
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    from hst_assets.archive.holdings import Listing, Product, VisitHoldings

__all__ = ["RefreshOption", "amount", "archive_command", "show_listing"]

RefreshOption = Annotated[
    bool, typer.Option("--refresh", help="Query the archive even if the last listing is recent.")
]


def archive_command(
    target: TargetArgument,
    refresh: RefreshOption = False,
    excluded: Annotated[
        bool, typer.Option("--excluded", help="List each excluded observation with the reason.")
    ] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Show the last listing, however old; do not query the archive."
        ),
    ] = False,
    root: RootOption = None,
) -> None:
    """Show what the archive holds for a target, by visit, and what is still to be fetched."""
    from hst_assets.archive.listing import current_listing, read_listing
    from hst_assets.archive.sync import outstanding

    workdir = WorkDir(root_or_default(root), target).existing()
    settings = load_settings(workdir)
    if offline:
        listing = read_listing(workdir)
        if listing is None:
            raise NothingFound("the archive has not been queried yet", where=target)
    else:
        listing = current_listing(workdir, settings, refresh=refresh)
    show_listing(listing, outstanding(workdir, listing), each_excluded=excluded)


def show_listing(
    listing: Listing, lacking: Mapping[str, Sequence[Product]], *, each_excluded: bool = False
) -> None:
    """Print a listing by visit, what of it is lacking in raw/, and what was left out.

    Parameters
    ----------
    listing : Listing
        The archive's answer.
    lacking : mapping
        Visit to its files that are not in raw/, or have changed in the archive.
    each_excluded : bool, optional
        Name each observation that was left out, instead of counting them by reason.
    """
    console = output()
    console.print(_table(listing, lacking))
    everything = [product for visit in listing.visits().values() for product in visit.products]
    missing = [product for products in lacking.values() for product in products]
    console.print(
        f"the archive holds {amount(everything)} in {len(listing.visits())} visits; "
        f"to be fetched: {amount(missing) if missing else 'nothing'}",
        highlight=False,
    )
    if each_excluded:
        for one in listing.excluded:
            console.print(f"excluded {escape(one.observation)}: {escape(one.reason)}")
    else:
        for reason, n in Counter(
            one.reason.partition(":")[0] for one in listing.excluded
        ).most_common():
            console.print(f"excluded {n}: {escape(reason)}", highlight=False)
    for text in (*listing.discrepancies, *listing.notes):
        errors().print(f"[yellow]note[/yellow] {escape(text)}", highlight=False)


def amount(products: Sequence[Product]) -> str:
    """How many files, and how many bytes as far as the archive says."""
    size = sum(product.size or 0 for product in products)
    unknown = sum(product.size is None for product in products)
    files = f"{len(products)} file{'' if len(products) == 1 else 's'}"
    return f"{files}, {decimal(size)}" + (f" and {unknown} of unknown size" if unknown else "")


def _table(listing: Listing, lacking: Mapping[str, Sequence[Product]]) -> Table:
    table = Table(title="Exposures in the archive", title_justify="left")
    for column in (
        "visit",
        "proposal",
        "detector",
        "filters",
        "files",
        "size",
        "rights",
        "to fetch",
    ):
        table.add_column(column, overflow="fold")
    for visit, holdings in listing.visits().items():
        table.add_row(*_row(holdings), amount(lacking[visit]) if lacking.get(visit) else "-")
    return table


def _row(holdings: VisitHoldings) -> tuple[str, ...]:
    products = holdings.products
    return (
        holdings.visit,
        ", ".join(sorted({product.proposal for product in products})),
        ", ".join(sorted({product.detector_key for product in products})),
        ", ".join(sorted({product.filter for product in products})),
        str(len(products)),
        decimal(sum(product.size or 0 for product in products)),
        ", ".join(sorted({product.data_rights for product in products})),
    )
