"""HTTP requests to a service: with timeouts, complete replies only, and refusals by kind.

`PatientAdapter` is mounted on the session of a client that knows none of this (astroquery passes
no timeout, asks again without a pause while a query is EXECUTING, and reads whatever comes).
"""

from __future__ import annotations

import io
import json
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError as ConnectionFailure

from hst_assets.failures import AccessRefused, TransientFailure, UnusableInput
from hst_assets.transfer import MOST_REPLY_BYTES, may_pass, seconds_asked

__all__ = ["PATIENCE", "PatientAdapter", "refuse_status"]

#: A whole reply, and a query with all its pages, may take so many times as long as silence may.
PATIENCE = 10.0
_CHUNK = 65536
_FIRST_ERROR = 400
_UNAUTHORIZED = frozenset({401, 403})
#: A reply that only says EXECUTING is short.
_LONGEST_STATUS = 65536
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0


class PatientAdapter(HTTPAdapter):
    """Sends requests with a timeout and reads each reply completely before returning it.

    Parameters
    ----------
    timeout_s : float
        Seconds that the service may be silent; a whole reply may take `PATIENCE` times that.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        self._n_pauses = 0

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send one request.

        Raises
        ------
        TransientFailure
            If there is no connection, or no whole reply in time, or the service is out of order.
        AccessRefused
            If the service rejects the request (HTTP 4xx).
        UnusableInput
            If the reply is larger than any that is wanted.
        """
        where = (request.url or "").partition("?")[0]
        options |= {"stream": True, "timeout": self._timeout_s}
        try:
            response: requests.Response = super().send(request, **options)
            body = self._whole(response, where)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            raise
        except (requests.RequestException, ConnectionFailure, OSError) as error:
            raise TransientFailure(f"no answer: {_short(error)}", where=where) from error
        refuse_status(response.status_code, where, body, response.headers.get("Retry-After"))
        self._pause_while_executing(body)
        response.raw = io.BytesIO(body)
        return response

    def _whole(self, response: requests.Response, where: str) -> bytes:
        """The body, unpacked; in time and of a bounded size, or not at all."""
        deadline = time.monotonic() + PATIENCE * self._timeout_s
        chunks = []
        size = 0
        try:
            # Whatever has come is taken at once: a chunk that must be full would wait for ever on
            # a service that sends a byte now and then.
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > MOST_REPLY_BYTES:
                    raise UnusableInput(
                        f"the reply unpacks to more than {MOST_REPLY_BYTES // 1_000_000} MB: "
                        "no listing is that long",
                        where=where,
                        next_step="Check the address in the settings, or narrow the query",
                    )
                if time.monotonic() > deadline:
                    raise TimeoutError("the reply is too slow")
        except BaseException:
            response.raw.close()  # what is left of the reply must not meet the next request
            raise
        response.raw.release_conn()
        return b"".join(chunks)

    def _pause_while_executing(self, body: bytes) -> None:
        """The client asks again at once as long as the service says EXECUTING: wait before."""
        if not _is_executing(body):
            self._n_pauses = 0
            return
        pause_s = min(_FIRST_PAUSE_S * 2**self._n_pauses, _LONGEST_PAUSE_S, self._timeout_s)
        self._n_pauses += 1
        time.sleep(pause_s)


def refuse_status(
    status: int, where: str, body: bytes = b"", retry_after: str | None = None
) -> None:
    """Raise what an HTTP status means; nothing for success and redirection.

    Raises
    ------
    TransientFailure
        If the service is out of order or asks to come back later (5xx, 408, 425, 429).
    AccessRefused
        If it rejects the request (any other 4xx).
    """
    if status < _FIRST_ERROR:
        return
    said = f": {text}" if (text := _first_words(body)) else ""
    if may_pass(status):
        failure = TransientFailure(f"the service is unavailable (HTTP {status}{said})", where=where)
        failure.retry_after_s = seconds_asked(retry_after)
        raise failure
    what = "access denied" if status in _UNAUTHORIZED else "the service rejects the request"
    raise AccessRefused(
        f"{what} (HTTP {status}{said})", where=where, next_step="Check the address in the settings"
    )


def _is_executing(body: bytes) -> bool:
    if len(body) > _LONGEST_STATUS or b"EXECUTING" not in body:
        return False
    try:
        reply = json.loads(body)
    except ValueError:
        return False
    return isinstance(reply, dict) and reply.get("status") == "EXECUTING"


def _first_words(body: bytes) -> str:
    """The beginning of an error message, unless it is a page for browsers."""
    text = " ".join(body[:400].decode("utf-8", "replace").split())
    return "" if text.startswith("<") or not text.isprintable() else text[:120]


def _short(error: BaseException) -> str:
    while error.args and isinstance(
        inner := getattr(error.args[0], "reason", error.args[0]), Exception
    ):
        error = inner  # requests wraps what urllib3 has wrapped
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
