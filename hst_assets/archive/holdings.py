"""What the archive holds for a target: files, gathered by visit, with what was left out and why.

`Product` is one file as the archive describes it; nothing in it is trusted as a path: names are
made from rootname and suffix, which have been checked. `Listing` is the answer to one question.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hst_assets.provenance import digest_of

__all__ = ["Excluded", "Listing", "Product", "VisitHoldings", "visit_holdings"]


@dataclass(frozen=True, order=True)
class Product:
    """One file of an exposure that the archive holds and the target wants.

    Attributes
    ----------
    visit : str
        IPPPSS visit id.
    rootname : str
        IPPPSSOOT, lower case, nine characters.
    suffix : str
        flc, flt, c0m or c1m.
    uri : str
        Of the archive, ``mast:HST/product/<name>``.
    size : int or None
        Bytes, as the product list says; None where it does not say.
    data_rights : str
        PUBLIC, EXCLUSIVE_ACCESS or RESTRICTED.
    release_mjd : float
        When the observation became, or becomes, public (MJD, UTC).
    detector_key : str
        Key of `hst_assets.detectors.DETECTORS`.
    filter : str
        The archive's word for the filter elements, separated by ``;``.
    mjd_start : float
        Start of the observation (MJD, UTC).
    exptime_s : float
        Exposure time, seconds.
    proposal : str
        Number of the proposal.
    ra_deg : float
        Right ascension of the pointing (ICRS), degrees.
    dec_deg : float
        Declination of the pointing (ICRS), degrees.
    """

    visit: str
    rootname: str
    suffix: str
    uri: str
    size: int | None
    data_rights: str
    release_mjd: float
    detector_key: str
    filter: str
    mjd_start: float
    exptime_s: float
    proposal: str
    ra_deg: float
    dec_deg: float

    @property
    def name(self) -> str:
        """The file's name, made from what was checked."""
        return f"{self.rootname}_{self.suffix}.fits"

    @property
    def is_public(self) -> bool:
        """Whether anyone may have it."""
        return self.data_rights == "PUBLIC"

    @property
    def version(self) -> str:
        """Changes when the archive announces other content under the same name."""
        return digest_of([self.uri, self.size, round(self.release_mjd, 6)])


@dataclass(frozen=True)
class Excluded:
    """An observation of the archive that was left out, and the rule that did it."""

    observation: str
    reason: str


@dataclass(frozen=True)
class VisitHoldings:
    """The files of one visit.

    Attributes
    ----------
    visit : str
        IPPPSS.
    products : tuple of Product
        Sorted.
    release_mjd : float
        The latest release among them.
    version : str
        Digest over the versions of the products.
    """

    visit: str
    products: tuple[Product, ...]

    @property
    def release_mjd(self) -> float:
        """The latest release among the products (MJD, UTC)."""
        return max(product.release_mjd for product in self.products)

    @property
    def version(self) -> str:
        """Digest over the versions of the products."""
        return digest_of({product.name: product.version for product in self.products})


@dataclass(frozen=True)
class Listing:
    """The archive's answer to a target's question.

    Attributes
    ----------
    question : str
        Digest of the query; another query needs another answer.
    asked_mjd : float
        Time of the query (MJD, UTC).
    products : tuple of Product
        Sorted, each name once.
    excluded : tuple of Excluded
        Observations that were left out.
    discrepancies : tuple of str
        What the second catalogue (MAST's Missions search) says otherwise; empty where it agrees.
    cross_checked : bool
        Whether the second catalogue answered at all.
    notes : tuple of str
        What was odd in the answers, such as a footprint that cannot be read.
    """

    question: str
    asked_mjd: float
    products: tuple[Product, ...]
    excluded: tuple[Excluded, ...] = ()
    discrepancies: tuple[str, ...] = ()
    cross_checked: bool = False
    notes: tuple[str, ...] = field(default=())

    def visits(self) -> dict[str, VisitHoldings]:
        """The files by visit, visits sorted."""
        return visit_holdings(self.products)


def visit_holdings(products: Iterable[Product]) -> dict[str, VisitHoldings]:
    """Gather products by visit, visits sorted."""
    by_visit: dict[str, list[Product]] = {}
    for product in products:
        by_visit.setdefault(product.visit, []).append(product)
    return {
        visit: VisitHoldings(visit, tuple(sorted(found)))
        for visit, found in sorted(by_visit.items())
    }
