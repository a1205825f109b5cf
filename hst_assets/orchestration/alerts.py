"""The sensor that reports failed runs, by webhook or mail (`hst_assets.alerting`).

It does not use Dagster's ``run_failure_sensor``: that sensor moves on to the next run even if its
function raised, so an alert would be lost while a receiver is down. Here the cursor keeps, for each
receiver, the alerts that are still to be sent, and each tick tries to send them. An alert is sent
once; it is sent twice only if the process dies between sending it and the end of the tick.

The sensor is always defined, so that the UI shows it and says which variable is not set. By default
it is running if a receiver is set, and stopped otherwise.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter
from pydantic import BaseModel, ConfigDict, ValidationError

from hst_assets.alerting.message import Alert, one_line
from hst_assets.alerting.receivers import (
    MAIL_VARIABLE,
    UI_VARIABLE,
    WEBHOOK_VARIABLE,
    Receiver,
    receivers_from_environment,
)
from hst_assets.failures import HstAssetsError, TransientFailure
from hst_assets.orchestration.failed_steps import reason_of, said_by, was_interrupted
from hst_assets.orchestration.runs import PARTITION_TAG
from hst_assets.reasons import first_of

__all__ = ["ALERT_SENSOR", "AlertCursor", "alert_of", "alert_sensor"]

ALERT_SENSOR = "run_failure_alerts"
_INTERVAL_S = 60
#: Dagster gives up on a tick after 60 s; a receiver may take 8 s.
_TICK_S = 30.0
#: Runs that are read in one look: more than fail within the time that is looked at again.
_MOST_READ = 20_000
#: So many may wait for one receiver, and so many that nobody was told of: then none is read.
_MOST_PENDING = 1000
#: Clocks of hosts differ, and rows are written late: this much is looked at again, seconds.
_OVERLAP_S = 600.0
_NAMED = 3
_TOO_MANY = "the oldest of too many that waited"
_SET_ONE = f"no receiver is set: set {WEBHOOK_VARIABLE} or {MAIL_VARIABLE}"


class _Pending(BaseModel):
    """A run of which somebody is still to be told."""

    model_config = ConfigDict(extra="forbid")

    receivers: list[str]
    n_tries: int = 0


class AlertCursor(BaseModel):
    """What the sensor has seen and reported.

    Attributes
    ----------
    since : float
        Runs that ended before this time are ignored; seconds since 1970.
    seen_until : float
        Last change of the latest run that was read; seconds since 1970.
    told : dict
        End of each run that was read, by its id, as far back as runs are read again; seconds since
        1970.
    pending : dict
        Runs of which somebody is still to be told, by id.
    """

    model_config = ConfigDict(extra="forbid")

    since: float
    seen_until: float
    told: dict[str, float] = {}
    pending: dict[str, _Pending] = {}

    @classmethod
    def parse(cls, text: str | None) -> AlertCursor:
        """The cursor that was written; else one of now, for which what was before is history."""
        try:
            return cls.model_validate_json(text or "")
        except ValidationError:
            now = time.time()
            return cls(since=now, seen_until=now)

    @property
    def read_from(self) -> float:
        """Runs that were changed since are read (s)."""
        return self.seen_until - _OVERLAP_S


def alert_sensor(interval_s: int | None = None) -> dg.SensorDefinition:
    """The sensor; between its ticks pass `interval_s` seconds at least, 60 if not given."""

    @dg.sensor(
        name=ALERT_SENSOR,
        minimum_interval_seconds=interval_s or _INTERVAL_S,
        default_status=_status_at_first(),
        description="Tells of each failed run by webhook or mail, as the environment says "
        f"({WEBHOOK_VARIABLE}, {MAIL_VARIABLE}).",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return _evaluate(context)

    return sensor


def _status_at_first() -> dg.DefaultSensorStatus:
    """Running where somebody is to be told, or would be but for a mistake that a tick tells."""
    if os.environ.get(WEBHOOK_VARIABLE, "").strip() or os.environ.get(MAIL_VARIABLE, "").strip():
        return dg.DefaultSensorStatus.RUNNING
    return dg.DefaultSensorStatus.STOPPED


def _evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    cursor = AlertCursor.parse(context.cursor)
    try:
        receivers = receivers_from_environment()
    except HstAssetsError as error:
        # What waits is told, and what fails meanwhile is read, once the mistake is corrected.
        context.log.error(error.brief)
        waiting = f"; messages that wait: {len(cursor.pending)}" if cursor.pending else ""
        return dg.SensorResult(
            skip_reason=f"{error.brief}{waiting}", cursor=cursor.model_dump_json()
        )
    if not receivers:
        # What fails meanwhile is told to nobody later.
        return dg.SensorResult(
            skip_reason=_SET_ONE, cursor=AlertCursor.parse(None).model_dump_json()
        )
    telling = _Telling(context.instance, cursor, receivers, context.log.error)
    telling.read_news()
    telling.tell()
    telling.give_up()
    return dg.SensorResult(skip_reason=telling.in_words(), cursor=cursor.model_dump_json())


@dataclass
class _Telling:
    """One tick: news are read into the cursor, and told as far as receivers take them."""

    instance: dg.DagsterInstance
    cursor: AlertCursor
    receivers: Sequence[Receiver]
    log: Callable[[str], None]
    n_told: int = 0
    given_up: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)
    deadline: float = field(default_factory=lambda: time.monotonic() + _TICK_S)

    def read_news(self) -> None:
        """Note failed runs that were not read before, oldest first.

        What a receiver has refused does not count: it would silence the others.
        """
        names = [receiver.name for receiver in self.receivers]
        n_untried = sum(not pending.n_tries for pending in self.cursor.pending.values())
        for run_id, ended, changed in self._failed_runs():
            if n_untried >= _MOST_PENDING:
                return
            self.cursor.seen_until = max(self.cursor.seen_until, changed)
            if run_id in self.cursor.told or ended < max(self.cursor.since, self._horizon):
                continue
            self.cursor.told[run_id] = ended
            self.cursor.pending[run_id] = _Pending(receivers=list(names))
            n_untried += 1
        horizon = self.cursor.read_from - _OVERLAP_S
        told = self.cursor.told.items()
        self.cursor.told = {run_id: ended for run_id, ended in told if ended >= horizon}

    def tell(self) -> None:
        """Tell what is to be told, what was tried least first; what is not taken stays."""
        down: set[str] = set()
        by_name = {receiver.name: receiver for receiver in self.receivers}
        order = sorted(self.cursor.pending, key=lambda run: self.cursor.pending[run].n_tries)
        for run_id in order:
            pending = self.cursor.pending[run_id]
            # One that is no receiver any more is told nothing.
            due = [name for name in pending.receivers if name in by_name]
            pending.receivers = due
            reachable = [name for name in due if name not in down]
            if reachable and time.monotonic() < self.deadline:
                self._tell_of(run_id, [by_name[name] for name in reachable], down)
            if not pending.receivers:
                del self.cursor.pending[run_id]

    def give_up(self) -> None:
        """Keep for each receiver no more than may wait for it: the oldest are dropped."""
        for receiver in self.receivers:
            name = receiver.name
            waiting = [
                run_id for run_id, each in self.cursor.pending.items() if name in each.receivers
            ]
            for run_id in waiting[: max(len(waiting) - _MOST_PENDING, 0)]:
                pending = self.cursor.pending[run_id]
                pending.receivers.remove(name)
                self.given_up[name] += 1
                if not pending.receivers:
                    del self.cursor.pending[run_id]
            if n_dropped := self.given_up[name]:
                self.log(f"{name} gets no message about {n_dropped} runs: {_TOO_MANY}")

    def in_words(self) -> str:
        """The result of the tick."""
        told = [f"messages sent: {self.n_told}"] if self.n_told else []
        told += [f"{name}: {problem}" for name, problem in self.problems.items()]
        told += [f"{name}: {n} dropped, {_TOO_MANY}" for name, n in self.given_up.items() if n]
        if self.cursor.pending:
            named = first_of([run_id[:8] for run_id in self.cursor.pending], _NAMED)
            told.append(f"tried again at the next tick: runs {named}")
        return "; ".join(told) or "no run has failed"

    def _tell_of(self, run_id: str, receivers: Sequence[Receiver], down: set[str]) -> None:
        pending = self.cursor.pending[run_id]
        pending.n_tries += 1
        alert = alert_of(self.instance, run_id)
        if alert is None:  # somebody deleted the run
            pending.receivers = []
            return
        for receiver in receivers:
            try:
                receiver.tell(alert)
            except HstAssetsError as error:
                said = one_line(error.what)
                if receiver.name not in self.problems:
                    self.log(f"run {run_id[:8]} could not be reported to {error.brief}")
                self.problems[receiver.name] = said
                if isinstance(error, TransientFailure):
                    down.add(receiver.name)
                continue
            pending.receivers.remove(receiver.name)
            self.n_told += 1

    @property
    def _horizon(self) -> float:
        """What ended before was read before: a run may be changed later, as by a tag."""
        return self.cursor.read_from - _OVERLAP_S

    def _failed_runs(self) -> Iterator[tuple[str, float, float]]:
        """Id, end and last change of each failed run that was changed lately, oldest first."""
        wanted = RunsFilter(
            statuses=[DagsterRunStatus.FAILURE],
            updated_after=datetime.fromtimestamp(self.cursor.read_from, UTC),
        )
        # Dagster's own pages are in the order of the runs' beginnings.
        records = self.instance.get_run_records(
            wanted, limit=_MOST_READ, order_by="update_timestamp", ascending=True
        )
        for record in records:
            changed = record.update_timestamp.replace(tzinfo=UTC).timestamp()
            yield record.dagster_run.run_id, record.end_time or changed, changed


def alert_of(instance: dg.DagsterInstance, run_id: str) -> Alert | None:
    """What is to be said of a failed run; None if there is no such run.

    Parameters
    ----------
    instance : DagsterInstance
        Where it is recorded.
    run_id : str
        Its id.
    """
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return None
    run = record.dagster_run
    target, _, visit = run.tags.get(PARTITION_TAG, "").partition("/")
    assets, why, next_step = _what_failed(instance, run_id)
    ended = datetime.fromtimestamp(record.end_time or time.time(), UTC)
    base = os.environ.get(UI_VARIABLE, "").strip().rstrip("/")
    return Alert(
        run_id=run_id,
        job=run.job_name,
        target=target,
        visit=visit,
        assets=assets,
        why=why,
        next_step=next_step or "Look at the run's page in the web UI, then run it again",
        ended=ended.isoformat(timespec="seconds"),
        link=f"{base}/runs/{run_id}" if base else "",
    )


def _what_failed(instance: dg.DagsterInstance, run_id: str) -> tuple[list[str], str, str]:
    """The assets whose steps failed, why the first did, and what to do."""
    kinds = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
    events = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=kinds)]
    steps = [event for event in events if event and event.is_step_failure]
    if not steps:
        messages = [event.message for event in events if event and event.message]
        return [], one_line(messages[-1]) if messages else "the run failed", ""
    first = steps[0]
    said = said_by(first.step_failure_data)
    what = [str(said[key].value) for key in ("where", "what") if key in said and said[key].value]
    why = ": ".join(what) or reason_of(first.step_failure_data)
    if was_interrupted(first):
        why = f"interrupted: {why}"
    step = str(said["next_step"].value or "") if "next_step" in said else ""
    return [event.step_key for event in steps if event.step_key], one_line(why), one_line(step)
