"""What a command says on the terminal, kept in logs/ of the work directory that it works in.

`kept_console` is around a command; `keep_console` names the work directory once it is known. What
was said before is kept as well, and what is said afterwards, the failure that ends the command
included. A log fails no work: where it cannot be written, the command goes on without it.
"""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.control import Control

from hst_assets.shown_text import plain_text
from hst_assets.workdir import CONSOLE_LOG_PREFIX, WorkDir

__all__ = ["KeptConsole", "keep_console", "keep_traceback", "kept_console"]

_WIDTH = 120
#: Options whose value is nobody's business.
_SECRETS = ("--token",)


class _Log:
    """What was said so far, and the file that has it once it is known where."""

    def __init__(self) -> None:
        self._said: list[Callable[[], str]] = []
        self._path: Path | None = None

    def write(self, text: Callable[[], str]) -> None:
        """Write a text; it is made once there is a file for it, as many commands have none."""
        if self._path is None:
            self._said.append(text)
            return
        with (
            suppress(OSError),
            self._path.open("a", encoding="utf-8", errors="backslashreplace") as log,
        ):
            log.write(text())

    def begin(self, workdir: WorkDir) -> None:
        """Write on in the work directory; the first that is named has it all."""
        if self._path is not None:
            return
        now = datetime.now(UTC)
        name = f"{CONSOLE_LOG_PREFIX}{now:%Y%m%dT%H%M%S}_{os.getpid()}.log"
        with suppress(OSError):
            workdir.logs.mkdir(parents=True, exist_ok=True)
            self._path = workdir.logs / name
        if self._path is None:
            return
        self.write(lambda: f"{now:%Y-%m-%d %H:%M:%S} UTC: {_command_line(sys.argv)}\n")
        said, self._said = self._said, []
        for text in said:
            self.write(text)


_LOG: ContextVar[_Log | None] = ContextVar("console_log", default=None)


class KeptConsole(Console):
    """A console whose lines go to the log of the command as well, as plain text."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, and keep what is no control of the terminal."""
        super().print(*objects, **options)
        log = _LOG.get()
        if log is None or (objects and all(isinstance(each, Control) for each in objects)):
            return
        log.write(partial(_plain, *objects, **options))


def _plain(*objects: Any, **options: Any) -> str:
    """What a console without colours and controls prints."""
    text = StringIO()
    plain = Console(
        file=text,
        width=_WIDTH,
        soft_wrap=True,
        emoji=False,
        force_terminal=False,
        color_system=None,
    )
    plain.print(*objects, **options)
    return plain_text(text.getvalue())


@contextmanager
def kept_console() -> Iterator[None]:
    """Keep what is said during a command; it is lost unless a work directory is named."""
    token = _LOG.set(_Log())
    try:
        yield
    finally:
        _LOG.reset(token)


def keep_console(workdir: WorkDir) -> None:
    """Keep what this command says in a file of logs/: ``console_<UTC time>_<pid>.log``.

    Parameters
    ----------
    workdir : WorkDir
        Of the target that the command works on. Of several that are named, the first has the log.
    """
    log = _LOG.get()
    if log is not None:
        log.begin(workdir)


def keep_traceback(error: BaseException) -> None:
    """Keep where an error came from, of which the terminal shows a line.

    Parameters
    ----------
    error : BaseException
        That ends the command.
    """
    log = _LOG.get()
    if log is not None:
        where = plain_text("".join(traceback.format_exception(error)))
        log.write(lambda: where)


def _command_line(arguments: Sequence[str]) -> str:
    """What was typed, without secrets."""
    words: list[str] = [Path(arguments[0]).name]
    hidden = False
    for word in arguments[1:]:
        option, sign, _ = word.partition("=")
        if hidden:
            words.append("***")
        elif option in _SECRETS and sign:
            words.append(f"{option}=***")
        else:
            words.append(word)
        hidden = not hidden and word in _SECRETS
    return shlex.join(words)
