"""Ctrl-C and requests to terminate end a command with one line, from its first import on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["EXIT_INTERRUPTED", "Interruption", "interruptible"]

EXIT_INTERRUPTED = 130
_EXIT_TERMINATED = 143
_TOLD = "interrupted; run the same command again to continue"
#: An interruption that was swallowed comes again after this time (s), when what swallowed it is
#: over.
_AGAIN_S = 0.1


class Interruption:
    """What signals a command got, whoever handles them, and what was said of it.

    Dagster puts a handler of its own in the place of this command's while it executes a run; the
    numbers of all signals go into a pipe.

    Parameters
    ----------
    pipe : int
        Descriptor of the end that is read; reading it does not block.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._got: set[int] = set()
        self._is_told = False

    def got(self) -> set[int]:
        """Numbers of the signals so far."""
        with suppress(BlockingIOError):
            while numbers := os.read(self._pipe, 65536):
                self._got.update(numbers)
        return self._got

    def end(self, tell: Callable[[str], object]) -> None:
        """Say once that the command was interrupted, and end it: 130, or 143 if by a request.

        Parameters
        ----------
        tell : callable
            Prints a line.
        """
        if not self._is_told:
            self._is_told = True
            tell(_TOLD)
        sys.exit(_EXIT_TERMINATED if signal.SIGTERM in self.got() else EXIT_INTERRUPTED)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Around a command and its imports, which take a second.

    A request to terminate takes the way of Ctrl-C, on which tools are stopped as well.

    Yields
    ------
    Interruption
        Of this command.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # What a script starts in the background inherits SIGINT as ignored, and could not be ended.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    interruption = Interruption(reading)
    try:
        with _swallowed_comes_again(interruption):
            yield interruption
    except KeyboardInterrupt:
        interruption.end(_write)
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def _write(line: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")


@contextmanager
def _swallowed_comes_again(interruption: Interruption) -> Iterator[None]:
    """Interrupt once more where Python prints the interruption and goes on.

    That is what it does in a finalizer, in a callback of a weak reference and in one that C calls:
    a command would work on for an hour after Ctrl-C. Within a run of Dagster's the exception is
    Dagster's own, no `KeyboardInterrupt`.
    """
    before = sys.unraisablehook
    timers: list[threading.Timer] = []
    main = threading.main_thread().ident or 0

    def hook(found: sys.UnraisableHookArgs) -> None:
        came = {signal.SIGINT, signal.SIGTERM} & interruption.got()
        if not came or issubclass(found.exc_type, Exception | SystemExit | GeneratorExit):
            before(found)
            return
        # To the main thread itself, lest it sleep on.
        timers.append(threading.Timer(_AGAIN_S, signal.pthread_kill, [main, signal.SIGINT]))
        timers[-1].daemon = True
        timers[-1].start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()  # the command has ended
