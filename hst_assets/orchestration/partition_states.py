"""The states of an asset's partitions in Dagster's records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import dagster as dg

from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.partitions import hst_target, hst_visit

__all__ = ["PartitionState", "partition_states", "partitions_left_failed"]

PartitionState = Literal["failed", "in progress", "made", "missing"]
_STATES: Mapping[dg.AssetPartitionStatus | None, PartitionState] = {
    dg.AssetPartitionStatus.FAILED: "failed",
    dg.AssetPartitionStatus.IN_PROGRESS: "in progress",
    dg.AssetPartitionStatus.MATERIALIZED: "made",
}


def partition_states(instance: dg.DagsterInstance, row: AssetRow) -> dict[str, PartitionState]:
    """The state of each registered partition of an asset.

    Parameters
    ----------
    instance : DagsterInstance
        The records.
    row : AssetRow
        The asset.

    Returns
    -------
    dict
        By key, sorted. "failed": the last run that was to make it has failed.
    """
    partitions = hst_visit if row.by_visit else hst_target
    keys = sorted(instance.get_dynamic_partitions(str(partitions.name)))
    status = instance.get_status_by_partition(dg.AssetKey(row.name), keys, partitions) or {}
    return {key: _STATES.get(status.get(key), "missing") for key in keys}


def partitions_left_failed(instance: dg.DagsterInstance, row: AssetRow) -> list[str]:
    """Partition keys of an asset whose last run failed, sorted."""
    states = partition_states(instance, row)
    return [key for key, state in states.items() if state == "failed"]
