"""The state of targets, partitions and disks, in Prometheus' text format.

Nothing is counted here that is not told elsewhere: targets as `status` tells them
(`orchestration.target_summary`), partitions as the nightly check does
(`orchestration.partition_states`).
"""

from __future__ import annotations

import logging
import shutil
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from hst_assets.orchestration.forecast import State
from hst_assets.orchestration.jobs import LEFT_FAILED_JOB
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.partition_keys import targets_of
from hst_assets.orchestration.partition_states import PartitionState, partition_states
from hst_assets.orchestration.runs import UNFINISHED
from hst_assets.orchestration.target_summary import TargetSummary
from hst_assets.orchestration.targets import active_settings, targets_wanting
from hst_assets.publishing.receipt import Publication

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["metrics_text"]

logger = logging.getLogger(__name__)

_PREFIX = "hst_assets"


def metrics_text(
    instance: dg.DagsterInstance,
    table: AssetTable,
    summaries: Sequence[TargetSummary],
    *,
    n_unreadable: int,
    root: Path,
    folders: Mapping[str, Path],
) -> str:
    """All metrics as Prometheus reads them [1]_.

    Parameters
    ----------
    instance : DagsterInstance
        Partitions and runs.
    table : AssetTable
        Which assets there are.
    summaries : sequence of TargetSummary
        The targets that could be read.
    n_unreadable : int
        Those that could not.
    root : Path
        Of the work directories: partitions count of targets that are not retired.
    folders : mapping
        What is on a disk, in words, to a folder of it.

    References
    ----------
    .. [1] https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    _of_targets(registry, summaries, n_unreadable)
    _of_partitions(registry, instance, table, root)
    _of_runs(registry, instance, table)
    _of_disks(registry, folders)
    return generate_latest(registry).decode()


def _gauge(
    registry: CollectorRegistry,
    name: str,
    meaning: str,
    labels: Sequence[str],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> None:
    from prometheus_client import Gauge

    gauge = Gauge(f"{_PREFIX}_{name}", meaning, labels, registry=registry)
    for of, value in values:
        (gauge.labels(*of) if labels else gauge).set(value)


def _of_targets(
    registry: CollectorRegistry, summaries: Sequence[TargetSummary], n_unreadable: int
) -> None:
    compared = [each for each in summaries if each.compared]
    counts = [(("readable",), len(summaries)), (("unreadable",), n_unreadable)]
    _gauge(registry, "targets", "Targets of the root.", ("state",), counts)
    for name, field, meaning in (
        ("visits", "n_visits", "Visits with verified exposures."),
        ("products_wanted", "n_wanted", "Products that the settings want."),
        ("products_made", "n_made", "Those of them that have a record."),
    ):
        rows = [((each.target,), getattr(each, field)) for each in summaries]
        _gauge(registry, name, meaning, ("target",), rows)
    _gauge(
        registry,
        "products",
        "Products by state, at the last comparison with today's recipes; absent where that does "
        "not hold any more.",
        ("target", "state"),
        [
            ((each.target, state), each.states.get(state, 0))
            for each in compared
            for state in typing.get_args(State)
        ],
    )
    _gauge(
        registry,
        "published_products",
        "Products by whether they are published as they are.",
        ("target", "state"),
        [
            ((each.target, state), each.published.get(state, 0))
            for each in summaries
            if each.published
            for state in typing.get_args(Publication)
        ],
    )
    _gauge(
        registry,
        "compared_timestamp_seconds",
        "When the target was last compared; absent if something has changed since.",
        ("target",),
        [((each.target,), _seconds(each.compared)) for each in compared],
    )
    _gauge(
        registry,
        "last_made_timestamp_seconds",
        "When a target's latest product was made.",
        ("target",),
        [((each.target,), _seconds(each.last_made)) for each in summaries if each.last_made],
    )


def _of_partitions(
    registry: CollectorRegistry, instance: dg.DagsterInstance, table: AssetTable, root: Path
) -> None:
    rows: list[tuple[tuple[str, ...], float]] = []
    targets = active_settings(root, logger.debug)  # whoever asks names those that cannot be read
    for row in table:
        wanting = targets_wanting(table.level_of(row.name), table, targets)
        states = partition_states(instance, row)
        counts = Counter(state for key, state in states.items() if targets_of([key]) <= wanting)
        rows += [((row.name, state), counts[state]) for state in typing.get_args(PartitionState)]
    meaning = (
        "Registered partitions of each asset by state, as Dagster recorded them, of targets that "
        "want it and are not retired."
    )
    _gauge(registry, "partitions", meaning, ("asset", "state"), rows)


def _of_runs(registry: CollectorRegistry, instance: dg.DagsterInstance, table: AssetTable) -> None:
    last: list[tuple[tuple[str, ...], float]] = []
    # The nightly check runs where nothing new is made, too.
    for job in (*(level.job for level in table.levels), LEFT_FAILED_JOB):
        done = RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS])
        records = instance.get_run_records(done, limit=1)
        last += [((job,), record.end_time or 0.0) for record in records]
    meaning = "When the latest run of each job that succeeded ended; absent if none has."
    _gauge(registry, "last_success_timestamp_seconds", meaning, ("job",), last)
    unfinished = instance.get_runs_count(RunsFilter(statuses=list(UNFINISHED)))
    _gauge(registry, "runs_unfinished", "Runs queued or at work.", (), [((), unfinished)])


def _of_disks(registry: CollectorRegistry, folders: Mapping[str, Path]) -> None:
    usage = {what: shutil.disk_usage(folder) for what, folder in folders.items()}
    free = [((what,), disk.free) for what, disk in usage.items()]
    size = [((what,), disk.total) for what, disk in usage.items()]
    _gauge(registry, "disk_free_bytes", "Free room on the disk.", ("what",), free)
    _gauge(registry, "disk_size_bytes", "Size of the disk.", ("what",), size)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
