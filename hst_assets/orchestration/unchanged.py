"""What a run finds unchanged: an observation, and no new materialization of an old product.

Dagster records a materialization for every output of a step, and skips what is downstream of an
output that is not there. So an asset that finds its product standing hands its output over as
ever, but logs an observation, and `leave_unrecorded` keeps the materialization from being
recorded. Time, run and numbers of the latest materialization stay those of the run that made the
product. Why it is done so, and what else was tried: docs/decisions/0011-runs-in-sight.md.

A materialization is recorded nevertheless where the latest one does not say the same: there is
none (an adopted work directory), or version, code version or versions of inputs are others, of
which Dagster would call the partition stale.

Dagster takes a step of a failed run that recorded no materialization for a failed step. What was
unchanged in such a run gets its former materialization again, event for event (`restate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from hst_assets.orchestration.dagster_private import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    get_input_data_version_tag,
)
from hst_assets.orchestration.metadata import EXECUTED, UNCHANGED

__all__ = ["is_recorded", "leave_unrecorded", "observe", "restate", "restate_run"]

#: Marks an output whose materialization is recorded already.
_RECORDED = "recorded_before"
#: So many attempts since the latest materialization are looked at.
_LOOKED_AT = 100


def is_recorded(context: dg.AssetExecutionContext, version: str) -> bool:
    """Whether the latest materialization of the run's partition says what this run would say.

    Parameters
    ----------
    context : AssetExecutionContext
        Of the running asset.
    version : str
        The data version of the existing product.
    """
    latest = _latest_record(context.instance, context.asset_key, context.partition_key)
    materialization = latest.asset_materialization if latest else None
    if materialization is None:
        return False
    tags = materialization.tags or {}
    return all(tags.get(name) == value for name, value in _expected(context, version))


def _expected(context: dg.AssetExecutionContext, version: str) -> Iterator[tuple[str, str]]:
    """The tags that Dagster would give a materialization now, as far as staleness goes by them."""
    yield DATA_VERSION_TAG, version
    code_version = context.assets_def.get_asset_spec(context.asset_key).code_version
    if code_version is not None:
        yield CODE_VERSION_TAG, code_version
    step = context.op_execution_context.get_step_execution_context()
    for key in step.job_def.asset_layer.get(context.asset_key).parent_keys:
        info = step.maybe_fetch_and_get_input_asset_version_info(key)
        present = (info.data_version if info else None) or DEFAULT_DATA_VERSION
        yield get_input_data_version_tag(key), present.value


def observe(
    context: dg.AssetExecutionContext, tags: Mapping[str, str] | None, *, attended: bool
) -> dict[str, Any]:
    """Log that the product is up to date. Its numbers stay those of its materialization.

    Unless someone looks after the run should it fail (`attended`), and of a partition that was
    left failed, the former materialization is recorded again at once.

    Returns
    -------
    metadata : dict
        For the output, with the mark by which `leave_unrecorded` knows it.
    """
    key, partition = context.asset_key, context.partition_key
    if not attended or _was_left_failed(context):
        restate(context.instance, key, partition)
    metadata = {EXECUTED: UNCHANGED}
    context.log_event(dg.AssetObservation(key, partition=partition, metadata=metadata, tags=tags))
    return {_RECORDED: True}


def _was_left_failed(context: dg.AssetExecutionContext) -> bool:
    """Whether a run has failed to make the partition since its latest materialization."""
    instance, key, partition = context.instance, context.asset_key, context.partition_key
    latest = _latest_record(instance, key, partition)
    planned = instance.event_log_storage.get_event_records(
        dg.EventRecordsFilter(
            dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
            asset_key=key,
            asset_partitions=[partition],
            after_cursor=latest.storage_id if latest else None,
        ),
        limit=_LOOKED_AT,
    )
    runs = {record.run_id for record in planned} - {context.run.run_id}
    if not runs:
        return False
    failed = dg.RunsFilter(run_ids=list(runs), statuses=[dg.DagsterRunStatus.FAILURE])
    return bool(instance.get_run_records(failed, limit=1))


def leave_unrecorded(context: dg.OutputContext) -> None:
    """Keep Dagster from recording a materialization of an output marked by `observe`.

    Called when the output was handled. An output without an asset key is that of a plain op.
    """
    if _RECORDED in context.output_metadata:
        context._asset_key = None  # noqa: SLF001 - there is no public way


def restate_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """After a failed run: `restate` what it found unchanged."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION):
        observation = entry.asset_observation
        if observation is not None and observation.partition is not None:
            restate(instance, observation.asset_key, observation.partition)


def restate(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str) -> None:
    """Record the latest materialization of a partition once more, as it is: time, run, numbers.

    It is then later than what a failed run had planned, and the partition is no failed one.
    """
    latest = _latest_record(instance, key, partition)
    if latest is not None:
        instance.store_event(latest.event_log_entry)


def _latest_record(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str
) -> dg.EventLogRecord | None:
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(key, asset_partitions=[partition]), limit=1
    )
    return found.records[0] if found.records else None
