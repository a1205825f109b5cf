"""Which files of the archive's listing are in raw/ and current, from the disk alone.

What the listing says of a file is its address, size and release (`Product.version`). A fetched file
is up to date as long as raw/ has the bytes that were verified and the listing still says the same
of it. A file that was ingested by hand is kept, whatever the listing says. A file that is in raw/
and not in the ledger belongs to the user, unless its bytes are known to be the archive's: then a
delivery was killed before it wrote the ledger, and the next one may replace the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from hst_assets.archive.fetch_history import (
    FetchHistory,
    FetchRecord,
    Refusal,
    key_of,
    read_fetch_history,
)
from hst_assets.archive.holdings import Listing, Product, visit_holdings
from hst_assets.exposures.raw import RawFile, fault_of, raw_ledger
from hst_assets.provenance import sha256_of_file
from hst_assets.workdir import WorkDir

__all__ = ["Case", "Compared", "compare", "lies_in_raw", "outstanding", "withdrawn"]


class Case(Enum):
    """How raw/ and the listing agree on a product."""

    #: Fetched, and as the listing says.
    STANDS = "stands"
    #: Ingested by hand.
    BY_HAND = "by hand"
    #: Not in raw/.
    MISSING = "missing"
    #: In raw/ and fetched, but not in the ledger.
    UNFINISHED = "unfinished"
    #: In the ledger, but gone, or not what was verified.
    DAMAGED = "damaged"
    #: The archive has another version by now.
    CHANGED = "changed"

    @property
    def stands(self) -> bool:
        """Whether there is nothing to be fetched."""
        return self in (Case.STANDS, Case.BY_HAND)


@dataclass(frozen=True)
class Compared:
    """A product, and what raw/ has of it.

    Attributes
    ----------
    product : Product
        As the listing has it.
    case : Case
        How they agree.
    file : RawFile or None
        Its entry in the ledger.
    origin : FetchRecord or None
        Where the bytes of that entry came from.
    refusal : Refusal or None
        This version came before, could not be used, and it is too early for another try.
    """

    product: Product
    case: Case
    file: RawFile | None = None
    origin: FetchRecord | None = None
    refusal: Refusal | None = None

    @property
    def differs(self) -> bool:
        """Whether a file that was ingested by hand cannot be the archive's: other size."""
        return (
            self.case is Case.BY_HAND
            and self.file is not None
            and self.product.size not in (None, self.file.size)
        )


def compare(
    workdir: WorkDir, products: Iterable[Product], *, quick: bool = False
) -> list[Compared]:
    """Look for products in raw/.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    products : iterable of Product
        Of the listing.
    quick : bool, optional
        Believe files that have the right size. Otherwise those with another modification time
        than the ledger's are read.

    Raises
    ------
    BadConfiguration
        If the ledger or ``.origins.json`` is damaged.
    """
    ledger = {file.key: file for file in raw_ledger(workdir)}
    origins = read_fetch_history(workdir)
    now = datetime.now(UTC)
    compared = []
    for product in products:
        file = ledger.get(key_of(product))
        origin = origins.of(file) if file else None
        case = _case(workdir, product, file, origin, quick=quick)
        if case is Case.MISSING and not quick and _was_killed(workdir, product, origins):
            case = Case.UNFINISHED
        refusal = None if case.stands else origins.refused.get(product.name)
        if refusal is not None and not refusal.holds(product, now):
            refusal = None
        compared.append(Compared(product, case, file, origin, refusal))
    return compared


def _case(
    workdir: WorkDir,
    product: Product,
    file: RawFile | None,
    origin: FetchRecord | None,
    *,
    quick: bool,
) -> Case:
    if file is None:
        return Case.MISSING
    if _is_faulty(workdir, file, quick=quick):
        return Case.DAMAGED
    if origin is None:
        return Case.BY_HAND
    if origin.superseded or origin.version != product.version:
        return Case.CHANGED
    return Case.STANDS


def _was_killed(workdir: WorkDir, product: Product, origins: FetchHistory) -> bool:
    known = [origin for origin in origins.files.values() if origin.key == key_of(product)]
    return any(lies_in_raw(workdir, origin) for origin in known)


def lies_in_raw(workdir: WorkDir, origin: FetchRecord) -> bool:
    """Whether raw/ has these very bytes under the archive's name, in the ledger or not."""
    path = workdir.raw / f"{origin.rootname}_{origin.suffix}.fits"
    return path.is_file() and sha256_of_file(path) == origin.sha256


def _is_faulty(workdir: WorkDir, file: RawFile, *, quick: bool) -> bool:
    path = workdir.raw / file.name
    if not quick:
        return fault_of(path, file) is not None
    try:
        return path.stat().st_size != file.size
    except OSError:
        return True


def outstanding(
    workdir: WorkDir, listing: Listing, *, refused: bool = True
) -> dict[str, tuple[Product, ...]]:
    """The products of a listing that raw/ does not have as the archive has them, by visit.

    From the disk alone: no query is sent, and files are not read.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    listing : Listing
        What the archive holds.
    refused : bool, optional
        Also those that came before, could not be used, and are not due for another try: they are
        not delivered, but there is no use in fetching them tonight.

    Returns
    -------
    dict
        Visits that lack nothing are left out.

    Raises
    ------
    BadConfiguration
        If the ledger or ``.origins.json`` is damaged.
    """
    compared = compare(workdir, listing.products, quick=True)
    lacking = [
        each.product
        for each in compared
        if not each.case.stands and (refused or each.refusal is None)
    ]
    return {visit: found.products for visit, found in visit_holdings(lacking).items()}


def withdrawn(workdir: WorkDir, products: Iterable[Product], visit: str) -> list[RawFile]:
    """The files of a visit that came from the archive and are not in its listing any more."""
    listed = {key_of(product) for product in products}
    origins = read_fetch_history(workdir)
    return [
        file
        for file in raw_ledger(workdir)
        if file.visit == visit and file.key not in listed and origins.of(file) is not None
    ]
