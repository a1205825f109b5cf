"""The archive's token as an option: read from where it is safe, and kept out of sight after."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hst_assets.failures import BadConfiguration

if TYPE_CHECKING:
    from hst_assets.archive.credentials import Token

__all__ = ["TokenOption", "hide_in_process_list", "token_given"]

_FROM_INPUT = "-"
_ARGUMENTS_FROM, _ARGUMENTS_TO = 47, 48  # fields of /proc/self/stat, counted from 0

TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        help="Token of MAST; '-' reads it from standard input. Better: set MAST_API_TOKEN, since "
        "others may see a command line.",
        show_default=False,
    ),
]


def token_given(typed: str | None) -> Token | None:
    """The token that was typed or piped in; else that of the environment; None without either.

    Raises
    ------
    BadConfiguration
        If it is empty.
    """
    from hst_assets.archive.credentials import Token, token_from_environment

    if typed is None:
        return token_from_environment()
    if typed == _FROM_INPUT:
        typed = _from_input()
    else:
        hide_in_process_list(typed)
    if not typed.strip():
        raise BadConfiguration("the token is empty", where="--token")
    return Token(typed.strip())


def _from_input() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Token of MAST", hide_input=True, default="", show_default=False))
    return sys.stdin.readline()


def hide_in_process_list(secret: str) -> None:
    """Overwrite a word of this process's command line, as ``ps`` shows it, and of `sys.argv`.

    Linux only; elsewhere, and where the memory may not be written, it stays visible.
    """
    sys.argv = [_hidden(word.encode(), secret.encode()).decode() for word in sys.argv]
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The second field, the program's name, may hold blanks and brackets.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = (int(fields[n - 2]) for n in (_ARGUMENTS_FROM, _ARGUMENTS_TO))
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            words = memory.read(end - start).split(b"\0")
            memory.seek(start)
            memory.write(b"\0".join(_hidden(word, secret.encode()) for word in words))


def _hidden(word: bytes, secret: bytes) -> bytes:
    """A word of a command line, of the same length, without the secret if it is its value."""
    name, equals, value = word.rpartition(b"=")
    return name + equals + b"*" * len(value) if value == secret else word
