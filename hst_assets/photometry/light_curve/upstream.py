"""The products from which light curves and counterparts are made, by the assets that make them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from hst_assets.failures import MissingProduct
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir

__all__ = ["UPSTREAM", "digests_of", "lost_files", "refuse_damage"]

#: Asset to the property of `WorkDir` that is its product.
UPSTREAM: Mapping[str, str] = MappingProxyType(
    {
        "dolphot_catalog": "star_catalog",
        "target_exposures": "target_exposures",
        "target_alignment": "target_alignment",
        "drizzled_stacks": "stack_products",
        "epoch_differences": "difference_products",
        "artificial_stars": "completeness",
    }
)
#: Those that list products with records of their own.
_INDEXES = ("drizzled_stacks", "epoch_differences")


def digests_of(
    workdir: WorkDir, needed: Iterable[str], optional: Iterable[str] = ()
) -> dict[str, str]:
    """Digests of what is measured on, as inputs of a recipe.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    needed : iterable of str
        Assets that must be there.
    optional : iterable of str, optional
        Assets that a target need not have; they are left out where it has none.

    Raises
    ------
    MissingProduct
        If one that is needed is not there, or has no record.
    """
    must = tuple(needed)
    digests = {}
    for asset in (*must, *optional):
        path = _product(workdir, asset)
        record = read_record(path)
        if record is not None:
            digests[asset] = record.digest
        elif asset in must:
            raise MissingProduct(
                f"there is no {asset} yet, or it has no record",
                where=path,
                next_step=f"Materialize {asset} first",
            )
    return digests


def lost_files(workdir: WorkDir, base: str) -> tuple[str, ...]:
    """The files of upstream products that are gone or not as recorded, in words.

    What has no record was not made, and is not damaged.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    base : str
        Name of the catalogue's files (``dolphot.base``).
    """
    products = [
        *(_product(workdir, asset) for asset in UPSTREAM),
        workdir.dolphot_catalog(base),
        *(path for asset in _INDEXES for path in _listed(workdir, _product(workdir, asset))),
    ]
    return tuple(dict.fromkeys(text for product in products for text in _lost(workdir, product)))


def refuse_damage(workdir: WorkDir, base: str) -> None:
    """Refuse to take a damaged product for one that does not show something.

    Parameters
    ----------
    workdir, base
        As of `lost_files`.

    Raises
    ------
    MissingProduct
        With the files that are not as recorded.
    """
    lost = lost_files(workdir, base)
    if lost:
        raise MissingProduct(
            "; ".join(lost), where=workdir.base, next_step="Rerun the target: it is made again"
        )


def _product(workdir: WorkDir, asset: str) -> Path:
    path: Path = getattr(workdir, UPSTREAM[asset])
    return path


def _lost(workdir: WorkDir, product: Path) -> tuple[str, ...]:
    record = read_record(product)
    return () if record is None else record.lost(workdir)


def _listed(workdir: WorkDir, index: Path) -> Iterator[Path]:
    """The products of an index that is as recorded; a damaged one is told by itself."""
    if read_record(index) is None or _lost(workdir, index):
        return
    for name in map(str, read_table(index)["file"]):
        if name:
            yield workdir.absolute(name)
