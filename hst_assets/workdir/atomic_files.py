"""Files get their final names in one step, complete or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hst_assets.failures import MissingProduct

__all__ = [
    "file_stamp",
    "fresh_stamp",
    "move_into_place",
    "stamp_if_there",
    "time_in",
    "write_atomically",
]


def move_into_place(source: Path, destination: Path) -> Path:
    """Move a finished file to its final name in one step, durably; return `destination`.

    Both must be on one file system. A reader sees the old file or the new one, never a part.

    Raises
    ------
    MissingProduct
        If `source` is not there.
    """
    if not source.is_file():
        raise MissingProduct("the tool did not write this file", where=source)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as handle:
        os.fsync(handle.fileno())
    source.replace(destination)
    return destination


def file_stamp(path: Path | str) -> tuple[int, int, int]:
    """What is another when a file is replaced as `write_atomically` does.

    Returns
    -------
    tuple of int
        Modification time (ns), inode, size (bytes).

    Raises
    ------
    OSError
        If there is no such file.
    """
    return _stamp(os.stat(path))  # noqa: PTH116 - text takes half the time


def fresh_stamp(path: Path) -> tuple[int, int, int]:
    """The `file_stamp` of a file that is opened for it.

    What NFS says of a name may be some seconds old; when a file is opened it asks the server.

    Returns
    -------
    tuple of int
        As of `file_stamp`.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    """
    with path.open("rb") as file:
        return _stamp(os.fstat(file.fileno()))


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_ino, status.st_size


def stamp_if_there(path: Path | str) -> tuple[int, int, int] | None:
    """The `file_stamp` of a file; None where there is none."""
    try:
        return file_stamp(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def time_in(folder: Path) -> float | None:
    """What the clock of a folder's file system says, which may be a server's (seconds).

    It is the modification time of a file that is made for this; None where none can be made.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


@contextmanager
def write_atomically(destination: Path) -> Iterator[Path]:
    """Yield a hidden path to write to; on success it takes `destination`'s name.

    The hidden name keeps the suffix, from which astropy guesses formats.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    # Processes of two machines may have one number.
    writer = f"{os.getpid()}-{secrets.token_hex(3)}"
    part = destination.with_name(f".part.{writer}.{destination.name}")
    try:
        yield part
        move_into_place(part, destination)
    finally:
        part.unlink(missing_ok=True)
