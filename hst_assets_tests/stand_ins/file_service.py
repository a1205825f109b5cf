"""The byte-serving part of a stand-in archive, on loopback, with faults to be injected.

`FileService` answers on its own server (``with FileService().running() as files``), or within
another stand-in, whose handler passes requests on: ``if files.answer(handler): return``.

Addresses, each with GET and HEAD::

    /api/v0.1/Download/file?uri=mast:HST/product/<name>            MAST
    /search/hst/api/v0.1/retrieve_product?product_name=<any>/<name>
    /hst/public/<root[:4]>/<root>/<name>                           S3 (public files only)
    /files/<name>                                                  plain

Faults
------
``faults[name]`` is a list of them, used up one a GET; ``always[name]`` holds for every GET as well.
``"*"`` in place of a name is any name, ``"s3/" + name`` a name by its S3 address. A fault is a
word, or ``word:value``; several of one request are joined by ``+``: ``"no_etag+reset:5000"``.

======================= ========================================================================
503, 429 … [:seconds]   this status (any from 400), with Retry-After if seconds are given
silence                 nothing is answered
stall[:n]               the body stops after n bytes (else half), the connection stays
reset[:n]               the connection is reset after n bytes of the body
truncate[:n]            it is closed in good order after n bytes
short[:n]               only n bytes of the file exist, and that is announced
drip[:bytes_per_s]      a byte now and then (10 bytes/s)
wrong_bytes[:n]         the file's byte n (else in the middle) is another; sizes and ETag are right
zeroed[:n]              2880 zero bytes from byte n on (else from the middle)
other:name              the content of another file that is held, under this one's ETag
oversize[:n]            n bytes (else 5000) of junk behind the file, which are announced
html                    an error page with status 200
html_full               the same, filled up to the size of the file
redirect:base           302 to the same address below another base (http://host:port)
change                  from now on the file has other content and another ETag (`next_versions`)
ignore_range            the whole file with 200, whatever the range
wrong_range             206 with a Content-Range that is not what was asked, and its bytes
no_etag, no_modified    without this validator
no_length               without Content-Length
======================= ========================================================================
"""

from __future__ import annotations

import email.utils
import fcntl
import hashlib
import re
import socket
import struct
import sys
import termios
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from hst_assets_tests.stand_ins.loopback_server import LoopbackHandler, LoopbackServer

_BLOCK_BYTES = 2880
_SEND_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_S3 = re.compile(r"/hst/public/([^/]+)/([^/]+)/([^/]+)")
_ERROR_PAGE = b"<html><body><h1>Something went wrong</h1></body></html>"


@dataclass(frozen=True)
class Held:
    """A file of the holdings."""

    content: bytes | Path
    rights: str = "PUBLIC"
    in_s3: bool = True
    modified: float = 1.7e9

    def read(self):
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    @property
    def etag(self):
        if isinstance(self.content, bytes):
            return f'"{hashlib.md5(self.content).hexdigest()}"'
        stat = self.content.stat()
        return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'


@dataclass(frozen=True)
class Request:
    """What was asked; header names in lower case."""

    method: str
    path: str
    name: str
    headers: dict[str, str]
    #: "mast", "s3" or "plain".
    route: str

    @property
    def range(self):
        return self.headers.get("range")


@dataclass
class _Answer:
    """What will be sent, as the faults shape it."""

    status: int
    body: bytes
    headers: dict[str, str]
    #: After how many bytes of the body something happens, and what.
    break_at: int | None = None
    how: str = ""
    bytes_per_s: float | None = None


@dataclass(eq=False, repr=False)
class FileService:
    """Holdings by name, and how they are served.

    Attributes
    ----------
    tokens : set of str
        Whose ``Authorization: token …`` (or cookie ``mast_token``) opens exclusive files; without
        one the answer is 401, with another 403.
    latency_s : float
        Before each answer.
    requests : list of Request
        All GETs and HEADs of files.
    """

    files: dict[str, Held] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {"good"})
    faults: dict[str, list[str]] = field(default_factory=dict)
    always: dict[str, str] = field(default_factory=dict)
    next_versions: dict[str, list[bytes]] = field(default_factory=dict)
    latency_s: float = 0.0
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def __post_init__(self):
        self.released = threading.Event()
        self._lock = threading.Lock()

    def hold(self, name, content, **properties):
        """Hold a file: bytes, or a path that is read when it is asked for."""
        self.files[name] = Held(content, **properties)

    def mast_url(self, name):
        return f"{self.url}/api/v0.1/Download/file?uri=mast:HST/product/{name}"

    def s3_url(self, name):
        return f"{self.url}/hst/public/{name[:4]}/{name[:9]}/{name}"

    @contextmanager
    def running(self):
        service = self

        class Handler(LoopbackHandler):
            def do_GET(self):
                if not service.answer(self):
                    self.send_error(404)

            def do_HEAD(self):
                self.do_GET()

        with LoopbackServer(Handler).running() as server:
            self.url = server.url
            try:
                yield self
            finally:
                self.released.set()

    def answer(self, handler):
        """Answer a GET or HEAD of a file; False (and nothing sent) if it is no address of one."""
        asked = _asked(handler)
        if asked is None:
            return False
        with self._lock:
            self.requests.append(asked)
            faults = self._faults_of(asked)
        if self.latency_s:
            self.released.wait(self.latency_s)
        if "silence" in faults:
            self.released.wait(60)
            _hang_up(handler)
        elif "redirect" in faults:
            _redirect(handler, faults["redirect"])
        else:
            self._send(handler, self._answer_to(asked, faults))
        return True

    def _faults_of(self, asked):
        """The faults of this request as {word: value or None}; those of `faults` are used up."""
        if asked.method == "HEAD":
            return {}
        texts = []
        for key in (f"s3/{asked.name}" if asked.route == "s3" else asked.name, asked.name, "*"):
            if key in self.always:
                texts.append(self.always[key])
            if self.faults.get(key):
                texts.append(self.faults[key].pop(0))
                break
        words = [word for text in texts for word in text.split("+") if word]
        faults = {word.partition(":")[0]: word.partition(":")[2] or None for word in words}
        if "change" in faults:
            self._change(asked.name)
        return faults

    def _change(self, name):
        held = self.files[name]
        waiting = self.next_versions.get(name)
        content = waiting.pop(0) if waiting else _flipped(held.read(), None)
        self.files[name] = replace(held, content=content, modified=held.modified + 100)

    def _answer_to(self, asked, faults):
        status = next((int(word) for word in faults if word.isdigit()), None)
        if status is None:
            status = self._refusal(asked)
        if status is not None:
            retry = faults.get(str(status))
            return _plain(status, {"Retry-After": retry} if retry else {})
        if "html" in faults:
            return _Answer(200, _ERROR_PAGE, {"Content-Type": "text/html"})
        return self._file(asked, faults)

    def _refusal(self, asked):
        held = self.files.get(asked.name)
        if held is None or (asked.route == "s3" and not held.in_s3):
            return 404
        if held.rights == "PUBLIC":
            return None
        if asked.route == "s3":
            return 403
        given = _token(asked.headers)
        return None if given in self.tokens else 401 if given is None else 403

    def _file(self, asked, faults):
        held = self.files[asked.name]
        content = self._content(held, faults)
        headers = {"Content-Type": "application/fits"}
        if "ignore_range" not in faults:
            headers["Accept-Ranges"] = "bytes"
        if "no_etag" not in faults:
            headers["ETag"] = held.etag
        if "no_modified" not in faults:
            headers["Last-Modified"] = email.utils.formatdate(held.modified, usegmt=True)
        answer = _ranged(asked, content, headers, faults)
        if "no_length" in faults:
            answer.headers["Content-Length"] = ""
        for how in ("stall", "reset", "truncate"):
            if how in faults:
                answer.how = how
                answer.break_at = int(faults[how] or len(answer.body) // 2)
        if "drip" in faults:
            answer.bytes_per_s = float(faults["drip"] or 10)
        return answer

    def _content(self, held, faults):
        content = held.read()
        if "other" in faults:
            content = self.files[faults["other"]].read()
        if "wrong_bytes" in faults:
            content = _flipped(content, faults["wrong_bytes"])
        if "zeroed" in faults:
            start = int(faults["zeroed"] or len(content) // 2)
            zeros = bytes(min(_BLOCK_BYTES, len(content) - start))
            content = content[:start] + zeros + content[start + len(zeros) :]
        if "short" in faults:
            content = content[: int(faults["short"] or len(content) // 2)]
        if "oversize" in faults:
            content += b"junk!" * (int(faults["oversize"] or 5000) // 5)
        if "html_full" in faults:
            content = _ERROR_PAGE.ljust(len(content))[: len(content)]
        return content

    def _send(self, handler, answer):
        handler.send_response(answer.status)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        if not headers["Content-Length"]:
            del headers["Content-Length"]
            headers["Connection"] = "close"
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        body = memoryview(answer.body)[: answer.break_at]
        if answer.bytes_per_s:
            self._drip(handler, body, answer.bytes_per_s)
        else:
            for start in range(0, len(body), _SEND_BYTES):
                handler.wfile.write(body[start : start + _SEND_BYTES])
        if answer.how == "stall":
            self.released.wait(60)
        if answer.how:
            _hang_up(handler, reset=answer.how == "reset")

    def _drip(self, handler, body, bytes_per_s):
        for start in range(len(body)):
            if self.released.wait(1 / bytes_per_s):
                break
            handler.wfile.write(body[start : start + 1])


def _asked(handler):
    url = urlsplit(handler.path)
    query = parse_qs(url.query)
    route = "mast"
    if url.path == "/api/v0.1/Download/file":
        named = query.get("uri", [""])[0]
    elif re.fullmatch(r"/search/\w+/api/v0\.1/retrieve_product", url.path):
        named = query.get("product_name", [""])[0]
    elif url.path.startswith("/files/"):
        route, named = "plain", url.path
    elif key := _S3.fullmatch(url.path):
        fits_in = key[3].startswith(key[2]) and key[2].startswith(key[1]) and len(key[1]) == 4
        route, named = "s3", key[3] if fits_in else ""
    else:
        return None
    headers = {name.lower(): value for name, value in handler.headers.items()}
    return Request(handler.command, handler.path, named.rpartition("/")[2], headers, route)


def _token(headers):
    word, _, value = headers.get("authorization", "").partition(" ")
    if word.lower() == "token":
        return value.strip()
    cookie = re.search(r"mast_token=([^;\s]+)", headers.get("cookie", ""))
    return cookie[1] if cookie else None


def _plain(status, headers):
    body = f"status {status}".encode()
    return _Answer(status, body, {"Content-Type": "text/plain", **headers})


def _ranged(asked, content, headers, faults):
    """The whole content or the part asked for, If-Range obeyed."""
    match = _RANGE.fullmatch(asked.range or "")
    condition = asked.headers.get("if-range")
    stands = condition in (None, headers.get("ETag"), headers.get("Last-Modified"))
    if not match or not stands or "ignore_range" in faults:
        return _Answer(200, content, headers)
    start, stop = int(match[1]), int(match[2]) + 1 if match[2] else len(content)
    if start >= len(content):
        return _plain(416, {"Content-Range": f"bytes */{len(content)}"})
    if "wrong_range" in faults:
        start = max(0, start - 1000) if start else 1000
    stop = min(stop, len(content))
    said = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return _Answer(206, content[start:stop], {**headers, **said})


def _flipped(content, where):
    at = int(where or len(content) // 2)
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]


def _redirect(handler, base):
    handler.send_response(302)
    handler.send_header("Location", f"{base}{handler.path}")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _hang_up(handler, *, reset=False):
    handler.close_connection = True
    if reset:
        _wait_until_sent(handler.connection)
        # Lingering zero seconds, the socket is closed by a reset.
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.rfile.close()
        handler.connection.close()
    else:
        handler.connection.shutdown(socket.SHUT_RDWR)


def _wait_until_sent(connection):
    """A reset throws away what still waits to be sent."""
    for _ in range(1000):
        waiting = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4))
        if not int.from_bytes(waiting, sys.byteorder):
            return
        time.sleep(0.001)
