"""Keep a child process off the network, for tools that look things up when they are imported."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from typing import Any

__all__ = ["refuse_the_network"]

_LOCAL_NAMES = ("localhost", "")
_LOOK_UPS = (
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
)
_TRANSFERS = ("socket.connect", "socket.sendto", "socket.sendmsg")


def refuse_the_network() -> None:
    """Let this process look up and connect to nothing beyond the loopback device, for good.

    An audit hook sees every library's calls, however it imported `socket`, and cannot be removed:
    this is for a child process. Refusals are what an unplugged machine gives: `socket.gaierror`
    for names, `OSError` with ENETUNREACH for addresses.
    """
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _LOOK_UPS and not _is_local(_host_of_look_up(arguments[0])):
        raise socket.gaierror(socket.EAI_NONAME, f"{arguments[0]}: this process is kept off")
    if event in _TRANSFERS and isinstance(arguments[1], tuple) and not _is_local(arguments[1][0]):
        raise OSError(errno.ENETUNREACH, f"{arguments[1]}: this process is kept off the network")


def _host_of_look_up(argument: Any) -> Any:
    return argument[0] if isinstance(argument, tuple) else argument


def _is_local(host: Any) -> bool:
    """Whether a host is this machine; None is what servers bind to."""
    if host is None:
        return True
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    if name in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False
