"""Control groups for one test: of the kernel's, where the machine allows one, and as files."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hst_assets.machine.limits import GROUPS, PROC, group_folders


def written_group(folder, **files):
    """A group as files would tell it; of their names, two underscores are a point."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


@contextmanager
def control_group(controller, *, limit_bytes=0, cores=0):
    """A group with a limit; what is given is to be called in a new process, which joins it."""
    made = _made(controller)
    try:
        if limit_bytes:
            name = "memory.limit_in_bytes" if _is_first(made, controller) else "memory.max"
            (made / name).write_text(str(limit_bytes))
        if cores and _is_first(made, controller):
            (made / "cpu.cfs_quota_us").write_text(str(cores * 100000))
        elif cores:
            (made / "cpu.max").write_text(f"{cores * 100000} 100000")
        yield lambda: (made / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        with suppress(OSError):
            made.rmdir()


def _made(controller):
    for folder, _ in group_folders(controller, PROC, GROUPS):
        made = folder / f"hst_assets_test_{os.getpid()}"
        try:
            made.mkdir()
        except OSError:
            continue
        if (made / "cgroup.procs").exists() and list(made.glob(f"{controller}.*")):
            return made
        made.rmdir()
        break
    pytest.skip("this machine allows no control group of the test's own")


def _is_first(folder: Path, controller):
    return (
        folder / ("memory.limit_in_bytes" if controller == "memory" else "cpu.cfs_quota_us")
    ).exists()
