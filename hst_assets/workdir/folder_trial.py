"""Whether a folder does what work directories need of it, tried out by two processes.

A folder that several machines share may be on a file system that leaves something out, or is
mounted without it. What is needed: a name that is taken in one step while others read; a file that
only one of several makes; a lock (`flock`) that keeps another process out, and is freed when its
holder dies; hard links; a clock near this machine's. Nothing is tried between machines: only how
the folder is mounted tells whether each would keep its locks for itself.

Run as a module, it is the other process::

    python -m hst_assets.workdir.folder_trial ROLE PATH
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Trial", "mounted_as", "try_folder"]

_N_NAMES = 50
#: A file is replaced so often, and for so many seconds, whichever takes longer.
_N_TEXTS = 100
_REPLACING_S = 0.2
#: Both texts of a file that is replaced, of a length that is written in pieces if anything is.
_TEXTS = (b"a" * 100_000, b"b" * 100_000)
#: A folder's clock may differ from this machine's so much, seconds: stamps of files are compared
#: with the time of the last look.
_CLOCK_S = 2.0
#: How long the other process has for its part, seconds: it imports Python's libraries first.
_OTHER_S = 60.0
#: Options of a mount with which locks hold on one machine only.
_OWN_LOCKS = frozenset({"nolock", "local_lock=all", "local_lock=flock"})
#: Where Linux tells how folders are mounted.
_MOUNTS = Path("/proc/self/mounts")
#: How it writes a space, a tab, a newline and a backslash in a name.
_ESCAPED = re.compile(r"\\(0\d\d|134)")


@dataclass(frozen=True)
class Trial:
    """The result of one trial.

    Attributes
    ----------
    what : str
        What was tried.
    problem : str
        What went wrong; empty if nothing did.
    """

    what: str
    problem: str


def try_folder(folder: Path) -> list[Trial]:
    """Try out everything in a new folder below this one, which is removed again.

    Raises
    ------
    OSError
        If nothing can be written there.
    """
    with tempfile.TemporaryDirectory(prefix=".hst_assets_trial.", dir=folder) as name:
        place = Path(name)
        tried = [
            ("names are taken in one step", _replacing),
            ("one of two makes a file", _creating),
            ("a lock keeps another process out", _locking),
            ("a dead process holds no lock", _dying),
            ("hard links", _linking),
            ("the clock", _clock),
        ]
        if _MOUNTS.exists():
            tried.append(("how it is mounted", _mount))
        return [Trial(what, _problem(attempt, place)) for what, attempt in tried]


def _problem(attempt: Callable[[Path], str], place: Path) -> str:
    try:
        return attempt(place)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return str(error)


def mounted_as(folder: Path, mounts: Path = _MOUNTS) -> tuple[str, frozenset[str]]:
    """The type of the file system of a folder, and the options that it is mounted with.

    Parameters
    ----------
    folder : `~pathlib.Path`
        That exists.
    mounts : `~pathlib.Path`, optional
        The list of mounts, as Linux gives it.

    Raises
    ------
    OSError
        If nobody tells.
    """
    found, best = ("", frozenset[str]()), -1
    resolved = folder.resolve()
    for line in mounts.read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        at = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), point))
        # Of two mounts at one place the later covers the earlier.
        if resolved.is_relative_to(at) and len(at.parts) >= best:
            found, best = (kind, frozenset(options.split(","))), len(at.parts)
    return found


def _replacing(place: Path) -> str:
    path, part = place / "replaced", place / ".replaced.part"
    path.write_bytes(_TEXTS[0])
    with _other("read", path) as other:
        number, until = 0, time.monotonic() + _REPLACING_S
        while number < _N_TEXTS or time.monotonic() < until:
            part.write_bytes(_TEXTS[number % 2])
            part.replace(path)
            number += 1
        told = other.communicate("\n", timeout=_OTHER_S)[0].split()
    n_read, n_bad = (int(word) for word in told)
    if not n_read:
        return "the other process could not read the file"
    return f"{n_bad} of {n_read} times it was read as a part, or not there" if n_bad else ""


def _creating(place: Path) -> str:
    with _other("create", place) as other:
        own = _create(place)
        others = set(other.communicate("\n", timeout=_OTHER_S)[0].split())
    both, none = own & others, set(map(str, range(_N_NAMES))) - own - others
    return (
        f"{len(both)} of {_N_NAMES} were made by both, {len(none)} by none" if both | none else ""
    )


def _locking(place: Path) -> str:
    path = place / "lock"
    with _other("hold", path):
        return "" if _is_locked(path) else "another process got it too"


def _dying(place: Path) -> str:
    path = place / "lock_of_dead"
    with _other("hold", path) as other:
        other.kill()
        other.wait()
    return "it is held for ever" if _is_locked(path) else ""


def _linking(place: Path) -> str:
    first, second = place / "first", place / "second"
    first.write_bytes(b"a")
    os.link(first, second)
    return "" if second.stat().st_nlink == 2 and first.samefile(second) else "it is a copy"


def _clock(place: Path) -> str:
    path = place / "now"
    before = time.time()
    path.write_bytes(b"")
    after, there = time.time(), path.stat().st_mtime
    # Against what it may be by this machine's: on a busy one, seconds pass in between.
    late_s = there - min(max(there, before), after)
    return f"it is {late_s:+.1f} s from this machine's" if abs(late_s) > _CLOCK_S else ""


def _mount(place: Path) -> str:
    kind, options = mounted_as(place)
    own = sorted(options & _OWN_LOCKS)
    return f"{kind}, with {', '.join(own)}: each machine has its own locks" if own else ""


# ------------------------------------------------------------------------- the other process


@contextmanager
def _other(role: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """The other process, when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, role, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise subprocess.SubprocessError("the other process did not start")
        yield process
    finally:
        process.kill()
        process.communicate()


def _be_other(role: str, path: Path) -> None:
    if role == "hold":
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _say("ready")
            sys.stdin.readline()
        return
    _say("ready")
    answer = " ".join(sorted(_create(path))) if role == "create" else _read(path, _is_told)
    # Who has read "ready" asks then: what is said earlier may have been read with it, and is lost.
    sys.stdin.readline()
    _say(answer)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _create(place: Path) -> set[str]:
    made = set()
    for number in range(_N_NAMES):
        with suppress(FileExistsError), (place / f"made{number}").open("x"):
            made.add(str(number))
    return made


def _is_told() -> bool:
    """Whether the first process has said that it is done."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def _read(path: Path, is_over: Callable[[], bool]) -> str:
    """Read a file while it is replaced: how often, and how often it was not whole."""
    n_read = n_bad = 0
    while not (n_read and is_over()):
        n_read += 1
        try:
            n_bad += path.read_bytes() not in _TEXTS
        except OSError:  # not there, or of a file that the server has no more (NFS)
            n_bad += 1
    return f"{n_read} {n_bad}"


def _is_locked(path: Path) -> bool:
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


if __name__ == "__main__":
    _be_other(sys.argv[1], Path(sys.argv[2]))
