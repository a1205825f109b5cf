"""Sensors: each level of each target runs when the level before has something new for it.

One sensor a level behind raw/. A target's level waits while runs of the level before are in
flight for that target, or the sensor on new data is about to request more of them, so that fifty
visits arriving together give one target run, not fifty. The run key is the partition with the
version of its inputs: the same inputs never ask twice.

No decision about the sky belongs here; what is pending is read by `orchestration.pending`.
"""

import json
import os

import dagster as dg

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.archive_sensor import awaited_targets
from hst_assets.orchestration.fetched_versions import has_consumed
from hst_assets.orchestration.jobs import LEVELS_FROM_RAW, Level
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


def level_sensors(interval_s: int | None = None) -> list[dg.SensorDefinition]:
    """One sensor for each level behind raw/, in order.

    Parameters
    ----------
    interval_s : int, optional
        Least number of seconds between two ticks of each; 30 if not given.
    """
    before: list[Level | None] = [None, *LEVELS_FROM_RAW[:-1]]
    return [
        _level_sensor(level, former, interval_s or _INTERVAL_S)
        for level, former in zip(LEVELS_FROM_RAW, before, strict=True)
    ]


def _level_sensor(level: Level, former: Level | None, interval_s: int) -> dg.SensorDefinition:
    what = f"what {former.job} made" if former else "verified exposures in raw/"

    @dg.sensor(
        name=f"{level.job}_sensor",
        job_name=level.job,
        minimum_interval_seconds=interval_s,
        description=f"Runs {level.job} where {what}, or a settings file, has changed.",
    )
    def sensor(context: dg.SensorEvaluationContext, hst_root: HstRoot) -> dg.SensorResult:
        return _evaluate(context, hst_root, level, former)

    return sensor


def _evaluate(
    context: dg.SensorEvaluationContext, hst_root: HstRoot, level: Level, former: Level | None
) -> dg.SensorResult:
    from hst_assets.orchestration.input_versions import input_versions

    seen: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    busy = _busy_targets(context.instance, former)
    # What a run of the first level is fetching just now is no news, nor what it has fetched.
    own = partitions_in_flight(context.instance, level) if former is None else set()
    requests: list[dg.RunRequest] = []
    for target in active_targets(hst_root.path, context.log.warning):
        if target in busy:
            continue
        versions: dict[str, str] = {}
        with costing_itself(target, context.log.warning):
            versions = input_versions(hst_root.workdir(target), level)
        for key, version in versions.items():
            if seen.get(key) == version or key in own or len(requests) >= _MAX_REQUESTS_A_TICK:
                continue
            seen[key] = version
            if former is not None or not has_consumed(context.instance, key, version):
                requests.append(dg.RunRequest(run_key=f"{key}@{version}", partition_key=key))
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=registrations(str(r.partition_key) for r in requests),
        cursor=json.dumps(seen),
        skip_reason=None if requests else _why_idle(busy),
    )


def _busy_targets(instance: dg.DagsterInstance, former: Level | None) -> set[str]:
    if former is None:
        return set()
    busy = targets_of(partitions_in_flight(instance, former))
    return busy | awaited_targets(instance) if former == LEVELS_FROM_RAW[0] else busy


def _why_idle(busy: set[str]) -> str:
    if busy:
        return f"nothing new; waiting for runs of {', '.join(sorted(busy)[:5])}"
    return "nothing new"
