"""Dagster's assets in the processes of tests: made once for a table, as in a process of Dagster's.

For each of a test's commands, and in each test anew, Dagster would read signatures and make schemas
of thirty assets: 0.2 s, as long as a run of stand-ins takes. An asset asks its row for its function
when it is materialized, so that stand-ins are met all the same.
"""

from __future__ import annotations

import functools

from hst_assets.orchestration import build


@functools.cache
def make_once() -> None:
    """Have it so in this process from now on."""
    build.assets_of = functools.lru_cache(maxsize=8)(build.assets_of)
