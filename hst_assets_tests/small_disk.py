"""A disk of a few megabytes: a file system in memory, in a name space of its own.

Where the kernel lets no user mount one, tests that need it skip.
"""

import subprocess
import sys
from pathlib import Path

import pytest

_IN_A_NAME_SPACE = ("unshare", "--map-root-user", "--mount")


def run_with_own_mounts(module, *arguments, timeout_s=300):
    """Run a module of the tests where it may mount; return the last line that it printed."""
    refused = None
    try:
        trial = [*_IN_A_NAME_SPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        subprocess.run(trial, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        refused = str(error)
    if refused:
        pytest.skip(f"no file system can be mounted here: {refused}")
    done = subprocess.run(
        [*_IN_A_NAME_SPACE, sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def mount(folder, size_mb):
    """Mount a disk of so many megabytes at a folder; called in a name space of one's own."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", folder)


def resize(folder, size_mb):
    """Give the disk another size."""
    _mount("-o", f"remount,size={size_mb}m", folder)


def _mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)
