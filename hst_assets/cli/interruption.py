"""Ctrl-C and requests to terminate end a command with one line, from its first import on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["EXIT_INTERRUPTED", "TOLD", "exit_status", "interruptible", "signals_taken"]

EXIT_INTERRUPTED = 130
_EXIT_TERMINATED = 143
#: What is said of it.
TOLD = "interrupted; run the same command again to continue"
#: An interruption that was swallowed comes again after this time (s), when what swallowed it is
#: over.
_AGAIN_S = 0.1


@contextmanager
def interruptible() -> Iterator[None]:
    """Around a command and its imports, which take a second."""
    with signals_taken() as was_asked_to_end:
        try:
            yield
        except KeyboardInterrupt:
            with suppress(OSError):
                sys.stderr.write(f"{TOLD}\n")
            sys.exit(exit_status(was_asked_to_end))


def exit_status(was_asked_to_end: Callable[[], bool]) -> int:
    """130 for Ctrl-C, 143 for a request to terminate.

    Parameters
    ----------
    was_asked_to_end : callable
        As `signals_taken` gives it.
    """
    return _EXIT_TERMINATED if was_asked_to_end() else EXIT_INTERRUPTED


@contextmanager
def signals_taken() -> Iterator[Callable[[], bool]]:
    """Let a request to terminate take the way of Ctrl-C, on which tools are stopped as well.

    Yields
    ------
    callable
        Whether such a request came. Dagster puts a handler of its own in the place of this one
        while it executes a run; the numbers of all signals go into a pipe, whoever handles them.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def end(_number: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGINT)

    def was_asked_to_end() -> bool:
        with suppress(BlockingIOError):
            return signal.SIGTERM in os.read(reading, 65536)
        return False

    # What a script starts in the background inherits SIGINT as ignored, and could not be ended.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    try:
        with _swallowed_come_again():
            yield was_asked_to_end
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


@contextmanager
def _swallowed_come_again() -> Iterator[None]:
    """Interrupt once more where Python prints the interruption and goes on.

    That is what it does in a finalizer, in a callback of a weak reference and in one that C calls:
    a command would work on for an hour after Ctrl-C.
    """
    before = sys.unraisablehook

    def hook(found: sys.UnraisableHookArgs) -> None:
        if not issubclass(found.exc_type, KeyboardInterrupt):
            before(found)
            return
        # The main thread itself, lest it sleep on.
        main = threading.main_thread().ident
        again = threading.Timer(_AGAIN_S, signal.pthread_kill, [main, signal.SIGINT])
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
