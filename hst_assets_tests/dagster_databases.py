"""Dagster's SQLite databases in the processes of tests: made in a fraction of the time.

Dagster makes a database for each run, waits for the disk at each of some hundred commits (5 ms each
on a cloud machine's disk), and reads its ninety migration scripts anew for each. What tests keep in
them need not outlive a power cut, and the scripts do not change while they run. For each question
it makes an engine of SQLAlchemy, which then knows none of the statements that it compiled before.
"""

from __future__ import annotations

import functools
import sqlite3
from typing import Any

from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool


@functools.cache
def make_quickly() -> None:
    """Have it so in this process from now on."""
    event.listen(Engine, "connect", _do_not_wait_for_the_disk)
    # Dagster keeps its configurations, so that the same one comes again.
    ScriptDirectory.from_config = staticmethod(functools.cache(ScriptDirectory.from_config))
    sqlite_event_log.create_engine = _engine
    sqlite_run_storage.create_engine = _engine


def _engine(
    address: str, *, poolclass: type, connect_args: dict[str, float] | None = None
) -> Engine:
    """The engine of a database, as Dagster makes it; it keeps no connection, only statements."""
    assert poolclass is NullPool
    return _kept_engine(address, tuple((connect_args or {}).items()))


@functools.lru_cache(maxsize=64)
def _kept_engine(address: str, connect_args: tuple[tuple[str, float], ...]) -> Engine:
    return create_engine(address, poolclass=NullPool, connect_args=dict(connect_args))


def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF").close()
