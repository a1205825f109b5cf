"""A stand-in of the catalogue service that HAP asks for stars of Gaia: the stars of a scene."""

from __future__ import annotations

from urllib.parse import parse_qs, urlparse

from hst_assets.simulate.star_service import catalog_answer
from hst_assets_tests.stand_ins.loopback_server import LoopbackHandler, LoopbackServer


def star_service(stars, magnitude_column):
    """A server of ``/vo/CatalogSearch.aspx``: the stars of a cone, or all of a polygon's scene."""

    class Handler(LoopbackHandler):
        def do_GET(self):
            query = {
                key.upper(): one[0] for key, one in parse_qs(urlparse(self.path).query).items()
            }
            body = catalog_answer(stars, magnitude_column, query)
            self.send_response(200)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return LoopbackServer(Handler)


def broken_service(status):
    """A server that answers every question with an error of its own."""

    class Handler(LoopbackHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return LoopbackServer(Handler)
