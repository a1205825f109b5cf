"""The session log: what the project says while it works, mirrored into the work directory."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from hst_assets.machine.failures import has_more_behind
from hst_assets.workdir import WorkDir

__all__ = ["session_log"]

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _SessionFile(logging.FileHandler):
    """A log that fails no work: what it reports is told by the work itself."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Drop what cannot be written, without a traceback on the terminal."""
        del record

    def close(self) -> None:
        """Close; what was buffered may be lost."""
        with suppress(OSError):
            super().close()


@contextmanager
def session_log(workdir: WorkDir, label: str) -> Iterator[Path]:
    """Mirror the messages of the ``hst_assets`` loggers to a file under logs/.

    Parameters
    ----------
    workdir : WorkDir
        Whose logs/ folder receives the file.
    label : str
        What the session does, such as ``"aligned_exposures_j8bt06"``.

    Yields
    ------
    path : `~pathlib.Path`
        ``logs/hst_assets_<label>_<UTC time>_<pid>.log``. A session in which nothing is said
        leaves no file. Where it cannot be written (a full disk), the work goes on without it. An
        error that ends the session, and is or comes from one of the system or of a library, is in
        it with its traceback: users are shown a line.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = workdir.logs / f"hst_assets_{label.replace('/', '_')}_{stamp}_{os.getpid()}.log"
    workdir.logs.mkdir(parents=True, exist_ok=True)
    handler = _SessionFile(path, delay=True)
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger = logging.getLogger("hst_assets")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield path
    except Exception as error:
        if has_more_behind(error):
            logger.exception("%s has ended with an error", label)
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
