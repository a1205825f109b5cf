"""Tasks for child processes that try to reach the network."""

import importlib
import socket
import sys
import threading

from hst_assets.astrometry.methods.loopback_only import refuse_the_network


def attempts():
    """What became of each way to reach the network once it is refused."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=lambda: server.accept()[0].sendall(b"hello"), daemon=True).start()
    refuse_the_network()
    with socket.create_connection(server.getsockname(), timeout=10) as local:
        heard = local.recv(5).decode()
    return {
        "loopback": heard,
        "localhost": bool(socket.getaddrinfo("localhost", 80)),
        "name": _error(socket.getaddrinfo, "example.org", 80),
        "old_name": _error(socket.gethostbyname, "example.org"),
        "address": _error(socket.socket().connect, ("192.0.2.1", 80)),
        "address_v6": _error(socket.socket(socket.AF_INET6).connect, ("2001:db8::1", 80)),
        "datagram": _error(
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto, b"x", ("192.0.2.1", 53)
        ),
    }


def names_asked_for(module):
    """Import a module; return the names beyond this machine that it looks up."""
    asked = []

    def refuse(event, arguments):
        if event == "socket.getaddrinfo" and arguments[0] not in (None, "localhost", "127.0.0.1"):
            asked.append(str(arguments[0]))
            raise socket.gaierror(socket.EAI_NONAME, "refused by the test")

    sys.addaudithook(refuse)
    importlib.import_module(module)
    return asked


def name_after_import(module):
    """Import a module, then look a name up."""
    importlib.import_module(module)
    return _error(socket.getaddrinfo, "example.org", 80)


def _error(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return "reached"
