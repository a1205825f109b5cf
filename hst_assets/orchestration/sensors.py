"""Sensors: each level of each target runs when the levels before it have something new for it.

One sensor a level behind raw/. A target's level waits while runs of the levels before it are in
flight for that target, or the sensor on new data is about to request more of them, so that fifty
visits arriving together give one target run, not fifty. A level that is not downstream of what
failed or is at work goes on. The run key is the partition with the version of its inputs: the same
inputs never ask twice.

No decision about the sky belongs here; inputs are read by `orchestration.input_versions`.
"""

import json
import os

import dagster as dg

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.archive_sensor import awaited_targets
from hst_assets.orchestration.fetched_versions import has_consumed
from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.orchestration.partitions import registrations
from hst_assets.orchestration.resources import HstRoot
from hst_assets.orchestration.runs import partitions_in_flight, targets_of
from hst_assets.orchestration.targets import active_targets, costing_itself

__all__ = ["SENSOR_INTERVAL_VARIABLE", "interval_from_environment", "level_sensors"]

SENSOR_INTERVAL_VARIABLE = "HST_ASSETS_SENSOR_INTERVAL_S"
_INTERVAL_S = 30
_MAX_REQUESTS_A_TICK = 200


def interval_from_environment() -> int | None:
    """Seconds between ticks that ``HST_ASSETS_SENSOR_INTERVAL_S`` sets; None where it is not set.

    Raises
    ------
    BadConfiguration
        If it is not a whole number of seconds above zero.
    """
    text = os.environ.get(SENSOR_INTERVAL_VARIABLE, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise BadConfiguration(
            f"{text!r} is no interval of sensors",
            where=SENSOR_INTERVAL_VARIABLE,
            next_step="Set a whole number of seconds, or leave it out",
        )
    return int(text)


def level_sensors(table: AssetTable, interval_s: int | None = None) -> list[dg.SensorDefinition]:
    """One sensor for each level behind raw/, in order.

    Parameters
    ----------
    table : AssetTable
        Whose levels they follow.
    interval_s : int, optional
        Least number of seconds between two ticks of each; 30 if not given.
    """
    return [
        _level_sensor(level, table, interval_s or _INTERVAL_S) for level in table.levels_from_raw
    ]


def _level_sensor(level: Level, table: AssetTable, interval_s: int) -> dg.SensorDefinition:
    what = f"what {', '.join(level.after)} made" if level.after else "verified exposures in raw/"

    @dg.sensor(
        name=f"{level.job}_sensor",
        job_name=level.job,
        minimum_interval_seconds=interval_s,
        description=f"Runs {level.job} where {what}, or a settings file, has changed.",
    )
    def sensor(context: dg.SensorEvaluationContext, hst_root: HstRoot) -> dg.SensorResult:
        return _evaluate(context, hst_root, level, table)

    return sensor


def _evaluate(
    context: dg.SensorEvaluationContext, hst_root: HstRoot, level: Level, table: AssetTable
) -> dg.SensorResult:
    from hst_assets.orchestration.input_versions import input_versions

    seen: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    fetches = level == table.raw_level
    busy, held = _busy(context.instance, level, table)
    # What a run of the first level is fetching just now is no news, nor what it has fetched.
    if fetches:
        held |= partitions_in_flight(context.instance, level)
    requests: list[dg.RunRequest] = []
    for target in active_targets(hst_root.path, context.log.warning):
        if target in busy:
            continue
        versions: dict[str, str] = {}
        with costing_itself(target, context.log.warning):
            versions = input_versions(hst_root.workdir(target), level, table)
        for key, version in versions.items():
            if seen.get(key) == version or key in held or len(requests) >= _MAX_REQUESTS_A_TICK:
                continue
            seen[key] = version
            if not fetches or not has_consumed(context.instance, key, version):
                requests.append(dg.RunRequest(run_key=f"{key}@{version}", partition_key=key))
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=registrations(str(r.partition_key) for r in requests),
        cursor=json.dumps(seen),
        skip_reason=None if requests else _why_idle(busy | held),
    )


def _busy(
    instance: dg.DagsterInstance, level: Level, table: AssetTable
) -> tuple[set[str], set[str]]:
    """Targets and partitions of which something upstream is at work, or about to be requested.

    A level of the same partitions holds up its own partition; across a crossing, the target.
    """
    targets: set[str] = set()
    partitions: set[str] = set()
    for before in map(table.level_named, level.after):
        in_flight = partitions_in_flight(instance, before)
        if before.by_visit == level.by_visit:
            partitions |= in_flight
        else:
            targets |= targets_of(in_flight)
            if before == table.raw_level:
                targets |= awaited_targets(instance)
    return targets, partitions


def _why_idle(busy: set[str]) -> str:
    if busy:
        return f"nothing new; waiting for runs of {', '.join(sorted(busy)[:5])}"
    return "nothing new"
