"""What of a visit comes into raw/ together, compared with what is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite

from hst_assets.archive.comparison import Case, Compared, compare
from hst_assets.archive.fetch_history import ProductKey, key_of
from hst_assets.archive.holdings import Product
from hst_assets.archive.receipts import Fetched
from hst_assets.detectors import DETECTORS
from hst_assets.exposures.raw import COMPANION_SUFFIX, exposure_key
from hst_assets.workdir import WorkDir

__all__ = ["Unit", "is_name_of_visit", "is_stale", "one_each", "units_of"]

_ROOTNAME = re.compile(r"[a-z][a-z0-9]{8}")
#: Cases in which a file in raw/ may be replaced: it came from the archive, or is no longer what was
#: verified.
_REPLACED = (Case.CHANGED, Case.DAMAGED, Case.UNFINISHED)


@dataclass
class Unit:
    """What comes in together: one file, or a c0m with its c1m.

    Attributes
    ----------
    parts : list of Compared
        Its products, beside what raw/ has of them.
    came : dict of Fetched
        By name, those that were fetched now.
    """

    parts: list[Compared]
    came: dict[str, Fetched] = field(default_factory=dict)

    @property
    def products(self) -> list[Product]:
        """What the archive lists of it."""
        return [part.product for part in self.parts]

    @property
    def leader(self) -> Product:
        """The product that ingest is given; the companion comes along by itself."""
        return min(self.products, key=lambda product: product.suffix == COMPANION_SUFFIX)

    @property
    def replaces(self) -> bool:
        """Whether it replaces what is in raw/."""
        return any(part.case in _REPLACED for part in self.parts)

    def may_be_outdated(self, part: Compared) -> bool:
        """Whether its companion in raw/ seems to be one that the archive has replaced.

        Flags of another release may have the same size; they are fetched along.
        """
        return part.case is Case.STANDS and any(each.case is Case.CHANGED for each in self.parts)


def units_of(workdir: WorkDir, products: Sequence[Product]) -> list[Unit]:
    """Compare products with what raw/ has, and put together what comes in together."""
    units: dict[str, Unit] = {}
    for each in compare(workdir, products):
        # One unit an exposure and detector: only WFPC2 has two files of one.
        key = exposure_key(each.product.rootname)
        units.setdefault(key, Unit([])).parts.append(each)
    return list(units.values())


def one_each(products: Iterable[Product]) -> tuple[Product, ...]:
    """Each exposure's products once; the later release where rootnames differ in the ninth."""
    found: dict[ProductKey, Product] = {}
    for product in sorted(products, key=lambda each: (each.release_mjd, each.name)):
        found[key_of(product)] = product
    return tuple(sorted(found.values()))


def is_name_of_visit(product: Product, visit: str) -> bool:
    """Whether a product is named as an exposure of this visit is; names become paths."""
    return (
        _ROOTNAME.fullmatch(product.rootname) is not None
        and product.detector_key in DETECTORS
        and product.suffix in _suffixes(product.detector_key)
        and product.rootname[:6] == visit
        and isfinite(product.ra_deg)
    )


def is_stale(part: Compared) -> bool:
    """Whether a copy of the listed version may be the one that the archive has replaced."""
    return part.case is Case.STANDS or (part.origin is not None and part.origin.superseded)


def _suffixes(detector_key: str) -> set[str]:
    detector = DETECTORS[detector_key]
    return {detector.suffix, COMPANION_SUFFIX} if detector.has_separate_dq else {detector.suffix}
