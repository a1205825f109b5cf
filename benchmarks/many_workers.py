"""Campaigns on two workers of Celery, undisturbed and with faults in mid-run: what is lost.

    PYTHONPATH=. .venv/bin/python benchmarks/many_workers.py [--campaign visits|all-levels|demo]
        [--visits 30] [--fault NAME ...] [--in-turn] [--one-machine] [--folder FOLDER]

Each trial has Redis, PostgreSQL, Dagster's web server and daemon, and two workers of its own, all
started here; each worker is a machine of its own as far as Dagster can tell (Linux's namespaces:
this must be root). Exposures are ingested, sensors are started, and everything follows:

- ``visits``: simulated visits of one target (WFC3/IR, 512 x 512 pixels, two exposures each), and
  the levels that are made by default;
- ``all-levels``: the same visits with a transient, and every level but publication: photometry by
  the embedded photometer, artificial stars, light curve, counterpart, advanced products of visits
  with their tests of quality, mosaics;
- ``demo``: what ``hst-assets demo`` makes. The same was made before by that command, on one
  machine, and is what is compared with. The advanced products of one visit are launched in the web
  UI when all else has been made.

The fault happens while both workers align and drizzle visits; with ``--in-turn`` all faults happen
to one campaign, each in mid-step: some visits after the one before, and with ``all-levels`` also
while advanced products, the catalogue of stars, artificial stars and mosaics are being made, to the
worker that makes them. In the end it is counted

- how many products are missing, not up to date or not as recorded (``hst-assets status``), and
  which differ from those of the undisturbed trial (`same_products` says in what);
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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from same_products import compared, everything_of
from worker_campaigns import CAMPAIGNS, Campaign, demo_on_one_machine, made_on_one_machine

from hst_assets.machine.core_pool import POOL_VARIABLE
from hst_assets.settings import write_settings
from hst_assets.simulate.star_service import star_service
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir
from hst_assets_tests.orchestration.servers import wait_for
from hst_assets_tests.orchestration.worker_deployment import WorkerDeployment

WORKERS = ("one", "two")
#: In a trial that ended well: of which campaign.
_GOOD = "good.txt"
#: As long as it takes to start a service, or a machine, again (s).
AWAY_S = 10.0
DEADLINE_S = 5400
#: Runs of a visit's level that end between one fault and the next.
RUNS_BETWEEN = 3
#: A step begins so long after its run (s).
_STEP_BEGINS_S = 2.0
#: After so long without anything at work (s) nothing will come.
_NOTHING_COMES_S = 60.0
#: The web server has so many to its database.
_CONNECTIONS = 10
_MADE = re.compile(r": (?P<file>\S+): made \(")


def _worker_killed(deployment: WorkerDeployment, worker: str) -> None:
    deployment.kill_worker(worker)
    time.sleep(AWAY_S)
    deployment.add_worker(worker, own_machine=True)


def _broker_restarted(deployment: WorkerDeployment, _: str) -> None:
    deployment.redis.kill()
    time.sleep(AWAY_S)
    deployment.redis.start()


def _broker_emptied(deployment: WorkerDeployment, _: str) -> None:
    deployment.redis.kill()
    shutil.rmtree(deployment.redis.folder)
    deployment.redis.folder.mkdir()
    time.sleep(AWAY_S)
    deployment.redis.start()


def _database_restarted(deployment: WorkerDeployment, _: str) -> None:
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


def _runs(deployment: WorkerDeployment) -> list[dict[str, Any]]:
    """All runs, by a web server that may be asked on a connection of before a restart."""
    for _ in range(_CONNECTIONS):
        with suppress(urllib.error.HTTPError):
            return deployment.runs()
    return deployment.runs()


def _folder_lost(deployment: WorkerDeployment, worker: str) -> None:
    process = deployment.workers[worker]
    deployment.take_root_from(worker)
    wait_for(lambda: process.poll() is not None, "the worker without its folder ends", 300)
    deployment.add_worker(worker, own_machine=True)


KILLED = "a worker killed (SIGKILL, all its processes)"
RESTARTED = "the broker killed, and started again"
EMPTIED = "the broker killed, and all it knew lost"
DATABASE = "PostgreSQL stopped at once, and started again"
FOLDER = "a worker loses the shared folder"
FAULTS: dict[str, Callable[[WorkerDeployment, str], None]] = {
    KILLED: _worker_killed,
    RESTARTED: _broker_restarted,
    EMPTIED: _broker_emptied,
    DATABASE: _database_restarted,
    FOLDER: _folder_lost,
}


@dataclass(frozen=True)
class Moment:
    """When a fault happens: while a job's runs are at work.

    Attributes
    ----------
    fault : str
        A key of `FAULTS`.
    job : str
        The job, of visits or of the target.
    """

    fault: str
    job: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.fault}, in {self.job}"


_BY_VISIT = ("visit_images", "visit_advanced_products")
#: Of each campaign, what happens if all faults happen to it; whichever can, of those that are left.
IN_TURN = {
    "visits": tuple(Moment(fault, "visit_images") for fault in FAULTS),
    "all-levels": (
        Moment(KILLED, "visit_advanced_products"),
        Moment(RESTARTED, "visit_advanced_products"),
        Moment(FOLDER, "visit_advanced_products"),
        Moment(DATABASE, "visit_images"),
        Moment(EMPTIED, "visit_images"),
        Moment(KILLED, "target_photometry"),
        Moment(DATABASE, "target_artificial_stars"),
        Moment(RESTARTED, "target_light_curve"),
        Moment(FOLDER, "target_sky_cells"),
    ),
    # Three visits are too few to have faults between them.
    "demo": (
        Moment(RESTARTED, "target_frame"),
        Moment(EMPTIED, "target_stacks"),
        Moment(KILLED, "target_photometry"),
        Moment(DATABASE, "target_light_curve"),
        Moment(FOLDER, "target_counterpart"),
    ),
}


class _Disturbance:
    """Faults that happen to a campaign, each at its moment."""

    def __init__(self, moments: Sequence[Moment], runs_between: int) -> None:
        self._left = list(moments)
        self._runs_between = runs_between
        self._ended_before: Counter[str] = Counter()

    def happen(self, deployment: WorkerDeployment) -> list[Moment]:
        """Wait for each moment, and let it happen; the moments that did not come."""
        seen_at_work = time.monotonic()
        deadline = seen_at_work + DEADLINE_S
        while self._left:
            runs = _runs(deployment)
            now = time.monotonic()
            if any(run["status"] in ("QUEUED", "STARTING", "STARTED") for run in runs):
                seen_at_work = now
            if now > min(deadline, seen_at_work + _NOTHING_COMES_S):
                break
            found = self._come(runs)
            if found is None:
                time.sleep(0.3)
                continue
            moment, worker = found
            self._left.remove(moment)
            time.sleep(_STEP_BEGINS_S)
            print(f"    {moment} (worker {worker})", flush=True)
            FAULTS[moment.fault](deployment, worker)
            self._ended_before = _ended(_runs(deployment))
            seen_at_work = time.monotonic()
        return self._left

    def _come(self, runs: Sequence[dict[str, Any]]) -> tuple[Moment, str] | None:
        """The first moment that has come, and the worker that is at work on its job."""
        at_work = [run for run in runs if run["status"] == "STARTED"]
        for moment in self._left:
            workers = [_worker_of(run) for run in at_work if run["jobName"] == moment.job]
            if not any(workers):
                continue
            is_crowded = moment.job not in _BY_VISIT or len(at_work) == len(WORKERS)
            if is_crowded and self._n_since(runs, moment.job) >= self._runs_between:
                return moment, next(filter(None, workers))
        return None

    def _n_since(self, runs: Sequence[dict[str, Any]], job: str) -> int:
        """Runs of visits' levels that ended since the fault before; a target has no more."""
        if job not in _BY_VISIT:
            return self._runs_between
        since = _ended(runs) - self._ended_before
        return sum(since[each] for each in _BY_VISIT)


def _worker_of(run: dict[str, Any]) -> str:
    """The machine on which a run is: its worker has the same name."""
    return next(iter(run["tags"].get("hst_assets/host", "").split()), "")


def _ended(runs: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(run["jobName"] for run in runs if run["status"] == "SUCCESS")


def main() -> int:
    options = _options()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="many-workers-"))
    campaign = CAMPAIGNS[options.campaign](options.visits)
    reference = folder / "trial0"
    bad = 0
    if options.campaign == "demo":
        truth = demo_on_one_machine(reference)
    else:
        truth = campaign.simulated(folder / f"campaign-{options.visits}")
    with star_service(truth.stars, campaign.star_column) as stars:
        is_made = options.one_machine or options.campaign == "demo"
        for number, (name, disturbance) in enumerate(_trials(options), int(is_made)):
            trial = folder / f"trial{number}"
            if trial == reference and _is_good(trial, options):
                print(f"{name}: of an earlier call")
                continue
            shutil.rmtree(trial, ignore_errors=True)
            lines = _trial(trial, campaign, truth, stars, disturbance)
            if options.one_machine and options.campaign != "demo":
                made_on_one_machine(campaign, truth, stars, reference)
            is_bad = lines.pop("bad")
            lines["products"] = len(_products(trial, campaign))
            different = []
            if trial == reference:
                lines["compared"] = "no: the others are compared with it"
            else:
                different = compared(_products(reference, campaign), _products(trial, campaign))
                lines["different"] = len(different)
            bad += bool(is_bad or different)
            if not is_bad:
                (trial / _GOOD).write_text(_told(options))
            told = ", ".join(f"{key} {value}" for key, value in lines.items())
            print(f"{name}: {told}", flush=True)
            for each in different[:5]:
                print(f"    {each}")
    if not (bad or options.folder):
        shutil.rmtree(folder)
    return int(bad > 0)


def _told(options: argparse.Namespace) -> str:
    return f"{options.campaign}, {options.visits} visits"


def _is_good(trial: Path, options: argparse.Namespace) -> bool:
    """Whether an earlier call ended this trial well, of the same campaign."""
    note = trial / _GOOD
    return note.exists() and note.read_text() == _told(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaign", choices=list(CAMPAIGNS), default="visits")
    parser.add_argument("--visits", type=int, default=30)
    parser.add_argument("--fault", action="append", help="Begins so; may be given again.")
    parser.add_argument("--in-turn", action="store_true", help="All faults, to one campaign.")
    parser.add_argument("--undisturbed", action="store_true", help="No faults.")
    parser.add_argument("--one-machine", action="store_true", help="Make what is compared with so.")
    parser.add_argument("--runs-between", type=int, default=RUNS_BETWEEN)
    parser.add_argument("--folder", type=Path, help="Is kept: has the undisturbed trial, if done.")
    options = parser.parse_args()
    for begun in options.fault or ():
        if not any(fault.startswith(begun) for fault in FAULTS):
            parser.error(
                f"no fault begins with {begun!r}; there are {', '.join(map(repr, FAULTS))}"
            )
    return options


def _trials(options: argparse.Namespace) -> list[tuple[str, _Disturbance]]:
    trials = [("undisturbed", _Disturbance((), 0))]
    if options.undisturbed:
        return trials
    if options.in_turn:
        moments = IN_TURN[options.campaign]
        disturbance = _Disturbance(moments, options.runs_between)
        # What was made on one machine is what is compared with: one trial is enough.
        return [*trials[options.one_machine :], (f"{len(moments)} faults in turn", disturbance)]
    chosen = tuple(options.fault or ("",))
    return trials + [
        (fault, _Disturbance((Moment(fault, "visit_images"),), 0))
        for fault in FAULTS
        if fault.startswith(chosen)
    ]


def _trial(
    folder: Path, campaign: Campaign, truth: CampaignTruth, stars: str, disturbance: _Disturbance
) -> dict[str, Any]:
    deployment = WorkerDeployment(folder, processes=len(WORKERS))
    deployment.environment["ASTROMETRIC_CATALOG_URL"] = stars
    # Whatever else is at work on this machine has other cores, as it were.
    deployment.environment[POOL_VARIABLE] = str(folder / "cores")
    with deployment:
        wall_s, did_not_come = _worked(deployment, campaign, truth, disturbance)
        runs = _runs(deployment)
        status = json.loads(deployment.command("status", campaign.target, "--json"))
        unfinished = json.loads(deployment.command("status", campaign.target, "--stale", "--json"))
    base = deployment.root / campaign.target
    made = _made(base / "logs")
    # Of visits some tables have the same name.
    there = Counter(path.name for path in base.rglob("*") if path.is_file())
    twice = sorted(file for file, n in made.items() if n > max(1, there[file]))
    retried = sum("dagster/parent_run_id" in run["tags"] for run in runs)
    left = [run for run in runs if run["status"] != "SUCCESS"]
    for name, kept in (("status", status), ("unfinished", unfinished), ("runs", runs)):
        (folder / f"{name}.json").write_text(json.dumps(kept, indent=1))
    parts = [path for path in base.rglob(".part.*") if path.is_file()]
    return {
        "bad": bool(twice or unfinished or did_not_come or not made),
        "faults that did not come": len(did_not_come),
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


def _worked(
    deployment: WorkerDeployment,
    campaign: Campaign,
    truth: CampaignTruth,
    disturbance: _Disturbance,
) -> tuple[float, list[Moment]]:
    """Let everything be made, with its faults; how long it took (s), and what did not come."""
    position = ("--ra", campaign.plan.ra_deg, "--dec", campaign.plan.dec_deg)
    deployment.command("ingest", truth.exposure_folder, "--target", campaign.target, *position)
    write_settings(WorkDir(deployment.root, campaign.target), campaign.settings(truth))
    for name in WORKERS:
        deployment.add_worker(name, own_machine=True)
    deployment.serve()
    begun = time.monotonic()
    for level in campaign.levels:
        deployment.start_sensor(f"{level}_sensor")
    did_not_come = disturbance.happen(deployment)
    _wait_until_settled(deployment)
    for job, partition in campaign.launched:
        deployment.launch(job, partition)
        deployment.wait_until_idle(DEADLINE_S)
    return time.monotonic() - begun, did_not_come


def _wait_until_settled(deployment: WorkerDeployment) -> None:
    """Until nothing is at work, and the sensors have looked some times since."""
    deadline = time.monotonic() + DEADLINE_S
    before = None
    while True:
        deployment.wait_until_idle(deadline - time.monotonic())
        now = sorted(run["runId"] for run in _runs(deployment))
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


def _products(trial: Path, campaign: Campaign) -> dict[str, Path]:
    return everything_of(trial / "root", campaign.target)


if __name__ == "__main__":
    sys.exit(main())
