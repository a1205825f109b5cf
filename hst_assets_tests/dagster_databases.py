"""Dagster's SQLite databases in the processes of tests: made in a fraction of the time.

Dagster makes a database for each run, waits for the disk at each of some hundred commits (5 ms each
on a cloud machine's disk), and reads its ninety migration scripts anew for each. What tests keep in
them need not outlive a power cut, and the scripts do not change while they run. For each question
it makes an engine of SQLAlchemy, which then knows none of the statements that it compiled before,
and a connection, which costs more than the question does.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.in_memory import InMemoryEventLogStorage
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.in_memory import InMemoryRunStorage
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import NullPool, QueuePool

#: Engines that are kept, each with an open connection.
_MOST = 64
#: Where a connection has the thread that made it: SQLite lets no other use one to memory.
_THREAD = "thread"


@functools.cache
def make_quickly() -> None:
    """Have it so in this process from now on."""
    event.listen(Engine, "connect", _do_not_wait_for_the_disk)
    # Dagster keeps its configurations, so that the same one comes again.
    ScriptDirectory.from_config = staticmethod(functools.cache(ScriptDirectory.from_config))
    kept = _Kept()
    for storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        storage.create_engine = kept.engine
    InMemoryEventLogStorage._connect = _on_held_connection(InMemoryEventLogStorage._connect)
    InMemoryRunStorage.connect = _on_held_connection(InMemoryRunStorage.connect)


class _Kept:
    """Engines by process and database; those that were not used for long are closed."""

    def __init__(self) -> None:
        self._engines: OrderedDict[Any, Engine] = OrderedDict()

    def engine(
        self, address: str, *, poolclass: type, connect_args: dict[str, float] | None = None
    ) -> Engine:
        """The engine of a database, as Dagster makes it, but for its connection, which is kept."""
        assert poolclass is NullPool
        connect_args = connect_args or {}
        key = (os.getpid(), address, *connect_args.items())
        if key not in self._engines:
            self._engines[key] = _engine(address, connect_args)
        self._engines.move_to_end(key)
        while len(self._engines) > _MOST:
            _, unused = self._engines.popitem(last=False)
            Engine.dispose(unused)
        return self._engines[key]


def _engine(address: str, connect_args: dict[str, float]) -> Engine:
    made = create_engine(
        address,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=-1,
        connect_args={**connect_args, "check_same_thread": False},
    )
    # Dagster ends the engine of a run's events with each question.
    made.dispose = lambda: None
    event.listen(made, "connect", _note_the_file)
    event.listen(made, "checkout", _be_of_the_file)
    return made


def _note_the_file(connection: sqlite3.Connection, record: Any) -> None:
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    record.info["file"] = path, _identity(path)


def _be_of_the_file(_connection: Any, record: Any, _proxy: Any) -> None:
    """Connect anew if the file is gone, or another lies in its place."""
    path, identity = record.info["file"]
    if identity is None:  # not written yet when it was connected to
        record.info["file"] = path, _identity(path)
    elif _identity(path) != identity:
        raise DisconnectionError


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _do_not_wait_for_the_disk(connection: Any, record: Any) -> None:
    record.info[_THREAD] = threading.get_ident()
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF").close()


def _on_held_connection(
    anew: Callable[[Any], AbstractContextManager[Connection]],
) -> Callable[[Any], AbstractContextManager[Connection]]:
    """A storage's method that connects to its database in memory, by the connection it holds.

    Where that is at work, or another thread's, the storage connects as it does by itself.
    """

    @contextmanager
    def connect(storage: Any) -> Iterator[Connection]:
        held = storage._held_conn
        if held.in_transaction() or held.info.get(_THREAD) != threading.get_ident():
            with anew(storage) as connection:
                yield connection
            return
        with getattr(storage, "_db_lock", nullcontext()), held.begin():
            held.exec_driver_sql("PRAGMA foreign_keys=ON").close()
            yield held

    return connect
