"""The receivers of alerts: a webhook, mail addresses. All of it is set in the environment.

The address of a webhook is a secret with most services, and so is the password of a mail server:
neither is in a message, a log or a failure. The standard library's clients log nothing.
"""

from __future__ import annotations

import json
import os
import smtplib
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from hst_assets.alerting.message import Alert
from hst_assets.failures import AccessRefused, BadConfiguration, HstAssetsError, TransientFailure
from hst_assets.transfer import may_pass
from hst_assets.transfer.hosts import is_this_machine

__all__ = [
    "FROM_VARIABLE",
    "MAIL_VARIABLE",
    "PASSWORD_VARIABLE",
    "SMTP_VARIABLE",
    "TOKEN_VARIABLE",
    "UI_VARIABLE",
    "WEBHOOK_VARIABLE",
    "MailReceiver",
    "Receiver",
    "WebhookReceiver",
    "receivers_from_environment",
]

WEBHOOK_VARIABLE = "HST_ASSETS_ALERT_WEBHOOK"
TOKEN_VARIABLE = "HST_ASSETS_ALERT_TOKEN"  # noqa: S105 - its name, not its value
MAIL_VARIABLE = "HST_ASSETS_ALERT_MAIL"
FROM_VARIABLE = "HST_ASSETS_ALERT_FROM"
SMTP_VARIABLE = "HST_ASSETS_ALERT_SMTP"
PASSWORD_VARIABLE = "HST_ASSETS_ALERT_SMTP_PASSWORD"  # noqa: S105 - its name, not its value
UI_VARIABLE = "HST_ASSETS_ALERT_UI"

_TIMEOUT_S = 8.0
_SMTP = "smtp://localhost:25"
_PORTS = {"smtp": 25, "smtps": 465}
_UNREACHABLE = "does not answer"
#: SMTP's code of a command that a server does not know, such as AUTH.
_NOT_SUPPORTED = 502


class Receiver(Protocol):
    """A receiver of alerts."""

    @property
    def name(self) -> str:
        """As logs and cursors call it; no secret."""

    def tell(self, alert: Alert) -> None:
        """Send a message.

        Raises
        ------
        TransientFailure
            If it could not be reached: another message would fare no better now.
        HstAssetsError
            If it does not take the message.
        """


@dataclass(frozen=True)
class WebhookReceiver:
    """Takes a POST of JSON.

    Parameters
    ----------
    url : str
        Where to.
    token : str, optional
        Sent as ``Authorization: Bearer``.
    """

    url: str = field(repr=False)
    token: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """With the host alone: services put their secret into the path."""
        return f"webhook ({urlsplit(self.url).hostname})"

    def tell(self, alert: Alert) -> None:
        """See `Receiver`."""
        headers = {"Content-Type": "application/json", "User-Agent": "hst_assets"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        body = json.dumps(alert.as_json()).encode()
        request = urllib.request.Request(self.url, body, headers, method="POST")  # noqa: S310
        # A redirect would carry the message, and perhaps the token, to somebody else.
        opener = urllib.request.build_opener(_NoRedirects)
        try:
            with opener.open(request, timeout=_TIMEOUT_S):
                return
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
        except UnicodeError:  # its own text would repeat the address
            raise AccessRefused(
                "cannot be resolved: no name service accepts its address",
                where=self.name,
                next_step=f"Look at {WEBHOOK_VARIABLE}",
            ) from None
        except (OSError, HTTPException) as error:
            raise TransientFailure(f"{_UNREACHABLE}: {_kind(error)}", where=self.name) from None
        if may_pass(status):
            raise TransientFailure(f"answered {status}", where=self.name)
        raise AccessRefused(
            f"did not take the message: {status}",
            where=self.name,
            next_step=f"Look at {WEBHOOK_VARIABLE} (and {TOKEN_VARIABLE})",
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other that is no success."""

    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        """Follow none."""


@dataclass(frozen=True)
class MailReceiver:
    """Takes mail.

    Parameters
    ----------
    address : str
        Of one recipient.
    sender : str
        What the message says it is from.
    server : str
        ``smtp://[USER@]HOST[:PORT]``, or ``smtps://`` for TLS from the beginning.
    password : str, optional
        Of the user; sent over TLS only, or to this machine.
    """

    address: str
    sender: str
    server: str = _SMTP
    password: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """With the address."""
        return f"mail to {self.address}"

    def tell(self, alert: Alert) -> None:
        """See `Receiver`."""
        try:
            message = self._message(alert)
            with self._connected() as server:
                server.send_message(message)
        except UnicodeError:
            raise AccessRefused(
                "the message, an address or a name of the server cannot be written in mail",
                where=self.name,
                next_step=f"Look at {MAIL_VARIABLE}, {FROM_VARIABLE} and {SMTP_VARIABLE}",
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise self._failure(min(codes, default=550)) from None
        except smtplib.SMTPNotSupportedError:
            raise self._failure(_NOT_SUPPORTED) from None
        except smtplib.SMTPResponseException as error:
            raise self._failure(error.smtp_code) from None
        except (OSError, smtplib.SMTPException) as error:
            raise TransientFailure(f"{_UNREACHABLE}: {_kind(error)}", where=self.name) from None

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = alert.subject
        message["From"] = self.sender
        message["To"] = self.address
        message.set_content(f"{alert.text}\n")
        return message

    def _connected(self) -> smtplib.SMTP:
        parts = urlsplit(self.server)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        context = ssl.create_default_context()
        options: dict[str, Any] = {"timeout": _TIMEOUT_S, "local_hostname": _own_name()}
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, context=context, **options)
        else:
            server = smtplib.SMTP(host, port, **options)
        try:
            server.ehlo()
            encrypted = parts.scheme == "smtps"
            if not encrypted and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                encrypted = True
            if self.password:
                self._log_in(server, parts, encrypted=encrypted)
        except BaseException:
            server.close()
            raise
        return server

    def _log_in(self, server: smtplib.SMTP, parts: SplitResult, *, encrypted: bool) -> None:
        if not (encrypted or is_this_machine(parts.hostname or "")):
            raise AccessRefused(
                "the server offers no TLS, and the password is not sent without",
                where=self.name,
                next_step=f"Set {SMTP_VARIABLE} to an smtps:// address",
            )
        server.login(unquote(parts.username or self.sender), self.password)

    def _failure(self, code: int) -> HstAssetsError:
        """By SMTP's code: 4xx may pass. What the server says may name what it was told."""
        if 400 <= code < 500:
            return TransientFailure(f"the server answered {code}", where=self.name)
        return AccessRefused(
            f"the server did not take the message: {code}",
            where=self.name,
            next_step=f"Look at {MAIL_VARIABLE}, {FROM_VARIABLE}, {SMTP_VARIABLE} and "
            f"{PASSWORD_VARIABLE}",
        )


def receivers_from_environment(environment: Mapping[str, str] | None = None) -> list[Receiver]:
    """All receivers that are set; may be empty.

    Parameters
    ----------
    environment : mapping, optional
        The process's own by default.

    Raises
    ------
    BadConfiguration
        If a variable is not what it should be; its value is not repeated.
    """
    given = {key: value.strip() for key, value in (environment or os.environ).items()}
    found: list[Receiver] = []
    if url := given.get(WEBHOOK_VARIABLE):
        _refuse_invalid(url, WEBHOOK_VARIABLE, ("https", "http"))
        found.append(WebhookReceiver(url, _token_for(url, given.get(TOKEN_VARIABLE, ""))))
    if addresses := given.get(MAIL_VARIABLE):
        server = given.get(SMTP_VARIABLE) or _SMTP
        _refuse_invalid(server, SMTP_VARIABLE, tuple(_PORTS))
        split = [address.strip() for address in addresses.split(",") if address.strip()]
        sender = given.get(FROM_VARIABLE) or split[0]
        for address in (*split, sender):
            _refuse_no_address(address)
        password = given.get(PASSWORD_VARIABLE, "")
        if not password.isascii():
            raise BadConfiguration("has characters that are not ASCII", where=PASSWORD_VARIABLE)
        found += [MailReceiver(address, sender, server, password) for address in split]
    return found


def _token_for(url: str, token: str) -> str:
    """The token, if it may go to an address."""
    parts = urlsplit(url)
    if token and parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        raise BadConfiguration(
            "is not sent without TLS",
            where=TOKEN_VARIABLE,
            next_step=f"Set {WEBHOOK_VARIABLE} to an https:// address",
        )
    if not (token.isascii() and token.isprintable()):
        raise BadConfiguration("is no token", where=TOKEN_VARIABLE)
    return token


def _refuse_invalid(url: str, variable: str, schemes: tuple[str, ...]) -> None:
    problem = ""
    try:
        parts = urlsplit(url)
        _ = parts.port
        if parts.scheme not in schemes or not parts.hostname or not url.isprintable():
            problem = f"is no address that begins with {' or '.join(f'{s}://' for s in schemes)}"
        elif not url.isascii():
            problem = "has characters that are not ASCII; write them as %XX"
        elif parts.password:
            problem = f"has a password in it; set {PASSWORD_VARIABLE} or {TOKEN_VARIABLE}"
    except ValueError:
        problem = "is no address"
    if problem:
        raise BadConfiguration(problem, where=variable, next_step="Correct it, or unset it")


def _refuse_no_address(address: str) -> None:
    local, _, domain = address.rpartition("@")
    if not (local and domain and address.isprintable()) or any(c in address for c in " <>,;"):
        raise BadConfiguration(
            "has something that is no mail address",
            where=f"{MAIL_VARIABLE} or {FROM_VARIABLE}",
            next_step="Give plain addresses, separated by commas",
        )


def _own_name() -> str:
    """How this machine greets, without asking a name service as smtplib would."""
    name = socket.gethostname()
    return name if "." in name else "[127.0.0.1]"


def _kind(error: BaseException) -> str:
    """What went wrong, without anything that may hold an address: the system's word, or a class."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        return _kind(inner)
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or type(error).__name__})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
