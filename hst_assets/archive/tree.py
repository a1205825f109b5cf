"""Files of the archive kept in a tree on disk, shared by targets: ``INST/DET/round(ra)/name``.

A target's raw/ has hard links to the tree's files, or copies where the tree is on another file
system. Beside a file in the tree lies the receipt that says what it was when it was verified; it is
believed only as long as size and SHA-256 agree. A file without one (of a tree that hst123 made,
say) is looked at once, by size and structure. What does not hold is replaced by a fetched copy.

Two processes that want one file wait for each other: the lock of `fetch` is that of a name in
a folder.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from hst_assets.archive.credentials import Token
from hst_assets.archive.download import Fetched, NotFetched, Progress
from hst_assets.archive.holdings import Product
from hst_assets.archive.receipts import receipt_of, write_receipt
from hst_assets.detectors import DETECTORS
from hst_assets.exposures.archive_tree import folder_in_tree
from hst_assets.exposures.fits_structure import fits_structure
from hst_assets.failures import TransientFailure, UnusableInput
from hst_assets.provenance import sha256_of_file
from hst_assets.settings import ArchiveSettings

__all__ = [
    "Fetcher",
    "fetch_through",
    "is_unproven",
    "link_or_copy",
    "path_in_tree",
    "taken_from_tree",
]

logger = logging.getLogger(__name__)


class Fetcher(Protocol):
    """`hst_assets.archive.download.fetch`, or a substitute."""

    def __call__(
        self,
        products: Sequence[Product],
        folder: Path,
        settings: ArchiveSettings,
        *,
        token: Token | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> list[Fetched | NotFetched]:
        """Bring products into a folder, under their names."""
        ...


def path_in_tree(tree: Path, product: Product) -> Path:
    """Where a product lies in a tree."""
    folder = folder_in_tree(DETECTORS[product.detector_key], product.ra_deg)
    return tree / folder / product.name


def fetch_through(
    fetcher: Fetcher,
    products: Sequence[Product],
    tree: Path,
    settings: ArchiveSettings,
    *,
    token: Token | None = None,
    progress: Callable[[Progress], None] | None = None,
    anew: Collection[str] = (),
) -> list[Fetched | NotFetched]:
    """Bring products into a tree, unless they are there.

    Parameters
    ----------
    fetcher : callable
        `hst_assets.archive.download.fetch`.
    products : sequence of Product
        What is wanted.
    tree : `~pathlib.Path`
        The tree's root; made if need be.
    settings, token, progress
        As of the fetcher.
    anew : collection of str, optional
        Names of products whose file in the tree is known to be another than the archive's.

    Returns
    -------
    list of Fetched or NotFetched
        In the order of `products`; paths are those in the tree. One that was there without a
        receipt has no tries.
    """
    by_folder: dict[Path, list[Product]] = {}
    for product in products:
        path = path_in_tree(tree, product)
        path.parent.mkdir(parents=True, exist_ok=True)
        if product.name in anew:
            receipt_of(path).unlink(missing_ok=True)
        else:
            _adopt(path, product)
        by_folder.setdefault(path.parent, []).append(product)
    came = {
        answer.product: answer
        for folder, group in by_folder.items()
        for answer in fetcher(group, folder, settings, token=token, progress=progress)
    }
    return [came[product] for product in products]


def _adopt(path: Path, product: Product) -> None:
    """Give a file that nobody vouches for a receipt, if it is whole and of the right size."""
    if receipt_of(path).exists() or not path.is_file():
        return
    size = path.stat().st_size
    if product.size not in (None, size):
        logger.warning("%s: %d bytes, not %s; fetched again", path, size, product.size)
        return
    try:
        rootname = fits_structure(path).rootname
    except UnusableInput as error:
        logger.warning("%s; fetched again", error)
        return
    if rootname and rootname[:8] != product.rootname[:8]:
        logger.warning("%s: its ROOTNAME is %s; fetched again", path, rootname)
        return
    write_receipt(
        Fetched(
            product=product,
            path=path,
            size=size,
            sha256=sha256_of_file(path),
            etag=None,
            last_modified=None,
            route="mast",
            n_tries=0,
            resumed_bytes=0,
        )
    )


def is_unproven(fetched: Fetched) -> bool:
    """Whether a file was in the tree already, and nobody saw it come from the archive."""
    return fetched.n_tries == 0


def taken_from_tree(fetched: Fetched | NotFetched, path: Path) -> Fetched | NotFetched:
    """A file that came into the tree, under a second path and with the bytes that were verified."""
    if isinstance(fetched, NotFetched):
        return fetched
    link_or_copy(fetched.path, path)
    if sha256_of_file(path) == fetched.sha256:
        return replace(fetched, path=path)
    path.unlink()
    # Another target fetched another version meanwhile, or the copy was spoilt.
    failure = TransientFailure(
        f"it changed while it was taken from {fetched.path.parent}",
        where=fetched.product.name,
        next_step="Try again",
    )
    return NotFetched(fetched.product, failure)


def link_or_copy(source: Path, destination: Path) -> None:
    """Give a file a second name, or make a copy where that cannot be.

    Parameters
    ----------
    source : `~pathlib.Path`
        The file.
    destination : `~pathlib.Path`
        Replaced if it is there.
    """
    destination.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), destination)
    except OSError as error:
        # Other file system; one without hard links; a file of another user (protected_hardlinks).
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        shutil.copyfile(source, destination)
