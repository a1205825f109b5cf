"""Processes of this host, by number and start: which are gone."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "began_at_tick", "is_gone", "this_host", "this_process"]

#: Where Linux tells of processes.
_TELLS = Path("/proc/self/stat")
#: A process with the number of the run's that began so much later may be another one, seconds.
_LATER_S = 5.0
#: What runs Dagster's runs has one of these in its command line.
_OF_RUNS = (b"python", b"dagster", b"hst-assets")


@dataclass(frozen=True)
class Process:
    """What works on a run.

    Attributes
    ----------
    host : str
        Where; empty if nobody says.
    pid : int
        Its number.
    seen_at : float
        A time at which it certainly existed; seconds since 1970.
    tick : int
        When it began, clock ticks from the start of the machine; 0 if nobody says.
    """

    host: str
    pid: int
    seen_at: float
    tick: int = 0


def this_host() -> str:
    """An identifier of this machine, different for each container on it.

    Process numbers mean the same only to processes of which this is the same: the host's name,
    its machine id, and the namespace of process numbers.
    """
    return f"{socket.gethostname()} {_machine_id()[:12]} {_pid_namespace()}".strip()


def _machine_id() -> str:
    with suppress(OSError):
        return Path("/etc/machine-id").read_text().strip()
    return ""


def _pid_namespace() -> str:
    with suppress(OSError):
        return Path("/proc/self/ns/pid").readlink().name.removeprefix("pid:[").removesuffix("]")
    return ""


def this_process() -> str:
    """Host, number and start of this process, for `PROCESS_TAG`."""
    return f"{this_host()}:{os.getpid()}:{began_at_tick(os.getpid())}"


def began_at_tick(pid: int) -> int:
    """Clock ticks from the start of the machine to that of a process; 0 if nobody tells.

    Raises
    ------
    OSError
        If there is no such process.
    """
    return _state_and_tick(pid)[1] if _TELLS.exists() else 0


def _state_and_tick(pid: int) -> tuple[str, int]:
    """The state of a process, as a letter, and the tick when it began."""
    # The name, in brackets, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[19])


def is_gone(process: Process) -> bool:
    """Whether a process of this host has certainly ended.

    Parameters
    ----------
    process : Process
        Of `this_host`.
    """
    if process.pid == os.getpid():
        return False
    if not _TELLS.exists():
        return not _signals(process.pid)
    try:
        state, tick = _state_and_tick(process.pid)
    except (OSError, ValueError, IndexError):
        return not _signals(process.pid)
    if state in "ZX":  # a zombie is what its parent has not asked about
        return True
    if process.tick:
        return tick != process.tick
    return _began_at(tick) > process.seen_at + _LATER_S and not _may_run(process.pid)


def _began_at(tick: int) -> float:
    """When a process began (s), by today's clock."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - tick / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def _may_run(pid: int) -> bool:
    """Whether a process could be that of a run: a clock that was set is no death."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return any(name in command for name in _OF_RUNS)


def _signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
