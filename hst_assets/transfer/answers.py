"""What an answer of a service means, and what it means that there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import isnan
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from hst_assets.failures import (
    AccessRefused,
    HstAssetsError,
    NothingFound,
    TransientFailure,
    UnusableInput,
)

if TYPE_CHECKING:
    from requests import Response

__all__ = [
    "MOST_REPLY_BYTES",
    "failure_of",
    "length_of",
    "may_pass",
    "refuse",
    "seconds_asked",
    "shown",
]

#: A listing of 5000 observations, unpacked, has 15 MB; a few megabytes of gzip can be gigabytes.
MOST_REPLY_BYTES = 256_000_000
#: A service may ask for this much patience between tries, seconds.
_LONGEST_RETRY_AFTER_S = 120.0
#: More digits than any length has, and fewer than `int` refuses.
_MANY_DIGITS = 20
_TELLING_PARAMETERS = frozenset({"uri", "product_name"})
_BUSY = frozenset({408, 425, 429})
_GONE = frozenset({404, 410})


def shown(url: str) -> str:
    """An address as it may be shown: without user, fragment, and parameters that may be secret."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        place = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return "an invalid address"
    telling = [pair for pair in parse_qsl(parts.query) if pair[0] in _TELLING_PARAMETERS]
    return urlunsplit((parts.scheme, place, parts.path, urlencode(telling, safe=":/"), ""))


def length_of(reply: Response) -> int | None:
    """The Content-Length of an answer; None without."""
    text = reply.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MANY_DIGITS else None


def may_pass(status: int) -> bool:
    """Whether another moment may cure a status: 5xx, timeout, too early, too many requests."""
    return status >= 500 or status in _BUSY


def refuse(reply: Response, where: str) -> None:
    """Raise what a status means, unless a file comes, or a range of one, or there is no such range.

    Raises
    ------
    TransientFailure, AccessRefused, NothingFound, UnusableInput
    """
    code = reply.status_code
    said = f"{code} {_phrase(code)}".strip()
    if may_pass(code):
        failure = TransientFailure(f"the service answered {said}", where=where)
        failure.retry_after_s = seconds_asked(reply.headers.get("Retry-After"))
        raise failure
    if code in _GONE:
        raise NothingFound(f"the service answered {said}", where=where)
    if code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    if code >= 400:
        raise AccessRefused(f"the service denied access with {said}", where=where)
    if code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise UnusableInput(f"the service answered {said}", where=where)
    if reply.headers.get("Content-Type", "").lower().startswith("text/html"):
        # What a service says while it is maintained; it says nothing of the file.
        raise TransientFailure("the service sent a web page instead of the file", where=where)
    if reply.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise UnusableInput(
            "the service sent a compressed file, which was not requested", where=where
        )


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""


def seconds_asked(text: str | None) -> float | None:
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
    return None if isnan(seconds) else min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)


def failure_of(error: Exception, where: str) -> HstAssetsError:
    """The failure for an error of requests or urllib3, without the error."""
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
        return TransientFailure(f"no answer, or the connection broke off: {reason}", where=where)
    return UnusableInput(f"the request failed: {reason}", where=where)


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
        return "the host is unknown (NameResolutionError)"
    if isinstance(seen, OSError) and seen.strerror:
        return f"{seen.strerror} ({type(seen).__name__})"
    return type(seen).__name__
