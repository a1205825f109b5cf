"""A campaign on many workers, simulated event by event: how much an hour, and what is full first.

    PYTHONPATH=. python benchmarks/simulate_campaign.py [--figures FILE] [--exposures 1000000]
        [--workers 1 2 4 10 30 100 200] [--science 60] [--window 8000] [--measured]

Runs are asked for by the ticks of sensors, one sensor after the other; wait in the queue of
Dagster's daemon, which looks at it in intervals and launches what there is room for; and are done
by workers, of which each event costs the database time, and each file the shared folder. Everything
but workers is one resource that serves one after the other (the database: so many at once as it has
cores). The figures are those that `throughput.py` and `scale.py` measure; the first writes the file
that ``--figures`` names. Nothing is drawn at random: the same figures give the same answer.

All visits of the campaign are there from the start. Counted are ``--window`` visits, after
``--warm-up`` others have gone through all levels: the queues are full then, and new visits still
come. How far the two halves of the window, and its first and last level, differ in what they did
is printed too: above a tenth it was not steady. ``--measured`` compares with what `throughput.py`
measured instead, on its two cores. The stored figures are those of docs/reference/measurements.md.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import yaml

import hst_assets
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.sensors import _MAX_REQUESTS_A_TICK as REQUESTS_A_TICK
from hst_assets.orchestration.sensors import _MAX_WAITING as MAX_WAITING
from hst_assets.orchestration.sensors import level_sensors

_FOLDER = Path(__file__).parent
#: What `throughput.py` measured of one to four workers on a quiet machine.
FIGURES = _FOLDER / "throughput.json"
#: Every level that has a sensor, all started, in the order in which they tick.
SENSED = tuple(level.job for level in ASSETS.levels_from_raw)
#: Between two ticks of a sensor at the least, s.
SENSOR_S = float(level_sensors(ASSETS)[0].minimum_interval_seconds or 0)
#: Of its rate, by which parts of a steady window differ at most.
STEADY = 0.1
EXPOSURES_A_VISIT, VISITS_A_TARGET = 5, 10
#: A full frame of WFC3/UVIS, calibrated, MB.
_MB_AN_EXPOSURE = 170.0
#: Events of a run that are simulated as one.
_AT_ONCE = 5


@dataclass(frozen=True)
class Level:
    """One level: what a run of it costs.

    Attributes
    ----------
    name : str
        Of the job.
    by_visit : bool
        Whether a run is one of a visit.
    science_s, overhead_s : float
        Core seconds of the science; and of a run beside it and what the database takes.
    events : float
        That a run writes to the database.
    megabytes : float
        That it reads from the shared folder and writes there.
    """

    name: str
    by_visit: bool
    science_s: float
    overhead_s: float
    events: float
    megabytes: float


@dataclass(frozen=True)
class Machine:
    """What serves the runs; seconds unless it says otherwise.

    Attributes
    ----------
    event_s, database_cores
        Of the database, for each event; how many it serves at once.
    tick_s, tick_visit_s : float
        A sensor's tick in which nothing changed, and of it for each visit that is known, in
        targets of `VISITS_A_TARGET`.
    request_s, submitters
        To put a run into the queue; how many are put there at once, each as quickly as one alone.
    dequeue_s, page_run_s : float
        Between two looks of the daemon at its queue; of a look, for each run that waits.
    launch_s : float
        From one run that is handed to the broker to the next.
    folder_mb_s : float
        Of the shared folder, megabytes a second for all.
    sensor_s : float
        Least interval of a sensor.
    cores : int
        Of all workers together; 0: as many as workers.
    slots : float
        Runs that are handed to the broker, over the number of workers: `max_concurrent_runs`.
    """

    event_s: float
    database_cores: int = 4
    tick_s: float = 0.05
    tick_visit_s: float = 1e-5
    request_s: float = 0.1
    submitters: int = 1
    dequeue_s: float = 5.0
    page_run_s: float = 1.5e-4
    launch_s: float = 0.1
    folder_mb_s: float = 1000.0
    sensor_s: float = SENSOR_S
    cores: int = 0
    slots: float = 1.0


class Resource:
    """Serves in the order of the questions, so many at once."""

    def __init__(self, n_servers: int) -> None:
        self._free = [0.0] * n_servers
        self.busy_s = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When somebody who comes now has been served."""
        begin = max(now, heapq.heappop(self._free))
        heapq.heappush(self._free, begin + seconds)
        self.busy_s += seconds
        return begin + seconds

    @property
    def busy_each_s(self) -> float:
        """For how long each of its servers has been asked for."""
        return self.busy_s / len(self._free)


@dataclass(frozen=True)
class Window:
    """What was done between two moments.

    Attributes
    ----------
    visits_an_hour : float
        That have gone through the last level.
    shares : dict
        Of each resource, the part of the time in which it was in use.
    unsteady : float
        By how much of the rate its halves, or its first and its last level, differ.
    """

    visits_an_hour: float
    shares: dict[str, float]
    unsteady: float


@dataclass
class Campaign:
    """Runs that follow each other: of each target the levels, each when the one before has ended.

    Parameters
    ----------
    levels : tuple of Level
        In order.
    machine : Machine
        What serves them.
    n_workers : int
        Runs at a time.
    n_targets : int
        Of the campaign.
    n_known : int
        Visits that the sensors look through.
    sensed : tuple of str
        Levels whose sensors tick, in order; those that are none of `levels` ask for nothing.
    """

    levels: tuple[Level, ...]
    machine: Machine
    n_workers: int
    n_targets: int
    n_known: int
    sensed: tuple[str, ...] = SENSED
    #: Asked for at once, as by hand: sensors have no part in it.
    all_queued: bool = False
    queue: deque[tuple[int, int]] = field(default_factory=deque)
    at_work: int = 0

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Iterator[float]]] = []
        self._order = count()
        self._ready: list[deque[tuple[int, int]]] = [deque() for _ in self.levels]
        self._left = [[self._n_runs(level)] * self.n_targets for level in self.levels]
        self._waiting = [0] * len(self.levels)
        self._n_open = sum(map(sum, self._left))
        #: Visits that each level is done with.
        self._done = [0] * len(self.levels)
        self.ended_at = self._now = 0.0
        self._idle = self.n_workers
        self._with_broker: deque[tuple[int, int]] = deque()
        cores = self.machine.cores or self.n_workers
        self.resources = {
            "workers": Resource(cores),
            "sensors' ticks": Resource(1),
            "daemon's queue": Resource(1),
            "database": Resource(self.machine.database_cores),
            "shared folder": Resource(1),
        }
        for target in range(self.n_targets):
            self._open_level(0, target)
        self._start(0.0, self._dequeuing())
        if not self.all_queued:
            self._start(0.0, self._looking())

    def run(self) -> float:
        """Simulate; seconds until the last run has ended."""
        while self._events:
            self._step()
        return self.ended_at

    def window(self, warm_up: int, n_visits: int) -> Window:
        """Simulate until so many visits are done after the first ones, and count those only.

        Parameters
        ----------
        warm_up, n_visits : int
            Visits that go through all levels before the window begins; and in it.
        """
        moments = [self._until(warm_up + part * n_visits // 2) for part in (0, 1, 2)]
        (began, before, busy), (half, between, _), (ended, after, in_all) = moments
        seconds, n_through = ended - began, after[-1] - before[-1]
        first_half = (between[-1] - before[-1]) / (half - began)
        second_half = (after[-1] - between[-1]) / (ended - half)
        rate = n_through / seconds
        differences = (first_half - second_half, (after[0] - before[0]) / seconds - rate)
        return Window(
            rate * 3600,
            {name: (in_all[name] - busy[name]) / seconds for name in busy},
            max(map(abs, differences)) / rate,
        )

    def _until(self, n_visits: int) -> tuple[float, list[int], dict[str, float]]:
        """When so many visits are through: the time, visits of each level, and use of resources."""
        while self._done[-1] < n_visits:
            if not self._events:
                raise SystemExit(f"the campaign has fewer than {n_visits} visits")
            self._step()
        busy = {name: each.busy_each_s for name, each in self.resources.items()}
        return self._now, list(self._done), busy

    def _step(self) -> None:
        self._now, _, process = heapq.heappop(self._events)
        after = next(process, None)
        if after is not None:
            self._start(after, process)

    def _start(self, when: float, process: Iterator[float]) -> None:
        heapq.heappush(self._events, (when, next(self._order), process))

    def _n_runs(self, level: Level) -> int:
        return VISITS_A_TARGET if level.by_visit else 1

    def _open_level(self, number: int, target: int) -> None:
        runs = [(number, target)] * self._n_runs(self.levels[number])
        (self.queue if self.all_queued else self._ready[number]).extend(runs)
        self._waiting[number] += len(runs) if self.all_queued else 0

    def _looking(self) -> Iterator[float]:
        """The sensors' daemon: one tick after the other, with the runs that it asks for."""
        machine, sensors = self.machine, self.resources["sensors' ticks"]
        numbers = {level.name: number for number, level in enumerate(self.levels)}
        tick_s = machine.tick_s + machine.tick_visit_s * self.n_known
        while self._n_open:
            began = self._now
            for name in self.sensed:
                yield sensors.serve(self._now, tick_s)
                if name not in numbers:
                    continue
                number = numbers[name]
                ready = self._ready[number]
                room = min(REQUESTS_A_TICK, MAX_WAITING - self._waiting[number], len(ready))
                for first in range(0, room, machine.submitters):
                    yield sensors.serve(self._now, machine.request_s)
                    for _ in range(min(machine.submitters, room - first)):
                        self.queue.append(ready.popleft())
                        self._waiting[number] += 1
            yield max(self._now, began + machine.sensor_s)

    def _dequeuing(self) -> Iterator[float]:
        """The queue's daemon: looks, and launches one after the other what there is room for."""
        machine, daemon = self.machine, self.resources["daemon's queue"]
        while self._n_open:
            began = self._now
            slots = round(self.n_workers * machine.slots)
            room = min(slots - self.at_work, len(self.queue))
            if room:
                yield daemon.serve(self._now, machine.page_run_s * len(self.queue))
            for _ in range(room):
                yield daemon.serve(self._now, machine.launch_s)
                self.at_work += 1
                self._with_broker.append(self.queue.popleft())
                self._take()
            yield max(self._now + 0.01, began + machine.dequeue_s)

    def _take(self) -> None:
        """A worker that is idle takes what waits at the broker."""
        if self._idle and self._with_broker:
            self._idle -= 1
            self._start(self._now, self._working(*self._with_broker.popleft()))

    def _working(self, number: int, target: int) -> Iterator[float]:
        level, machine = self.levels[number], self.machine
        for share in (0.5, 0.5):  # before and after the science
            for _ in range(round(level.events * share / _AT_ONCE)):
                yield self.resources["database"].serve(self._now, _AT_ONCE * machine.event_s)
        yield self.resources["shared folder"].serve(
            self._now, level.megabytes / machine.folder_mb_s
        )
        yield self.resources["workers"].serve(self._now, level.science_s + level.overhead_s)
        self._idle += 1
        self._take()
        self.at_work -= 1
        self._waiting[number] -= 1
        self._n_open -= 1
        self._done[number] += 1 if level.by_visit else VISITS_A_TARGET
        self.ended_at = max(self.ended_at, self._now)
        self._left[number][target] -= 1
        if not self._left[number][target] and number + 1 < len(self.levels):
            self._open_level(number + 1, target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", type=Path, help="As throughput.py writes them.")
    parser.add_argument("--exposures", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 10, 30, 100, 200])
    parser.add_argument("--science", type=float, nargs="+", default=[60.0], help="Of a visit, s.")
    parser.add_argument("--window", type=int, default=8000, help="Visits that are counted.")
    parser.add_argument("--warm-up", type=int, default=6000, help="Visits before these.")
    parser.add_argument("--measured", action="store_true")
    parser.add_argument("--database-cores", type=int, default=4)
    parser.add_argument("--folder-mb-s", type=float, default=1000.0)
    options = parser.parse_args()
    path = options.figures or FIGURES
    figures = json.loads(path.read_text())
    if "launch_s" not in figures:
        parser.error(f"{path} has no launches: run throughput.py with --launches above 0")
    machine = replace(
        _machine(figures),
        database_cores=options.database_cores,
        folder_mb_s=options.folder_mb_s,
    )
    if options.measured:
        _compare(figures, machine)
        return 0
    n_known = options.exposures // EXPOSURES_A_VISIT
    for words, changed in _set_ups(figures).items():
        there = replace(machine, **changed)
        for science_s in options.science:
            print(f"\n{words}; {n_known} visits known, {science_s:g} s of science a visit;")
            print(_told(there, figures) + "\n")
            _print_table(_levels(figures, science_s), there, options, n_known)
    return 0


def _set_ups(figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What Dagster does by itself, and what `dagster.celery.yaml` sets."""
    path = Path(hst_assets.__file__).parent / "dagster.celery.yaml"
    shipped = yaml.safe_load(path.read_text())
    queue, sensors = shipped["run_coordinator"]["config"], shipped["sensors"]
    launch_s, threads = figures["launch_s"], queue["dequeue_num_workers"]
    # As many launches as threads are one burst: threads cannot be quicker than each of them alone.
    threaded_s = max(launch_s[f"by {threads} threads"], launch_s["one by one"] / threads)
    return {
        "Dagster's own (one by one, a look each 5 s), a run a worker": {},
        "dagster.celery.yaml, two runs a worker": {
            "slots": 2.0,
            "dequeue_s": float(queue["dequeue_interval_seconds"]),
            "launch_s": threaded_s,
            "submitters": sensors["num_submit_workers"],
        },
    }


def _told(machine: Machine, figures: Mapping[str, Any]) -> str:
    """What of the set-up was assumed."""
    request = "measured" if _REQUEST in figures["launch_s"] else "assumed"
    return (
        f"{len(SENSED)} sensors, {machine.sensor_s:g} s; a look each {machine.dequeue_s:g} s, "
        f"{machine.launch_s:.3f} s a launch (measured); {machine.request_s:g} s to put a run into "
        f"the queue ({request}), {machine.submitters} at once (assumed)"
    )


def _print_table(
    levels: tuple[Level, ...], machine: Machine, options: argparse.Namespace, n_known: int
) -> None:
    print("| workers | visits an hour | of the workers' best | in use | days for all | unsteady |")
    print("| --- | --- | --- | --- | --- | --- |")
    alone_s = sum(
        (each.science_s + each.overhead_s + each.events * machine.event_s)
        / (1 if each.by_visit else VISITS_A_TARGET)
        for each in levels
    )
    for n_workers in options.workers:
        campaign = Campaign(levels, machine, n_workers, n_known // VISITS_A_TARGET, n_known)
        window = campaign.window(options.warm_up, options.window)
        rate, shares = window.visits_an_hour, window.shares
        fullest = sorted(shares, key=lambda name: -shares[name])[:2]
        told = ", ".join(f"{name} ({100 * shares[name]:.0f} %)" for name in fullest)
        steady = "" if window.unsteady < STEADY else ": NOT STEADY"
        print(
            f"| {n_workers} | {rate:.0f} | {rate * alone_s / 3600 / n_workers:.2f} | {told} "
            f"| {n_known / rate / 24:.1f} | {window.unsteady:.2f}{steady} |",
            flush=True,
        )


#: As `throughput.py` calls it.
_REQUEST = "put into the queue"


def _machine(figures: Mapping[str, Any]) -> Machine:
    """What was measured of launches and the database."""
    launch_s = figures["launch_s"]
    return Machine(
        event_s=figures["event_s"],
        request_s=launch_s.get(_REQUEST, Machine.request_s),
        launch_s=launch_s["one by one"],
    )


def _overhead_s(figures: Mapping[str, Any], level: str) -> float:
    """Of a run on one worker that is never idle, beside science and database."""
    alone = _of(figures, level, 1)
    period_s = 3600 / alone["visits_an_hour"] - alone["waiting_s"] / figures["visits"]
    science_s = figures["science_s"][level]
    return float(max(0.0, period_s - science_s - alone["events"] * figures["event_s"]))


def _levels(figures: Mapping[str, Any], science_s: float) -> tuple[Level, ...]:
    """The levels of a campaign; those of targets have what those of visits have."""
    mb = EXPOSURES_A_VISIT * _MB_AN_EXPOSURE
    light, heavy = (
        (_overhead_s(figures, name), _of(figures, name, 1)["events"])
        for name in ("visit_exposures", "visit_images")
    )
    costs = {
        "visit_exposures": (1.0, *light, mb),
        "target_frame": (science_s, *light, mb),
        "visit_images": (science_s, *heavy, 4 * mb),
        "target_stacks": (science_s, *heavy, 4 * mb),
        "target_pictures": (10.0, *light, mb),
        "target_page": (10.0, *light, mb),
    }
    made = [level for level in ASSETS.levels_from_raw if not level.wanted]
    return tuple(Level(level.job, level.by_visit, *costs[level.job]) for level in made)


def _compare(figures: Mapping[str, Any], machine: Machine) -> None:
    """What was measured with 1, 2 and 4 workers on two cores, beside what is simulated."""
    print("| workers | level | visits an hour | simulated |")
    print("| --- | --- | --- | --- |")
    # As the trial had it: a look each second, more slots than runs, all runs asked for at once.
    there = replace(machine, cores=2, dequeue_s=1.0, slots=1000.0)
    for each in figures["levels"]:
        name = each["level"]
        science_s, overhead_s = figures["science_s"][name], _overhead_s(figures, name)
        level = Level(name, False, science_s, overhead_s, each["events"], 0.0)
        n_runs = figures["visits"]
        campaign = Campaign((level,), there, each["workers"], n_runs, 0, all_queued=True)
        rate = n_runs / campaign.run() * 3600
        print(
            f"| {each['workers']} | {each['level']} | {each['visits_an_hour']:.0f} | {rate:.0f} |"
        )


def _of(figures: Mapping[str, Any], level: str, n_workers: int) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(
        each
        for each in figures["levels"]
        if each["level"] == level and each["workers"] == n_workers
    )
    return found


if __name__ == "__main__":
    sys.exit(main())
