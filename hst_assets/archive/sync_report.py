"""What became of a visit's products: the report of a delivery, and the words for its failures."""

from __future__ import annotations

from dataclasses import dataclass

from hst_assets.archive.comparison import Case, Compared
from hst_assets.archive.fetch_history import Refusal
from hst_assets.archive.holdings import Product
from hst_assets.archive.receipts import Fetched, NotFetched
from hst_assets.failures import HstAssetsError, UnusableInput

__all__ = ["Failed", "SyncReport", "came_before", "has_no_place", "not_usable", "waits_for"]


@dataclass(frozen=True)
class Failed:
    """A product that was not delivered.

    Attributes
    ----------
    product : Product
        As the listing has it.
    failure : HstAssetsError
        Why, and what to do.
    remembered : bool
        It was fetched before and is unusable; it was not requested now.
    """

    product: Product
    failure: HstAssetsError
    remembered: bool = False


@dataclass(frozen=True)
class SyncReport:
    """What became of a visit's products.

    Attributes
    ----------
    fetched : tuple of Fetched
        Brought into raw/; paths are those in raw/.
    unchanged : tuple of Product
        Stood in raw/ already.
    failed : tuple of Failed
        Not delivered.
    notes : tuple of str
        What a human may want to know: files kept though the archive says otherwise.
    """

    fetched: tuple[Fetched, ...] = ()
    unchanged: tuple[Product, ...] = ()
    failed: tuple[Failed, ...] = ()
    notes: tuple[str, ...] = ()


def came_before(refusal: Refusal, part: Compared) -> UnusableInput:
    """The failure of a file that is not fetched, since it was refused at another time."""
    own = "" if refusal.name == part.product.name else f"its companion {refusal.name} "
    kept = "; the file in raw/ stays" if part.file and part.case is not Case.DAMAGED else ""
    return UnusableInput(
        f"{own}was fetched on {refusal.refused:%Y-%m-%d} and is unusable: {refusal.reason}{kept}",
        where=part.product.name,
        next_step=f"It is fetched again when the archive changes it, or from "
        f"{refusal.again:%Y-%m-%d} on; to try now, rerun with --clobber",
    )


def not_usable(product: Product, reason: str) -> UnusableInput:
    """The failure of a file that came whole, and is no exposure that can be used."""
    return UnusableInput(
        f"the archive's file cannot be used: {reason}",
        where=product.name,
        next_step="It is fetched again when the archive changes it; to try now, give --clobber",
    )


def has_no_place(product: Product, reason: str) -> UnusableInput:
    """The failure of a file that came whole, where raw/ has another that is not ours to replace."""
    return UnusableInput(
        f"it was fetched, but cannot be stored: {reason}",
        where=product.name,
        next_step="Then rerun the same command; what was fetched is kept",
    )


def waits_for(product: Product, lost: NotFetched) -> HstAssetsError:
    """The failure of a file that came, and is nothing without the other that did not."""
    return type(lost.failure)(
        f"it was fetched, but not its companion {lost.product.name}: {lost.failure.what}",
        where=product.name,
        next_step=lost.failure.next_step,
    )
