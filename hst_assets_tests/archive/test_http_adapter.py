"""Replies that are small on the way and large here."""

import gzip
import tracemalloc

import pytest
import requests

from hst_assets.archive import http_adapter
from hst_assets.archive.http_adapter import PatientAdapter
from hst_assets.failures import UnusableInput
from hst_assets_tests.stand_ins.loopback_server import LoopbackHandler, LoopbackServer

MEGABYTE = 1_000_000


class Packed(LoopbackHandler):
    """Answers with as many megabytes of zeros as the path says, gzip-compressed."""

    def do_GET(self):  # noqa: N802
        body = gzip.compress(bytes(int(self.path[1:]) * MEGABYTE))
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def get():
    with LoopbackServer(Packed).running() as server, requests.Session() as session:
        session.mount("http://", PatientAdapter(5.0))
        yield lambda n_megabytes: session.get(f"{server.url}/{n_megabytes}")


def test_a_packed_reply_is_unpacked(get):
    assert len(get(2).content) == 2 * MEGABYTE


def test_a_reply_that_would_fill_the_memory_is_refused(get, monkeypatch):
    monkeypatch.setattr(http_adapter, "MOST_REPLY_BYTES", 10 * MEGABYTE)
    tracemalloc.start()
    try:
        with pytest.raises(UnusableInput, match="unpacks to more than 10 MB"):
            get(100)  # 100 kB on the way
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The server's own 100 MB are counted as well; what came was never held whole.
    assert peak < 190 * MEGABYTE
    assert len(get(2).content) == 2 * MEGABYTE  # the connection is good for the next request
