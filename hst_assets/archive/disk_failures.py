"""What the operating system refuses, in the words of this project."""

from __future__ import annotations

import errno

from hst_assets.failures import BadConfiguration, TransientFailure

__all__ = ["DISK_STEP", "failure_on_disk"]

DISK_STEP = "Free disk space; downloads are kept and continued"
#: Errors that do not pass by waiting: missing rights, a read-only disk, a folder in place of a
#: file.
_LASTING = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
    }
)


def failure_on_disk(error: OSError, where: object) -> BadConfiguration | TransientFailure:
    """The failure that corresponds to an error of the file system.

    Parameters
    ----------
    error : OSError
        As it was raised.
    where : object
        What was to be written, if the error does not say.
    """
    what = f"cannot be written: {error.strerror or type(error).__name__}"
    place = error.filename or where
    if error.errno in _LASTING:
        return BadConfiguration(what, where=place)
    return TransientFailure(what, where=place, next_step=DISK_STEP)
