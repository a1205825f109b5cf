import errno
import signal

import pytest

from hst_assets.failures import (
    BadConfiguration,
    Crashed,
    DiskFull,
    MachineFailure,
    OutOfMemory,
    TimedOut,
    TransientFailure,
    UnusableInput,
    may_work_again,
)
from hst_assets.machine import failures
from hst_assets.machine.failures import (
    crashed_twice,
    death_in_words,
    is_disk_full,
    machine_failure,
)


def raised_from(cause, error):
    """An error as it is when it was raised while another one was handled."""
    error.__context__ = cause
    return error


def raised_from_none(beside_the_point, error):
    """The same, where `from None` says that the other one does not matter."""
    error.__suppress_context__ = True
    return raised_from(beside_the_point, error)


NO_ROOM = OSError(errno.ENOSPC, "No space left on device", "x.fits")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NO_ROOM, DiskFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFull),
        (OSError("4194304 requested and 1048576 written"), DiskFull),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), DiskFull),
        (RuntimeError("(sqlite3.OperationalError) disk I/O error"), MachineFailure),
        (MemoryError(), OutOfMemory),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), OutOfMemory),
        (OSError(errno.EROFS, "Read-only file system"), MachineFailure),
        (OSError(errno.EFBIG, "File too large"), MachineFailure),
        (OSError(errno.EMFILE, "Too many open files"), MachineFailure),
        (TimedOut("stopped after 1 s"), TimedOut),
        (raised_from(NO_ROOM, ValueError("empty image")), DiskFull),
        (raised_from(NO_ROOM, UnusableInput("no good pixel")), DiskFull),
    ],
)
def test_what_is_the_machines_is_named_as_such(error, kind):
    assert type(machine_failure(error)) is kind


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "x.fits"),
        OSError("Empty or corrupt FITS file"),
        ValueError("no stars"),
        UnusableInput("no good pixel"),
        BadConfiguration("no such setting"),
        raised_from(NO_ROOM, TransientFailure("the archive did not answer")),
        raised_from_none(NO_ROOM, ValueError("two stars only")),
    ],
)
def test_what_is_not_the_machines_is_left_alone(error, tmp_path):
    assert machine_failure(error, folder=tmp_path) is None


def test_on_a_full_disk_no_error_is_the_datas(tmp_path, monkeypatch):
    monkeypatch.setattr(failures, "is_disk_full", lambda folder: folder == tmp_path)
    failure = machine_failure(UnusableInput("no good pixel"), folder=tmp_path)
    assert type(failure) is DiskFull
    assert "no good pixel" in failure.what


def test_a_limit_on_the_size_of_files_is_not_called_a_full_disk():
    failure = machine_failure(OSError(errno.EFBIG, "File too large", "x.fits"))
    assert failure is not None
    assert str(failure).startswith("x.fits: file too large for this file system or limit. ")


def test_a_second_crash_on_an_input_is_a_verdict_on_it():
    crash = Crashed("task: was ended by SIGSEGV", where="x.log", log_tail=["reading"])
    assert may_work_again(type(crash))
    verdict = crashed_twice(crash)
    assert not may_work_again(type(verdict))
    assert verdict.what == "task: was ended by SIGSEGV, twice"
    assert (verdict.where, verdict.log_tail) == ("x.log", ("reading",))


def test_a_disk_with_room_is_not_full(tmp_path):
    assert not is_disk_full(tmp_path)
    assert not is_disk_full(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "was killed by SIGKILL (out of memory?)"),
        (signal.SIGSEGV, "was ended by SIGSEGV (a fault of the tool on this input)"),
        (signal.SIGTERM, "was ended by SIGTERM"),
        (signal.SIGRTMIN + 1, f"was ended by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_a_signal_is_named_and_only_that_of_the_kernel_speaks_of_memory(number, words):
    assert death_in_words(number) == words
