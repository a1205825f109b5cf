"""Download products of the archive into a folder: complete and verified, or not at all.

Each worker has its own connection. What came of a file that did not come whole stays in the
folder as a ``.part``, and the next call goes on from there.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hst_assets.archive.credentials import Token
from hst_assets.archive.disk_failures import failure_on_disk
from hst_assets.archive.file_fetcher import FileFetcher
from hst_assets.archive.holdings import Product
from hst_assets.archive.receipts import Fetched, NotFetched
from hst_assets.failures import HstAssetsError, ToolFailed
from hst_assets.settings import ArchiveSettings

if TYPE_CHECKING:
    from requests import Session

__all__ = ["Fetched", "NotFetched", "Progress", "fetch"]

logger = logging.getLogger(__name__)

_PROGRESS_EVERY_S = 0.2
#: How long workers may take to see that they are stopped.
_FAREWELL_S = 2.0


@dataclass(frozen=True)
class Progress:
    """How far a call of `fetch` has come.

    Attributes
    ----------
    n_files, n_done, n_failed : int
        Files requested, finished (successfully or not), and not fetched.
    bytes_done : int
        Bytes there, those of earlier transfers among them.
    bytes_total : int or None
        As the product list says; None where it does not for all files.
    name : str
        The file that moved last; empty before any did.
    """

    n_files: int
    n_done: int
    n_failed: int
    bytes_done: int
    bytes_total: int | None
    name: str


def fetch(
    products: Sequence[Product],
    folder: Path,
    settings: ArchiveSettings,
    *,
    token: Token | None = None,
    progress: Callable[[Progress], None] | None = None,
    n_workers: int | None = None,
) -> list[Fetched | NotFetched]:
    """Bring products into a folder, under their names.

    Parameters
    ----------
    products : sequence of Product
        What is wanted.
    folder : `~pathlib.Path`
        Made if missing. A file in it with the receipt of the same version is not requested again.
    settings : ArchiveSettings
        Addresses, patience, tries.
    token : Token, optional
        For files under exclusive access; goes to MAST's hosts only.
    progress : callable, optional
        Called from this thread, several times a second and after each file.
    n_workers : int, optional
        Transfers at a time; `settings.n_workers` by default.

    Returns
    -------
    list of Fetched or NotFetched
        In the order of `products`. One file's failure is its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    crew = _Crew(tuple(products), FileFetcher(folder, settings, token))
    threads = [
        threading.Thread(target=crew.work, name=f"fetch-{number}", daemon=True)
        for number in range(min(n_workers or settings.n_workers, len(products)))
    ]
    for thread in threads:
        thread.start()
    try:
        while crew.is_at_work(threads):
            crew.collect(_PROGRESS_EVERY_S)
            if progress is not None:
                progress(crew.progress())
    finally:
        # Nothing to stop unless this thread was interrupted, or the callback failed.
        crew.fetcher.halt.stop()
        for thread in threads:
            thread.join(_FAREWELL_S)
    return crew.answers()


@dataclass
class _Crew:
    """The work that is left, the workers' answers, and how many bytes there are of each file."""

    products: tuple[Product, ...]
    fetcher: FileFetcher
    ended: dict[int, Fetched | NotFetched] = field(default_factory=dict)
    bytes_of: dict[int, int] = field(default_factory=dict)
    moved: int | None = None

    def __post_init__(self) -> None:
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[int, Fetched | NotFetched]] = queue.SimpleQueue()
        for index in range(len(self.products)):
            self._waiting.put(index)

    def work(self) -> None:
        """Fetch files until none is left; what each worker does."""
        import requests

        with requests.Session() as session:
            while True:
                try:
                    index = self._waiting.get_nowait()
                except queue.Empty:
                    return
                self._done.put((index, self._one(index, session)))

    def _one(self, index: int, session: Session) -> Fetched | NotFetched:
        product = self.products[index]

        def on_bytes(count: int) -> None:
            self.bytes_of[index] = count
            self.moved = index

        try:
            fetched = self.fetcher.bring(product, session, on_bytes)
        except HstAssetsError as error:
            return NotFetched(product, error)
        except OSError as error:
            return NotFetched(product, failure_on_disk(error, product.name))
        on_bytes(fetched.size)
        return fetched

    def is_at_work(self, threads: Sequence[threading.Thread]) -> bool:
        """Whether an answer may still come."""
        alive = any(thread.is_alive() for thread in threads)
        return len(self.ended) < len(self.products) and (alive or not self._done.empty())

    def collect(self, patience_s: float) -> None:
        """Take one answer, if one comes."""
        try:
            index, answer = self._done.get(timeout=patience_s)
        except queue.Empty:
            return
        self.ended[index] = answer
        if isinstance(answer, NotFetched):
            logger.warning("not fetched: %s", answer.failure)

    def progress(self) -> Progress:
        """How far it has come."""
        sizes = [product.size for product in self.products]
        return Progress(
            n_files=len(self.products),
            n_done=len(self.ended),
            n_failed=sum(isinstance(answer, NotFetched) for answer in self.ended.values()),
            bytes_done=sum(list(self.bytes_of.values())),
            bytes_total=None if None in sizes else sum(size for size in sizes if size),
            name="" if self.moved is None else self.products[self.moved].name,
        )

    def answers(self) -> list[Fetched | NotFetched]:
        """All answers in order; a worker that died left none."""
        lost = ToolFailed("the worker that fetched it died")
        return [
            self.ended.get(index, NotFetched(product, lost))
            for index, product in enumerate(self.products)
        ]
