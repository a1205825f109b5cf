"""Visits an hour against workers of Celery, and what a run costs beyond its science.

    PYTHONPATH=. .venv/bin/python benchmarks/throughput.py [--visits 6] [--workers 1 2 4]
        [--launches 100] [--only-launches] [--json FILE]

Redis, PostgreSQL, Dagster's daemon and workers with one process each are started on this machine.
Simulated visits (WFC3/IR, 512 x 512 pixels, two exposures each) are ingested as one target for
each number of workers, and the levels of the visits run: first one visit a worker, which is not
counted. Before, the same functions are called one after the other without Dagster: the science
alone. Of each level are printed

- visits an hour, from the first run in the queue to the last that ended;
- medians of a run: in the queue and on its way to a worker; from its begin to its end; of that, in
  steps; and CPU seconds of all processes but the servers;
- events that a run left in the database, and their size.

Then as many runs as ``--launches`` says wait in the queue, and it is timed how quickly the daemon
hands them to the broker, one by one and by threads. ``simulate_campaign.py`` takes the file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

sys.path.insert(0, str(Path(__file__).parents[1]))

from celery_forms import cpu_seconds, ticks
from worker_campaigns import simulated_visits

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.orchestration.servers import wait_for
from hst_assets_tests.orchestration.worker_deployment import WorkerDeployment

LEVELS = ("visit_exposures", "visit_images")
#: More than any trial has workers, or runs.
_NO_LIMIT = 1000
#: The target that is processed without Dagster.
_ALONE = "alone"
#: No pool holds its runs in the queue, as that of MAST's does those of new data.
_LAUNCHED = "target_frame"


class Deployment(WorkerDeployment):
    """One whose workers alone limit how much is done at a time."""

    def _quicken(self) -> None:
        super()._quicken()
        path = self.home / "dagster.yaml"
        # Of the queues, in the deployment's own file.
        path.write_text(path.read_text().replace("limit: 4\n", f"limit: {_NO_LIMIT}\n"))

    def set_queue(self, **settings: object) -> None:
        """Set values of the daemon's queue, which counts from its next start."""
        path = self.home / "dagster.yaml"
        lines = path.read_text().splitlines()
        for name, value in settings.items():
            lines = [line for line in lines if not line.strip().startswith(f"{name}:")]
            after, indent = (
                ("  runs:", "    ")
                if name == "max_concurrent_runs"
                else ("    dequeue_interval_seconds: 1", "    ")
            )
            lines.insert(lines.index(after) + 1, f"{indent}{name}: {json.dumps(value)}")
        path.write_text("\n".join(lines) + "\n")

    def stop_serving(self) -> None:
        """End web server and daemon."""
        self._up.terminate()
        self._up.wait(60)
        wait_for(lambda: not self.is_up(), "web server ends", 60)

    @contextmanager
    def database(self) -> Iterator[Any]:
        """A cursor of the database."""
        address = self.postgres.url.replace("+psycopg2", "")
        with closing(psycopg2.connect(address)) as connection, connection:
            yield connection.cursor()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=6)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--launches", type=int, default=100)
    parser.add_argument("--only-launches", action="store_true")
    parser.add_argument("--json", type=Path, help="Also written there.")
    options = parser.parse_args()
    figures: dict[str, Any] = {"levels": [], "visits": options.visits}
    with tempfile.TemporaryDirectory(prefix="throughput-") as scratch:
        folder = Path(scratch)
        n_visits = 1 if options.only_launches else options.visits + max(options.workers)
        exposures = simulated_visits(folder / "campaign", n_visits)
        with Deployment(folder / "deployment", processes=_NO_LIMIT) as deployment:
            deployment.serve()
            if options.only_launches:
                deployment.command("ingest", exposures, "--target", _ALONE)
            else:
                _measure(deployment, exposures, options, figures)
                _keep(options.json, figures)
            if options.launches:
                figures["launch_s"] = _launches(deployment, options.launches)
                _keep(options.json, figures)
    return 0


def _measure(
    deployment: Deployment, exposures: Path, options: argparse.Namespace, figures: dict[str, Any]
) -> None:
    """Science alone, levels by number of workers, events and bytes, into the figures."""
    n_visits = len(_visits(exposures))
    figures["megabytes_a_visit_in"] = _megabytes(exposures) / n_visits
    figures["science_s"] = _science(deployment, exposures)
    for number in sorted(options.workers):
        figures["levels"] += _with_workers(deployment, exposures, number, options.visits)
    figures["event_s"] = _event_s(deployment)
    figures["megabytes_a_visit_out"] = _products_mb(deployment) / n_visits
    kept_kb = 1e3 * _megabytes(deployment.home / "storage") / len(deployment.runs())
    print(f"what steps printed: {kept_kb:.1f} kB a run", flush=True)


def _keep(path: Path | None, figures: dict[str, Any]) -> None:
    if path:
        path.write_text(json.dumps(figures, indent=1))


def _science(deployment: Deployment, exposures: Path) -> dict[str, float]:
    """Seconds of a visit's levels without Dagster, the first visit left out."""
    deployment.command("ingest", exposures, "--target", _ALONE)
    workdir = WorkDir(deployment.root, _ALONE)
    settings = load_settings(workdir)
    visits = _visits(exposures)[:3]
    found = {}
    for level in ASSETS.levels[: 1 + [each.job for each in ASSETS.levels].index(LEVELS[-1])]:
        times = []
        for visit in visits if level.by_visit else [None]:
            began = time.perf_counter()
            for row in (ASSETS[name] for name in level.assets if ASSETS[name].make):
                subject = [visit] if visit else [visits] if row.gathers else []
                row.maker()(workdir, *subject, settings)
            times.append(time.perf_counter() - began)
        if level.job in LEVELS:
            found[level.job] = statistics.median(times[1:])
            print(f"science alone, {level.job}: {found[level.job]:.2f} s a visit", flush=True)
    return found


def _with_workers(
    deployment: Deployment, exposures: Path, n_workers: int, n_visits: int
) -> list[dict[str, Any]]:
    target = f"by{n_workers}"
    deployment.command("ingest", exposures, "--target", target)
    for number in range(len(deployment.workers), n_workers):
        deployment.add_worker(f"worker{number}")
    warm, timed = _visits(exposures)[:n_workers], _visits(exposures)[n_workers:][:n_visits]
    _run(deployment, LEVELS[0], [f"{target}/{visit}" for visit in warm])
    light = _timed(deployment, LEVELS[0], [f"{target}/{visit}" for visit in timed])
    _run(deployment, "target_frame", [target])
    _run(deployment, LEVELS[1], [f"{target}/{visit}" for visit in warm])
    heavy = _timed(deployment, LEVELS[1], [f"{target}/{visit}" for visit in timed])
    found = [
        {"workers": n_workers, "level": level} | each
        for level, each in ((LEVELS[0], light), (LEVELS[1], heavy))
    ]
    for each in found:
        print(
            f"{n_workers} workers, {each['level']}: {each['visits_an_hour']:.0f} visits an hour; "
            f"a run {each['waiting_s']:.2f} s to its worker at the least, {each['run_s']:.2f} s "
            f"there, of it {each['steps_s']:.2f} s in {each['steps']} steps; "
            f"{each['cpu_s']:.2f} s CPU; {each['events']:.0f} events, {each['event_kb']:.0f} kB",
            flush=True,
        )
    return found


def _run(deployment: Deployment, job: str, partitions: Sequence[str]) -> set[str]:
    asked = {deployment.launch(job, partition) for partition in partitions}
    deployment.wait_until_idle(1800)
    return asked


def _timed(deployment: Deployment, job: str, partitions: Sequence[str]) -> dict[str, Any]:
    before = cpu_seconds(deployment)
    asked = _run(deployment, job, partitions)
    cpu_s = (cpu_seconds(deployment) - before) / len(asked)
    runs = [run for run in deployment.runs() if run["runId"] in asked]
    assert {run["status"] for run in runs} == {"SUCCESS"}, runs
    wall_s = max(run["endTime"] for run in runs) - min(run["creationTime"] for run in runs)
    steps = _steps_of(deployment, asked)
    events, bytes_ = _events_of(deployment, asked)
    return {
        "visits_an_hour": len(runs) / wall_s * 3600,
        "waiting_s": min(run["startTime"] - run["creationTime"] for run in runs),
        "run_s": statistics.median(run["endTime"] - run["startTime"] for run in runs),
        "steps_s": statistics.median(sum(each) for each in steps.values()),
        "steps": len(next(iter(steps.values()))),
        "cpu_s": cpu_s,
        "events": events / len(asked),
        "event_kb": bytes_ / len(asked) / 1e3,
    }


def _steps_of(deployment: Deployment, runs: set[str]) -> dict[str, list[float]]:
    """Seconds of each step, from its begin to its end, by run."""
    query = (
        "SELECT run_id, step_key, max(extract(epoch FROM timestamp)) - min(extract(epoch FROM "
        "timestamp)) FROM event_logs WHERE run_id = ANY(%s) AND dagster_event_type IN "
        "('STEP_START', 'STEP_SUCCESS') GROUP BY run_id, step_key"
    )
    found: dict[str, list[float]] = {}
    with deployment.database() as cursor:
        cursor.execute(query, (list(runs),))
        for run_id, _, seconds in cursor.fetchall():
            found.setdefault(run_id, []).append(float(seconds))
    return found


def _events_of(deployment: Deployment, runs: set[str]) -> tuple[int, int]:
    """Number of events of the runs, and their bytes without indices."""
    query = "SELECT count(*), sum(octet_length(event)) FROM event_logs WHERE run_id = ANY(%s)"
    with deployment.database() as cursor:
        cursor.execute(query, (list(runs),))
        count, size = cursor.fetchone()
    return int(count), int(size)


def _event_s(deployment: Deployment, n_events: int = 300) -> float:
    """CPU seconds of the database for an event, with the connection that Dagster makes for it."""
    (run,) = deployment.runs()[:1]
    program = (
        "import dagster as dg, sys\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    run = instance.get_run_by_id(sys.argv[1])\n"
        "    for _ in range(int(sys.argv[2])): instance.report_engine_event('an event', run)\n"
    )
    postmaster = int((Path(deployment.postgres.data) / "postmaster.pid").read_text().split()[0])
    before, began = ticks(postmaster), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", program, run["runId"], str(n_events)],
        env=deployment.environment,
        check=True,
    )
    event_s = (ticks(postmaster) - before) / os.sysconf("SC_CLK_TCK") / n_events
    wall_s = (time.perf_counter() - began) / n_events
    print(
        f"an event: {1e3 * event_s:.1f} ms CPU of the database, {1e3 * wall_s:.1f} ms wall in all"
    )
    return event_s


def _launches(deployment: Deployment, n_runs: int) -> dict[str, float]:
    """Seconds from one launch to the next, with so many waiting and nobody to take them."""
    for process in deployment.workers.values():
        process.terminate()
        process.wait(120)
    found = {}
    for words, settings in (
        ("one by one", {"dequeue_use_threads": False}),
        ("by 8 threads", {"dequeue_use_threads": True, "dequeue_num_workers": 8}),
    ):
        deployment.stop_serving()
        deployment.set_queue(max_concurrent_runs=0, **settings)
        deployment.serve()
        began = time.perf_counter()
        asked = {deployment.launch(_LAUNCHED, _ALONE) for _ in range(n_runs)}
        found["put into the queue"] = (time.perf_counter() - began) / n_runs
        deployment.stop_serving()
        deployment.set_queue(max_concurrent_runs=_NO_LIMIT * 10)
        deployment.serve()
        wait_for(lambda asked=asked: _n_launched(deployment, asked)[0] == n_runs, "launches", 300)
        found[words] = _n_launched(deployment, asked)[1] / (n_runs - 1)
        print(
            f"a run put into the queue: {found['put into the queue']:.3f} s; "
            f"launched, {words}: {found[words]:.3f} s each",
            flush=True,
        )
        with deployment.database() as cursor:  # they are of no more use
            cursor.execute(
                "UPDATE runs SET status = 'CANCELED' WHERE run_id = ANY(%s)", (list(asked),)
            )
    return found


def _n_launched(deployment: Deployment, runs: set[str]) -> tuple[int, float]:
    """How many of the runs are with the broker, and the seconds from the first to the last."""
    query = (
        "SELECT count(DISTINCT run_id), extract(epoch FROM max(timestamp) - min(timestamp)) FROM "
        "event_logs WHERE run_id = ANY(%s) AND dagster_event_type = 'PIPELINE_STARTING'"
    )
    with deployment.database() as cursor:
        cursor.execute(query, (list(runs),))
        count, seconds = cursor.fetchone()
    return int(count), float(seconds or 0.0)


def _visits(exposures: Path) -> list[str]:
    return sorted({path.name[:6] for path in exposures.glob("*.fits")})


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _products_mb(deployment: Deployment) -> float:
    """Of the last target, what is not raw."""
    base = max(deployment.root.glob("by*"), key=os.path.getmtime)
    return _megabytes(base) - _megabytes(base / "raw")


if __name__ == "__main__":
    sys.exit(main())
