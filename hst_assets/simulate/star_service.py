"""The service that drizzlepac asks for stars of Gaia, with the stars of a simulated sky.

It answers on the loopback device like ``/vo/CatalogSearch.aspx`` of STScI's catalogue service: a
line with the number of stars, then a table with CRLF at the ends of its lines.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import numpy as np
from astropy.table import Table

__all__ = ["catalog_answer", "star_service"]

_HEAD = "objID,ra,ra_error,dec,dec_error,pmra,pmra_error,pmdec,pmdec_error,epoch,mag"


def catalog_answer(stars: Table, magnitude: str, query: Mapping[str, str]) -> bytes:
    """What the service answers.

    Parameters
    ----------
    stars : Table
        The stars of the sky: columns ``id``, ``ra`` and ``dec`` (deg) and magnitudes.
    magnitude : str
        Name of the column that stands for Gaia's G.
    query : mapping
        Of the request, names in capitals: ``RA``, ``DEC`` and ``SR`` (deg) of a cone; all stars are
        inside a polygon, ``STCS``.
    """
    found = stars if "STCS" in query else stars[_in_cone(stars, query)]
    lines = [f"{len(found)} sources", _HEAD]
    lines += [
        f"{row['id']},{row['ra']:.9f},0.05,{row['dec']:.9f},0.05,0,0.05,0,0.05,2016.0,"
        f"{row[magnitude]:.4f}"
        for row in found
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def _in_cone(stars: Table, query: Mapping[str, str]) -> np.ndarray:
    ra, dec, radius = (float(query[key]) for key in ("RA", "DEC", "SR"))
    east = (np.asarray(stars["ra"], dtype=float) - ra) * np.cos(np.radians(dec))
    inside: np.ndarray = np.hypot(east, np.asarray(stars["dec"], dtype=float) - dec) < radius
    return inside


@contextmanager
def star_service(stars: Table, magnitude: str) -> Iterator[str]:
    """Answer on a free port while the context is open.

    Parameters
    ----------
    stars : Table
        As of `catalog_answer`.
    magnitude : str
        Name of the column that stands for Gaia's G.

    Yields
    ------
    str
        The address, for ``ASTROMETRIC_CATALOG_URL``.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlparse(self.path).query)
            query = {key.upper(): values[0] for key, values in asked.items()}
            body = catalog_answer(stars, magnitude, query)
            self.send_response(200)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
