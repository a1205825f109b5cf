"""How much memory a process may still take: of its control group, where there is one.

In a container, or in a job of a batch system, the node's free memory is not what a process may
have: the kernel kills it at the limit of its control group.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hst_assets.machine.limits import GROUPS, PROC, group_folders, read_text

__all__ = ["affordable", "free_memory_bytes"]

#: File names of a limit, and of what is in use, in the two versions of control groups.
_V2 = ("memory.max", "memory.current")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def free_memory_bytes(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Bytes that this process and its children can take: the least of node and control groups.

    The page cache that the kernel would give back counts as free, as in ``MemAvailable``.

    Parameters
    ----------
    proc, groups : `~pathlib.Path`, optional
        Where the kernel tells it.
    """
    return max(min([_of_node(proc), *_of_groups(proc, groups)]), 0)


def affordable(max_cores: int, needs: Sequence[int], free: int) -> int:
    """How many calls may run at a time, the largest of them together, in the free memory.

    Parameters
    ----------
    max_cores : int
        How many may in any case.
    needs : sequence of int
        Bytes that each call needs at most.
    free : int
        Bytes that are free.

    Returns
    -------
    int
        At least 1.
    """
    total = 0
    for count, need in enumerate(sorted(needs, reverse=True)[:max_cores]):
        total += need
        if total > free:
            return max(count, 1)
    return max_cores


def _of_node(proc: Path) -> int:
    for line in read_text(proc / "meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups(proc: Path, groups: Path) -> list[int]:
    """What each control group of this process has left, as far as it has a limit."""
    left = []
    for folder, is_first in group_folders("memory", proc, groups):
        left += _left_in(folder, *(_V1 if is_first else _V2))
    return left


def _left_in(folder: Path, limit_name: str, usage_name: str) -> list[int]:
    limit, usage = read_text(folder / limit_name).strip(), read_text(folder / usage_name).strip()
    if not limit.isdecimal() or not usage.isdecimal():
        return []  # no such group, or no limit ("max")
    return [int(limit) - int(usage) + _reclaimable(folder)]


def _reclaimable(folder: Path) -> int:
    """Cached file pages that are not in active use."""
    counts = dict(line.split() for line in read_text(folder / "memory.stat").splitlines())
    return int(counts.get("total_inactive_file", counts.get("inactive_file", "0")))
