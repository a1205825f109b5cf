"""What commands, sensors and the UI cost with ten thousand visits: CPU and wall time of each.

    PYTHONPATH=. .venv/bin/python benchmarks/scale.py [--targets 200] [--visits 50] [--one 10000]

Two roots are made (`scale_roots.py`): many targets with some visits each, and one target with as
many visits as `--one` says. Commands run in processes of their own; the start of one that does
nothing (`hst-assets --version`), and of one that imports Dagster and opens the instance, are shown
beside them. Sensors are ticked in this process after every one of them has asked for everything.
The web server is asked what its pages ask. Exits with an error if a figure misses its limit.
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

sys.path.insert(0, str(Path(__file__).parents[1]))

from scale_roots import add_exposure, many_targets, one_target

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.input_versions import input_versions
from hst_assets.orchestration.resources import HstRoot, MastAccess
from hst_assets.orchestration.settled import LevelCursor, sensor_name
from hst_assets.workdir import WorkDir, targets_in
from hst_assets_tests import dagster_databases

PROJECT = Path(__file__).parents[1]
#: What a command may cost as a whole, seconds.
LIMITS = {"status": 3.0, "status --json": 3.0, "target list": 1.0, "target add": 1.0}
QUIET_S, CHANGED_S, PAGE_S, OVERHEAD_S = 0.5, 3.0, 3.0, 1.5
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

    def show(self, what: str, cpu_s: float, wall_s: float, limit_s: float | None = None) -> None:
        """Print a line; the limit holds for CPU time, as others may work on the machine."""
        verdict = "" if limit_s is None else f"  limit {limit_s:g} s"
        if limit_s is not None and cpu_s > limit_s:
            verdict += "  MISSED"
            self.missed.append(what)
        print(f"{what:<46} {cpu_s:6.2f} s CPU {wall_s:7.2f} s wall{verdict}", flush=True)


def main() -> int:
    """Build the roots, and measure."""
    options = _options()
    dagster_databases.make_quickly()
    figures = Figures()
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=options.folder))
    try:
        for kind in ("many", "one"):
            _of_root(kind, folder / kind, options, figures)
    finally:
        shutil.rmtree(folder)
    print(f"missed: {', '.join(figures.missed) or 'nothing'}")
    return int(bool(figures.missed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--visits", type=int, default=50)
    parser.add_argument("--one", type=int, default=10_000)
    parser.add_argument("--folder", help="Where the roots are made.")
    parser.add_argument("--no-pages", action="store_true")
    return parser.parse_args()


def _of_root(kind: str, folder: Path, options: argparse.Namespace, figures: Figures) -> None:
    root, home = folder / "root", folder / "home"
    home.mkdir(parents=True)
    shutil.copy(PROJECT / "hst_assets" / "dagster.yaml", home)
    os.environ |= {"DAGSTER_HOME": str(home), "HST_ASSETS_ROOT": str(root)}
    with dg.DagsterInstance.get() as instance:
        if kind == "many":
            print(f"{options.targets} targets of {options.visits} visits")
            many_targets(root, instance, options.targets, options.visits)
        else:
            print(f"one target of {options.one} visits")
            one_target(root, instance, "t000", options.one)
        time.sleep(11)  # what has changed just now is looked at again by every tick
        _commands(figures)
        _overhead(root, instance, figures)  # first: a tick closes what the instance shares
        _sensors(root, instance, figures)
    if not options.no_pages:
        with _web_server(home) as port:
            _pages(port, figures)


# ------------------------------------------------------------------------------ commands


def _commands(figures: Figures) -> None:
    figures.show("start of a command", *_command("--version"))
    opened = "from hst_assets.cli.deployment import opened_instance\nwith opened_instance(): pass"
    figures.show("start, Dagster and its instance", *_python(opened))
    for words, limit_s in LIMITS.items():
        arguments = words.split() + (["t000"] if words == "target add" else [])
        figures.show(words, *_command(*arguments), limit_s)
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
        cursors[sensor_name(level)] = LevelCursor(asked=asked).model_dump_json()
    print(f"all inputs read for the first time by a process: {first:.2f} s CPU")
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
    figures.show(f"tick, {what}: {slowest}", *times[slowest], limit_s)
    together = (sum(each[n] for each in times.values()) for n in (0, 1))
    figures.show(f"all {len(times)} sensors of levels, {what}", *together)


# ---------------------------------------------------------------------------------- runs


def _overhead(root: Path, instance: dg.DagsterInstance, figures: Figures) -> None:
    """Run a visit of which nothing changed: what is left is the run's own cost."""
    from hst_assets.orchestration.run_target import run_target

    definitions = build_defs(root=str(root))
    workdir, assets = WorkDir(root, "t000"), ["raw_exposures"]

    def run() -> None:
        list(run_target(definitions, instance, workdir, assets=assets, visits=["iaaa01"]))

    run()  # loads what is loaded once
    figures.show("a run of one asset of a visit, up to date", *_measured(run), OVERHEAD_S)


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
        print(f"page {name:<41} {first:6.2f} s wall, again {again:.2f} s", flush=True)
        if again > PAGE_S:  # the first one loads what the server keeps
            figures.missed.append(f"page {name}")


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
