"""A stand-in of the catalogue service that HAP asks for stars of Gaia: the stars of a scene.

In a process all of them have one address, where the last that was begun answers: the processes that
tools are forked from are told the address when they start, and take seconds to import drizzlepac.
"""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs, urlparse

from hst_assets.simulate.star_service import catalog_answer
from hst_assets_tests.stand_ins.loopback_server import LoopbackHandler, LoopbackServer


class _Handler(LoopbackHandler):
    def do_GET(self):
        query = {key.upper(): one[0] for key, one in parse_qs(urlparse(self.path).query).items()}
        answers = self.server.answers
        status, body = answers[-1](query) if answers else (503, b"")
        self.send_response(status)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@functools.cache
def _server():
    """The server of this process; it ends with it."""
    server = LoopbackServer(_Handler)
    server.answers = []
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


class _Service:
    """Gives an answer to each query, while it runs."""

    def __init__(self, answer):
        self._answer = answer

    @contextmanager
    def running(self):
        server = _server()
        server.answers.append(self._answer)
        try:
            yield server
        finally:
            server.answers.remove(self._answer)


def star_service(stars, magnitude_column):
    """A server of ``/vo/CatalogSearch.aspx``: the stars of a cone, or all of a polygon's scene."""
    return _Service(lambda query: (200, catalog_answer(stars, magnitude_column, query)))


def broken_service(status):
    """A server that answers every question with an error of its own."""
    return _Service(lambda _query: (status, b""))
