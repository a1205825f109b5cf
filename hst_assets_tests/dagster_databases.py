"""Dagster's SQLite databases in the processes of tests: made in a fraction of the time.

Dagster makes a database for each run, waits for the disk at each of some hundred commits (5 ms each
on a cloud machine's disk), and reads its ninety migration scripts anew for each. What tests keep in
them need not outlive a power cut, and the scripts do not change while they run.
"""

from __future__ import annotations

import functools
import sqlite3
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event


@functools.cache
def make_quickly() -> None:
    """Have it so in this process from now on."""
    event.listen(Engine, "connect", _do_not_wait_for_the_disk)
    # Dagster keeps its configurations, so that the same one comes again.
    ScriptDirectory.from_config = staticmethod(functools.cache(ScriptDirectory.from_config))


def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF").close()
