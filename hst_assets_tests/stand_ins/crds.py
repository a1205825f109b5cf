"""A stand-in for the CRDS file service, on loopback, with faults to be injected."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager

from hst_assets_tests.stand_ins.loopback_server import LoopbackHandler, LoopbackServer


class Crds:
    """Serves `files` by name below `url`; `faults` are used up, one a request.

    A fault is "503", "429", "403", "truncate", "short", "html", "reset" or "stall".
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.released = threading.Event()
        self.slow_s = 0.0
        service = self

        class Handler(LoopbackHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self):
                service._answer(self)

        self._server = LoopbackServer(Handler)
        self.url = f"{self._server.url}/references/hst"

    def _answer(self, handler):
        name = handler.path.rpartition("/")[2]
        self.requests.append(name)
        fault = self.faults.pop(0) if self.faults else None
        if self.slow_s:
            self.released.wait(self.slow_s)
        if fault is not None:
            getattr(self, f"_fault_{fault.replace('-', '_')}")(handler, self.files.get(name, b""))
        elif name in self.files and handler.path == f"/references/hst/{name}":
            self._send(handler, 200, self.files[name])
        else:
            self._send(handler, 404, b"<html>Not Found</html>", kind="text/html")

    @staticmethod
    def _send(handler, code, body, *, kind="application/fits", length=None):
        handler.send_response(code)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    def _fault_503(self, handler, body):
        self._send(handler, 503, b"busy", kind="text/plain")

    def _fault_429(self, handler, body):
        self._send(handler, 429, b"slow down", kind="text/plain")

    def _fault_403(self, handler, body):
        self._send(handler, 403, b"no", kind="text/plain")

    def _fault_truncate(self, handler, body):
        self._send(handler, 200, body[: len(body) // 2], length=len(body))
        handler.close_connection = True

    def _fault_short(self, handler, body):
        """Whole by its length, but a FITS file cut in its data."""
        self._send(handler, 200, body[: len(body) // 2])

    def _fault_html(self, handler, body):
        self._send(handler, 200, b"<html><body>Please log in</body></html>", kind="text/html")

    def _fault_reset(self, handler, body):
        # Lingering zero seconds, the socket is closed by a reset.
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()
        handler.wfile = handler.rfile = open("/dev/null", "r+b")  # noqa: PTH123, SIM115
        handler.close_connection = True

    def _fault_stall(self, handler, body):
        self.released.wait(30)
        handler.close_connection = True

    @contextmanager
    def running(self):
        with self._server.running():
            try:
                yield self
            finally:
                self.released.set()
