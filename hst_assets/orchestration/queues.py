"""On which queue of workers a run waits, by what its steps need.

A worker of Celery takes runs from the queues that it was started with: one without access to the
archive, or with little memory, leaves the others to those that have it. Without Celery the name is
a tag of the run and no more.
"""

from __future__ import annotations

from collections.abc import Iterable

from hst_assets.orchestration.asset_row import LIGHT, AssetRow

__all__ = ["DEFAULT_QUEUE", "HEAVY_QUEUE", "QUEUES", "QUEUE_TAG", "queue_for"]

#: The tag of a run by which dagster-celery chooses the queue.
QUEUE_TAG = "dagster-celery/queue"
#: What needs little of a machine.
DEFAULT_QUEUE = "dagster"
#: What needs more than one core, or more memory than `_SMALL_GB`.
HEAVY_QUEUE = "heavy"
#: What talks to the archive: named as the pool that limits its steps.
ARCHIVE_QUEUE = "mast"
QUEUES = (DEFAULT_QUEUE, HEAVY_QUEUE, ARCHIVE_QUEUE)
#: Every machine has so much for a run.
_SMALL_GB = 2.0


def queue_for(rows: Iterable[AssetRow]) -> str:
    """The queue of a run that makes these assets.

    Parameters
    ----------
    rows : iterable of AssetRow
        Rows of the assets. If one of them queries the archive, the run gets the archive's queue,
        even if it needs much memory: fewer workers reach the archive than have much memory.
    """
    wanted = list(rows)
    if any(row.pool == ARCHIVE_QUEUE for row in wanted):
        return ARCHIVE_QUEUE
    return HEAVY_QUEUE if any(map(_is_heavy, wanted)) else DEFAULT_QUEUE


def _is_heavy(row: AssetRow) -> bool:
    return row.resources.cores > LIGHT.cores or row.resources.memory_gb > _SMALL_GB
