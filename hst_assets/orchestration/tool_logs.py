"""The logs of tools, named in the log of the run that called them.

The tools write to files under logs/ of the work directory, one a stage and product. The run's
page in the UI shows the run's log alone, so the path and the last lines of each file that was
written during a step go there, whether the step succeeded or not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hst_assets.workdir import CONSOLE_LOG_PREFIX, WorkDir

__all__ = ["said_in_run"]

#: Each message is an event in Dagster's database: so many files with their last lines, the
#: others by name.
_MAX_FILES = 8
_LINES = 12
_BYTES = 4_000
#: Clocks of a file server may lag behind.
_CLOCK_TOLERANCE_S = 2.0


@contextmanager
def said_in_run(workdir: WorkDir, say: Callable[[str], None]) -> Iterator[None]:
    """Tell at the end which logs of the work directory were written meanwhile.

    Runs of other visits of the target may write at the same time; the names tell whose a log is.

    Parameters
    ----------
    workdir : WorkDir
        Whose logs are looked at.
    say : callable
        Takes a message for the run's log.
    """
    started = time.time() - _CLOCK_TOLERANCE_S
    try:
        yield
    finally:
        written = _written_since(workdir.logs, started)
        for path in written[:_MAX_FILES]:
            say(f"{path}\n{_last_lines(path)}")
        if others := written[_MAX_FILES:]:
            say("more logs of this step:\n" + "\n".join(map(str, others)))


def _written_since(folder: Path, started: float) -> list[Path]:
    """Logs changed since `started`, the latest first."""
    found = []
    for path in folder.glob("*.log"):
        if path.name.startswith(CONSOLE_LOG_PREFIX):
            continue  # it tells of this run, not the other way round
        try:
            changed = path.stat().st_mtime
        except FileNotFoundError:
            continue  # cleaned up meanwhile
        if changed >= started:
            found.append((changed, path))
    return [path for _, path in sorted(found, reverse=True)]


def _last_lines(path: Path) -> str:
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(size - _BYTES, 0))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(deque(text.splitlines(), maxlen=_LINES))
