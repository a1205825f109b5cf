"""What a run and a step cost as tasks of Celery: a whole run on a worker, or each step on one.

    PYTHONPATH=. .venv/bin/python benchmarks/celery_forms.py [--visits 20]

Redis, PostgreSQL, Dagster's daemon and two workers with one process each are started on this
machine. The level `visit_exposures` (two steps that read headers and hash files) is run for each of
a number of simulated visits; first by each process once, which is not counted. Three forms: runs
are tasks; steps are tasks (each run then has a process of its own beside, that waits); neither, as
on one machine: a process a run. The wall time is that of all runs together, from the first in the
queue to the last that ended; the CPU time that of all processes but the servers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from worker_campaigns import simulated_visits

from hst_assets_tests.orchestration.worker_deployment import WorkerDeployment

TARGET = "field"
WORKERS = ("one", "two")
_LAUNCHER = ("run_launcher:", "# In DAGSTER_HOME")


class WithoutLauncher(WorkerDeployment):
    """Each run in a process of its own on the first machine, as Dagster does it by itself."""

    def _quicken(self) -> None:
        super()._quicken()
        path = self.home / "dagster.yaml"
        before, _, after = path.read_text().partition(_LAUNCHER[0])
        path.write_text(before + _LAUNCHER[1] + after.partition(_LAUNCHER[1])[2])


class StepsOnWorkers(WithoutLauncher):
    """Each run in a process of its own, which waits for the steps."""

    def add_worker(self, name: str, *queues: str, own_machine: bool = False) -> None:
        assert not queues, "dagster-celery's own worker has one queue"
        assert not own_machine
        broker = self.environment["HST_ASSETS_BROKER_URL"]
        self.environment["PYTHONPATH"] = str(Path(__file__).parent)
        command = [sys.executable, "-m", "celery", "-A", "dagster_celery.app", "-b", broker]
        command += ["--result-backend", broker, "worker", "-Q", "dagster", "-c", "1"]
        self.workers[name] = self._started(name, [*command, "-n", f"{name}@%h"])


FORMS = {
    "a run is a task": (WorkerDeployment, ""),
    "a step is a task": (StepsOnWorkers, "celery_step_definitions"),
    "a run is a process": (WithoutLauncher, ""),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=20)
    parser.add_argument("--form", choices=FORMS, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="celery-forms-") as scratch:
        folder = Path(scratch)
        exposures = simulated_visits(folder / "campaign", options.visits + len(WORKERS))
        for number, form in enumerate(options.form or FORMS):
            _measure(form, folder / f"form{number}", exposures)
    return 0


def _measure(form: str, folder: Path, exposures: Path) -> None:
    kind, module = FORMS[form]
    with kind(folder, processes=len(WORKERS), module=module) as deployment:
        deployment.command("ingest", exposures, "--target", TARGET)
        if form != "a run is a process":
            for name in WORKERS:
                deployment.add_worker(name)
        if module:
            deployment.environment["PYTHONPATH"] = str(Path(__file__).parent)
        deployment.serve()
        visits = sorted({path.name[:6] for path in exposures.glob("*.fits")})
        _run(deployment, visits[: len(WORKERS)])
        before = cpu_seconds(deployment)
        runs = _run(deployment, visits[len(WORKERS) :])
        cpu_s = cpu_seconds(deployment) - before
    n = len(runs)
    wall_s = max(run["endTime"] for run in runs) - min(run["creationTime"] for run in runs)
    at_work = [run["endTime"] - run["startTime"] for run in runs]
    print(
        f"{form:20s} {n} runs, {2 * n} steps: {wall_s / n:5.2f} s wall, {cpu_s / n:5.2f} s CPU "
        f"a run; from its begin to its end {statistics.median(at_work):.2f} s (median)",
        flush=True,
    )


def _run(deployment: WorkerDeployment, visits: list[str]) -> list[dict]:
    asked = {deployment.launch("visit_exposures", f"{TARGET}/{visit}") for visit in visits}
    deployment.wait_until_idle(900)
    runs = [run for run in deployment.runs() if run["runId"] in asked]
    assert {run["status"] for run in runs} == {"SUCCESS"}, runs
    return runs


def cpu_seconds(deployment: WorkerDeployment) -> float:
    """CPU time of all processes of the deployment, and of those that they saw end (s)."""
    return sum(ticks(pid) for pid in deployment.processes()) / os.sysconf("SC_CLK_TCK")


def ticks(pid: int) -> int:
    """CPU time of a process and of its children that have ended, in the kernel's ticks."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])


if __name__ == "__main__":
    sys.exit(main())
