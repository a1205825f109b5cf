"""What a fetched file is known to be: the answer of a fetch, and the receipt beside the file.

The receipt (``.<name>.received.json``) lets a fetch that was killed after its last byte, or that
another process forestalled, hand out the file without a transfer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hst_assets.archive.holdings import Product
from hst_assets.archive.urls import RouteName
from hst_assets.failures import HstAssetsError
from hst_assets.provenance import sha256_of_file

__all__ = ["Fetched", "NotFetched", "read_receipt", "receipt_of", "write_receipt"]

_KEPT = ("size", "sha256", "etag", "last_modified", "route", "n_tries", "resumed_bytes")


@dataclass(frozen=True)
class Fetched:
    """A complete, verified file.

    Attributes
    ----------
    product : Product
        The request.
    path : `~pathlib.Path`
        Where it lies.
    size : int
        Bytes.
    sha256 : str
        Of its bytes, hexadecimal.
    etag, last_modified : str or None
        The service's validators; those of another route are others.
    route : str
        ``"mast"`` or ``"s3"``.
    n_tries : int
        Transfers that it took.
    resumed_bytes : int
        How much the last of them found there.
    notes : tuple of str
        What was odd, though not wrong.
    """

    product: Product
    path: Path
    size: int
    sha256: str
    etag: str | None
    last_modified: str | None
    route: RouteName
    n_tries: int
    resumed_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotFetched:
    """A file that did not come, and why."""

    product: Product
    failure: HstAssetsError


def receipt_of(path: Path) -> Path:
    """The receipt beside a fetched file."""
    return path.with_name(f".{path.name}.received.json")


def write_receipt(fetched: Fetched) -> None:
    """Put the receipt where the file is, or will be."""
    kept = {key: getattr(fetched, key) for key in _KEPT}
    text = json.dumps({"version": fetched.product.version, **kept, "notes": list(fetched.notes)})
    receipt_of(fetched.path).write_text(text)


def read_receipt(product: Product, folder: Path) -> Fetched | None:
    """The file of this very version that lies in `folder`; None if it does not, or has changed."""
    path = folder / product.name
    try:
        kept = json.loads(receipt_of(path).read_text())
        if kept.pop("version") != product.version or path.stat().st_size != kept["size"]:
            return None
        notes = tuple(kept.pop("notes"))
        fetched = Fetched(product=product, path=path, notes=notes, **kept)
        return fetched if sha256_of_file(path) == fetched.sha256 else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
