"""No test asks the network: whoever looks up a name beyond this machine is refused and told on.

An audit hook sees the calls of every library. It refuses as an unplugged machine does, and writes
a line to the file that the variable `OFFENCES` names, because callers may swallow the refusal. What
matches the patterns in the variable `ALLOWED` is refused as well, but not told on.

Child processes of tests come here by ``sitecustomize.py`` beside this file, whose folder is in
their PYTHONPATH: so this module needs the standard library only.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from fnmatch import fnmatch

OFFENCES = "HST_ASSETS_TESTS_OFFENCES"
ALLOWED = "HST_ASSETS_TESTS_LOOKS_UP"
#: A process that refuses itself (tools that look names up when they are imported) is let be.
_REFUSES_ITSELF = "hst_assets.astrometry.methods.loopback_only"
_LOOK_UPS = (
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
)
_TRANSFERS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def watch():
    """Refuse look-ups beyond this machine in this process from now on, for good."""
    refuses_itself = False

    def look(event, arguments):
        nonlocal refuses_itself
        if event == "sys.addaudithook":
            caller = sys._getframe(1).f_globals.get("__name__")
            refuses_itself = refuses_itself or caller == _REFUSES_ITSELF
        elif event in _LOOK_UPS:
            host = arguments[0][0] if isinstance(arguments[0], tuple) else arguments[0]
            if not (is_local(host) or refuses_itself):
                _tell(event, host)
                raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {host}")
        elif event in _TRANSFERS and arguments[0].family in _INTERNET:
            host = arguments[1][0] if arguments[1] else None
            if not (is_local(host) or refuses_itself):
                _tell(event, host)
                raise OSError(errno.ENETUNREACH, f"Network is unreachable: {host}")

    sys.addaudithook(look)


def is_local(host):
    """Whether a host is this machine; None and an empty text are what servers bind to."""
    if host is None:
        return True
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    if name in ("localhost", ""):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _tell(event, host):
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    patterns = os.environ.get(ALLOWED, "").split(",")
    path = os.environ.get(OFFENCES)
    if not path or any(pattern and fnmatch(name, pattern) for pattern in patterns):
        return
    program = " ".join(sys.orig_argv[:6])[:200]
    line = f"{event.partition('.')[2]} {name} (process {os.getpid()}: {program!r})\n"
    # One write of one line: processes do not mix theirs.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)
