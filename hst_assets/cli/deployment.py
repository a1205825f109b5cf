"""Which Dagster instance the commands use, and that it is ready before anything is done."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hst_assets.cli.terminal import errors
from hst_assets.failures import BadConfiguration, DiskFull, HstAssetsError, OutOfMemory
from hst_assets.machine.failures import machine_failure
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    import dagster as dg

__all__ = [
    "CELERY_CONFIGURATION",
    "HOME_VARIABLE",
    "dagster_home",
    "is_checkout",
    "opened_instance",
    "ready_home",
    "require_writable",
]

HOME_VARIABLE = "DAGSTER_HOME"
_CONFIGURATION = "dagster.yaml"
#: Of an instance on SQLite, beside those of single runs.
_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
#: The packaged dagster.yaml of an instance for several machines.
CELERY_CONFIGURATION = "dagster.celery.yaml"
#: By what such an instance is told.
_OF_CELERY = "hst_assets.orchestration.celery_launcher"
_NEEDED_BY_CELERY = ("dagster_celery", "dagster_postgres", "redis")
#: The instance of a checkout. Of an installed package there is no such folder.
_OF_CHECKOUT = Path(__file__).parents[2] / "data" / "deployment"


def dagster_home(*, may_be_new: bool = False) -> Path:
    """``$DAGSTER_HOME``; where unset, data/deployment of the checkout, or the user's own folder.

    The user's folder is that of the platform for what programs remember: on Linux
    ``$XDG_STATE_HOME/hst_assets``, by default ``~/.local/state/hst_assets``.

    Parameters
    ----------
    may_be_new : bool, optional
        Whether ``$DAGSTER_HOME`` may name a folder that does not exist.

    Raises
    ------
    BadConfiguration
        If it names one, and `may_be_new` is false.
    """
    named = os.environ.get(HOME_VARIABLE)
    if not named:
        return _OF_CHECKOUT if is_checkout() else _users_folder()
    home = Path(named).expanduser()
    if not (may_be_new or home.is_dir()):
        raise BadConfiguration(
            "no such folder",
            where=f"{HOME_VARIABLE}={home}",
            next_step=f"Set {HOME_VARIABLE} to a folder for Dagster's own records",
        )
    return home.absolute()


def is_checkout() -> bool:
    """Whether this package lies in a checkout, with an instance of its own."""
    return (_OF_CHECKOUT / _CONFIGURATION).is_file()


def _users_folder() -> Path:
    from platformdirs import user_state_path

    return user_state_path("hst_assets", appauthor=False)


def ready_home(packaged: str = _CONFIGURATION) -> Path:
    """`dagster_home` with a dagster.yaml in it; the user's own, or one for several, is made.

    Without that file Dagster would report usage to its makers. A folder that is made is named
    on the terminal, once.

    Parameters
    ----------
    packaged : str, optional
        The file of this package that becomes the dagster.yaml where there is none.

    Raises
    ------
    BadConfiguration
        If it cannot be made or written to, or is to be one for several machines and has the
        dagster.yaml of another.
    """
    home = dagster_home(may_be_new=packaged == CELERY_CONFIGURATION)
    is_new = not home.is_dir()
    configuration = home / _CONFIGURATION
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not configuration.exists():
            configuration.write_bytes(files("hst_assets").joinpath(packaged).read_bytes())
        elif packaged == CELERY_CONFIGURATION and _OF_CELERY not in configuration.read_text():
            raise BadConfiguration(
                "this is the dagster.yaml of an instance on one machine",
                where=configuration,
                next_step=f"Set {HOME_VARIABLE} to a new folder that the machines share",
            )
    except OSError as error:
        raise _not_ready(home, error) from error
    if is_new:
        errors().print(
            f"[yellow]note[/yellow] runs are recorded in the new Dagster instance {home} "
            f"(${HOME_VARIABLE} names another); 'hst-assets up' shows them",
            highlight=False,
        )
    return home


@contextmanager
def opened_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance, for the time of a command.

    Raises
    ------
    BadConfiguration
        If it cannot be opened.
    """
    home = ready_home()
    os.environ[HOME_VARIABLE] = str(home)
    _require_extra(home)
    import dagster as dg

    try:
        instance = dg.DagsterInstance.get()
        instance.get_dynamic_partitions("")  # the database opens at the first question
    except BadConfiguration:
        raise
    except Exception as error:
        raise _not_ready(home, error) from error
    with instance:
        from hst_assets.orchestration.dead_runs import bury_dead_runs

        for told in bury_dead_runs(instance):
            errors().print(f"[yellow]note[/yellow] {told}", highlight=False)
        yield instance


def _require_extra(home: Path) -> None:
    """Raise if an instance for several machines is opened without what it needs.

    Raises
    ------
    BadConfiguration
        It names the extra.
    """
    if _OF_CELERY not in (home / _CONFIGURATION).read_text(errors="replace"):
        return
    missing = [name for name in _NEEDED_BY_CELERY if find_spec(name) is None]
    if missing:
        raise BadConfiguration(
            f"this instance is for several machines, and needs {' and '.join(missing)}",
            where=home / _CONFIGURATION,
            next_step="pip install 'hst_assets[celery]'",
        )


def _not_ready(home: Path, error: Exception) -> HstAssetsError:
    failure = machine_failure(error, where=home)
    if isinstance(failure, DiskFull | OutOfMemory):
        return failure
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    what = f"the Dagster instance cannot be opened: {reason}"
    damaged = _damaged_database(home)
    if damaged is None:
        next_step = f"Set {HOME_VARIABLE} to a folder that you may write to"
        return BadConfiguration(what, where=home, next_step=next_step)
    next_step = (
        "Restore it from a backup of the instance, or remove it: products stay as they are, "
        "but what the instance knows of runs is lost"
    )
    return BadConfiguration(what, where=damaged, next_step=next_step)


def _damaged_database(home: Path) -> Path | None:
    """The first of an instance's databases on SQLite that is there, and is none; None for none."""
    for name in _DATABASES:
        path = home / name
        # These are False where a folder may not be looked into; those of pathlib raise.
        if os.path.lexists(path) and (not os.path.isfile(path) or _is_damaged(path)):  # noqa: PTH113
            return path
    return None


def _is_damaged(path: Path) -> bool:
    """Whether SQLite says so: a full disk, a lock and missing rights are something else."""
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return False


def require_writable(workdir: WorkDir) -> None:
    """Make sure that a work directory can be written before anything is copied into it.

    Raises
    ------
    BadConfiguration
        If it, or the folder that it would be made in, is not writable.
    """
    standing = next(path for path in (workdir.base, *workdir.base.parents) if path.exists())
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        raise BadConfiguration(
            f"the work directory {workdir.base} cannot be written",
            where=standing,
            next_step="Give another --root, or set HST_ASSETS_ROOT to a folder that you may "
            "write to",
        )
