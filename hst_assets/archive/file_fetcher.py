"""One product into one folder: by the routes there are, in several tries, verified, all or nothing.

What is verified before a file takes its name:

1. it is as long as the service announced, and as the product list says. Where the list says
   otherwise, the file is taken, with a note, only if the service announced its length, it is
   whole as FITS, and its NEXTEND says that no extension is missing;
2. it is whole as FITS, and its checksums hold (see `hst_assets.exposures.fits_structure`);
3. ROOTNAME is that of the product;
4. from S3, its MD5 is the ETag, where the ETag is one.

A file that fails is discarded, and fetched once more from its beginning: bytes may have been
spoilt on the way. A second such file is the archive's own fault and is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hst_assets.archive.credentials import Token, signer
from hst_assets.archive.holdings import Product
from hst_assets.archive.receipts import Fetched, read_receipt, write_receipt
from hst_assets.archive.urls import Route, routes_of
from hst_assets.exposures.fits_structure import FitsStructure, fits_structure
from hst_assets.failures import (
    AccessRefused,
    HstAssetsError,
    TransientFailure,
    UnusableInput,
)
from hst_assets.provenance import sha256_of_file
from hst_assets.settings import ArchiveSettings
from hst_assets.transfer import Halt, Transferred, discard, in_tries, transfer
from hst_assets.workdir import move_into_place

if TYPE_CHECKING:
    from requests import Session

__all__ = ["FileFetcher"]

logger = logging.getLogger(__name__)

_LOCK_POLL_S = 0.1
#: A copy that is only the first choice is not waited for as long.
_MAX_TRIES_OF_COPY = 2
_NAME = re.compile(r"[a-z][a-z0-9]{8}_[a-z0-9]{3}\.fits")
_MD5 = re.compile(r'"([0-9a-f]{32})"')


@dataclass(frozen=True)
class FileFetcher:
    """Brings products into a folder; may be used by several threads, each with its session.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Has the files, and their parts, receipts and locks.
    settings : ArchiveSettings
        Addresses, patience and tries.
    token : Token, optional
        For files under exclusive access.
    halt : Halt, optional
        Stops from another thread.
    """

    folder: Path
    settings: ArchiveSettings
    token: Token | None = None
    halt: Halt = field(default_factory=Halt)

    def bring(self, product: Product, session: Session, on_bytes: Callable[[int], None]) -> Fetched:
        """Fetch one product, unless this version of it is there already.

        Parameters
        ----------
        product : Product
            The file.
        session : `requests.Session`
            Of this thread.
        on_bytes : callable
            Told how many bytes there are.

        Raises
        ------
        TransientFailure, AccessRefused, NothingFound, UnusableInput
            Why the last route did not bring it; the last also for a product with an odd name.
        """
        _check_name(product.name)
        with self._alone(product.name):
            there = read_receipt(product, self.folder)
            if there is not None:
                return there
            *copies, last = routes_of(product, self.settings)
            for route in copies:
                fetched = self._from_copy(product, route, session, on_bytes)
                if fetched is not None:
                    return fetched
            job = _Job(self, product, last, session, on_bytes, self.settings.max_tries)
            return job.run()

    def _from_copy(
        self, product: Product, route: Route, session: Session, on_bytes: Callable[[int], None]
    ) -> Fetched | None:
        tries = min(_MAX_TRIES_OF_COPY, self.settings.max_tries)
        try:
            return _Job(self, product, route, session, on_bytes, tries).run()
        except HstAssetsError as error:
            self.halt.check()
            logger.info("%s: not from %s (%s); asking MAST", product.name, route.name, error.what)
            return None

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold the lock of a name against other threads and processes."""
        path = self.folder / f".{name}.lock"
        while True:
            with path.open("a") as handle:
                self._wait_for(handle)
                # Whoever held it may have removed it.
                if path.exists() and path.stat().st_ino == _inode(handle):
                    yield
                    return

    def _wait_for(self, handle: IO[str]) -> None:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.halt.wait(_LOCK_POLL_S)
            else:
                return


def _inode(handle: IO[str]) -> int:
    return os.fstat(handle.fileno()).st_ino


@dataclass
class _Job:
    """The tries to bring one product by one route."""

    fetcher: FileFetcher
    product: Product
    route: Route
    session: Session
    on_bytes: Callable[[int], None]
    max_tries: int
    n_tries: int = 0

    @property
    def part(self) -> Path:
        return self.fetcher.folder / f"{self.product.name}.part"

    def run(self) -> Fetched:
        failure: HstAssetsError
        try:
            return self._in_tries()
        except UnusableInput as error:
            failure = error
        except HstAssetsError as error:
            raise self._told(error) from None
        if self.max_tries == 1:
            raise self._told(failure)
        logger.warning("%s: asked for again (%s)", self.product.name, failure.what)
        self.fetcher.halt.wait(self.fetcher.settings.first_wait_s)
        try:
            return self._in_tries()
        except HstAssetsError as error:
            failure = error
        raise self._told(failure)

    def _in_tries(self) -> Fetched:
        return in_tries(
            self._try,
            label=self.product.name,
            max_tries=self.max_tries,
            first_wait_s=self.fetcher.settings.first_wait_s,
            halt=self.fetcher.halt,
        )

    def _try(self) -> Fetched:
        self.n_tries += 1
        settings = self.fetcher.settings
        came = transfer(
            self.route.url,
            self.part,
            timeout_s=settings.timeout_s,
            session=self.session,
            identity=self.product.version,
            sign=signer(self.fetcher.token, settings.mast_url),
            halt=self.fetcher.halt,
            on_bytes=self.on_bytes,
        )
        notes = self._verified(came)
        return self._published(came, notes)

    def _verified(self, came: Transferred) -> tuple[str, ...]:
        """What is odd about the file; one that is wrong is discarded, and refused."""
        try:
            structure = fits_structure(self.part)
            _check_rootname(structure, self.product)
            _check_md5(self.part, came, self.route)
            return _size_notes(structure, self.product, came)
        except UnusableInput as error:
            what = error.what
        if came.announced is None and came.size < (self.product.size or 0):
            # Without a length, a broken line looks like the end.
            raise TransientFailure(f"the transfer ended after {came.size} bytes: {what}")
        discard(self.part)
        raise UnusableInput(f"the file received was rejected: {what}")

    def _published(self, came: Transferred, notes: tuple[str, ...]) -> Fetched:
        for note in notes:
            logger.warning("%s: %s", self.product.name, note)
        fetched = Fetched(
            product=self.product,
            path=self.fetcher.folder / self.product.name,
            size=came.size,
            sha256=sha256_of_file(self.part),
            etag=came.etag,
            last_modified=came.last_modified,
            route=self.route.name,
            n_tries=self.n_tries,
            resumed_bytes=came.resumed_bytes,
            notes=notes,
        )
        write_receipt(fetched)
        move_into_place(self.part, fetched.path)
        discard(self.part)
        return fetched

    def _told(self, error: HstAssetsError) -> HstAssetsError:
        """The failure, about this product."""
        place = f" ({error.where})" if error.where else f" ({self.route.name})"
        next_step = error.next_step
        if isinstance(error, AccessRefused) and not self.product.is_public:
            next_step = "It is under exclusive access: give a token with access to it"
            next_step += " (MAST_API_TOKEN)"
        return type(error)(f"{error.what}{place}", where=self.product.name, next_step=next_step)


def _check_name(name: str) -> None:
    # Names come from a service and become paths.
    if not _NAME.fullmatch(name):
        raise UnusableInput(f"{name!r} is not the file name of an exposure")


def _check_rootname(structure: FitsStructure, product: Product) -> None:
    # The last character tells how an exposure was sent down, and may differ.
    if structure.rootname and structure.rootname[:8] != product.rootname[:8]:
        raise UnusableInput(f"its ROOTNAME is {structure.rootname}")


def _check_md5(part: Path, came: Transferred, route: Route) -> None:
    match = _MD5.fullmatch(came.etag or "") if route.name == "s3" else None
    if match is None:
        return
    with part.open("rb") as handle:
        found = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != match[1]:
        raise UnusableInput("its MD5 differs from the one that S3 announced")


def _size_notes(structure: FitsStructure, product: Product, came: Transferred) -> tuple[str, ...]:
    if product.size is None or product.size == came.size:
        return ()
    if came.announced != came.size or not structure.is_counted:
        raise UnusableInput(f"received {came.size} bytes, the product list says {product.size}")
    listed = f"the product list says {product.size} bytes"
    return (f"{listed}; the service, and the file itself, say {came.size}",)
