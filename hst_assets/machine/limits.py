"""How many cores and how much memory this process may have: of its control groups, not the node.

In a container, in a job of a batch system, or under ``taskset``, a process has fewer cores than the
node, and is killed by the kernel at the memory of its control group.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "GROUPS",
    "PROC",
    "group_folders",
    "memory_limit_bytes",
    "n_memory_kills",
    "read_text",
    "usable_cores",
]

#: Where the kernel tells of processes, and of control groups.
PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def usable_cores(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Cores that this process may use at a time, at least 1.

    The least of those that the kernel schedules it on and of the shares of time that its control
    groups have: of one and a half cores, one.

    Parameters
    ----------
    proc, groups : `~pathlib.Path`, optional
        Where the kernel tells it.
    """
    if hasattr(os, "sched_getaffinity"):
        n_scheduled = len(os.sched_getaffinity(0))
    else:  # no Linux
        n_scheduled = os.cpu_count() or 1
    quotas = [
        _quota(folder, is_first_version=is_first)
        for folder, is_first in group_folders("cpu", proc, groups)
    ]
    return max(int(min([float(n_scheduled), *(each for each in quotas if each)])), 1)


def memory_limit_bytes(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Bytes that this process and its children may have in all: of node and control groups.

    Parameters
    ----------
    proc, groups : `~pathlib.Path`, optional
        Where the kernel tells it.

    Returns
    -------
    int
        0 where nobody tells.
    """
    limits = [
        _number(folder / ("memory.limit_in_bytes" if is_first else "memory.max"))
        for folder, is_first in group_folders("memory", proc, groups)
    ]
    return min((each for each in (*limits, _of_node(proc)) if each), default=0)


def n_memory_kills(proc: Path = PROC, groups: Path = GROUPS) -> int | None:
    """How many processes of this process's control group were killed for want of memory so far.

    Parameters
    ----------
    proc, groups : `~pathlib.Path`, optional
        Where the kernel tells it.

    Returns
    -------
    int or None
        None where nobody tells.
    """
    for folder, is_first in group_folders("memory", proc, groups):
        told = read_text(folder / ("memory.oom_control" if is_first else "memory.events"))
        counts = dict(line.split() for line in told.splitlines() if len(line.split()) == 2)
        if counts.get("oom_kill", "").isdecimal():
            return int(counts["oom_kill"])
    return None


def group_folders(controller: str, proc: Path, groups: Path) -> Iterator[tuple[Path, bool]]:
    """The control group of this process that has a controller, and those above it.

    Parameters
    ----------
    controller : str
        Such as ``memory``.
    proc, groups : `~pathlib.Path`
        Where the kernel tells of processes, and of groups.

    Yields
    ------
    folder : `~pathlib.Path`
        Of the group.
    is_first : bool
        Whether the files are those of version 1.
    """
    for line in read_text(proc / "self" / "cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = groups / controller if controllers else groups
        folder = top / name.lstrip("/")
        # A container may see its own group at the top, under whatever name it has outside.
        for level in (folder, *folder.parents):
            if level.is_relative_to(top):
                yield level, bool(controllers)


def read_text(path: Path) -> str:
    """The text of a file; empty if it cannot be read.

    Parameters
    ----------
    path : `~pathlib.Path`
        Of the kernel's.
    """
    try:
        return path.read_text()
    except OSError:
        return ""


def _quota(folder: Path, *, is_first_version: bool) -> float:
    """The cores of a group's share of time; 0 if it has no limit."""
    if is_first_version:
        quota, period = (_number(folder / f"cpu.cfs_{each}_us") for each in ("quota", "period"))
    else:
        told = read_text(folder / "cpu.max").split() or ["", ""]
        quota, period = (int(each) if each.isdecimal() else 0 for each in told)
    return quota / period if quota and period else 0.0


def _of_node(proc: Path) -> int:
    for line in read_text(proc / "meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024
    return 0


def _number(path: Path) -> int:
    """A number; 0 for a word (``max``), for -1, and for no file."""
    told = read_text(path).strip()
    return int(told) if told.isdecimal() else 0
