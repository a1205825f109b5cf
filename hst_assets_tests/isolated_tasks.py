"""Tasks for test_isolation.py to run in child processes."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from hst_assets.failures import UnusableInput

IMPORTED_BY = os.getpid()


def tells_origin(variable="HOME"):
    return {
        "nursery": os.getppid(),
        "imported_by": IMPORTED_BY,
        "variable": os.environ.get(variable),
    }


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


def segfaults():
    ctypes.string_at(0)


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
