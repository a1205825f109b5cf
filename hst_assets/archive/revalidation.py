"""Whether the archive still has the bytes that were fetched: a HEAD request a file, no transfer.

A reprocessed exposure keeps its release date and often its size to the byte; only ETag or
Last-Modified tell. Both mean something only to the service that gave them, so it is that one which
is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from hst_assets.archive.comparison import Case, Compared, compare
from hst_assets.archive.credentials import Token, signer
from hst_assets.archive.fetch_history import FetchRecord, change_fetch_history
from hst_assets.archive.holdings import Product
from hst_assets.archive.receipts import Fetched, read_receipt
from hst_assets.archive.urls import RouteName, route_of
from hst_assets.failures import HstAssetsError, TransientFailure
from hst_assets.settings import ArchiveSettings
from hst_assets.transfer import Announced, announced
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    from requests import Session

__all__ = ["is_same", "outdated", "revalidate"]

logger = logging.getLogger(__name__)

#: After so many files in a row of which the service says nothing, a worker asks for no more.
_MOST_SILENT = 3

#: Bytes that a service gave, with what it said of them.
_Known = FetchRecord | Fetched


def is_same(known: FetchRecord | Fetched, said: Announced) -> bool | None:
    """Whether a service still has the bytes that were fetched; None if unknown."""
    if said.size is not None and said.size != known.size:
        return False
    if known.etag and said.etag:
        return known.etag == said.etag
    if known.last_modified and said.last_modified:
        return known.last_modified == said.last_modified
    return None


def revalidate(
    workdir: WorkDir,
    products: Sequence[Product],
    settings: ArchiveSettings,
    *,
    token: Token | None = None,
    all_of_them: bool = False,
) -> frozenset[str]:
    """Ask the archive whether fetched files are still what it has, and write down the answer.

    The archive is asked about files whose last answer is older than ``recheck_after_days``, and
    about those whose entry in the listing has changed, but not in size. A file that has changed at
    the archive is `outstanding` from then on; one that has not is up to date again.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    products : sequence of Product
        Of the listing: of a visit, or of all.
    settings : ArchiveSettings
        Of the target.
    token : Token, optional
        For files under exclusive access.
    all_of_them : bool, optional
        Ask for every file that was fetched.

    Returns
    -------
    frozenset of str
        Names of the products that the archive has unchanged.

    Raises
    ------
    BadConfiguration
        If the ledger or ``.origins.json`` is damaged.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    due = now - timedelta(days=settings.recheck_after_days)
    asked = [
        each
        for each in compare(workdir, products, quick=True)
        if each.origin is not None
        and each.case in (Case.STANDS, Case.CHANGED)
        and (all_of_them or _is_due(each, each.origin, due))
    ]
    if not asked:
        return frozenset()
    said = _ask_all([(each.product, each.origin) for each in asked if each.origin], settings, token)
    same = set()
    with change_fetch_history(workdir) as origins:
        for each, answer in zip(asked, said, strict=True):
            if each.origin is None or answer is None:
                continue
            verdict = is_same(each.origin, answer)
            if verdict is not None or each.case is Case.STANDS:
                origins.add(_judged(each.origin, each.product, verdict, now))
            if verdict:
                same.add(each.product.name)
    logger.info("checked %d files with the archive, %d are unchanged", len(asked), len(same))
    return frozenset(same)


def _is_due(each: Compared, origin: FetchRecord, due: datetime) -> bool:
    if origin.superseded:
        return False  # known already
    if each.case is Case.CHANGED:
        return each.product.size in (None, origin.size)
    return origin.checked <= due


def _judged(origin: FetchRecord, product: Product, same: bool | None, now: datetime) -> FetchRecord:  # noqa: FBT001
    if same is None:
        return origin.model_copy(update={"checked": now})
    if not same:
        return origin.model_copy(update={"checked": now, "superseded": True})
    return origin.model_copy(
        update={
            "checked": now,
            "superseded": False,
            "version": product.version,
            "release_mjd": product.release_mjd,
        }
    )


def outdated(
    products: Mapping[Path, Product], settings: ArchiveSettings, *, token: Token | None = None
) -> frozenset[str]:
    """Names of fetched files that the archive has replaced.

    A file that was fetched for another target, or by a delivery that was killed, may be of the
    listed version and yet not be what the archive has by now.

    Parameters
    ----------
    products : mapping
        Product by the path where a file of it may lie, with its receipt.
    settings : ArchiveSettings
        Of the target.
    token : Token, optional
        For files under exclusive access.
    """
    found = (read_receipt(product, path.parent) for path, product in products.items())
    received = [fetched for fetched in found if fetched is not None]
    said = _ask_all([(fetched.product, fetched) for fetched in received], settings, token)
    return frozenset(
        fetched.product.name
        for fetched, answer in zip(received, said, strict=True)
        if answer is not None and is_same(fetched, answer) is False
    )


def _ask_all(
    asked: Sequence[tuple[Product, _Known]], settings: ArchiveSettings, token: Token | None
) -> list[Announced | None]:
    """One session a worker, each with every n-th of the files."""
    n = min(settings.n_workers, len(asked))
    answers: list[Announced | None] = [None] * len(asked)

    def share(first: int) -> None:
        import requests

        n_silent = 0
        with requests.Session() as session:
            for index in range(first, len(asked), n):
                try:
                    answers[index] = _ask(*asked[index], settings, token, session)
                    n_silent = 0
                except TransientFailure as error:
                    logger.warning("could not check whether it has changed (%s)", error)
                    n_silent += 1
                if n_silent == _MOST_SILENT:
                    return  # an outage: every further file would cost a timeout

    if n:
        with ThreadPoolExecutor(n) as pool:
            list(pool.map(share, range(n)))
    return answers


def _ask(
    product: Product,
    known: _Known,
    settings: ArchiveSettings,
    token: Token | None,
    session: Session,
) -> Announced | None:
    """One HEAD; None where the answer is none to go by, which is no reason to fail."""
    if known.route not in get_args(RouteName):
        return None
    route = route_of(product, "s3" if known.route == "s3" else "mast", settings)
    try:
        return announced(
            route.url,
            timeout_s=settings.timeout_s,
            session=session,
            sign=signer(token, settings.mast_url),
        )
    except TransientFailure:
        raise
    except HstAssetsError as error:
        logger.warning("%s: could not check whether it has changed (%s)", product.name, error)
        return None
