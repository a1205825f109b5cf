"""A webhook and a mail server on this machine, which keep what they are told."""

from __future__ import annotations

import json
import socketserver
from base64 import b64decode
from email import message_from_bytes, policy

from hst_assets_tests.stand_ins.loopback_server import (
    LoopbackHandler,
    LoopbackServer,
    RunsInAThread,
)


class Webhook(LoopbackServer):
    """Takes messages as JSON; answers `status`, or that of a text in the message.

    Attributes
    ----------
    taken : list of dict
        The messages that were answered with success.
    headers : list
        Of every request.
    """

    def __init__(self):
        super().__init__(_WebhookHandler)
        self.taken = []
        self.headers = []
        self.status = 200
        self.status_for = {}

    def answer(self, message):
        return next(
            (code for text, code in self.status_for.items() if text in message["text"]), self.status
        )


class _WebhookHandler(LoopbackHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = json.loads(body)
        self.server.headers.append(dict(self.headers))
        status = self.server.answer(message)
        if status < 300:
            self.server.taken.append(message)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()


class MailServer(RunsInAThread, socketserver.ThreadingTCPServer):
    """Speaks as much SMTP as a message needs.

    Attributes
    ----------
    taken : list of (str, EmailMessage)
        Recipient and message.
    refusals : dict
        Command to the line that answers it instead.
    logins : list of str
        What came with AUTH PLAIN, decoded; empty where it is not offered.

    Parameters
    ----------
    tls : SSLContext, optional
        Of a server that speaks TLS from the beginning.
    offers : tuple of str, optional
        What EHLO is answered with.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, tls=None, offers=()):
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.taken = []
        self.refusals = {}
        self.logins = []
        self.offers = offers
        self._tls = tls

    @property
    def address(self):
        return f"smtp{'s' if self._tls else ''}://127.0.0.1:{self.server_address[1]}"

    def get_request(self):
        connection, client = super().get_request()
        if self._tls:
            connection.settimeout(10)
            connection = self._tls.wrap_socket(connection, server_side=True)
        return connection, client


class _MailHandler(socketserver.StreamRequestHandler):
    def handle(self):
        self._say("220 here")
        recipient = ""
        while line := self.rfile.readline().decode().strip():
            command = line.split()[0].upper()
            if command in self.server.refusals:
                self._say(self.server.refusals[command])
            elif command == "DATA":
                self._say("354 go on")
                self.server.taken.append((recipient, self._message()))
                self._say("250 taken")
            elif command == "EHLO":
                for offer in ("here", *self.server.offers):
                    self._say(f"250-{offer}")
                self._say("250 HELP")
            elif command == "AUTH":
                self.server.logins.append(b64decode(line.split()[-1]).decode())
                self._say("235 welcome")
            elif command == "QUIT":
                self._say("221 bye")
                return
            else:
                recipient = line.partition("<")[2].partition(">")[0] or recipient
                self._say("250 so be it")

    def _message(self):
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        return message_from_bytes(b"".join(lines), policy=policy.default)

    def _say(self, line):
        self.wfile.write(f"{line}\r\n".encode())
