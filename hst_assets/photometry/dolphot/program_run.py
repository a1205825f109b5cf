"""One run of DOLPHOT in a folder of its own: followed, stopped at its limits, never an orphan.

The program does not check the length of names (it writes some into 81 or 82 bytes), reads a
``dolphot.param`` of its current folder unasked, and asks nothing: so it runs in a scratch folder,
with relative names and without standard input, and dies with the process that started it. Run as a
module, this one takes the program's place in the child (`os.execv`), after it has asked the system
for that death.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NoReturn

from hst_assets.failures import MachineFailure
from hst_assets.machine.failures import machine_failure
from hst_assets.nursery import die_with_parent, kill_session

__all__ = ["Ended", "Limits", "run_program"]

_LOOK_S = 1.0
#: A process that has closed its output gives back its memory, and no more.
_END_S = 60.0
_PIPE_BYTES = 1 << 16
#: So much of each end of an output is enough to judge a run by.
_LONG_BYTES = 1 << 22
_MODULE = "hst_assets.photometry.dolphot.program_run"


@dataclass(frozen=True)
class Limits:
    """When a run is stopped.

    Attributes
    ----------
    time_s : float
        Seconds after which it is stopped.
    silence_s : float
        Seconds without a word after which it is stopped.
    """

    time_s: float
    silence_s: float


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes
    ----------
    code : int
        Exit status; that of a signal is negative.
    stopped : {"", "time", "silence"}
        The limit that it was stopped at.
    seconds : float
        How long it ran.
    output : str
        What it printed, and what it complained of (stderr); of each, if it is very long, both ends.
    """

    code: int
    stopped: Literal["", "time", "silence"]
    seconds: float
    output: str


def run_program(
    program: Path,
    arguments: Sequence[str],
    *,
    folder: Path,
    output: Path,
    limits: Limits,
    threads: int = 1,
    listen: Callable[[str], None] = lambda _text: None,
) -> Ended:
    """Run the program, keep what it prints, stop it at its limits.

    Parameters
    ----------
    program : `~pathlib.Path`
        The executable.
    arguments : sequence of str
        As on a command line.
    folder : `~pathlib.Path`
        Its current folder, which belongs to this run alone.
    output : `~pathlib.Path`
        Standard output is written here as it comes; standard error beside it
        (``OUTPUT.stderr``).
    limits : Limits
        When it is stopped, with all that it started.
    threads : int, optional
        For DOLPHOT 3 (OMP_NUM_THREADS).
    listen : callable, optional
        Is told each piece of the output.

    Raises
    ------
    MachineFailure
        If the output cannot be written (`DiskFull`), or no process can be started.
    """
    started = time.monotonic()
    complaints = output.with_name(f"{output.name}.stderr")
    try:
        with output.open("wb") as kept, complaints.open("wb") as errors:
            process = _started(program, arguments, folder, errors, threads)
            try:
                stopped = _followed(process, kept, limits, listen)
                if stopped:
                    _kill(process)
                code = _waited(process)
            finally:
                _kill(process)
    except OSError as error:
        failure = machine_failure(error, where=output, folder=folder)
        raise failure or MachineFailure(
            f"DOLPHOT could not be run: {error}", where=output
        ) from error
    text = _ends(output) + _ends(complaints)
    return Ended(code, stopped, time.monotonic() - started, text)


def _ends(path: Path) -> str:
    """The text of a file; of a very long one (a build that prints each NaN) its two ends."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        if size <= 2 * _LONG_BYTES:
            return handle.read().decode(errors="replace")
        first = handle.read(_LONG_BYTES)
        handle.seek(size - _LONG_BYTES)
        left_out = f"\n... {size - 2 * _LONG_BYTES} bytes left out ...\n".encode()
        return (first + left_out + handle.read()).decode(errors="replace")


def _started(
    program: Path, arguments: Sequence[str], folder: Path, errors: IO[bytes], threads: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(os.getpid()), str(program), *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # an interrupt at the terminal is the caller's to take
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "LC_ALL": "C"},
    )


def _followed(
    process: subprocess.Popen[bytes],
    kept: IO[bytes],
    limits: Limits,
    listen: Callable[[str], None],
) -> Literal["", "time", "silence"]:
    """Write down what the process prints until it ends or reaches a limit."""
    stream = process.stdout
    assert stream is not None
    began = heard = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now - began > limits.time_s:
                return "time"
            if now - heard > limits.silence_s:
                return "silence"
            left = min(began + limits.time_s, heard + limits.silence_s) - now
            if not selector.select(min(max(left, 0.0), _LOOK_S)):
                continue
            part = os.read(stream.fileno(), _PIPE_BYTES)
            if not part:
                return ""
            heard = time.monotonic()
            kept.write(part)
            kept.flush()
            listen(part.decode(errors="replace"))


def _waited(process: subprocess.Popen[bytes]) -> int:
    """Its exit status, once its output is closed: its memory is still to be given back."""
    try:
        return process.wait(timeout=_END_S)
    except subprocess.TimeoutExpired:
        _kill(process)
        return process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything it started; it may be gone already."""
    kill_session(process.pid)
    if process.stdout is not None:
        process.stdout.close()
    process.wait()


def _become(parent: int, program: str, arguments: Sequence[str]) -> NoReturn:
    """In the child: die with the parent, and be the program from now on."""
    die_with_parent(parent)
    try:
        os.execv(program, [program, *arguments])  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
