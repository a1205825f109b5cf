"""A stand-in for MAST on loopback: portal, Missions search, downloads, name resolvers, catalogue.

In a test::

    holdings = Holdings()
    holdings.add_visit("jaaa01", "acs_wfc", 150.1, 2.2)
    with Mast(holdings) as mast:
        settings = {"archive": mast.settings()}
        mast.inject("caom.*", "503", times=2)
        ...
        assert mast.count("caom.products") == 1

As a process of its own, for `dagster dev` and the demo (see `control_file`)::

    python -m hst_assets_tests.stand_ins.mast --folder DIR [--port N]

Every request has a route, a label that faults and counts go by:

========================= =====================================================================
columnsconfig             /portal/Mashup/Mashup.asmx/columnsconfig
caom.cone, caom.filtered, /api/v0/invoke, by the service asked for
caom.filtered.position,
caom.products, caom.count,
caom.unknown
missions.columns          /search/util/api/v0.1/column_list
missions.search           /search/hst/api/v0.1/search
missions.products         /search/hst/api/v0.1/post_list_products
download.portal           /api/v0.1/Download/file?uri=mast:HST/product/<name>
download.missions         /search/hst/api/v0.1/retrieve_product?product_name=<dataset>/<name>
download.s3               /hst/public/<root[:4]>/<root>/<name>, with or without /stpubdata before
path_lookup               /api/v0.1/path_lookup/?uri=…
whoami                    /whoami
santa                     /Santa-war/query?name=…
sesame                    /cgi-bin/nph-sesame/…?<name>
catalogue                 /webservices/vo/CatalogSearch.aspx
========================= =====================================================================
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import parse_qs, unquote_plus, urlsplit

from hst_assets_tests.stand_ins import caom, missions, names, service_faults
from hst_assets_tests.stand_ins.archive_rows import columns_config
from hst_assets_tests.stand_ins.control_file import ControlFile
from hst_assets_tests.stand_ins.holdings import Holdings
from hst_assets_tests.stand_ins.loopback_server import LoopbackHandler, LoopbackServer
from hst_assets_tests.stand_ins.service_faults import Fault, Reply

_PLAIN = "text/plain"
_ROUTES = (
    (r"/portal/Mashup/Mashup\.asmx/columnsconfig", "columnsconfig"),
    (r"/api/v0/invoke", "caom"),
    (r"/search/util/api/v0\.1/column_list", "missions.columns"),
    (r"/search/hst/api/v0\.1/search", "missions.search"),
    (r"/search/hst/api/v0\.1/post_list_products", "missions.products"),
    (r"/api/v0\.1/Download/file", "download.portal"),
    (r"/search/\w+/api/v0\.1/retrieve_product", "download.missions"),
    (r"/hst/public/.*", "download.s3"),
    (r"/api/v0\.1/path_lookup/?", "path_lookup"),
    (r"/whoami", "whoami"),
    (r"/Santa-war/query", "santa"),
    (r"/cgi-bin/nph-sesame/.*", "sesame"),
    (r"(/webservices)?/vo/CatalogSearch\.aspx", "catalogue"),
)


@dataclass(frozen=True)
class Asked:
    """One request; names of headers in lower case."""

    route: str
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: str
    moment: float


class Mast:
    """The stand-in; a context manager that serves while it is open.

    Parameters
    ----------
    holdings : Holdings, optional
        What it holds; may be changed while it serves.
    latency_s : float
        Before every answer.
    port : int
        0: any that is free.

    Attributes
    ----------
    url : str
        Address of MAST, of the bucket (`s3_url`) and the root of the others.
    names : dict
        Position (RA, Dec in degrees) by name, for the resolvers.
    stars : list of dict
        The astrometric catalogue (`names.CATALOGUE_COLUMNS`).
    requests : list of Asked
        All requests, oldest first.
    """

    def __init__(self, holdings=None, *, latency_s=0.0, port=0):
        self.holdings = Holdings() if holdings is None else holdings
        self.latency_s = latency_s
        self.names: dict[str, tuple[float, float]] = {}
        self.stars: list[dict] = []
        self.requests: list[Asked] = []
        self.control = None
        self.url = ""
        self._port = port
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._open: set[socket.socket] = set()
        self._running = None

    # ------------------------------------------------------------------------- being there

    @property
    def files(self):
        """The service that sends the bytes of files, with faults of its own."""
        return self.holdings.files

    @property
    def sesame_url(self):
        return f"{self.url}/cgi-bin/nph-sesame/"

    @property
    def s3_url(self):
        return self.url

    def settings(self):
        """What a target's ``[archive]`` section needs to find this service."""
        return {"mast_url": self.url, "sesame_url": self.sesame_url, "s3_url": self.s3_url}

    def start(self):
        """Serve, at the same port as before if it was stopped."""
        self._released.clear()
        self.files.released.clear()
        server = LoopbackServer(_handler_of(self), self._port)
        self._port, self.url = server.server_port, server.url
        self.files.url = self.url
        self._running = server.running()
        self._running.__enter__()
        return self

    def stop(self):
        """Close the port and all connections."""
        self._released.set()
        self.files.released.set()
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(None, None, None)
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @contextmanager
    def down(self):
        """Out of service in here: connections are refused."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    # --------------------------------------------------------------------- faults and counts

    def inject(self, route, word, *, times=1, after=0, containing=""):
        """Let a fault strike; see `service_faults` for the words and `Fault` for the rest."""
        with self._lock:
            self._faults.append(Fault(route, word, times, after, containing))

    def outage_after(self, n_requests, route="*"):
        """Answer `n_requests` more, then close every connection unanswered until `heal`."""
        self.inject(route, "refuse", times=None, after=n_requests)

    def heal(self):
        """Take all faults back, those of files too."""
        with self._lock:
            self._faults.clear()
        self.files.faults.clear()
        self.files.always.clear()

    def asked(self, route="*"):
        """The requests to routes of a pattern."""
        with self._lock:
            return [each for each in self.requests if fnmatch(each.route, route)]

    def count(self, route="*"):
        """How many requests there were to routes of a pattern."""
        return len(self.asked(route))

    # ---------------------------------------------------------------------------- answering

    def answer(self, handler):
        """Answer one request of `handler`."""
        asked = _asked(handler)
        with self._lock:
            self.requests.append(asked)
            # The first that strikes; those behind it are not used up.
            word = next((fault.word for fault in self._faults if fault.strikes(asked)), "")
        if self.control is not None:
            self.control.obey(self)
        if self.latency_s:
            self._released.wait(self.latency_s)
        if asked.route.startswith("download."):
            self._answer_file(handler, word)
        else:
            reply = service_faults.spoiled(word, lambda: self._reply(asked))
            service_faults.send(handler, reply, word, self._released)

    def _answer_file(self, handler, word):
        name = word.partition(":")[0]
        if word and name != "slow":
            if not (name.isdigit() or name in service_faults.WITHOUT_BODY):
                raise AssertionError(f"{word} is no fault of a download here: see file_service")
            reply = service_faults.spoiled(word, Reply)
            service_faults.send(handler, reply, word, self._released)
            return
        if word:
            self._released.wait(float(word.partition(":")[2]))
        handler.path = handler.path.removeprefix("/stpubdata")
        if not self.files.answer(handler):
            service_faults.send(handler, _NOT_FOUND, "", self._released)

    def _reply(self, asked):
        answers = {
            "columnsconfig": self._columnsconfig,
            "missions.columns": self._missions_columns,
            "missions.search": self._missions_search,
            "missions.products": self._missions_products,
            "path_lookup": self._path_lookup,
            "whoami": self._whoami,
            "santa": self._santa,
            "sesame": self._sesame,
            "catalogue": self._catalogue,
        }
        if asked.route.startswith("caom."):
            return self._caom(asked)
        return answers[asked.route](asked) if asked.route in answers else _NOT_FOUND

    def _columnsconfig(self, asked):
        return Reply.of_json(columns_config(), content_type=_PLAIN)

    def _caom(self, asked):
        return Reply.of_json(caom.answer(self.holdings, asked.body), content_type=_PLAIN)

    def _missions_columns(self, asked):
        return Reply.of_json(missions.column_list())

    def _missions_search(self, asked):
        found = missions.search(self.holdings, asked.body)
        return _BAD_REQUEST if found is None else Reply.of_json(found)

    def _missions_products(self, asked):
        return Reply.of_json(missions.products(self.holdings, asked.body))

    def _path_lookup(self, asked):
        held = self.files.files
        found = {}
        for uri in asked.query.get("uri", []):
            name = uri.rpartition("/")[2]
            path = f"/hst/public/{name[:4]}/{name[:9]}/{name}"
            known = name in held and held[name].in_s3
            found[uri] = {"status_code": 200 if known else 404, "path": path if known else None}
        return Reply.of_json(found)

    def _whoami(self, asked):
        known = _token(asked.headers) in self.files.tokens
        person = {"display_name": "A. User", "email": "user@example.org"} if known else {}
        return Reply.of_json({"anon": not known, "attrib": person, "scopes": []})

    def _santa(self, asked):
        return Reply.of_json(names.santa(self.names, asked.query.get("name", [])))

    def _sesame(self, asked):
        name = unquote_plus(urlsplit(asked.path).query)
        return Reply(names.sesame(self.names, name).encode(), content_type=_PLAIN)

    def _catalogue(self, asked):
        return Reply(names.catalogue(self.stars, asked.query).encode(), content_type="text/csv")


_NOT_FOUND = Reply(b"not found", 404, _PLAIN)
_BAD_REQUEST = Reply(b'{"detail": "invalid input"}', 400)


def _handler_of(mast):
    class Handler(LoopbackHandler):
        def setup(self):
            super().setup()
            with mast._lock:
                mast._open.add(self.request)

        def finish(self):
            with mast._lock:
                mast._open.discard(self.request)
            super().finish()

        def do_GET(self):
            mast.answer(self)

        def do_HEAD(self):
            mast.answer(self)

        def do_POST(self):
            mast.answer(self)

    return Handler


def _asked(handler):
    # A proxy is asked for whole addresses: then only the path matters here.
    url = urlsplit(handler.path)
    length = int(handler.headers.get("Content-Length") or 0)
    body = handler.rfile.read(length).decode() if length else ""
    path = url.path.removeprefix("/stpubdata")
    found = (route for pattern, route in _ROUTES if re.fullmatch(pattern, path))
    route = next(found, "unknown")
    return Asked(
        caom.route_of(body) if route == "caom" else route,
        handler.command,
        handler.path,
        parse_qs(url.query, keep_blank_values=True),
        {name.lower(): value for name, value in handler.headers.items()},
        body,
        time.monotonic(),
    )


def _token(headers):
    word, _, value = headers.get("authorization", "").partition(" ")
    if word.lower() == "token":
        return value.strip()
    cookie = re.search(r"mast_token=([^;\s]+)", headers.get("cookie", ""))
    return cookie[1] if cookie else None


def main(arguments=None):
    """Serve the exposures below a folder until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m hst_assets_tests.stand_ins.mast")
    parser.add_argument("--folder", type=Path, required=True, help="FITS files and stand_in.json")
    parser.add_argument("--port", type=int, default=0, help="any that is free if not given")
    options = parser.parse_args(arguments)
    mast = Mast(port=options.port)
    mast.control = ControlFile(options.folder)
    mast.control.obey(mast)
    with mast:
        mast.control.announce(mast)
        sys.stdout.write(f"{mast.url}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
