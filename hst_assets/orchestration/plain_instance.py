"""A Dagster instance in SQLite, read and written without Dagster for commands that must be quick.

To import Dagster and open an instance takes 1.2 s of CPU time; to look whether runs are in
flight, or to add a key, takes a millisecond. Only what ``hst-assets target list`` and ``target
add`` need is here, and only for databases with the schema that is named below. For all others
(another storage, another version of Dagster, a database not made yet) `plain_instance` returns
None, and the command opens the instance with Dagster.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hst_assets.failures import TransientFailure
from hst_assets.orchestration.partition_keys import VISIT, targets_of

__all__ = ["IN_FLIGHT", "SCHEMA_REVISION", "PlainInstance", "plain_instance"]

#: Revision of Dagster's tables, on record in each database, for which the statements below hold.
SCHEMA_REVISION = "29b539ebc72a"
#: Statuses of runs that have not ended, as Dagster writes them.
IN_FLIGHT = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
#: Sections of dagster.yaml that leave the databases where they are by default.
_HARMLESS = frozenset(
    {
        "auto_materialize",
        "backfills",
        "code_servers",
        "compute_logs",
        "concurrency",
        "freshness",
        "nux",
        "python_logs",
        "retention",
        "run_coordinator",
        "run_launcher",
        "run_monitoring",
        "run_queue",
        "run_retries",
        "schedules",
        "sensors",
        "telemetry",
    }
)
#: How long a write waits for another process, as Dagster itself does.
_WAIT_S = 20.0


@dataclass(frozen=True)
class PlainInstance:
    """The databases of an instance: what `partition_keys.Registry` says, and whether it is idle.

    Attributes
    ----------
    runs, events : Path
        The databases of runs (with the cursors) and of events (with the partitions).
    """

    runs: Path
    events: Path

    @property
    def daemon_cursor_storage(self) -> PlainInstance:
        """Cursors are in the database of runs."""
        return self

    def is_idle(self) -> bool:
        """Whether no run is queued or in progress."""
        with _opened(self.runs) as database:
            found = [
                database.execute(
                    "SELECT 1 FROM runs WHERE status = ? LIMIT 1", (status,)
                ).fetchone()
                for status in IN_FLIGHT
            ]
        return not any(found)

    def knows_root_of(self, target: str) -> bool:
        """Whether the root of a target is on record, or the target is new to the instance.

        That of a target of an older version is in Dagster's events, which are not read here.
        """
        from hst_assets.orchestration.target_roots import remembered_root

        if remembered_root(self, target):
            return True
        return target not in targets_of(self.get_dynamic_partitions(VISIT))

    def get_dynamic_partitions(self, partitions_def_name: str) -> list[str]:
        """Keys of a set of partitions, oldest first."""
        with _opened(self.events) as database:
            rows = database.execute(
                "SELECT partition FROM dynamic_partitions WHERE partitions_def_name = ?"
                " ORDER BY id",
                (partitions_def_name,),
            )
            return [key for (key,) in rows]

    def add_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> None:
        """Add keys to a set of partitions; those that are in it stay as they are."""
        with _opened(self.events) as database:
            database.executemany(
                "INSERT OR IGNORE INTO dynamic_partitions (partitions_def_name, partition)"
                " VALUES (?, ?)",
                [(partitions_def_name, key) for key in partition_keys],
            )

    def get_cursor_values(self, keys: set[str]) -> dict[str, str]:
        """The texts that are kept under these names."""
        with _opened(self.runs) as database:
            found = {}
            for key in keys:
                row = database.execute("SELECT value FROM kvs WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = row[0]
            return found

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        """Keep texts under these names."""
        with _opened(self.runs) as database:
            database.executemany(
                "INSERT INTO kvs (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                list(pairs.items()),
            )


def plain_instance(home: Path) -> PlainInstance | None:
    """The databases of the instance in `home`, if they are as this module knows them.

    Returns
    -------
    PlainInstance or None
        None wherever Dagster has to be asked instead.
    """
    found = PlainInstance(home / "history" / "runs.db", home / "history" / "runs" / "index.db")
    databases = (found.runs, found.events)
    is_usual = _is_default_storage(home) and all(map(_is_known, databases))
    return found if is_usual else None


def _is_default_storage(home: Path) -> bool:
    import yaml

    try:
        content = yaml.safe_load((home / "dagster.yaml").read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and _HARMLESS.issuperset(content)


def _is_known(path: Path) -> bool:
    """Whether a database is there, may be written, and has the known schema."""
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return False
    try:
        with _opened(path) as database:
            revisions = database.execute("SELECT version_num FROM alembic_version").fetchall()
    except TransientFailure:
        return False
    return revisions == [(SCHEMA_REVISION,)]


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that is there, in one transaction.

    Raises
    ------
    TransientFailure
        If it cannot be read or written, such as one that another process holds for too long.
    """
    address = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S)) as database, database:
            yield database
    except sqlite3.Error as error:
        raise TransientFailure(
            f"a database of the Dagster instance cannot be used: {error}",
            where=path,
            next_step="Run the same command again; 'hst-assets doctor' checks the instance",
        ) from error
