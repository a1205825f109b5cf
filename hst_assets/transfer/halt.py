"""To stop transfers that run in other threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hst_assets.failures import TransientFailure

__all__ = ["Halt"]


class Halt:
    """Stops transfers that run in other threads."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._replies: set[Any] = set()

    def stop(self) -> None:
        """End all transfers at their next byte, or now if they wait for one."""
        self._event.set()
        with self._lock:
            for raw in self._replies:
                try:
                    raw.shutdown()
                except (ValueError, RuntimeError, OSError):
                    continue  # has ended meanwhile

    def check(self) -> None:
        """Raise if stopped.

        Raises
        ------
        TransientFailure
            If stopped.
        """
        if self._event.is_set():
            raise TransientFailure("the transfer was stopped")

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until stopped; raises like `check`."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def watching(self, raw: Any) -> Iterator[None]:
        """Let `stop` end this reply."""
        with self._lock:
            self._replies.add(raw)
        try:
            yield
        finally:
            with self._lock:
                self._replies.discard(raw)
