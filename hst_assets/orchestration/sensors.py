"""Sensors: each level of each target runs when the levels before it have something new for it.

One sensor a level behind raw/. A target's level waits while runs of the levels before it are in
flight for that target, or the sensor on new data is about to request more of them, so that fifty
visits arriving together give one target run, not fifty. A level that joins branches waits until
all of them have settled (`orchestration.settled`). A level that is not downstream of what failed or
is at work goes on. The run key is the partition with the version of its inputs: the same inputs
never ask twice. Before it asks, it looks whether a run would make or record anything
(`orchestration.nothing_new`): a sensor that has just been started on what is up to date asks for
nothing.

No decision about the sky belongs here; inputs are read by `orchestration.input_versions`.
"""

import os
import time
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.dead_runs import bury_dead_runs
from hst_assets.orchestration.fetched_versions import has_consumed
from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.orchestration.nothing_new import done_of
from hst_assets.orchestration.partition_keys import targets_of
from hst_assets.orchestration.partitions import registrations
from hst_assets.orchestration.resources import HstRoot
from hst_assets.orchestration.retrying import is_asked_again, retry_marks
from hst_assets.orchestration.sensor_memory import LevelCursor, read_cursor, write_cursor
from hst_assets.orchestration.settled import Upstream, sensor_name
from hst_assets.orchestration.target_roots import forgotten_marks
from hst_assets.orchestration.targets import active_targets, costing_itself
from hst_assets.reasons import first_of
from hst_assets.workdir import WorkDir

__all__ = ["SENSOR_INTERVAL_VARIABLE", "interval_from_environment", "level_sensors"]

SENSOR_INTERVAL_VARIABLE = "HST_ASSETS_SENSOR_INTERVAL_S"
_INTERVAL_S = 30
_MAX_REQUESTS_A_TICK = 200
#: Largest number of runs of a level that are queued or in progress: beyond it, the sensor requests
#: no more. Dagster's daemon reads all queued runs each time that it launches one, and so does each
#: tick: a second for some thousands. A thousand runs keep hundreds of workers busy until the next
#: tick.
_MAX_WAITING = 1000
#: Time in which a tick looks at products, seconds; the rest is left to the next tick. Dagster gives
#: up on a tick after 60 s.
_LOOKED_AT_S = 20.0
#: So many partitions at a time: what a target has is then read once for all of them.
_LOOKED_AT_ONCE = 50
#: At most so many partitions are named.
_NAMED = 5


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
        name=sensor_name(level),
        job_name=level.job,
        minimum_interval_seconds=interval_s,
        description=f"Runs {level.job} where {what}, or a settings file, has changed.",
    )
    def sensor(context: dg.SensorEvaluationContext, hst_root: HstRoot) -> dg.SensorResult:
        return _evaluate(context, hst_root, Upstream(level, table, context.instance, interval_s))

    return sensor


@dataclass
class _Tick:
    """What one tick of a level's sensor collects."""

    context: dg.SensorEvaluationContext
    upstream: Upstream
    cursor: LevelCursor
    n_waiting: int = 0
    requests: list[dg.RunRequest] = field(default_factory=list)
    standing: dict[str, str] = field(default_factory=dict)
    deadline: float = 0.0

    def in_turn(self, targets: Sequence[str]) -> list[str]:
        """The targets from that on at which the last tick stopped; the time begins now."""
        self.deadline = time.monotonic() + _LOOKED_AT_S
        first = bisect_left(targets, self.cursor.next_target)
        return [*targets[first:], *targets[:first]]

    def stop_at(self, target: str, left: Collection[str]) -> None:
        """Leave targets to the next tick, as they stood."""
        self.cursor.next_target = target
        kept = {k: v for k, v in self.cursor.standing.items() if targets_of([k]) <= {*left}}
        self.standing = kept | self.standing

    @property
    def is_full(self) -> bool:
        """Whether so many runs are requested that the rest is left to the next tick."""
        n_asked = len(self.requests)
        return n_asked >= _MAX_REQUESTS_A_TICK or self.n_waiting + n_asked >= _MAX_WAITING

    @property
    def is_late(self) -> bool:
        """Whether it has looked for so long that the rest is left to the next tick."""
        return time.monotonic() > self.deadline

    def look_at(self, workdir: WorkDir, news: Mapping[str, str]) -> None:
        """Ask for runs of a target's partitions with new inputs, where there is work to do."""
        keys = list(news)
        for first in range(0, len(keys), _LOOKED_AT_ONCE):
            # However late it is, some of a target are looked at: all come in turn.
            if self.is_full or (first and self.is_late):
                return
            some = keys[first : first + _LOOKED_AT_ONCE]
            done = self._done(workdir, {key: news[key] for key in some})
            for key in some:
                if key in done:
                    self.cursor.asked[key] = news[key]
                elif not self.is_full:
                    self._ask(workdir, key, news[key])

    def _ask(self, workdir: WorkDir, key: str, version: str) -> None:
        """Ask for a run, if it is time."""
        if self.upstream.table.joins(self.upstream.level):
            seen = self.upstream.seen(workdir, version)
            if self.cursor.standing.get(key) != seen:
                self.standing[key] = seen
                return
        self.requests.append(dg.RunRequest(run_key=self._run_key(key, version), partition_key=key))
        self.cursor.asked[key] = version

    def _run_key(self, key: str, version: str) -> str:
        """A name of a request: inputs that are again as they were are asked for again."""
        n_asked = self.cursor.n_asked.get(key, 0)
        self.cursor.n_asked[key] = n_asked + 1
        return f"{key}@{version}" + (f"~{n_asked}" if n_asked else "")

    def _done(self, workdir: WorkDir, news: Mapping[str, str]) -> set[str]:
        """Partitions of which all is done; what cannot be told is left to a run to tell."""
        instance, level, table = self.context.instance, self.upstream.level, self.upstream.table
        asked = self.cursor.asked
        # Who asks again has seen it fail, whatever was made and recorded before.
        news = {k: v for k, v in news.items() if not is_asked_again(v, asked.get(k, ""))}
        done: set[str] = set()
        if level == table.raw_level:
            plain = {key: version.partition("#")[0] for key, version in news.items()}
            done = {key for key in plain if has_consumed(instance, key, plain[key])}
        # Of new inputs of a partition that the sensor knows a run records the versions, whether it
        # makes anything or not: else Dagster calls the products stale.
        unknown = news.keys() - done - asked.keys()
        try:
            done |= done_of(instance, workdir, level, unknown, table) if unknown else set()
        except Exception as error:  # noqa: BLE001 - one target's damage must not end the tick
            self.context.log.warning(
                f"{workdir.target} is run, because its state cannot be determined: {error}"
            )
        return done


def _evaluate(
    context: dg.SensorEvaluationContext, hst_root: HstRoot, upstream: Upstream
) -> dg.SensorResult:
    level = upstream.level
    tick = _Tick(context, upstream, read_cursor(context.instance, context.cursor))
    for told in bury_dead_runs(context.instance):
        context.log.warning(told)
    busy, held = upstream.in_flight()
    own = upstream.at_work()
    tick.n_waiting = len(own)
    # What a run of the first level is fetching just now is no news, nor what it has fetched.
    if level == upstream.table.raw_level:
        held |= own
    targets = active_targets(hst_root.path, context.log.warning)
    marks = forgotten_marks(context.instance, targets)
    again = retry_marks(context.instance, level.job)
    in_turn = tick.in_turn(targets)
    tick.cursor.next_target = ""
    for position, target in enumerate(in_turn):
        if tick.is_full or (position and tick.is_late):
            tick.stop_at(target, in_turn[position:])
            break
        if target in busy:
            continue
        workdir = hst_root.workdir(target)
        news = _news(tick, workdir, marks[target], again)
        held |= upstream.due(workdir, context.log.warning) if news else set()
        if target not in held:
            tick.look_at(workdir, {key: news[key] for key in news if key not in held})
    tick.cursor.standing = tick.standing
    return dg.SensorResult(
        run_requests=tick.requests,
        dynamic_partitions_requests=registrations(str(r.partition_key) for r in tick.requests),
        cursor=write_cursor(context.instance, tick.cursor, context.cursor, time.time()),
        skip_reason=None if tick.requests else _why_idle(tick, busy | held),
    )


def _news(tick: _Tick, workdir: WorkDir, mark: str, again: Mapping[str, str]) -> dict[str, str]:
    """Partitions of a target with inputs that were not asked for, and their versions."""
    from hst_assets.orchestration.input_versions import input_versions

    versions: dict[str, str] = {}
    upstream, asked = tick.upstream, tick.cursor.asked
    with costing_itself(workdir.target, tick.context.log.warning):
        found = input_versions(workdir, upstream.level, upstream.table)
        versions = {key: f"{each}{mark}{again.get(key, '')}" for key, each in found.items()}
    return {key: version for key, version in versions.items() if asked.get(key) != version}


def _why_idle(tick: _Tick, waiting: set[str]) -> str:
    told = []
    if tick.n_waiting >= _MAX_WAITING:
        told.append(f"{tick.n_waiting} runs of this level are unfinished: no more requests yet")
    if tick.standing:
        told.append(f"new inputs, run at the next tick if they stay: {_first(tick.standing)}")
    if waiting:
        told.append(f"waiting for runs of {_first(waiting)}")
    if tick.is_late and tick.cursor.next_target:
        told.append(
            f"looked for {_LOOKED_AT_S:.0f} s; the next tick goes on at {tick.cursor.next_target}"
        )
    return "; ".join(told) or "nothing new"


def _first(keys: Iterable[str]) -> str:
    return first_of(sorted(keys), _NAMED)
