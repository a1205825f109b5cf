"""DOLPHOT's executable: where it is, what it is, and one run of it in a folder of its own.

The program counts no characters of names (some are written into 81 or 82 bytes), reads a
``dolphot.param`` of its current folder unasked, and asks nothing: so it runs in a scratch folder,
with relative names and without standard input, and dies with the process that started it. Run as a
module, this one takes the program's place in the child (`os.execv`), after it has asked the system
for that death.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Literal, NoReturn

from hst_assets.digests import sha256_of_file
from hst_assets.failures import MachineFailure, MissingTool
from hst_assets.isolation import die_with_parent
from hst_assets.machine_failures import machine_failure
from hst_assets.settings import DolphotSettings
from hst_assets.workdir import WorkDir

__all__ = ["Ended", "Limits", "Program", "find_program", "run_program"]

NAME = "dolphot"
_ROOT_VARIABLE = "HST123_DOLPHOT_ROOT"
_INSTALL = (
    "Build it from http://americano.dolphinsim.com/dolphot/ with the modules and PSF libraries of "
    "your instruments and put it on the PATH, or name it in dolphot.program; photometry.photometer "
    "= 'embedded' will measure stars without it, but is not available yet"
)
_ELF = b"\x7fELF"
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
#: A name that only DOLPHOT 3 has.
_OF_VERSION_3 = "InterpPSFlib"
#: Longest path in an executable that is looked at.
_PATHS = re.compile(rb"(?<=\0)/[ -~]{1,200}(?=\0)")
_LOOK_S = 1.0
_PIPE_BYTES = 1 << 16
_END_S = 60.0


@dataclass(frozen=True)
class Program:
    """An executable of DOLPHOT.

    Attributes
    ----------
    path : `~pathlib.Path`
        The executable itself, links followed.
    sha256 : str
        Of its bytes.
    version : {"2", "3", "not known"}
        DOLPHOT does not tell its version; names of parameters in the executable do. It is not
        known of a script.
    root : `~pathlib.Path` or None
        The folder with its data (``param``, ``acs``, ``wfc3``, ``wfpc2``); None if not found.
    """

    path: Path
    sha256: str
    version: Literal["2", "3", "not known"]
    root: Path | None

    @property
    def identity(self) -> str:
        """What decides the result, in one text."""
        return f"DOLPHOT {self.version} ({self.sha256})"

    def data_files(self, needed: Iterable[tuple[str, str]]) -> dict[str, Path | None]:
        """Files outside the executable that decide the result.

        Parameters
        ----------
        needed : iterable of (str, str)
            Instrument and filter of the images.

        Returns
        -------
        dict
            Path by a name relative to the root: default parameters, passbands, distortion and PSF
            libraries. None for a library that was not found where they lie in DOLPHOT 2 and 3
            (``wfc3/data/F814W.UVIS1.psf``); nothing if the root is not known.
        """
        if self.root is None:
            return {}
        patterns = ["param/dolphot.param", "param/fits.param"]
        found: dict[str, Path | None] = {}
        for instrument, filter_name in sorted(set(needed)):
            folder = f"{instrument.lower()}/data"
            patterns += [f"{folder}/filters.dat", f"{folder}/*idctab*.dat"]
            library = f"{folder}/*{filter_name.upper()}*.psf"
            if not any(self.root.glob(library)):
                found[library] = None
            patterns.append(library)
        for pattern in patterns:
            for path in sorted(self.root.glob(pattern)):
                found[path.relative_to(self.root).as_posix()] = path
        return found


def find_program(settings: DolphotSettings, workdir: WorkDir) -> Program:
    """The executable that the settings name, or the one on the PATH.

    Raises
    ------
    MissingTool
        If there is none; the message says how it is installed.
    """
    if settings.program is None:
        found = shutil.which(NAME)
        if found is None:
            raise MissingTool(
                "DOLPHOT is not installed: there is no dolphot on the PATH", next_step=_INSTALL
            )
        path = Path(found)
    else:
        path = workdir.base / settings.program
        if not os.access(path, os.X_OK) or not path.is_file():
            raise MissingTool(
                "dolphot.program is no executable file", where=path, next_step=_INSTALL
            )
    path = path.resolve()
    root = None if settings.root is None else workdir.base / settings.root
    if root is not None and not root.is_dir():
        raise MissingTool("dolphot.root is no folder", where=root, next_step=_INSTALL)
    status = path.stat()
    sha256, version, named = _examined(path, status.st_mtime_ns, status.st_size)
    return Program(path, sha256, version, root or named)


@lru_cache(maxsize=8)
def _examined(
    path: Path, mtime_ns: int, size: int
) -> tuple[str, Literal["2", "3", "not known"], Path | None]:
    """Checksum, version and folder of data of an executable; they are read once."""
    del mtime_ns, size  # they tell one state of the file from another
    content = path.read_bytes()
    version: Literal["2", "3", "not known"] = "not known"
    if content.startswith((_ELF, *_MACH_O)):
        version = "3" if f"{_OF_VERSION_3}\0".encode() in content else "2"
    compiled_in = [Path(each.decode()) for each in dict.fromkeys(_PATHS.findall(content))]
    of_environment = os.environ.get(_ROOT_VARIABLE)
    candidates = [
        *compiled_in,
        *([Path(of_environment)] if of_environment else []),
        path.parents[1],
    ]
    roots = (each for each in candidates if (each / "param" / "dolphot.param").is_file())
    return sha256_of_file(path), version, next(roots, None)


# ------------------------------------------------------------------------------ one run


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
        What it printed; what it complained of (stderr) follows.
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
    text = output.read_text(errors="replace") + complaints.read_text(errors="replace")
    return Ended(code, stopped, time.monotonic() - started, text)


def _started(
    program: Path, arguments: Sequence[str], folder: Path, errors: IO[bytes], threads: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(os.getpid()), str(program), *arguments],
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
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
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
