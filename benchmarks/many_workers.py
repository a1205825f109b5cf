"""Thirty visits on two workers of Celery, undisturbed and with a fault in mid-run: what is lost.

    PYTHONPATH=. .venv/bin/python benchmarks/many_workers.py [--visits 30] [--fault NAME ...]
        [--in-turn] [--folder FOLDER]

Each trial has Redis, PostgreSQL, Dagster's web server and daemon, and two workers of its own, all
started here; each worker is a machine of its own as far as Dagster can tell (Linux's namespaces:
this must be root). Simulated visits of one target (WFC3/IR, 512 x 512 pixels, two exposures each)
are ingested, the sensors of all levels are started, and everything follows. While both workers
align and drizzle visits, the fault happens; with ``--in-turn`` all faults happen to one campaign,
each when some visits have been made since the one before. In the end it is counted

- how many products are missing, not up to date or not as recorded (``hst-assets status``), and
  which differ from those of the undisturbed trial in a pixel or in a card that is no date or path;
- how many products were made twice, by the logs of those who made them;
- how many runs there were, and how many were tried again.

Exits with an error if anything was lost, made twice, or differs.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
import urllib.error
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from disturbed_runs import compared, products_of

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets_tests.orchestration.servers import wait_for
from hst_assets_tests.orchestration.worker_deployment import WorkerDeployment

TARGET = "field"
WORKERS = ("one", "two")
SENSORS = [f"{level.job}_sensor" for level in ASSETS.levels_from_raw if not level.wanted]
#: As long as it takes to start a service, or a machine, again (s).
AWAY_S = 10.0
DEADLINE_S = 5400
#: Visits whose images are made between one fault and the next.
VISITS_BETWEEN = 3
_MADE = re.compile(r": (?P<file>\S+): made \(")


def _nothing(_: WorkerDeployment) -> None:
    """No fault."""


def _worker_killed(deployment: WorkerDeployment) -> None:
    deployment.kill_worker("one")
    time.sleep(AWAY_S)
    deployment.add_worker("one", own_machine=True)


def _broker_restarted(deployment: WorkerDeployment) -> None:
    deployment.redis.kill()
    time.sleep(AWAY_S)
    deployment.redis.start()


def _broker_emptied(deployment: WorkerDeployment) -> None:
    deployment.redis.kill()
    shutil.rmtree(deployment.redis.folder)
    deployment.redis.folder.mkdir()
    time.sleep(AWAY_S)
    deployment.redis.start()


def _database_restarted(deployment: WorkerDeployment) -> None:
    deployment.postgres.stop("immediate")
    time.sleep(AWAY_S)
    deployment.postgres.start()
    time.sleep(AWAY_S)
    if deployment.serve_again_if_ended():
        print("    web server and daemon had ended, and were started again", flush=True)
    # Questions that meet a connection of before the restart fail, one for each connection.
    wait_for(lambda: all(_answers(deployment) for _ in range(5)), "the web server answers", 120)


def _answers(deployment: WorkerDeployment) -> bool:
    try:
        deployment.runs()
    except urllib.error.HTTPError:
        return False
    return True


def _folder_lost(deployment: WorkerDeployment) -> None:
    worker = deployment.workers["one"]
    deployment.take_root_from("one")
    wait_for(lambda: worker.poll() is not None, "the worker without its folder ends", 120)
    deployment.add_worker("one", own_machine=True)


FAULTS: dict[str, Callable[[WorkerDeployment], None]] = {
    "undisturbed": _nothing,
    "a worker killed (SIGKILL, all its processes)": _worker_killed,
    "the broker killed, and started again": _broker_restarted,
    "the broker killed, and all it knew lost": _broker_emptied,
    "PostgreSQL stopped at once, and started again": _database_restarted,
    "a worker loses the shared folder": _folder_lost,
}


def _all_in_turn(deployment: WorkerDeployment) -> None:
    """Each fault, with some visits made between it and the one before."""
    for name, fault in FAULTS.items():
        if fault is _nothing:
            continue
        _wait_for_visits(deployment, VISITS_BETWEEN)
        print(f"    {name}", flush=True)
        fault(deployment)


def _wait_for_visits(deployment: WorkerDeployment, n_more: int) -> None:
    goal = _visits_made(deployment) + n_more
    wait_for(
        lambda: _visits_made(deployment) >= goal and _at_work(deployment) == len(WORKERS),
        f"{n_more} more visits made, and both at work",
        DEADLINE_S,
        1.0,
    )
    time.sleep(2.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=30)
    parser.add_argument("--fault", action="append", help="Begins so; may be given again.")
    parser.add_argument("--in-turn", action="store_true", help="All faults, to one campaign.")
    parser.add_argument("--folder", type=Path, help="Is kept: has the undisturbed trial, if done.")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="many-workers-"))
    chosen = tuple(options.fault or ("",))
    exposures = folder / "campaign" / "exposures"
    if not exposures.is_dir():
        exposures = simulated_visits(folder / "campaign", options.visits)
    undisturbed = folder / "trial0"
    bad = 0
    for number, (name, fault) in enumerate(_trials(in_turn=options.in_turn)):
        is_done = number == 0 and (undisturbed / "runs.json").exists()
        if is_done or (number and not name.startswith(chosen)):
            continue
        trial = folder / f"trial{number}"
        shutil.rmtree(trial, ignore_errors=True)
        lines = _trial(trial, exposures, fault)
        different = compared(_products(undisturbed), _products(trial))
        bad += bool(lines.pop("bad") or different)
        lines["different from the undisturbed"] = len(different)
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in lines.items()), flush=True)
        for each in different[:5]:
            print(f"    {each}")
    if not (bad or options.folder):
        shutil.rmtree(folder)
    return int(bad > 0)


def _trials(*, in_turn: bool) -> tuple[tuple[str, Callable[[WorkerDeployment], None]], ...]:
    undisturbed, *each = FAULTS.items()
    return (undisturbed, ("all faults in turn", _all_in_turn)) if in_turn else (undisturbed, *each)


def simulated_visits(folder: Path, n_visits: int) -> Path:
    """Exposures of so many visits of one field, ten days apart."""
    plan = small_plan("wfc3_ir", visit="isim00")
    (first,) = plan.visits
    visits = [
        replace(first, visit=f"isim{number:02d}", mjd=first.mjd + 10 * number)
        for number in range(n_visits)
    ]
    truth = simulate_campaign(replace(plan, visits=tuple(visits)), folder, max_cores=2)
    return truth.exposure_folder


def _trial(
    folder: Path, exposures: Path, fault: Callable[[WorkerDeployment], None]
) -> dict[str, object]:
    with WorkerDeployment(folder, processes=len(WORKERS)) as deployment:
        deployment.command("ingest", exposures, "--target", TARGET)
        for name in WORKERS:
            deployment.add_worker(name, own_machine=True)
        deployment.serve()
        begun = time.monotonic()
        for sensor in SENSORS:
            deployment.start_sensor(sensor)
        wait_for(lambda: _at_work(deployment) == len(WORKERS), "both at work", DEADLINE_S, 0.5)
        time.sleep(2.0)  # in mid-step: a run begins within one
        fault(deployment)
        _wait_until_settled(deployment)
        wall_s = time.monotonic() - begun
        runs = deployment.runs()
        status = json.loads(deployment.command("status", TARGET, "--json"))
        unfinished = json.loads(deployment.command("status", TARGET, "--stale", "--json"))
    base = deployment.root / TARGET
    made = _made(base / "logs")
    twice = sorted(file for file, n in made.items() if n > 1)
    retried = sum("dagster/parent_run_id" in run["tags"] for run in runs)
    left = [run for run in runs if run["status"] != "SUCCESS"]
    for name, kept in (("status", status), ("unfinished", unfinished), ("runs", runs)):
        (folder / f"{name}.json").write_text(json.dumps(kept, indent=1))
    parts = [path for path in base.rglob(".part.*") if path.is_file()]
    return {
        "bad": bool(twice or unfinished),
        "products up to date": sum(row["state"] == "up to date" for row in status),
        "files made": len(made),
        "not up to date": len(unfinished),
        "made twice": len(twice),
        "runs": len(runs),
        "tried again": retried,
        "failed": len(left),
        "parts under hidden names": len(parts),
        "wall time (s)": round(wall_s),
    }


def _at_work(deployment: WorkerDeployment) -> int:
    return sum(
        run["jobName"] == "visit_images" and run["status"] == "STARTED" for run in deployment.runs()
    )


def _visits_made(deployment: WorkerDeployment) -> int:
    return sum(
        run["jobName"] == "visit_images" and run["status"] == "SUCCESS" for run in deployment.runs()
    )


def _wait_until_settled(deployment: WorkerDeployment) -> None:
    """Until nothing is at work, and the sensors have looked some times since."""
    deadline = time.monotonic() + DEADLINE_S
    before = None
    while True:
        deployment.wait_until_idle(deadline - time.monotonic())
        now = sorted(run["runId"] for run in deployment.runs())
        if now == before:
            return
        before = now
        time.sleep(15)


def _made(logs: Path) -> Counter[str]:
    """How often each product was made, by the session logs of all processes."""
    lines = (
        line
        for path in logs.glob("hst_assets_*.log")
        for line in path.read_text(errors="replace").splitlines()
    )
    return Counter(found["file"] for line in lines if (found := _MADE.search(line)))


def _products(trial: Path) -> dict[str, Path]:
    return products_of(trial / "root", TARGET)


if __name__ == "__main__":
    sys.exit(main())
