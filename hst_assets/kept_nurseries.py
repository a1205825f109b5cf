"""The nurseries that a thread keeps: `hst_assets.nursery` from the side of whoever calls tools.

A thread keeps its nursery from batch to batch; another current directory or other variables want a
new one, because a library may have read them when it was imported. Variables that are read no
earlier than by a call go with each batch instead. Should the caller be killed, the nursery and its
children die with it.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hst_assets.nursery import WAITS, is_read_by_calls, kill_session

__all__ = ["EVERY_TASK", "IMPORT_ALLOWANCE_S", "begin", "serve"]

logger = logging.getLogger(__name__)

IMPORT_ALLOWANCE_S = 300.0
#: How often a caller looks whether its nursery is still alive.
_LOOK_S = 0.5
#: Whom a thread's common nursery is for; any other is for the tasks of the module so named.
EVERY_TASK = ""


class _Nursery:
    """The process that calls are forked from; it dies with the thread that started it.

    Linux tells a process of its parent's death when the parent's *thread* ends: so a nursery
    serves its own thread alone.
    """

    def __init__(self, environment: Mapping[str, str], log_path: Path) -> None:
        self.origin = _origin(environment)
        self._answers, answering = os.pipe()
        try:
            with log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "hst_assets.nursery",
                        str(os.getpid()),
                        str(answering),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=environment,
                    pass_fds=(answering,),
                )
        except BaseException:
            os.close(self._answers)
            raise
        finally:
            os.close(answering)
        self.end = weakref.finalize(self, _end_nursery, self._process, self._answers, os.getpid())
        #: Signs of requests for whose end nobody has waited.
        self._unread = 0

    def begin(self, request: Mapping[str, Any]) -> bool:
        """Send a request, and wait neither for its beginning nor for its end."""
        self._unread += 2
        return self._send(request)

    def accepts(self, request: Mapping[str, Any]) -> bool:
        """Send a request; False if the nursery died before it began with it."""
        while self._unread:
            if not self.answers(IMPORT_ALLOWANCE_S):
                return False
            self._unread -= 1
        return self._send(request) and self.answers(IMPORT_ALLOWANCE_S)

    def _send(self, request: Mapping[str, Any]) -> bool:
        stream = self._process.stdin
        if stream is None or self._process.poll() is not None:
            return False
        try:
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
        except BrokenPipeError:
            return False
        return True

    def answers(self, allowance_s: float) -> bool:
        """Wait for the nursery's sign; False if it died or takes too long.

        The time that it waits for cores is none of its own.
        """
        deadline = time.monotonic() + allowance_s
        told = False
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if selector.select(min(left, _LOOK_S)):
                    sign = os.read(self._answers, 1)
                    if sign != WAITS:
                        return bool(sign)
                    if not told:
                        logger.info("waits for a core: other runs have those of this machine")
                    told, deadline = True, time.monotonic() + allowance_s
                if self._process.poll() is not None:
                    return False
        return False


class _Kept(threading.local):
    """The nurseries that a thread keeps between batches, by whom they are for."""

    def __init__(self) -> None:
        self.nurseries: dict[str, _Nursery] = {}


_KEPT = _Kept()


def begin(request: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Have a request begun by the thread's common nursery, and wait for nothing.

    Parameters
    ----------
    request : mapping
        As of `serve`.
    environment : mapping
        All variables of the children.
    """
    nursery = _KEPT.nurseries.get(EVERY_TASK)
    if nursery is None or nursery.origin != _origin(environment):
        if nursery is not None:
            nursery.end()
        nursery = _KEPT.nurseries[EVERY_TASK] = _Nursery(environment, Path(request["log"]))
    nursery.begin({**request, "variables": _read_by_calls(environment)})


def serve(
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    resident: str,
    allowance_s: float,
) -> None:
    """Have a request done by the thread's nursery, or by a new one that it then keeps.

    Parameters
    ----------
    request : mapping
        A batch of calls of one task, as `hst_assets.nursery` reads it, but for the variables.
    environment : mapping
        All variables of the children.
    resident : str
        Whom the nursery is for: `EVERY_TASK`, or a module that has one of its own.
    allowance_s : float
        How long the batch may take, waiting for cores apart.
    """
    request = {**request, "variables": _read_by_calls(environment)}
    nursery = _KEPT.nurseries.pop(resident, None)
    kept = False
    try:
        # A forked process has a copy of what its parent's thread kept: that is not its own.
        if nursery is not None and nursery.origin != _origin(environment):
            nursery.end()
            nursery = None
        if nursery is None or not nursery.accepts(request):
            if nursery is not None:
                nursery.end()
            nursery = _Nursery(environment, Path(request["log"]))
            if not nursery.accepts(request):
                return
        if nursery.answers(allowance_s):
            _KEPT.nurseries[resident] = nursery
            kept = True
    finally:
        if nursery is not None and not kept:
            nursery.end()


def _read_by_calls(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if is_read_by_calls(name)}


def _origin(environment: Mapping[str, str]) -> tuple[int, Path, dict[str, str]]:
    """What a nursery must agree in with the batches that it serves."""
    fixed = {name: value for name, value in environment.items() if not is_read_by_calls(name)}
    return os.getpid(), Path.cwd(), fixed


def _end_nursery(process: subprocess.Popen[bytes], answers: int, owner: int) -> None:
    os.close(answers)
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    if os.getpid() != owner:
        process.returncode = 0  # a fork of its owner has nothing to wait for
    elif process.returncode is None:
        kill_session(process.pid)
        process.wait()
