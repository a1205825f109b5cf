"""A stand-in for TAP services with Gaia DR3, on loopback, with faults to be injected."""

from __future__ import annotations

import io
import re
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.votable.tree import Info, VOTableFile
from astropy.table import Table

from hst_assets_tests.stand_ins.loopback_server import LoopbackHandler, LoopbackServer

#: Columns of VizieR's copy by those of gaia_source.
VIZIER = {
    "ra": "RA_ICRS",
    "dec": "DE_ICRS",
    "ra_error": "e_RA_ICRS",
    "dec_error": "e_DE_ICRS",
    "pmra": "pmRA",
    "pmdec": "pmDE",
    "pmra_error": "e_pmRA",
    "pmdec_error": "e_pmDE",
    "parallax": "Plx",
    "phot_g_mean_mag": "Gmag",
}

_CONE = re.compile(r"CIRCLE\('ICRS', ([-\d.e]+), ([-\d.e]+), ([\d.e]+)\)")
_MAG = re.compile(r"(?:Gmag|phot_g_mean_mag) >= ([-\d.]+) AND \S+ < ([-\d.]+)")
_SELECT = re.compile(r"SELECT (.+) FROM (\S+) ")


def gaia_source(ra, dec, **columns):
    """A table with the columns of gaia_source; those not given are plausible."""
    n_stars = len(ra)
    values = {
        "ra": np.asarray(ra, float),
        "dec": np.asarray(dec, float),
        "ra_error": np.full(n_stars, 0.1),
        "dec_error": np.full(n_stars, 0.2),
        "pmra": np.zeros(n_stars),
        "pmdec": np.zeros(n_stars),
        "pmra_error": np.full(n_stars, 0.1),
        "pmdec_error": np.full(n_stars, 0.1),
        "parallax": np.full(n_stars, 0.5),
        "phot_g_mean_mag": np.linspace(15, 20.5, n_stars),
    }
    return Table({**values, **{k: np.asarray(v, float) for k, v in columns.items()}})


class Tap:
    """Answers queries on `stars` (columns of gaia_source) at the address `url`.

    `faults` are used up, one a request: "503", "400", "stall", "pause", "drip", "html", "error",
    "reset", "truncate" or "columns". An answer has at most `most_rows` rows, and says so if cut.
    """

    def __init__(self, stars, *, path="/tap"):
        self.stars = stars
        self.faults: list[str] = []
        self.queries: list[str] = []
        self.most_rows = 100_000
        self.released = threading.Event()
        service = self

        class Handler(LoopbackHandler):
            protocol_version = "HTTP/1.0"

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(length).decode())
                service._answer(self, form["QUERY"][0])

        self._server = LoopbackServer(Handler)
        self.path = path
        self.url = f"{self._server.url}{path}"

    def _answer(self, handler, query):
        self.queries.append(query)
        fault = self.faults.pop(0) if self.faults else None
        if handler.path != f"{self.path}/sync":
            self._send(handler, 404, b"no such service")
        elif fault is not None:
            getattr(self, f"_fault_{fault}")(handler, query)
        else:
            self._send(handler, 200, self._votable(query))

    @staticmethod
    def _send(handler, code, body, *, kind="application/x-votable+xml"):
        handler.send_response(code)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _votable(self, query, *, status=None):
        found = self._selected(query)
        cut = len(found) > self.most_rows
        votable = VOTableFile.from_table(found[: self.most_rows])
        resource = votable.resources[0]
        resource.type = "results"
        status = status or ("OVERFLOW" if cut else "OK")
        resource.infos.append(Info(name="QUERY_STATUS", value=status))
        body = io.BytesIO()
        # As text, astropy's C writer overruns its buffer by a byte where a row has just 256.
        votable.to_xml(body, tabledata_format="binary2")
        return body.getvalue()

    def _selected(self, query):
        names, table = _SELECT.search(query).groups()
        renamed = VIZIER if table == '"I/355/gaiadr3"' else {name: name for name in VIZIER}
        if table not in ('"I/355/gaiadr3"', "gaiadr3.gaia_source"):
            return Table({"error": ["no such table"]})
        ra, dec, radius = map(float, _CONE.search(query).groups())
        low, high = map(float, _MAG.search(query).groups())
        sky = SkyCoord(self.stars["ra"], self.stars["dec"], unit="deg")
        mag = self.stars["phot_g_mean_mag"]
        wanted = sky.separation(SkyCoord(ra, dec, unit="deg")).deg <= radius
        wanted &= (mag >= low) & (mag < high)
        if "IS NOT NULL" in query:
            wanted &= np.isfinite(self.stars["pmra"])
        found = self.stars[wanted]
        found.rename_columns(list(renamed), list(renamed.values()))
        return found[names.split(", ")]

    def _fault_503(self, handler, query):
        self._send(handler, 503, b"busy", kind="text/plain")

    def _fault_400(self, handler, query):
        self._send(handler, 400, b"no", kind="text/plain")

    def _fault_html(self, handler, query):
        self._send(handler, 200, b"<html><body>Down for maintenance</body></html>")

    def _fault_error(self, handler, query):
        self._send(handler, 200, self._votable(query, status="ERROR"))

    def _fault_columns(self, handler, query):
        everything, self.stars = self.stars, self.stars.copy()
        body = self._votable(query.replace(", phot_g_mean_mag FROM", " FROM", 1))
        self.stars = everything
        self._send(handler, 200, body)

    def _fault_truncate(self, handler, query):
        body = self._votable(query)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])
        handler.close_connection = True

    def _fault_pause(self, handler, query):
        """A beginning, then nothing."""
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.wfile.write(self._votable(query)[:500])
        handler.wfile.flush()
        self._fault_stall(handler, query)

    def _fault_stall(self, handler, query):
        self.released.wait(30)
        handler.close_connection = True

    def _fault_drip(self, handler, query):
        """Never silent for long, and never done."""
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not self.released.wait(0.05):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                break
        handler.close_connection = True

    def _fault_reset(self, handler, query):
        handler.close_connection = True

    @contextmanager
    def running(self):
        with self._server.running():
            try:
                yield self
            finally:
                self.released.set()
