"""What commands, sensors and the UI cost with ten thousand visits: CPU and wall time of each.

    PYTHONPATH=. .venv/bin/python benchmarks/scale.py [--targets 1000] [--visits 10] [--one 10000]
        [--storage sqlite postgres]

Two roots are made (`scale_roots.py`): many targets with some visits each, and one target with as
many visits as `--one` says (0: no such root), each with the instance on SQLite and on PostgreSQL,
which is started for it. The instance has what runs of all levels leave there (`cloned_runs.py`);
its size is printed. Commands run in processes of their own; the start of one that does
nothing (`hst-assets --version`), and of one that imports Dagster and opens the instance, are shown
beside them. Sensors are ticked in this process after every one of them has asked for everything.
The web server is asked what its pages ask. The daemon's look into its queue is timed with some
thousands of runs that wait. Exits with an error if a figure misses its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import psycopg2
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon

sys.path.insert(0, str(Path(__file__).parents[1]))

from cloned_runs import Clones, run_template
from scale_roots import add_exposure, digests_of, many_targets, one_target

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.input_versions import input_versions
from hst_assets.orchestration.partition_states import partition_states
from hst_assets.orchestration.resources import HstRoot, MastAccess
from hst_assets.orchestration.runs import partitions_in_flight
from hst_assets.orchestration.sensor_memory import LevelCursor, write_cursor
from hst_assets.orchestration.settled import sensor_name
from hst_assets.workdir import WorkDir, targets_in
from hst_assets_tests import dagster_databases
from hst_assets_tests.orchestration.servers import Postgres

PROJECT = Path(__file__).parents[1]
#: What a command may cost as a whole, seconds.
LIMITS = {"status": 3.0, "status --json": 3.0, "target list": 1.0, "target add": 1.0}
QUIET_S, CHANGED_S, PAGE_S, OVERHEAD_S = 0.5, 3.0, 3.0, 1.5
#: The storage of an instance for several machines.
_POSTGRES = """
storage:
  postgres:
    postgres_url:
      env: HST_ASSETS_POSTGRES_URL
"""
PAGES = {
    "assets": "{ assetNodes { assetKey { path } partitionStats { numMaterialized numFailed } } }",
    "one asset": '{ assetOrError(assetKey: {path: ["exposure_table"]}) { ... on Asset {'
    " assetMaterializations(limit: 100) { partition timestamp } } } }",
    "its partitions": '{ assetNodeOrError(assetKey: {path: ["exposure_table"]}) { ... on AssetNode '
    "{ partitionKeysByDimension { partitionKeys } assetPartitionStatuses { ... on "
    "DefaultPartitionStatuses { materializedPartitions failedPartitions } } } } }",
    "runs": "{ runsOrError(limit: 30) { ... on Runs { results { runId status } } } }",
    "automation": "{ repositoriesOrError { ... on RepositoryConnection { nodes { sensors { name "
    "sensorState { status ticks(limit: 5) { status } } } schedules { name } } } } }",
}


@dataclass
class Figures:
    """What was measured, line by line."""

    missed: list[str] = field(default_factory=list)
    #: What is measured, with the figure on each storage.
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    storage: str = ""

    def table(self) -> str:
        """What was measured, a line each and a column a storage, in Markdown."""
        storages = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        lines = [["what", *storages], ["---"] * (1 + len(storages))]
        lines += [
            [what, *(row.get(name, "") for name in storages)] for what, row in self.rows.items()
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def note(self, what: str, figure: str) -> None:
        """Keep a figure for the table, and print it."""
        self.rows.setdefault(what, {})[self.storage] = figure
        print(f"{what:<56} {figure}", flush=True)

    def show(self, what: str, cpu_s: float, wall_s: float, limit_s: float | None = None) -> None:
        """Print a line; the limit holds for CPU time, as others may work on the machine."""
        verdict = "" if limit_s is None else f"  limit {limit_s:g} s"
        if limit_s is not None and cpu_s > limit_s:
            verdict += "  MISSED"
            self.missed.append(f"{what} ({self.storage})")
        self.note(what, f"{cpu_s:.2f} s CPU, {wall_s:.2f} s wall{verdict}")


def main() -> int:
    """Build the roots, and measure."""
    options = _options()
    dagster_databases.make_quickly()
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=options.folder))
    missed = []
    try:
        for kind in ("many", "one") if options.one else ("many",):
            figures = Figures()
            for storage in options.storage:
                figures.storage = storage
                here = folder / kind / storage
                with _database(storage):
                    _of_root(kind, storage, here, options, figures)
                shutil.rmtree(here)
            print(figures.table())
            missed += figures.missed
    finally:
        shutil.rmtree(folder)
    print(f"missed: {', '.join(missed) or 'nothing'}")
    return int(bool(missed))


@contextmanager
def _database(storage: str) -> Iterator[None]:
    """PostgreSQL, where it is wanted, and its address in the environment."""
    if storage == "sqlite":
        yield
        return
    # Like a database that is one: what it says is written is on the disk.
    server = Postgres(is_durable=True)
    try:
        server.start()
        os.environ["HST_ASSETS_POSTGRES_URL"] = server.url
        yield
    finally:
        server.remove()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("--one", type=int, default=10_000)
    parser.add_argument(
        "--storage", nargs="+", choices=("sqlite", "postgres"), default=["sqlite", "postgres"]
    )
    parser.add_argument("--queued", type=int, default=10_000, help="Runs that wait in the queue.")
    parser.add_argument("--folder", help="Where the roots are made.")
    parser.add_argument("--no-pages", action="store_true")
    return parser.parse_args()


def _of_root(
    kind: str, storage: str, folder: Path, options: argparse.Namespace, figures: Figures
) -> None:
    root, home = folder / "root", folder / "home"
    home.mkdir(parents=True)
    configuration = (PROJECT / "hst_assets" / "dagster.yaml").read_text()
    if storage == "postgres":
        configuration += _POSTGRES
    (home / "dagster.yaml").write_text(configuration)
    os.environ |= {"DAGSTER_HOME": str(home), "HST_ASSETS_ROOT": str(root)}
    with dg.DagsterInstance.get() as instance:
        run_template(instance, folder / "template")
        clones, before = Clones(instance), _size(storage, home)
        if kind == "many":
            print(f"{options.targets} targets of {options.visits} visits, {storage}")
            workdirs = many_targets(root, instance, options.targets, options.visits)
        else:
            print(f"one target of {options.one} visits, {storage}")
            workdirs = [one_target(root, instance, "t000", options.one)]
        clones.write(each for workdir in workdirs for each in digests_of(workdir))
        n_visits = options.targets * options.visits if kind == "many" else options.one
        _grown(figures, clones, home, _size(storage, home) - before, len(workdirs), n_visits)
        time.sleep(11)  # what has changed just now is looked at again by every tick
        _definitions(figures)
        _commands(figures)
        _partitions(instance, figures)
        _overhead(root, instance, figures)  # first: a tick closes what the instance shares
        _sensors(root, instance, figures)
    if not options.no_pages:
        with _web_server(home) as port:
            _pages(port, figures)
    with dg.DagsterInstance.get() as instance:
        clones.queue(instance, options.queued)
        _queue(instance, figures, options.queued)


def _size(storage: str, home: Path) -> int:
    """Bytes of the database, on SQLite without the files of single runs."""
    if storage == "sqlite":
        kept = [home / "history" / "runs.db", home / "history" / "runs" / "index.db"]
        return sum(path.stat().st_size for path in kept)
    address = os.environ["HST_ASSETS_POSTGRES_URL"].replace("+psycopg2", "")
    with psycopg2.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def _grown(
    figures: Figures, clones: Clones, home: Path, grown: int, n_targets: int, n_visits: int
) -> None:
    of_target, of_visit = clones.n_runs
    n_runs = n_targets * of_target + n_visits * of_visit
    figures.note("runs", f"{n_runs}")
    if figures.storage == "sqlite":
        files = [path for path in (home / "history" / "runs").glob("*.db") if path.stem != "index"]
        each = sum(path.stat().st_size for path in files) / len(files)
        figures.note("a run's own file", f"{each / 1e3:.0f} kB")
        grown += int(each * n_runs)
    figures.note("the database has grown by", f"{grown / 1e9:.2f} GB")
    figures.note("of it a visit, with its share of the target", f"{grown / n_visits / 1e3:.0f} kB")


# ------------------------------------------------------------------------------ commands


def _definitions(figures: Figures) -> None:
    loaded = _python("import hst_assets.definitions")
    figures.show("definitions, in a process of their own", *loaded, PAGE_S)


def _partitions(instance: dg.DagsterInstance, figures: Figures) -> None:
    """The states of an asset's partitions, for the first time and again."""
    for words in ("first", "again"):
        times = {
            row.name: _measured(lambda row=row: partition_states(instance, row))  # type: ignore[misc]
            for row in ASSETS
        }
        slowest = max(times, key=lambda name: times[name][0])
        figures.show(f"partitions of an asset, {words}, at most", *times[slowest], PAGE_S)
        together = (sum(each[n] for each in times.values()) for n in (0, 1))
        figures.show(f"partitions of all assets, {words}", *together)


def _commands(figures: Figures) -> None:
    figures.show("start of a command", *_command("--version"))
    opened = "from hst_assets.cli.deployment import opened_instance\nwith opened_instance(): pass"
    figures.show("start, Dagster and its instance", *_python(opened))
    for words, limit_s in LIMITS.items():
        arguments = words.split() + (["t000"] if words == "target add" else [])
        figures.show(words, *_command(*arguments), limit_s)
    time.sleep(3)  # what was changed just now is compared again by the next
    figures.show("status --stale of one target, first", *_command("status", "t000", "--stale"))
    figures.show("the same again", *_command("status", "t000", "--stale"), 3.0)


def _command(*arguments: str) -> tuple[float, float]:
    return _child([str(Path(sys.executable).parent / "hst-assets"), *arguments])


def _python(program: str) -> tuple[float, float]:
    return _child([sys.executable, "-c", program])


def _child(command: list[str]) -> tuple[float, float]:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, time.perf_counter() - started


def _measured(function: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    function()
    return time.process_time() - cpu, time.perf_counter() - wall


# ------------------------------------------------------------------------------- sensors


def _sensors(root: Path, instance: dg.DagsterInstance, figures: Figures) -> None:
    repository = build_defs(root=str(root)).get_repository_def()
    resources = {"hst_root": HstRoot(root=str(root)), "mast": MastAccess()}
    workdirs = [WorkDir(root, target) for target in targets_in(root)]

    def tick(name: str) -> int:
        context = dg.SensorEvaluationContext(
            instance_ref=instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=cursors[name],
            log_key=None,
            repository_name=None,
            repository_def=repository,
            sensor_name=name,
            resources=resources,
        )
        result = repository.get_sensor_def(name).evaluate_tick(context)
        cursors[name] = result.cursor
        return len(result.run_requests)

    cursors: dict[str, str | None] = {}
    first = 0.0
    for level in ASSETS.levels_from_raw:
        asked: dict[str, str] = {}
        first += _measured(
            lambda level=level, asked=asked: [  # type: ignore[misc]
                asked.update(input_versions(workdir, level, ASSETS)) for workdir in workdirs
            ]
        )[0]
        cursor = LevelCursor(asked=asked)
        cursors[sensor_name(level)] = write_cursor(instance, cursor, None, time.time())
    figures.note("all inputs read by a process for the first time", f"{first:.2f} s CPU")
    for name in cursors:
        tick(name)  # notes when it has looked
    _ticks(tick, cursors, figures, "nothing changed", QUIET_S)
    add_exposure(workdirs[0], "iaaa00")
    _ticks(tick, cursors, figures, "one change", CHANGED_S)


def _ticks(
    tick: Callable[[str], int],
    cursors: dict[str, str | None],
    figures: Figures,
    what: str,
    limit_s: float,
) -> None:
    times = {name: _measured(lambda name=name: tick(name)) for name in cursors}  # type: ignore[misc]
    slowest = max(times, key=lambda name: times[name][0])
    figures.show(f"the longest tick, {what}", *times[slowest], limit_s)
    together = (sum(each[n] for each in times.values()) for n in (0, 1))
    figures.show(f"all {len(times)} sensors of levels, {what}", *together)


# ---------------------------------------------------------------------------------- runs


def _overhead(root: Path, instance: dg.DagsterInstance, figures: Figures) -> None:
    """Run a visit of which nothing changed: what is left is the run's own cost."""
    from hst_assets.orchestration.run_target import run_target

    definitions = build_defs(root=str(root))
    workdir, assets = WorkDir(root, "t000"), ["raw_exposures"]

    def run() -> None:
        list(
            run_target(
                definitions, instance, workdir, assets=assets, visits=["iaaa01"], offline=True
            )
        )

    run()  # loads what is loaded once
    figures.show("a run of one asset of a visit, up to date", *_measured(run), OVERHEAD_S)


def _queue(instance: dg.DagsterInstance, figures: Figures, n_queued: int) -> None:
    """What the daemon does before it launches one run, and sensors before they ask for any."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=5)
    figures.show(
        f"daemon's look at {n_queued} queued runs, to launch one",
        *_measured(
            lambda: daemon._get_runs_to_dequeue(  # noqa: SLF001 - what it does each 5 s
                instance, instance.get_concurrency_config(), None
            )
        ),
    )
    level = ASSETS.level_named("visit_images")
    figures.show(
        f"a sensor's look at {n_queued} queued runs",
        *_measured(lambda: partitions_in_flight(instance, level)),
    )


# --------------------------------------------------------------------------------- pages


@contextmanager
def _web_server(home: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "dagster_webserver", "-w", str(PROJECT / "workspace.yaml")),
            *("-h", "127.0.0.1", "-p", str(port)),
        ],
        cwd=PROJECT,
        env={**os.environ, "DAGSTER_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with suppress(OSError):
                _ask(port, "{ version }")
                break
            time.sleep(0.5)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=60)


def _pages(port: int, figures: Figures) -> None:
    for name, query in PAGES.items():
        first = _wall(lambda query=query: _ask(port, query))  # type: ignore[misc]
        again = _wall(lambda query=query: _ask(port, query))  # type: ignore[misc]
        figures.note(f"page {name}", f"{first:.2f} s wall, again {again:.2f} s")
        if again > PAGE_S:  # the first one loads what the server keeps
            figures.missed.append(f"page {name} ({figures.storage})")


def _wall(function: Callable[[], object]) -> float:
    return _measured(function)[1]


def _ask(port: int, query: str) -> object:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as reply:
        answer = json.load(reply)
    if "errors" in answer:
        raise SystemExit(f"the server does not understand: {answer['errors']}")
    return answer["data"]


if __name__ == "__main__":
    sys.exit(main())
