"""Stamps of files that are as new as the files themselves, also on another machine's disk."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["fresh_stamp"]


def fresh_stamp(path: Path) -> tuple[int, int, int]:
    """The `file_stamp` of a file that is opened for it.

    What NFS says of a name may be some seconds old; when a file is opened it asks the server.

    Returns
    -------
    tuple of int
        Modification time (ns), inode, size (bytes).

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
    return status.st_mtime_ns, status.st_ino, status.st_size
