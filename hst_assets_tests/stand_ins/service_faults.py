"""What may go wrong with the replies of a service as a whole, to be injected.

A fault is a word, or ``word:value``:

================== =============================================================================
503, 429, 401 …    this status (any from 400); ``503:7`` says Retry-After 7
silence            nothing is answered, the connection stays
stall[:n]          the body stops after n bytes (else half), the connection stays
reset[:n]          the connection is reset after n bytes of the body (else half)
refuse             the connection is closed before anything is answered
truncate[:n]       it is closed in good order after n bytes of the body (else half)
cut                half of the body, announced as all of it
drip[:bytes_per_s] a byte now and then (10 bytes/s)
slow:seconds       the reply, after this time
html               an error page with status 200
blank              no body, with status 200
error[:message]    the portal's status ERROR
executing          the portal's status EXECUTING
empty              the reply, without its rows
================== =============================================================================

Routes that serve files know those that need no body of their own (statuses, silence, refuse,
slow, html, blank); `file_service` has the others.
"""

from __future__ import annotations

import fnmatch
import json
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from hst_assets_tests.stand_ins import caom

#: After this a fault ends by itself, so that no client hangs for ever.
_LONGEST_S = 60.0
_ERROR_PAGE = b"<html><body><h1>Down for maintenance</h1></body></html>"
_WORDS = frozenset(
    [
        "silence",
        "stall",
        "reset",
        "refuse",
        "truncate",
        "cut",
        "drip",
        "slow",
        "html",
        "blank",
        "error",
        "executing",
        "empty",
    ]
)
#: Faults of which routes with files need no body.
WITHOUT_BODY = frozenset(["silence", "refuse", "slow", "html", "blank"])


@dataclass(frozen=True)
class Reply:
    """What is sent."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_json(cls, value, **properties):
        return cls(json.dumps(value).encode(), **properties)


@dataclass
class Fault:
    """A fault and when it strikes.

    Attributes
    ----------
    route : str
        Pattern of the routes' labels, such as ``caom.*``.
    word : str
        See above.
    times : int or None
        How often; None: always.
    after : int
        Matching requests that are let pass before.
    containing : str
        Only requests with this text in their address or body.
    """

    route: str
    word: str
    times: int | None = 1
    after: int = 0
    containing: str = ""

    def __post_init__(self):
        name = self.word.partition(":")[0]
        if not name.isdigit() and name not in _WORDS:
            raise ValueError(f"no fault {self.word!r}")

    def strikes(self, asked):
        """Whether this request is struck; counts it."""
        if not fnmatch.fnmatch(asked.route, self.route):
            return False
        if self.containing not in f"{asked.path} {asked.body}" or self.times == 0:
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


def spoiled(word, make):
    """The reply under a fault of its content; `make` gives the true one."""
    name, _, value = word.partition(":")
    if name.isdigit():
        headers = (("Retry-After", value),) if value else ()
        return Reply(b"status " + name.encode(), int(name), "text/plain", headers)
    if name in ("html", "blank"):
        return Reply(_ERROR_PAGE if name == "html" else b"", content_type="text/html")
    if name == "error":
        return Reply.of_json(caom.refusal(value or "Something went wrong"))
    if name == "executing":
        return Reply.of_json(caom.executing())
    reply = make()
    if name == "cut":
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    if name == "empty":
        return replace(reply, body=json.dumps(_without_rows(json.loads(reply.body))).encode())
    return reply


def _without_rows(value):
    for key in ("data", "results", "products", "resolvedCoordinate"):
        if key in value:
            value = {**value, key: []}
    if "paging" in value:
        value["paging"] = {**value["paging"], "pagesFiltered": 0, "rows": 0, "rowsFiltered": 0}
    return value


def send(handler, reply, word, released):
    """Send a reply under a fault of the transfer (or none, with an empty word)."""
    name, _, value = word.partition(":")
    if name in ("silence", "refuse"):
        released.wait(_LONGEST_S if name == "silence" else 0)
        return hang_up(handler)
    if name == "slow":
        released.wait(float(value))
    handler.send_response(reply.status)
    handler.send_header("Content-Type", reply.content_type)
    handler.send_header("Content-Length", str(len(reply.body)))
    for key, text in reply.headers:
        handler.send_header(key, text)
    handler.end_headers()
    if handler.command == "HEAD":
        return None
    if name == "drip":
        return _drip(handler, reply.body, float(value or 10), released)
    breaks = name in ("stall", "reset", "truncate")
    handler.wfile.write(reply.body[: int(value or len(reply.body) // 2)] if breaks else reply.body)
    if name == "stall":
        released.wait(_LONGEST_S)
    if breaks:
        hang_up(handler, reset=name == "reset")
    return None


def _drip(handler, body, bytes_per_s, released):
    end = time.monotonic() + _LONGEST_S
    for start in range(len(body)):
        if released.wait(1 / bytes_per_s) or time.monotonic() > end:
            return hang_up(handler)
        handler.wfile.write(body[start : start + 1])
    return None


def hang_up(handler, *, reset=False):
    """Close a handler's connection, in good order or by a reset."""
    handler.close_connection = True
    if reset:
        # Lingering zero seconds, the socket is closed by a reset.
        handler.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.rfile.close()
        handler.connection.close()
    else:
        with suppress(OSError):  # the client may have left
            handler.connection.shutdown(socket.SHUT_RDWR)
