"""What Dagster records of the archive: a listing and a delivery, as facts for checks and the UI.

No decision is taken here. Facts are JSON; `orchestration.metadata` shows them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hst_assets.archive.holdings import Listing, Product
from hst_assets.exposures.raw import COMPANION_SUFFIX
from hst_assets.provenance import Made, Record, digest_of, tool_version

if TYPE_CHECKING:
    from hst_assets.archive.sync import SyncReport

__all__ = ["delivery_facts", "listing_digest", "reported_listing", "utc", "with_facts"]

_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
_MEGABYTE = 1e6
#: At most so many files are named in a text.
_NAMED = 12


def utc(mjd: float) -> str:
    """A Modified Julian Date (UTC) as ISO 8601 text, to the second."""
    moment = _MJD_EPOCH + timedelta(days=mjd)
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def listing_digest(listing: Listing) -> str:
    """Digest over the products and their versions: the listing's data version."""
    return digest_of({product.name: product.version for product in listing.products})


def reported_listing(listing: Listing, n_outstanding: int) -> Made:
    """The listing as a step's product, so that checks and the UI treat it as any other.

    Parameters
    ----------
    listing : Listing
        The archive's answer.
    n_outstanding : int
        Number of its files that raw/ lacks, or has in another version.
    """
    digest = listing_digest(listing)
    record = Record(
        digest=digest,
        recipe={"stage": "archive_exposures", "question": listing.question},
        outputs={},
        facts=_listing_facts(listing, n_outstanding),
        created=utc(listing.asked_mjd),
        hst_assets=tool_version("hst_assets"),
    )
    return Made(record, ran=True, reasons=("the archive was asked",))


def _listing_facts(listing: Listing, n_outstanding: int) -> dict[str, Any]:
    visits = sorted(listing.visits().values(), key=lambda held: (-held.release_mjd, held.visit))
    reasons = Counter(left_out.reason.partition(":")[0] for left_out in listing.excluded)
    return {
        "n_exposures": _n_exposures(listing.products),
        "n_visits": len(visits),
        "n_files": len(listing.products),
        "n_outstanding": n_outstanding,
        "size_mb": _size_mb(listing.products),
        "newest_visits": [
            {
                "visit": held.visit,
                "released": utc(held.release_mjd),
                "rights": ", ".join(sorted({product.data_rights for product in held.products})),
                "exposures": _n_exposures(held.products),
                "MB": _size_mb(held.products),
            }
            for held in visits
        ],
        "bands": _bands(listing.products),
        "n_excluded": len(listing.excluded),
        "excluded": [
            {"reason": reason, "observations": count} for reason, count in reasons.most_common()
        ],
        "cross_checked": listing.cross_checked,
        "discrepancies": list(listing.discrepancies),
        "notes": list(listing.notes),
    }


def _bands(products: Iterable[Product]) -> list[dict[str, Any]]:
    exposures = {
        product.rootname: product for product in products if product.suffix != COMPANION_SUFFIX
    }
    numbers: dict[tuple[str, str], list[float]] = {}
    for product in exposures.values():
        numbers.setdefault((product.detector_key, product.filter), []).append(product.exptime_s)
    return [
        {"detector": key, "filter": name, "exposures": len(times), "seconds": round(sum(times), 1)}
        for (key, name), times in sorted(numbers.items())
    ]


def _n_exposures(products: Iterable[Product]) -> int:
    return len({p.rootname for p in products if p.suffix != COMPANION_SUFFIX})


def _size_mb(products: Iterable[Product]) -> float:
    return round(sum(product.size or 0 for product in products) / _MEGABYTE, 3)


def delivery_facts(delivery: SyncReport) -> dict[str, Any]:
    """Counts, bytes and routes of what was fetched, and what could not be had."""
    routes = Counter(file.route for file in delivery.fetched)
    missing = [f"{lost.product.name}: {lost.failure.what}" for lost in delivery.failed]
    more = [f"and {len(missing) - _NAMED} more"] if len(missing) > _NAMED else []
    return {
        "n_fetched": len(delivery.fetched),
        "n_unchanged": len(delivery.unchanged),
        "n_failed": len(delivery.failed),
        "fetched_mb": round(sum(file.size for file in delivery.fetched) / _MEGABYTE, 3),
        "resumed_mb": round(sum(file.resumed_bytes for file in delivery.fetched) / _MEGABYTE, 3),
        "routes": dict(sorted(routes.items())),
        "undelivered": [*missing[:_NAMED], *more],
        "archive_notes": list(delivery.notes[:_NAMED]),
    }


def with_facts(made: Made, facts: Mapping[str, Any]) -> Made:
    """`made` with more facts, which its record on disk does not keep."""
    record = made.record.model_copy(update={"facts": {**made.facts, **facts}})
    return Made(record, made.ran, made.reasons)
