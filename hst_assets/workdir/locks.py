"""Scratch folders and locks of a work directory; both die with their process."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from hst_assets.failures import TransientFailure
from hst_assets.workdir.folders import Folders

__all__ = ["LOCK_WAIT_S", "Locks"]

logger = logging.getLogger(__name__)

#: How long one process waits for another, seconds: what is done under most locks takes moments.
LOCK_WAIT_S = 600.0
_FIRST_PAUSE_S = 0.01
_LAST_PAUSE_S = 1.0


class Locks(Folders):
    """What keeps processes that work in one work directory out of each other's way."""

    @contextmanager
    def scratch(self, label: str) -> Iterator[Path]:
        """A fresh folder on the products' own file system, removed at the end.

        Folders that a killed process left behind are swept first: each holds a lock that dies
        with its process.
        """
        with ExitStack() as held:
            # Under a lock: a folder whose own lock is not yet held looks like a dead one.
            with self.lock("scratch"):
                _sweep(self.runfiles)
                prefix = f"{label.replace('/', '_')}."
                folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.runfiles))
                alive = held.enter_context((self.runfiles / f"{folder.name}.alive").open("w"))
                fcntl.flock(alive, fcntl.LOCK_EX)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                Path(alive.name).unlink(missing_ok=True)

    @contextmanager
    def lock(
        self,
        name: str,
        *,
        wait_s: float = LOCK_WAIT_S,
        waiting: Callable[[str], None] = logger.info,
    ) -> Iterator[None]:
        """Hold the named lock of this work directory; it is freed when the process dies.

        Parameters
        ----------
        name : str
            Of the lock.
        wait_s : float, optional
            Seconds to wait for a holder.
        waiting : callable, optional
            Told once, where there is something to wait for, who holds the lock.

        Raises
        ------
        TransientFailure
            If it is not free in time; it says who holds it.
        """
        self.runfiles.mkdir(parents=True, exist_ok=True)
        path = self.runfiles / f"{name.replace('/', '_')}.lock"
        with path.open("a+") as handle:
            if not _lock_now(handle):
                waiting(f"waiting for {name}, which {_holder(path)} works on")
                _lock_within(handle, path, wait_s)
            _name_holder(handle)
            yield

    def is_locked(self, name: str) -> bool:
        """Whether this process or another holds the named lock now."""
        path = self.runfiles / f"{name.replace('/', '_')}.lock"
        if not path.exists():
            return False
        with path.open("a+") as handle:  # on NFS a shared lock needs a file that may be read
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def edit_settings(self) -> Iterator[None]:
        """Keep other processes from changing the target's settings between reading and writing.

        Not one of the locks that `alone` holds: who is alone changes settings as well.

        Raises
        ------
        TransientFailure
            If another process does not end its change.
        """
        self.runfiles.mkdir(parents=True, exist_ok=True)
        path = self.runfiles / "settings.edited"
        with path.open("a") as handle:
            _lock_within(handle, path, LOCK_WAIT_S, "Wait until it is done, or stop it")
            _name_holder(handle)
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold every lock of this work directory, so that nothing is made in it meanwhile.

        Raises
        ------
        TransientFailure
            If a process works in it.
        """
        self.runfiles.mkdir(parents=True, exist_ok=True)
        (self.runfiles / "scratch.lock").touch()
        with ExitStack() as held:
            for path in sorted([*self.runfiles.glob("*.lock"), *self.runfiles.glob("*.alive")]):
                handle = held.enter_context(path.open("a"))
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise TransientFailure(
                        f"a run is in flight ({path.stem})",
                        where=self.base,
                        next_step="Wait until it is done, or stop it",
                    ) from None
            yield


def _lock_now(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_WAIT = "Wait until it is done, or stop it; machine.lock_wait_s is the limit"


def _lock_within(handle: IO[str], path: Path, wait_s: float, next_step: str = _WAIT) -> None:
    deadline = time.monotonic() + wait_s
    pause = _FIRST_PAUSE_S
    while not _lock_now(handle):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TransientFailure(
                f"{_holder(path)} has worked on {path.stem} for longer than the {wait_s:.0f} s "
                "that others wait",
                where=path,
                next_step=next_step,
            )
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LAST_PAUSE_S)


def _name_holder(handle: IO[str]) -> None:
    """Write into a lock that is held whose it is, for those that wait."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    handle.truncate(0)
    handle.write(f"process {os.getpid()} on {socket.gethostname()} (since {moment})")
    handle.flush()


def _holder(path: Path) -> str:
    try:
        return path.read_text() or "another process"
    except FileNotFoundError:
        return "another process"


def _sweep(runfiles: Path) -> None:
    """Remove scratch folders whose process is gone."""
    for alive in runfiles.glob("*.alive"):
        try:
            with alive.open("r+") as handle:  # on NFS a lock needs a file that may be written
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(alive.with_suffix(""), ignore_errors=True)
                alive.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # in use, or another process swept it first
