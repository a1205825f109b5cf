"""One URL into one file: what came is kept and continued, and failures are told apart.

A transfer writes into a ``.part`` and keeps beside it, in ``.part.json``, what it is a part of:
address, validator (ETag or Last-Modified), announced size, and the caller's own word for the
content. The next transfer into it asks for the rest:

- with a validator, by ``Range`` and ``If-Range``: a file that changed comes whole;
- without one, the start of the file (where a FITS file tells its release) is asked for again and
  compared first;
- in both cases the last bytes of the part come once more and must be the same.

A service that ignores the range, answers 416, or sends another range than was asked for makes it
begin anew. Whether the file is *right* is for the caller to find out.

A service may be silent for ``timeout_s``, before it answers and between two bytes, and over any
span of that length must send `SLOWEST_BYTES_PER_S` on average. So a transfer takes no longer than
``size / SLOWEST_BYTES_PER_S`` and a few timeouts.

Messages name addresses without user, fragment or query, save the parameters that name a file.
Failures carry no trace of requests' own errors, which hold the request and its headers.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from hst_assets.failures import (
    AccessRefused,
    HstAssetsError,
    NothingFound,
    TransientFailure,
    UnusableInput,
)

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

__all__ = [
    "SLOWEST_BYTES_PER_S",
    "Announced",
    "Halt",
    "Transferred",
    "announced",
    "discard",
    "in_tries",
    "shown",
    "transfer",
]

logger = logging.getLogger(__name__)

#: Below this rate a transfer is given up (the largest HST exposures, 170 MB, take half a day).
SLOWEST_BYTES_PER_S = 4096.0
_CHUNK_BYTES = 1 << 18
#: What comes a second time at the end of a part, with a validator and without.
_OVERLAP_BYTES = 1 << 10
_BLIND_OVERLAP_BYTES = 1 << 16
_HOPS = 5
#: A service may ask for this much patience between tries, seconds.
_LONGEST_RETRY_AFTER_S = 120.0
_TELLING_PARAMETERS = frozenset({"uri", "product_name"})
_BUSY = frozenset({408, 425, 429})
_GONE = frozenset({404, 410})
_MOVED = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

Signer = Callable[["PreparedRequest"], "PreparedRequest"]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Transferred:
    """A transfer that came to its end.

    Attributes
    ----------
    size : int
        Bytes of the part.
    announced : int or None
        The size that the service announced.
    resumed_bytes : int
        How many of them had been there before.
    etag, last_modified : str or None
        As the service says.
    """

    size: int
    announced: int | None
    resumed_bytes: int
    etag: str | None
    last_modified: str | None


@dataclass(frozen=True)
class Announced:
    """What a service says of a file without sending it."""

    size: int | None
    etag: str | None
    last_modified: str | None


class Halt:
    """Stops transfers that run in other threads."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._replies: set[Any] = set()

    def stop(self) -> None:
        """End all transfers at their next byte, or now if they wait for one."""
        self._event.set()
        with self._lock:
            for raw in self._replies:
                try:
                    raw.shutdown()
                except (ValueError, RuntimeError, OSError):
                    continue  # has ended meanwhile

    def check(self) -> None:
        """Raise if stopped.

        Raises
        ------
        TransientFailure
            If stopped.
        """
        if self._event.is_set():
            raise TransientFailure("the transfer was stopped")

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until stopped; raises like `check`."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def watching(self, raw: Any) -> Iterator[None]:
        """Let `stop` end this reply."""
        with self._lock:
            self._replies.add(raw)
        try:
            yield
        finally:
            with self._lock:
                self._replies.discard(raw)


def shown(url: str) -> str:
    """An address as it may be shown: without user, fragment, and parameters that may be secret."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        place = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return "an address that is none"
    telling = [pair for pair in parse_qsl(parts.query) if pair[0] in _TELLING_PARAMETERS]
    return urlunsplit((parts.scheme, place, parts.path, urlencode(telling, safe=":/"), ""))


def discard(part: Path) -> None:
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    _state_file(part).unlink(missing_ok=True)


def transfer(
    url: str,
    part: Path,
    *,
    timeout_s: float,
    session: Session | None = None,
    identity: str = "",
    sign: Signer | None = None,
    halt: Halt | None = None,
    on_bytes: Callable[[int], None] | None = None,
    slowest_bytes_per_s: float = SLOWEST_BYTES_PER_S,
) -> Transferred:
    """Bring what `url` serves into `part`, beginning where an earlier transfer broke off.

    Parameters
    ----------
    url : str
        Over http or https.
    part : `~pathlib.Path`
        Written as bytes come; kept on failure, with its state beside it. One process at a time.
    timeout_s : float
        How long the service may be silent, seconds.
    session : `requests.Session`, optional
        Of this thread.
    identity : str, optional
        What the caller knows of the content; a part with another identity is not continued.
    sign : callable, optional
        Adds credentials to a prepared request, or not, by its address. Asked anew at every
        redirection.
    halt : Halt, optional
        Stops the transfer from another thread.
    on_bytes : callable, optional
        Told how many bytes the part has.
    slowest_bytes_per_s : float, optional
        A slower service is given up, bytes per second.

    Returns
    -------
    Transferred
        The part is as long as was announced, if a length was announced.

    Raises
    ------
    TransientFailure
        If nobody answered, the service was busy, too slow, or broke off.
    AccessRefused
        If it refused.
    NothingFound
        If it has no such file.
    UnusableInput
        If what it answered is no file.
    """

    def run(ours: Session) -> Transferred:
        asking = _Asking(ours, timeout_s, sign, halt or Halt())
        job = _Transfer(asking, part, on_bytes or _nobody, slowest_bytes_per_s)
        return job.run(_State(shown(url), identity), url)

    return _shielded(run, session, url, halt)


def announced(
    url: str, *, timeout_s: float, session: Session | None = None, sign: Signer | None = None
) -> Announced:
    """What the service says of a file, asked for by HEAD.

    Parameters and failures are those of `transfer`.
    """

    def run(ours: Session) -> Announced:
        asking = _Asking(ours, timeout_s, sign, Halt())
        with asking.reply(url, {}, method="HEAD") as reply:
            headers = reply.headers
            return Announced(_length(reply), headers.get("ETag"), headers.get("Last-Modified"))

    return _shielded(run, session, url, None)


def _shielded(
    action: Callable[[Session], _T], session: Session | None, url: str, halt: Halt | None
) -> _T:
    """Do something with a session; errors of requests become failures without a trace of them."""
    import requests
    import urllib3

    with requests.Session() if session is None else nullcontext(session) as ours:
        try:
            return action(ours)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            failure = _failure_of(error, shown(url))
    # Raised out here, it has no context: the error holds the request with its headers.
    if halt is not None:
        halt.check()
    raise failure


def _nobody(_: int) -> None:
    return None


# ------------------------------------------------------------------------------ what is known


@dataclass(frozen=True)
class _State:
    """What a part is a part of."""

    address: str
    identity: str
    etag: str | None = None
    last_modified: str | None = None
    size: int | None = None

    @property
    def validator(self) -> str | None:
        """What If-Range may name: a weak ETag may not."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def contradicts(self, reply: Response) -> bool:
        """Whether a reply is about other content."""
        said = (reply.headers.get("ETag"), reply.headers.get("Last-Modified"))
        known = (self.etag, self.last_modified)
        return any(a and b and a != b for a, b in zip(said, known, strict=True))


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_state(part: Path) -> _State | None:
    """What is known of a part; None where it is unknown or unreadable."""
    try:
        return _State(**json.loads(_state_file(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None


# ------------------------------------------------------------------------------- the transfer


@dataclass(frozen=True)
class _Asking:
    """How requests are made, and who may stop them."""

    session: Session
    timeout_s: float
    sign: Signer | None
    halt: Halt

    @contextmanager
    def reply(
        self, url: str, headers: Mapping[str, str], *, method: str = "GET"
    ) -> Iterator[Response]:
        """The answer: a file, or a range's, or that there is no such range. Others are raised."""
        for _ in range(_HOPS):
            self.halt.check()
            # Compressed on the way, a body would not have the length that is announced.
            reply = self.session.request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **headers},
                stream=True,
                timeout=self.timeout_s,
                allow_redirects=False,
                # Also keeps the user's .netrc out of it.
                auth=self.sign or _unsigned,
            )
            with reply, self.halt.watching(reply.raw):
                if reply.status_code not in _MOVED:
                    _refuse(reply, shown(url))
                    yield reply
                    return
                url = _next_hop(url, reply.headers.get("Location"))
        raise UnusableInput(f"redirected more than {_HOPS} times", where=shown(url))


@dataclass(frozen=True)
class _Transfer:
    asking: _Asking
    part: Path
    on_bytes: Callable[[int], None]
    slowest_bytes_per_s: float

    def run(self, wanted: _State, url: str) -> Transferred:
        state = _read_state(self.part)
        have = self.part.stat().st_size if self.part.is_file() else 0
        if have and state and (state.address, state.identity) == (wanted.address, wanted.identity):
            done = self._continue(url, state, have)
            if done is not None:
                return done
        discard(self.part)
        with self.asking.reply(url, {}) as reply:
            return self._whole(reply, wanted)

    def _continue(self, url: str, state: _State, have: int) -> Transferred | None:
        """Fetch the rest of a part; None if it cannot be continued."""
        if state.validator is None and not self._starts_alike(url, state, have):
            return None
        overlap = min(have, _OVERLAP_BYTES if state.validator else _BLIND_OVERLAP_BYTES)
        with self.asking.reply(url, _range(have - overlap, state.validator)) as reply:
            if reply.status_code == HTTPStatus.OK:
                return self._whole(reply, state)
            same = _of_rest(reply, have - overlap, state)
            return None if same is None else self._append(reply, same, have, overlap)

    def _starts_alike(self, url: str, state: _State, have: int) -> bool:
        """Whether the service's file begins as the part does and is as long as it was."""
        stop = min(have, _BLIND_OVERLAP_BYTES)
        with self.asking.reply(url, {"Range": f"bytes=0-{stop - 1}"}) as reply:
            said = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
            if reply.status_code != HTTPStatus.PARTIAL_CONTENT or not said:
                return False
            if said.groups() != ("0", str(stop - 1), str(state.size)):
                return False
            came = b"".join(self._chunks(reply))
        with self.part.open("rb") as part:
            return part.read(stop) == came

    def _append(
        self, reply: Response, state: _State, have: int, overlap: int
    ) -> Transferred | None:
        again = b""
        with self.part.open("r+b", buffering=0) as part:
            part.seek(have - overlap)
            known = part.read(overlap)
            for chunk in self._chunks(reply):
                if len(again) < overlap:
                    again += chunk
                    if again[:overlap] != known[: len(again)]:
                        return None
                    part.write(again[overlap:])
                else:
                    part.write(chunk)
                self.on_bytes(part.tell())
        return self._finished(state, have)

    def _whole(self, reply: Response, wanted: _State) -> Transferred:
        """Take the file from its beginning."""
        state = _State(
            wanted.address,
            wanted.identity,
            reply.headers.get("ETag"),
            reply.headers.get("Last-Modified"),
            _length(reply),
        )
        discard(self.part)
        _state_file(self.part).write_text(json.dumps(asdict(state)))
        with self.part.open("wb", buffering=0) as part:
            for chunk in self._chunks(reply):
                part.write(chunk)
                self.on_bytes(part.tell())
        return self._finished(state, 0)

    def _finished(self, state: _State, resumed: int) -> Transferred:
        size = self.part.stat().st_size
        if state.size is not None and size < state.size:
            raise TransientFailure(f"{size} bytes came of {state.size}", where=state.address)
        if state.size is not None and size > state.size:
            discard(self.part)
            raise UnusableInput(
                f"{size} bytes came, {state.size} were announced", where=state.address
            )
        return Transferred(size, state.size, resumed, state.etag, state.last_modified)

    def _chunks(self, reply: Response) -> Iterator[bytes]:
        """The body as it comes, watched for slowness."""
        begin, came = time.monotonic(), 0
        # read1 gives what is there; read would wait for a full chunk, and lose it with the line.
        while chunk := reply.raw.read1(_CHUNK_BYTES, decode_content=False):
            self.asking.halt.check()
            yield chunk
            came += len(chunk)
            span = time.monotonic() - begin
            if span > self.asking.timeout_s:
                if came < span * self.slowest_bytes_per_s:
                    raise TransientFailure(
                        f"too slow: {came} bytes in {span:.0f} s", where=shown(reply.url)
                    )
                begin, came = time.monotonic(), 0
        self.asking.halt.check()


def _unsigned(request: PreparedRequest) -> PreparedRequest:
    return request


def _range(start: int, validator: str | None) -> dict[str, str]:
    condition = {"If-Range": validator} if validator else {}
    return {"Range": f"bytes={start}-", **condition}


def _of_rest(reply: Response, start: int, state: _State) -> _State | None:
    """What is known of the file, if this is the rest of it from `start` on; otherwise None."""
    said = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
    if reply.status_code != HTTPStatus.PARTIAL_CONTENT or not said or state.contradicts(reply):
        return None
    size = state.size if said[3] == "*" else int(said[3])
    if int(said[1]) != start or state.size not in (None, size):
        return None
    return replace(state, size=size)


def _length(reply: Response) -> int | None:
    text = reply.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _next_hop(url: str, location: str | None) -> str:
    if not location:
        raise UnusableInput("redirected to nowhere", where=shown(url))
    target = urljoin(url, location)
    if url.startswith("https:") and not target.startswith("https:"):
        raise UnusableInput("redirected to an address without encryption", where=shown(url))
    return target


# -------------------------------------------------------------------------------- the failures


def _refuse(reply: Response, where: str) -> None:
    """Raise what a status means, unless a file or a range of one comes."""
    code = reply.status_code
    said = f"{code} {_phrase(code)}".strip()
    if code >= 500 or code in _BUSY:
        failure = TransientFailure(f"the service answered {said}", where=where)
        failure.retry_after_s = _retry_after(reply.headers.get("Retry-After"))
        raise failure
    if code in _GONE:
        raise NothingFound(f"the service answered {said}", where=where)
    if code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    if code >= 400:
        raise AccessRefused(f"the service refused with {said}", where=where)
    if code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise UnusableInput(f"the service answered {said}", where=where)
    if reply.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise UnusableInput("a web page came in place of the file", where=where)
    if reply.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise UnusableInput("the file came compressed, which was not asked for", where=where)


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""


def _retry_after(text: str | None) -> float | None:
    """How long a service asks to be left alone, seconds, bounded; None if it does not ask."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            until = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        seconds = (until - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)


def _failure_of(error: Exception, where: str) -> HstAssetsError:
    """The failure that an error of requests or urllib3 stands for, without the error."""
    import requests
    import urllib3

    passing = (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.TimeoutError,
        urllib3.exceptions.ProtocolError,
        urllib3.exceptions.SSLError,
    )
    reason = _innermost(error)
    if isinstance(error, passing):
        return TransientFailure(f"no answer, or it broke off: {reason}", where=where)
    return UnusableInput(f"cannot be asked: {reason}", where=where)


def _innermost(error: BaseException) -> str:
    """The kind of the error at the bottom, which names no address."""
    seen: BaseException = error
    while True:
        inside = [getattr(seen, "reason", None), *seen.args]
        deeper = next((one for one in inside if isinstance(one, BaseException)), None)
        if deeper is None or deeper is seen:
            break
        seen = deeper
    if type(seen).__name__ == "NameResolutionError":
        return "the name of the host is not known (NameResolutionError)"
    if isinstance(seen, OSError) and seen.strerror:
        return f"{seen.strerror} ({type(seen).__name__})"
    return type(seen).__name__


# ----------------------------------------------------------------------------------- the tries


def in_tries(
    action: Callable[[], _T],
    *,
    label: str,
    max_tries: int,
    first_wait_s: float,
    longest_wait_s: float = 30.0,
    halt: Halt | None = None,
) -> _T:
    """Do something that may fail in passing, again where it may help.

    Parameters
    ----------
    action : callable
        Repeated after a `TransientFailure`, and after no other.
    label : str
        Name of the file, for the log.
    max_tries : int
        How often in all.
    first_wait_s, longest_wait_s : float
        Wait before the second try, doubled before each further one up to the longest, with chance
        in it, seconds. A service's Retry-After is obeyed if it is longer, up to two minutes.
    halt : Halt, optional
        Ends the waiting.

    Raises
    ------
    TransientFailure
        The last one.
    """
    import tenacity

    doubled = tenacity.wait_exponential_jitter(first_wait_s, longest_wait_s, jitter=first_wait_s)

    def wait(state: tenacity.RetryCallState) -> float:
        asked = getattr(_failure_in(state), "retry_after_s", None)
        return max(doubled(state), asked or 0.0)

    def log(state: tenacity.RetryCallState) -> None:
        logger.warning("%s: trying again (%s)", label, _failure_in(state))

    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientFailure),
        stop=tenacity.stop_after_attempt(max_tries),
        wait=wait,
        sleep=(halt or Halt()).wait,
        before_sleep=log,
        reraise=True,
    )
    return tries(action)


def _failure_in(state: Any) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
