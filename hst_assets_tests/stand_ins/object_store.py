"""A server of S3 on this machine: moto's, with faults on demand and a note of what was asked."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

import requests
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

#: What a request is answered instead of being done: a status, or None for what moto says.
Fault = Callable[[str, str], int | None]

_WORDS = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}


class ObjectStore:
    """Buckets that are there as long as the server.

    Attributes
    ----------
    asked : list of (str, str)
        Method and path, with the query, of each request.
    fault : callable
        Looked at before a request is done; may wait.
    kms : bool
        Whether ETags are no MD5, as with encryption by KMS.
    """

    def __init__(self):
        self.asked: list[tuple[str, str]] = []
        self.fault: Fault = lambda _method, _path: None
        self.kms = False
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[ObjectStore]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def environment(self) -> dict[str, str]:
        """What finds this store and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "KEYOFATEST",
            "AWS_SECRET_ACCESS_KEY": "secret-of-a-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def new_bucket(self) -> str:
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        requests.put(f"{self.url}/{name}", timeout=30).raise_for_status()
        return name

    def sent(self) -> list[str]:
        """The objects that were put, in order."""
        return [
            path.partition("?")[0].split("/", 2)[2]
            for method, path in self.asked
            if method == "PUT" and path.count("/") > 1 and "partNumber=" not in path
        ]

    def wait_for(self, found: Callable[[], bool], *, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not found():
            assert time.monotonic() < end, "it did not come so far"
            time.sleep(0.01)

    def _answer(self, environ, start_response):
        query = environ.get("QUERY_STRING", "")
        path = environ["PATH_INFO"] + (f"?{query}" if query else "")
        method = environ["REQUEST_METHOD"]
        self.asked.append((method, path))
        status = self.fault(method, path)
        if status is not None:
            body = f"<Error><Code>{_WORDS[status]}</Code><Message>on purpose</Message></Error>"
            start_response(
                f"{status} {HTTPStatus(status).phrase}",
                [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))],
            )
            return [b"" if method == "HEAD" else body.encode()]
        if self.kms and method in ("GET", "HEAD"):
            environ.pop("HTTP_IF_MATCH", None)  # of the ETag that moto does not know
            return self._moto(environ, _without_md5(start_response))
        return self._moto(environ, start_response)


class _Quiet(MotoRequestHandler):
    """Logs nothing."""

    def log_request(self, *_arguments):
        pass


def _without_md5(start_response):
    def start(status, headers, *more):
        kept = [(name, value) for name, value in headers if name.lower() != "etag"]
        return start_response(status, [*kept, ("ETag", f'"{"0" * 32}"')], *more)

    return start
