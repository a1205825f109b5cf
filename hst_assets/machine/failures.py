"""Which errors are the machine's: a full disk, no memory, a disk that may not be written.

A tool that meets a full disk says so in many ways: with the system's error, with an error of its
own that was raised from it, or, as ``numpy.tofile`` and the FITS readers do, with a sentence
alone. So the whole chain of an error is looked at, and then the disk.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from hst_assets.failures import (
    Crashed,
    DiskFull,
    HstAssetsError,
    MachineFailure,
    OutOfMemory,
    ToolFailed,
    TransientFailure,
)

__all__ = [
    "DISK_STEP",
    "FAULT_SIGNALS",
    "MEMORY_STEP",
    "crashed_twice",
    "death_in_words",
    "has_more_behind",
    "is_disk_full",
    "machine_failure",
    "refusal_of_system",
]

DISK_STEP = "Free disk space, then rerun: what is finished is kept"
MEMORY_STEP = "Lower machine.max_cores, or give the machine more memory, then rerun"
_SIZE_STEP = "Raise the limit (ulimit -f), or use another file system, then rerun"
_TOO_LARGE = "file too large for this file system or limit"
_MACHINE_STEP = "The machine failed, not the data: fix this, then rerun"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: Other refusals of the system that no file's content explains: rights, a disk that is read-only
#: or does not answer, too many open files or processes.
_OF_THE_SYSTEM = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EIO,
        errno.ENXIO,
        errno.ENODEV,
        errno.ESTALE,
        errno.EMFILE,
        errno.ENFILE,
        errno.EAGAIN,
    }
)
#: Something else is where a file or folder should be, or no such name can be: what to do.
_IN_THE_WAY = {
    errno.EEXIST: "Move what is there out of the way, then rerun",
    errno.EISDIR: "A folder is where a file should be: move it out of the way, then rerun",
    errno.ELOOP: "A link leads to itself: remove it, then rerun",
    errno.ENAMETOOLONG: "Choose a shorter name, or a root with a shorter path",
    errno.ENOTDIR: "A file is where a folder should be: move it out of the way, then rerun",
    errno.ENOTEMPTY: "Move what is in the folder out of the way, then rerun",
}
#: What SQLite and numpy.tofile say, without a number.
_IN_WORDS = re.compile(r"database or disk is full|\d+ requested and \d+ written")
#: What SQLite says where its file cannot be read or written: its journal found no room, too.
_OF_SQLITE = "disk I/O error"
_SQLITE_STEP = (
    "See that the disk of the Dagster instance ('hst-assets home') has room and can be written; "
    "then rerun"
)
#: Less is no room for any product, nor for the buffer of a write that failed half way, bytes.
_NO_ROOM = 1 << 20
#: Signals by which a program ends of its own fault on what it was given; all others come from
#: outside (SIGKILL: the kernel for want of memory, or somebody; SIGBUS may be a disk that does not
#: give what was mapped), and are the machine's. One such end may be an accident, and the same is
#: done once more (`Crashed`); the second on the same input is a verdict (`crashed_twice`).
FAULT_SIGNALS = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL})


def is_disk_full(folder: Path) -> bool:
    """Whether the file system of a folder is full; False if unknown."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _NO_ROOM


def death_in_words(number: int) -> str:
    """How a signal ended a process, and what may be behind it.

    Parameters
    ----------
    number : int
        Of the signal, such as 9 for SIGKILL.
    """
    if number == signal.SIGKILL:
        return "was killed by SIGKILL (out of memory?)"
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal
        name = f"signal {number}"
    return f"was ended by {name}" + (
        " (a fault of the tool on this input)" if number in FAULT_SIGNALS else ""
    )


def crashed_twice(failure: Crashed) -> ToolFailed:
    """The verdict on an input on which the same tool has crashed again.

    Parameters
    ----------
    failure : Crashed
        The second crash.
    """
    return ToolFailed(
        f"{failure.what}, twice",
        where=failure.where,
        next_step="It is not tried again until the input, a setting, the code or the tool's "
        "version changes. See its log",
        log_tail=failure.log_tail,
    )


def machine_failure(
    error: BaseException, *, where: object = None, folder: Path | None = None
) -> MachineFailure | None:
    """The failure of the machine behind an error; None if the machine is not known to be at fault.

    Parameters
    ----------
    error : BaseException
        As it was raised; what it was raised from counts too.
    where : object, optional
        What was worked on, if the error does not name a file.
    folder : `~pathlib.Path`, optional
        Where files were written: if its disk is full, the error is laid to that.
    """
    if isinstance(error, MachineFailure):
        return error
    if isinstance(error, TransientFailure):
        return None  # a service's word
    for each in _chain(error):
        if isinstance(each, MemoryError) or getattr(each, "errno", None) == errno.ENOMEM:
            what = f"out of memory ({each})" if str(each) else "out of memory"
            return OutOfMemory(what, where=where, next_step=MEMORY_STEP)
        if getattr(each, "errno", None) in _FULL or _IN_WORDS.search(str(each)):
            return _disk_full(each, where)
        if _OF_SQLITE in str(each):
            what = "a database cannot be read or written (disk I/O error): is its disk full?"
            return MachineFailure(what, where=where, next_step=_SQLITE_STEP)
        if getattr(each, "errno", None) == errno.EFBIG:
            place = getattr(each, "filename", None) or where
            return MachineFailure(_TOO_LARGE, where=place, next_step=_SIZE_STEP)
        if isinstance(each, OSError) and (step := _step_after(each)):
            what = each.strerror or str(each)
            return MachineFailure(what, where=each.filename or where, next_step=step)
    if folder is not None and is_disk_full(folder):
        return _disk_full(error, where)
    return None


def _step_after(error: OSError) -> str:
    """What to do where the system refused something for its own sake; empty if it did not."""
    if error.errno in _OF_THE_SYSTEM:
        return _MACHINE_STEP
    return _IN_THE_WAY.get(error.errno or 0, "")


def refusal_of_system(error: OSError) -> MachineFailure:
    """What the system refused, in the words of this project, whatever it was.

    Parameters
    ----------
    error : OSError
        As it was raised.
    """
    known = machine_failure(error)
    if known is not None:
        return known
    step = "Look at this path; then rerun" if error.filename else _MACHINE_STEP
    return MachineFailure(error.strerror or str(error), where=error.filename, next_step=step)


def has_more_behind(error: BaseException) -> bool:
    """Whether an error of other origin is behind a failure: its traceback then says more.

    Parameters
    ----------
    error : BaseException
        As it was raised, or as it is shown.
    """
    return any(not isinstance(each, HstAssetsError) for each in _chain(error))


def _disk_full(error: BaseException, where: object) -> DiskFull:
    place = getattr(error, "filename", None) or where
    said = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    return DiskFull(f"the disk is full ({said})", where=place, next_step=DISK_STEP)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, or in the handling of which."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        # `raise ... from None` says that what was being handled is beside the point.
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
