"""Cores of a machine, shared by the tool calls of all runs of a user on it.

Two runs of two tool calls each are four processes, on two cores perhaps, and with the memory of
four. So each call takes a core first, which is a lock on a file: the kernel frees it when the
process that holds it dies, however it dies. No call waits for further cores while it holds some.
The only exception is a call that wants all cores: it takes them in a fixed order. So there is no
deadlock.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from hst_assets.machine.limits import usable_cores

__all__ = ["OFF", "POOL_VARIABLE", "CorePool", "CoresOfBatch", "give_back", "pool_of"]

#: The folder of the pool; ``off`` for none, which is what tools within a tool call have.
POOL_VARIABLE = "HST_ASSETS_CORE_POOL"
OFF = "off"
_POLL_S = 0.02
#: How often it is said that a call waits, seconds.
_WAITS_EVERY_S = 1.0
#: How long a call that shares its work out waits for all its cores, and how long a call that is to
#: be alone waits for the others to end, seconds. After that it goes on with the cores that it has.
_PATIENCE_S = 60.0
_ALONE_WITHIN_S = 1800.0


def pool_of(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """The folder and the number of cores of the pool that this process shares; None for none.

    Processes that may run on other cores, or on fewer, have another pool, and so have other users.
    The folder is in ``/tmp`` where there is one, whatever ``TMPDIR`` says, so that all find it.

    Parameters
    ----------
    environment : mapping
        Of the process; `POOL_VARIABLE` names another folder, or none.
    """
    named = environment.get(POOL_VARIABLE, "")
    if named == OFF or not hasattr(os, "sched_getaffinity"):
        return None
    n_cores = usable_cores()
    cores = f"{sum(1 << core for core in os.sched_getaffinity(0)):x}_{n_cores}"
    try:
        folder = (Path(named) if named else _users_folder()) / cores
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:  # nowhere to write: as before there was a pool
        return None
    return (str(folder), n_cores) if folder.stat().st_uid == os.geteuid() else None


def _users_folder() -> Path:
    shared = Path("/tmp")  # noqa: S108 - its owner is looked at
    top = shared if shared.is_dir() else Path(tempfile.gettempdir())
    folder = top / f"hst_assets_cores_{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} is another user's")
    return folder


class CorePool:
    """The cores that one process takes from a pool, and gives back.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where the locks are.
    n_cores : int
        How many there are.
    """

    def __init__(self, folder: Path, n_cores: int) -> None:
        self._paths = [folder / f"core_{index}" for index in range(n_cores)]

    def take(self, wanted: int) -> list[int]:
        """Take as many cores as are free, up to some, without waiting.

        Parameters
        ----------
        wanted : int
            How many.

        Returns
        -------
        list of int
            Descriptors that hold them (`give_back`); they are free again when the process dies.

        Raises
        ------
        OSError
            If a lock cannot be made; then none is held.
        """
        held: list[int] = []
        try:
            for path in self._paths:
                if len(held) < wanted and (taken := _lock(path)) is not None:
                    held.append(taken)
        except OSError:
            give_back(held)
            raise
        return held

    def take_next(self, held: list[int]) -> bool:
        """Take the next cores in a fixed order, without waiting: for a call that wants all.

        Parameters
        ----------
        held : list of int
            Descriptors of the cores that the call has; the next are appended.

        Returns
        -------
        bool
            Whether it has all cores now.
        """
        for path in self._paths[len(held) :]:
            taken = _lock(path)
            if taken is None:
                return False
            held.append(taken)
        return True


class CoresOfBatch:
    """The cores that the calls of a batch take from the pool, if there is one.

    Parameters
    ----------
    pool : (str, int) or None
        As `pool_of` gives it.
    alone : bool
        Whether the calls are to be alone on all cores of the pool.
    say_waiting : callable
        Called now and then while a call waits.

    Attributes
    ----------
    kept : list of int
        Descriptors of the cores that are held for the whole batch: of one that is alone.
    """

    def __init__(
        self,
        pool: tuple[str, int] | None,
        *,
        alone: bool,
        say_waiting: Callable[[], object],
    ) -> None:
        folder, self._n_cores = pool or ("", 0)
        self._pool = CorePool(Path(folder), self._n_cores) if pool else None
        self._alone = alone
        self._say_waiting = say_waiting
        self._said = 0.0
        self._since: float | None = None
        self.kept: list[int] = []

    def wait_until_alone(self) -> None:
        """Take all cores, where the calls are to be alone; not for ever."""
        until = time.monotonic() + _ALONE_WITHIN_S
        while self._alone and time.monotonic() < until and not self._has_all():
            self._say()
            time.sleep(_POLL_S)

    def for_call(self, wanted: int) -> list[int] | None:
        """Descriptors of the cores that a call got; None while it must wait.

        Parameters
        ----------
        wanted : int
            Among how many processes it shares its work out.
        """
        if self._pool is None or self._alone:
            return []
        wanted = min(wanted, self._n_cores)
        try:
            held = self._pool.take(wanted)
        except OSError:  # no room for locks, or no right
            return []
        if len(held) == wanted or (held and self._waits_long()):
            self._since = None
            return held
        give_back(held)
        self._say()
        return None

    def _has_all(self) -> bool:
        try:
            return self._pool is None or self._pool.take_next(self.kept)
        except OSError:
            return True

    def _waits_long(self) -> bool:
        return self._since is not None and time.monotonic() - self._since > _PATIENCE_S

    def _say(self) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._said > _WAITS_EVERY_S:
            self._say_waiting()
            self._said = now


def give_back(held: Iterable[int]) -> None:
    """Let others take cores that were held.

    Parameters
    ----------
    held : iterable of int
        Descriptors, as `CorePool` gave them.
    """
    for descriptor in held:
        os.close(descriptor)


def _lock(path: Path) -> int | None:
    """Lock a file; None if another has it.

    A file that is deleted while it is being locked is not the one that others lock: it does not
    count. Folders of temporary files are cleaned by age, so a file that is locked is touched.

    Raises
    ------
    OSError
        If the file cannot be made: then there is no pool.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    if not _is_in_place(descriptor, path):
        os.close(descriptor)
        return None  # asked for again in a moment
    os.utime(descriptor)
    return descriptor


def _is_in_place(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
