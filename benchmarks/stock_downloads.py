"""The peer of the archive's measurements: `Observations.download_products` of stock astroquery.

It runs in processes of their own that find the stand-in by ``astroquery.cfg`` below a fresh
``XDG_CONFIG_HOME``, as a user's astroquery would. They are forked from one that has imported
astroquery already, so that neither import nor a hanging download counts against the next.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hst_assets.archive.holdings import Product

#: One call with the whole list; or a call a file, from threads that share one client or have each
#: their own.
MODES = ("list", "shared", "own")
#: In place of a file's name: the exception that ended the whole call.
ABORTED = "*"
UNRESOLVED = "archive.invalid"


@dataclass(frozen=True)
class Outcome:
    """What astroquery said of each file, by name; how long it took, alone; whether it hung."""

    said: dict[str, str]
    seconds: float
    hung: bool


class StockAstroquery:
    """Astroquery in a process of its own, which is replaced when it hangs.

    Parameters
    ----------
    url : str
        For MAST.
    folder : Path
        Becomes its ``XDG_CONFIG_HOME``.
    """

    def __init__(self, url: str, folder: Path) -> None:
        configuration = folder / "astropy" / "astroquery.cfg"
        configuration.parent.mkdir(parents=True)
        configuration.write_text(
            f"[mast]\nserver = {url}\ncatalogs_server = {url}\nenable_cloud_dataset = False\n"
        )
        self._context = multiprocessing.get_context("forkserver")
        # The server that is forked has imported astroquery, and so read the configuration.
        self._context.set_forkserver_preload(["astroquery.mast", "astropy.table"])
        with _variable("XDG_CONFIG_HOME", str(folder)):
            multiprocessing.forkserver.ensure_running()
        self._process: Any = None

    def __enter__(self) -> StockAstroquery:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()

    def download(
        self,
        products: Sequence[Product],
        folder: Path,
        *,
        mode: str = "list",
        deadline_s: float = 600.0,
        token: str | None = None,
        base_url: str | None = None,
        failed_lookups: int = 0,
    ) -> Outcome:
        """Download into `folder` as a user of astroquery would; killed after `deadline_s`.

        The host of `base_url` is looked up in vain `failed_lookups` times, then found.
        """
        if self._process is None or not self._process.is_alive():
            self._start()
        rows = [_row(product) for product in products]
        self._pipe.send((rows, folder, mode, token, base_url, failed_lookups))
        said: dict[str, str] = {}
        deadline = time.monotonic() + deadline_s
        while self._pipe.poll(max(0.0, deadline - time.monotonic())):
            name, what = self._pipe.recv()
            if name is None:
                return Outcome(said, what, hung=False)
            said[name] = what
        self._process.kill()
        self._process.join()
        return Outcome(said, deadline_s, hung=True)

    def _start(self) -> None:
        self._pipe, its_end = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(its_end,), daemon=True)
        self._process.start()


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def final_path(product: Product, folder: Path) -> Path:
    """Where astroquery puts a file."""
    return folder / "mastDownload" / "HST" / product.rootname / Path(product.name).name


def _row(product: Product) -> dict[str, Any]:
    return {
        "obsID": "1",
        "obs_collection": "HST",
        "obs_id": product.rootname,
        "dataURI": product.uri,
        "productFilename": product.name,
        "size": product.size or 0,
        "dataRights": product.data_rights,
    }


def _serve(pipe) -> None:
    import warnings

    from astroquery import log

    warnings.simplefilter("ignore")
    log.setLevel("CRITICAL")
    while True:
        rows, folder, mode, token, base_url, failed_lookups = pipe.recv()
        with lookups_that_fail(failed_lookups):
            pipe.send((None, _download(pipe, rows, folder, mode, token, base_url)))


def _download(pipe, rows, folder, mode, token, base_url) -> float:
    """Download and tell, file by file where that is possible; return the seconds it took."""
    shared = _client(token, base_url)
    lock = threading.Lock()

    def tell(client, some):
        told = _told_of_list(client, some, folder)
        with lock:
            for item in told.items():
                pipe.send(item)

    def one(row):
        tell(shared if mode == "shared" else _client(token, base_url), [row])

    started = time.perf_counter()
    if mode == "list":
        tell(shared, rows)
    else:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, rows))
    return time.perf_counter() - started


def _told_of_list(client, rows, folder) -> dict[str, str]:
    from astropy.table import Table

    try:
        manifest = client.download_products(
            Table(rows=rows), download_dir=str(folder), verbose=False
        )
    except Exception as error:  # noqa: BLE001 - whatever comes is what the user would see
        # It ends the list, and does not tell which file of the list it is about.
        about = Path(rows[0]["productFilename"]).name if len(rows) == 1 else ABORTED
        return {about: type(error).__name__}
    names = (Path(path).name for path in manifest["Local Path"])
    return dict(zip(names, map(str, manifest["Status"]), strict=True))


def _client(token, base_url):
    from astroquery.mast import ObservationsClass

    client = ObservationsClass()
    if base_url:
        connection = client._portal_api_connection  # noqa: SLF001 - it has no setting
        connection.MAST_DOWNLOAD_URL = f"{base_url}/api/v0.1/Download/file"
    if token:
        client.login(token=token)
    return client


@contextmanager
def lookups_that_fail(n_failures: int) -> Iterator[None]:
    """Within, archive.invalid is not found `n_failures` times, and then is this machine."""
    genuine, left = socket.getaddrinfo, [n_failures]

    def getaddrinfo(host, *arguments, **options):
        if host != UNRESOLVED:
            return genuine(host, *arguments, **options)
        left[0] -= 1
        if left[0] >= 0:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return genuine("127.0.0.1", *arguments, **options)

    socket.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        socket.getaddrinfo = genuine
