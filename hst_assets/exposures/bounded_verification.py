"""Verification at the trust boundary: in a process of its own, with bounds on time and memory.

A small file can announce a table of a thousand million rows, unpack to gigabytes, or send a FITS
reader into an endless loop or a crash. So `verify_exposure` runs in a child here, one for all files
of a thread: it takes half a second to start and is kept between calls. What exceeds the bounds is
a verdict on the file, and so is a second crash on it (`hst_assets.machine.failures.FAULT_SIGNALS`);
what the machine does (the child is killed, the disk does not answer) is not.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from hst_assets.exposures.footprint import Array, format_footprint, parse_footprint
from hst_assets.exposures.header import Exposure
from hst_assets.exposures.verification import verify_exposure
from hst_assets.failures import (
    Crashed,
    HstAssetsError,
    TransientFailure,
    UnusableInput,
    failure_named,
)
from hst_assets.machine.failures import FAULT_SIGNALS, crashed_twice, death_in_words
from hst_assets.nursery import die_with_parent

__all__ = [
    "MEMORY_BYTES",
    "Verified",
    "begin_verification",
    "cpu_allowance_s",
    "process_of_this_thread",
]

#: What a file may take beyond what Python and astropy take themselves. The largest exposures, of
#: 170 MB, take 400 MB: they are mapped, and read once.
MEMORY_BYTES = 850_000_000
_CPU_S = 2.0
_BYTES_PER_CPU_S = 20e6
#: A disk that answers nothing for so long is no property of the file.
_PATIENCE_S = 600.0
_MODULE = "hst_assets.exposures.bounded_verification"
_START_S = 120.0
_PIPE_BYTES = 65536
#: A child that has kept so much of what it read is replaced.
_MOST_KEPT_BYTES = 200_000_000


@dataclass(frozen=True)
class Verified:
    """What ingest wants to know of an exposure that was verified.

    Attributes
    ----------
    rootname, visit : str
        ROOTNAME, lower case, and the visit in it.
    ra_target_deg, dec_target_deg : float
        RA_TARG and DEC_TARG; the middle of the field where the header has none.
    polygons : list of ndarray, shape (n, 2)
        RA and Dec in degrees of the outline of each chip.
    """

    rootname: str
    visit: str
    ra_target_deg: float
    dec_target_deg: float
    polygons: list[Array]

    @classmethod
    def of(cls, exposure: Exposure) -> Verified:
        """The excerpt of an exposure."""
        return cls(
            exposure.rootname,
            exposure.visit,
            exposure.ra_target_deg,
            exposure.dec_target_deg,
            exposure.polygons,
        )

    def as_json(self) -> dict[str, Any]:
        """For the pipe between child and caller."""
        return {**vars(self), "polygons": format_footprint(self.polygons)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Verified:
        """The inverse of `as_json`."""
        return cls(**{**content, "polygons": parse_footprint(content["polygons"])})


def cpu_allowance_s(size_bytes: int) -> float:
    """CPU time that the verification of a file of this size may take, seconds.

    More than ten times what real exposures take on a slow machine.
    """
    return _CPU_S + size_bytes / _BYTES_PER_CPU_S


def begin_verification(path: Path, dq_path: Path | None = None) -> Callable[[], Verified]:
    """Let a child verify an exposure, as `~hst_assets.exposures.verification.verify_exposure`.

    Parameters
    ----------
    path : `~pathlib.Path`
        The flt, flc or c0m file.
    dq_path : `~pathlib.Path`, optional
        The c1m companion of a c0m file.

    Returns
    -------
    callable
        Waits for the answer and returns it, as `Verified`; to be called before the next
        verification begins. It raises `UnusableInput` with the reason why the file cannot be
        used, and `TransientFailure` if the machine could not tell.
    """
    child = _child_with(path, dq_path)

    def answer() -> Verified:
        try:
            return _read(child.reply(path), path)
        except (_Killed, Crashed) as accident:  # unless it happens again
            first = accident
        try:
            return _read(_child_with(path, dq_path).reply(path), path)
        except Crashed as second:
            if isinstance(first, Crashed):
                what = f"corrupt: {crashed_twice(second).what}"
                raise UnusableInput(what, where=path) from second
            raise _Killed(second.what, where=path) from second

    return answer


def process_of_this_thread() -> int | None:
    """Id of the process that verifies for this thread, for those who watch it; None without."""
    return None if _KEPT.child is None else _KEPT.child.pid


def _child_with(path: Path, dq_path: Path | None) -> _Child:
    """The thread's child, or a new one, at work on a file."""
    child = _KEPT.child
    if child is None or not child.is_ready():
        if child is not None:
            child.end()
        child = _KEPT.child = _Child()
    child.send(path, dq_path)
    return child


def _read(reply: Mapping[str, Any], path: Path) -> Verified:
    if "verified" in reply:
        return Verified.from_json(reply["verified"])
    error = reply["error"]
    raise failure_named(error["kind"])(error["what"], where=path, next_step=error["next_step"])


# ------------------------------------------------------------------------- the caller's side


class _Killed(TransientFailure):
    """The child was killed from outside."""


class _Child:
    """The process that verifies, one file after the other."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._idle = True
        self._process = subprocess.Popen(
            # -P: nothing is imported from the current folder, which may be one of data.
            [sys.executable, "-P", "-m", _MODULE, str(self._owner)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt at the terminal is the caller's to take
            # The threads of OpenBLAS would take address space, for nothing.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._started = False
        self._came = b""
        self.end = weakref.finalize(self, _end_child, self._process, self._owner)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def is_ready(self) -> bool:
        """Whether it can be given a file: alive, of this process, with nothing to be said."""
        return self._idle and os.getpid() == self._owner and self._process.poll() is None

    def send(self, path: Path, dq_path: Path | None) -> None:
        """Give it a file."""
        self._idle = False
        paths = [None if one is None else str(one.absolute()) for one in (path, dq_path)]
        with suppress(BrokenPipeError):  # its end is found out where its answer is waited for
            _writer(self._process).write(json.dumps(paths).encode() + b"\n")
            _writer(self._process).flush()

    def reply(self, path: Path) -> dict[str, Any]:
        """Its answer on a file, or what its end means."""
        if not self._started:
            if self._line(_START_S) is None:
                self.end()
                raise TransientFailure(
                    "the process that verifies exposures does not start", where=path
                )
            self._started = True
        line = self._line(_PATIENCE_S)
        if line is None:
            raise self._ended(path)
        self._idle = True
        reply: dict[str, Any] = json.loads(line)
        if not reply["goes_on"]:
            self.end()
        return reply

    def _line(self, patience_s: float) -> bytes | None:
        """A line of it; None if it ended, or is silent for too long.

        Lines may come together: what follows the first is kept, for no sign will come of it.
        """
        stream = self._process.stdout
        assert stream is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while b"\n" not in self._came:
                if not selector.select(patience_s):
                    return None
                part = os.read(stream.fileno(), _PIPE_BYTES)
                if not part:
                    return None
                self._came += part
        line, _, self._came = self._came.partition(b"\n")
        return line

    def _ended(self, path: Path) -> HstAssetsError:
        """What it means that there is no answer."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.end()
            return TransientFailure(
                f"its verification has not ended after {_PATIENCE_S:.0f} s", where=path
            )
        self.end()
        if code == -signal.SIGXCPU:
            return UnusableInput("it takes too long to be read: no exposure does", where=path)
        if -code in FAULT_SIGNALS:
            return Crashed(f"the FITS reader {death_in_words(-code)}", where=path)
        if code >= 0:  # whatever a file does to its reader is caught: this is no word on the file
            return TransientFailure(
                f"the process that verifies exposures ended with status {code}", where=path
            )
        return _Killed(f"the process that verifies exposures {death_in_words(-code)}", where=path)


def _writer(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


def _end_child(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        process.returncode = 0  # a fork of its owner has nothing to wait for
        return
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
    process.kill()
    process.wait()


class _Kept(threading.local):
    """The child that a thread keeps between files: it dies with the thread."""

    def __init__(self) -> None:
        self.child: _Child | None = None


_KEPT = _Kept()


# ------------------------------------------------------------------------- the child's side


def _serve(parent: int) -> NoReturn:
    """Verify what standard input names, a line a file; answer on what was standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    die_with_parent(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _warm_up()
    gc.freeze()  # what was imported is no garbage, and need not be looked through for each file
    at_start = _address_space_bytes()
    if at_start:
        _limit(resource.RLIMIT_AS, at_start + MEMORY_BYTES)
    _say(answers, {})
    for line in sys.stdin.buffer:
        path, dq_path = (None if one is None else Path(one) for one in json.loads(line))
        assert path is not None
        _allow_cpu(path, dq_path)
        reply = _verdict(path, dq_path)
        _allow_cpu()
        gc.collect()
        goes_on = _address_space_bytes() - at_start < _MOST_KEPT_BYTES
        _say(answers, {**reply, "goes_on": goes_on})
    os._exit(0)


def _say(answers: IO[bytes], reply: Mapping[str, Any]) -> None:
    answers.write(json.dumps(reply).encode() + b"\n")
    answers.flush()


def _warm_up() -> None:
    """Import what is imported at first use, so that it counts for nobody's file."""
    import astropy.io.fits
    import astropy.time
    import astropy.wcs

    astropy.time.Time(50000.0, format="mjd", scale="utc").isot  # noqa: B018 - reads its tables


def _allow_cpu(*paths: Path | None) -> None:
    """Let this process be killed when it takes longer than files of this size should."""
    size = 0
    for path in paths:
        with suppress(OSError):
            size += path.stat().st_size if path is not None else 0
    used = time.process_time()
    _limit(resource.RLIMIT_CPU, math.ceil(used + cpu_allowance_s(size)))


def _limit(kind: int, value: int) -> None:
    """Set a limit of this process, within the one that it was given and must not raise."""
    _, most = resource.getrlimit(kind)
    within = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (within, most))


def _verdict(path: Path, dq_path: Path | None) -> dict[str, Any]:
    try:
        return {"verified": Verified.of(verify_exposure(path, dq_path)).as_json()}
    except HstAssetsError as error:
        kind, what, next_step = type(error).__name__, error.what, error.next_step
    except MemoryError:
        kind, what, next_step = "UnusableInput", _too_large(), None
    return {"error": {"kind": kind, "what": what, "next_step": next_step}}


def _too_large() -> str:
    return f"it needs more than {MEMORY_BYTES // 1_000_000} MB to be read: no exposure does"


def _address_space_bytes() -> int:
    """Size of this process's address space; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
