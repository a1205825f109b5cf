"""The token for data under exclusive access: where it comes from, and where it may go.

The value is in one attribute of one object. It is not in that object's texts, copies as JSON or
pickles, and is put into a request at the last moment, for an address that may have it: hosts of
MAST over https, and the very host and port of the settings' ``mast_url`` if that is this machine.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, urlsplit

from hst_assets.failures import BadConfiguration
from hst_assets.transfer.hosts import is_this_machine

if TYPE_CHECKING:
    from requests import PreparedRequest

__all__ = ["TOKEN_VARIABLE", "Token", "signer", "token_from_environment"]

TOKEN_VARIABLE = "MAST_API_TOKEN"  # noqa: S105 - its name, not its value
#: Loggers of urllib3 that name addresses and headers as they come.
_TELL_ADDRESSES = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")
_MAST_HOST = "mast.stsci.edu"
_PORTS = {"http": 80, "https": 443}


class Token:
    """A token of MAST (https://auth.mast.stsci.edu), which is never printed.

    Parameters
    ----------
    value : str
        As MAST gave it; blanks around it are dropped.

    Raises
    ------
    BadConfiguration
        If it is empty, or holds what no token holds.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value.strip()
        # Anything else, such as a line feed, would make http.client complain, and name it.
        if not (self._value.isascii() and self._value.isprintable()) or " " in self._value:
            self._value = ""
        if not self._value:
            raise BadConfiguration("is empty or not a token", where=TOKEN_VARIABLE)
        for name in _TELL_ADDRESSES:
            logging.getLogger(name).addFilter(_Hiding(self))

    def hide_in(self, text: str) -> str:
        """A text without the token, which a server may send back in an address or a header."""
        return text.replace(self._value, "(token)")

    def __repr__(self) -> str:
        return "Token(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Token", self._value))

    def __copy__(self) -> Token:
        return self

    def __deepcopy__(self, memo: object) -> Token:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not pickled")

    def may_go_to(self, url: str, mast_url: str) -> bool:
        """Whether the service at `url` may be shown the token.

        Parameters
        ----------
        url : str
            The address of a request.
        mast_url : str
            The address of MAST in the settings.
        """
        try:
            target, mast = urlsplit(url), urlsplit(mast_url)
            same = _place(target) == _place(mast)
        except ValueError:
            return False
        host = (target.hostname or "").lower()
        if target.scheme == "https" and (host == _MAST_HOST or host.endswith(f".{_MAST_HOST}")):
            return True
        return same and is_this_machine(host)

    def put_into(self, request: PreparedRequest) -> None:
        """Add the token to a request that may have it."""
        request.headers["Authorization"] = f"token {self._value}"


class _Hiding(logging.Filter):
    """Takes a token out of what is logged; of one token there is one, whoever has it."""

    def __init__(self, token: Token) -> None:
        super().__init__()
        self._token = token

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hiding) and other._token == self._token

    def __hash__(self) -> int:
        return hash(self._token)

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record where it names the token."""
        said = record.getMessage()
        if (hidden := self._token.hide_in(said)) != said:
            record.msg, record.args = hidden, ()
        return True


def _place(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def signer(token: Token | None, mast_url: str) -> Callable[[PreparedRequest], PreparedRequest]:
    """What adds the token to those requests that may have it (``auth=`` of requests).

    Parameters
    ----------
    token : Token or None
        None adds nothing.
    mast_url : str
        The address of MAST in the settings.
    """

    def sign(request: PreparedRequest) -> PreparedRequest:
        if token is not None and token.may_go_to(request.url or "", mast_url):
            token.put_into(request)
        return request

    return sign


def token_from_environment(environment: Mapping[str, str] | None = None) -> Token | None:
    """The token that ``$MAST_API_TOKEN`` holds; None where it is unset or empty.

    Parameters
    ----------
    environment : mapping, optional
        The process's own by default.

    Raises
    ------
    BadConfiguration
        If it holds no token.
    """
    value = (os.environ if environment is None else environment).get(TOKEN_VARIABLE, "")
    return Token(value) if value.strip() else None
