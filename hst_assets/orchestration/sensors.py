"""Sensors: each level of each target runs when the level before has something new for it.

One sensor a level. A target's level waits while runs of the level before are in flight for that
target, so that fifty visits arriving together give one target run, not fifty. The run key is the
partition with the version of its inputs: the same inputs never ask twice.

No decision about the sky belongs here; what is pending is read by `orchestration.pending`.
"""

import json

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from hst_assets.failures import BadConfiguration
from hst_assets.identifiers import validate_target
from hst_assets.orchestration.jobs import LEVELS, Level
from hst_assets.orchestration.partitions import TARGET, VISIT
from hst_assets.orchestration.resources import HstRoot
from hst_assets.workdir import targets_in

__all__ = ["level_sensors"]

#: Runs that may still change what a later level would read.
_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
_INTERVAL_S = 30
_MAX_REQUESTS_A_TICK = 200


def level_sensors() -> list[dg.SensorDefinition]:
    """One sensor for each level, in order."""
    before: list[Level | None] = [None, *LEVELS[:-1]]
    return [_level_sensor(level, former) for level, former in zip(LEVELS, before, strict=True)]


def _level_sensor(level: Level, former: Level | None) -> dg.SensorDefinition:
    what = f"what {former.job} made" if former else "verified exposures in raw/"

    @dg.sensor(
        name=f"{level.job}_sensor",
        job_name=level.job,
        minimum_interval_seconds=_INTERVAL_S,
        description=f"Runs {level.job} where {what}, or a settings file, has changed.",
    )
    def sensor(context: dg.SensorEvaluationContext, hst_root: HstRoot) -> dg.SensorResult:
        return _evaluate(context, hst_root, level, former)

    return sensor


def _evaluate(
    context: dg.SensorEvaluationContext, hst_root: HstRoot, level: Level, former: Level | None
) -> dg.SensorResult:
    from hst_assets.orchestration.pending import input_versions

    seen: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    busy = _targets_in_flight(context.instance, former) if former else set()
    requests: list[dg.RunRequest] = []
    for target in targets_in(hst_root.path):
        if target in busy or not _valid(context, target):
            continue
        for key, version in input_versions(hst_root.workdir(target), level).items():
            if seen.get(key) != version and len(requests) < _MAX_REQUESTS_A_TICK:
                requests.append(dg.RunRequest(run_key=f"{key}@{version}", partition_key=key))
                seen[key] = version
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=_registrations(requests, level),
        cursor=json.dumps(seen),
        skip_reason=None if requests else _why_idle(busy),
    )


def _valid(context: dg.SensorEvaluationContext, target: str) -> bool:
    try:
        validate_target(target)
    except BadConfiguration as error:
        context.log.warning(f"folder passed over: {error}")
        return False
    return True


def _targets_in_flight(instance: dg.DagsterInstance, level: Level) -> set[str]:
    records = instance.get_run_records(RunsFilter(job_name=level.job, statuses=_UNFINISHED))
    partitions = (record.dagster_run.tags.get("dagster/partition", "") for record in records)
    return {partition.partition("/")[0] for partition in partitions if partition}


def _registrations(
    requests: list[dg.RunRequest], level: Level
) -> list[dg.AddDynamicPartitionsRequest]:
    keys = [request.partition_key for request in requests if request.partition_key]
    if not keys:
        return []
    targets = sorted({key.partition("/")[0] for key in keys})
    added = [dg.AddDynamicPartitionsRequest(TARGET, targets)]
    if level.by_visit:
        added.append(dg.AddDynamicPartitionsRequest(VISIT, keys))
    return added


def _why_idle(busy: set[str]) -> str:
    if busy:
        return f"nothing new; waiting for runs of {', '.join(sorted(busy)[:5])}"
    return "nothing new"
