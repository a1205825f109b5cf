"""One request after another on one session, through redirections, with no trace in failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

from hst_assets.failures import UnusableInput
from hst_assets.transfer.answers import failure_of, length_of, refuse, shown
from hst_assets.transfer.halt import Halt

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

__all__ = ["Announced", "Asking", "Signer", "announced", "next_hop", "shielded"]

_HOPS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})

#: Adds credentials to a prepared request, or not, by its address.
Signer = Callable[["PreparedRequest"], "PreparedRequest"]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Announced:
    """What a service says of a file without sending it."""

    size: int | None
    etag: str | None
    last_modified: str | None


@dataclass(frozen=True)
class Asking:
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
                    refuse(reply, shown(url))
                    yield reply
                    return
                url = next_hop(url, reply.headers.get("Location"))
        raise UnusableInput(f"redirected more than {_HOPS} times", where=shown(url))


def announced(
    url: str, *, timeout_s: float, session: Session | None = None, sign: Signer | None = None
) -> Announced:
    """What the service says of a file, by HEAD.

    Parameters and failures are those of `transfer`.
    """

    def run(ours: Session) -> Announced:
        asking = Asking(ours, timeout_s, sign, Halt())
        with asking.reply(url, {}, method="HEAD") as reply:
            headers = reply.headers
            return Announced(length_of(reply), headers.get("ETag"), headers.get("Last-Modified"))

    return shielded(run, session, url, None)


def shielded(
    action: Callable[[Session], _T], session: Session | None, url: str, halt: Halt | None
) -> _T:
    """Do something with a session; errors of requests become failures without a trace of them."""
    import requests
    import urllib3

    with requests.Session() if session is None else nullcontext(session) as ours:
        try:
            return action(ours)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            # requests reads the Location of every redirection, and may stumble over it.
            failure = failure_of(error, shown(url))
    # Raised out here, it has no context: the error holds the request with its headers.
    if halt is not None:
        halt.check()
    raise failure


def _unsigned(request: PreparedRequest) -> PreparedRequest:
    return request


def next_hop(url: str, location: str | None) -> str:
    """Where a redirection leads; encryption is not given up."""
    if not location:
        raise UnusableInput("redirected without an address", where=shown(url))
    target = urljoin(url, location)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise UnusableInput("redirected to an unencrypted address", where=shown(url))
    return target
