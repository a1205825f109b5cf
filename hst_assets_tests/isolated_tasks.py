"""Tasks for test_isolation.py to run in child processes."""

import ctypes
import gc
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from hst_assets.failures import UnusableInput

IMPORTED_BY = os.getpid()
COLLECTS_WHILE_IMPORTED = gc.isenabled()


def tells_origin(variable="HOME"):
    return {
        "nursery": os.getppid(),
        "imported_by": IMPORTED_BY,
        "variable": os.environ.get(variable),
    }


def tells_when_garbage_is_collected():
    return {"while imported": COLLECTS_WHILE_IMPORTED, "while called": gc.isenabled()}


def ends_its_nursery():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def echo(value):
    print("heard", value)
    Path("left_here.txt").write_text(str(value))
    return {"value": value, "pid": os.getpid(), "folder": Path.cwd().name}


def asks():
    return sys.stdin.read()


def refuses():
    raise UnusableInput("no stars", where="x.fits", next_step="Look at it")


def crashes():
    print("about to crash")
    raise RuntimeError("boom")


def leaves_by_exit():
    sys.exit(0)


def says_why_and_dies():
    print("no reference file found")
    os._exit(3)


def segfaults():
    ctypes.string_at(0)


def segfaults_once(memory):
    """Works the second time, if nothing of the first is left in its folder."""
    Path("half_done").mkdir()
    if not Path(memory).exists():
        Path(memory).touch()
        segfaults()
    return "done"


def fills_the_disk(how):
    full = Path("/dev/full")  # a device on which no byte has room
    try:
        if how == "by numpy":
            np.zeros(10_000).tofile(full)
        else:
            full.write_bytes(bytes(10_000))
    except OSError as error:
        if how == "in a tool's own words":
            raise RuntimeError("the drizzled image is empty") from error
        raise


def meets_a_limit_of_size():
    _room_for(1_000_000)
    Path("big").write_bytes(bytes(2_000_000))


def leaves_no_room():
    _room_for(0)


def _room_for(n_bytes):
    """Let no file of this process grow beyond a size."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def wants_too_much():
    np.zeros(1 << 60, np.uint8)


def hangs(pid_file):
    child = os.fork()
    if child == 0:
        time.sleep(600)
    Path(pid_file).write_text(f"{os.getpid()} {child}")
    time.sleep(600)


def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def returns_no_json():
    return object()


def tells_when_it_works(seconds):
    """The time from begin to end, by a clock that all processes share."""
    began = time.monotonic()
    time.sleep(seconds)
    return [began, time.monotonic()]


def is_killed_once(memory):
    """By SIGKILL, as the kernel does for want of memory; the second time it says when it works."""
    if not Path(memory).exists():
        Path(memory).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return tells_when_it_works(0.05)


def takes_memory_once(memory, n_bytes):
    """More than there is the first time, and little the second."""
    if Path(memory).exists():
        return "little"
    Path(memory).touch()
    return len(bytearray(b"1") * n_bytes)


def runs_a_call_within(folder, log):
    """A tool call of its own, as a science function may make."""
    from hst_assets.isolation import run_isolated

    inner = Path(folder)
    inner.mkdir()
    return run_isolated(
        "isolated_tasks:tells_when_it_works",
        {"seconds": 0.0},
        scratch=inner,
        log_path=Path(log),
        timeout_s=30,
    )


def overwrites_its_reply(text):
    """As a program of a tool could that writes its own files and ends well; None: a folder."""
    exits = os._exit

    def exits_behind_garbage(status):
        reply = Path("reply.json")
        if text is None:
            reply.unlink()
            reply.mkdir()
        else:
            reply.write_bytes(text.encode("latin-1"))
        exits(status)

    os._exit = exits_behind_garbage
