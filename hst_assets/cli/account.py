"""What became of a target's exposures, as tables at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hst_assets.cli.terminal import errors, output
from hst_assets.failures import HstAssetsError
from hst_assets.reasons import first_of
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    from hst_assets.exposure_account import Account, ProductCount

__all__ = ["show_account"]

#: At most so many rootnames are named for a reason.
_NAMED = 8


def show_account(workdir: WorkDir) -> None:
    """Print the exposures that were left out, by reason, and the products with their counts."""
    # Here, for it takes a second with astropy's tables that every command would pay.
    from hst_assets.exposure_account import account_of

    try:
        account = account_of(workdir)
    except HstAssetsError as error:
        errors().print(f"[yellow]note[/yellow] no account: {escape(error.brief)}", highlight=False)
        return
    console = output()
    if account.n_exposures:
        _show_exposures(account, workdir, console)
    for told in account.without_effect:
        errors().print(f"[yellow]note[/yellow] {escape(told)}", highlight=False)
    of_target = [product for product in account.products if not product.of_visit]
    amiss = [each for each in account.products if each.of_visit and each.status == "FAIL"]
    if of_target or amiss:
        console.print(_table_of([*of_target, *amiss]))


def _show_exposures(account: Account, workdir: WorkDir, console: Console) -> None:
    used = f"{account.n_used} of {account.n_exposures} exposures used"
    console.print(f"{workdir.target}: {used}", highlight=False, markup=False)
    if not account.left_out:
        return
    from hst_assets.exposure_account import by_reason

    table = Table("n", "left out in", "reason", "remedy", "exposures")
    for group in by_reason(account.left_out):
        names = first_of(group.rootnames, _NAMED)
        cells = (str(len(group.rootnames)), group.step, group.reason, group.remedy, names)
        table.add_row(*map(escape, cells))
    console.print(table)


def _table_of(products: Sequence[ProductCount]) -> Table:
    table = Table("product", "exposures", "status", "reason")
    for each in products:
        count = f"{each.n_exposures} of {each.n_available}"
        table.add_row(*map(escape, (each.name, count, each.status, each.reason)))
    return table
