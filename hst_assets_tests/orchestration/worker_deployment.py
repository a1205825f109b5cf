"""A deployment of several machines on this one: servers, daemon and web server, workers.

Each machine is a group of processes with the variables that the guide names. A worker may be a
machine of its own as far as it and the others can tell: with a host name, process numbers and
mounts that no other has (Linux's namespaces, for which one must be root).
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from hst_assets.orchestration.sensors import SENSOR_INTERVAL_VARIABLE
from hst_assets_tests.orchestration.servers import Postgres, Redis, free_port, wait_for
from hst_assets_tests.orchestration.web_ui import WebUi

_PROGRAM = Path(sys.executable).parent / "hst-assets"
#: Celery's word for a worker that takes tasks.
_READY = " ready."


class WorkerDeployment(WebUi):
    """Servers, `hst-assets up` and workers, whose processes all end with it.

    Parameters
    ----------
    folder : `~pathlib.Path`
        For the root, Dagster's home and logs.
    processes : int
        Runs at a time, of all workers.
    poll_s : int
        Between two looks of Dagster at its runs.
    silence_s : float
        How long a worker is waited for that does not answer.
    module : str
        The definitions that are served.
    """

    def __init__(self, folder, *, processes=2, poll_s=3, silence_s=20.0, module=""):
        self.folder = folder
        self.root, self.home = folder / "root", folder / "home"
        self.root.mkdir(parents=True)
        self.home.mkdir()
        self.redis, self.postgres = Redis(self._made("redis")), Postgres()
        super().__init__(free_port())
        self.module = module
        self.environment = {
            **os.environ,
            "HST_ASSETS_BROKER_URL": self.redis.url,
            "HST_ASSETS_POSTGRES_URL": self.postgres.url,
            "HST_ASSETS_ROOT": str(self.root),
            "DAGSTER_HOME": str(self.home),
            SENSOR_INTERVAL_VARIABLE: "2",
        }
        self._settings = (processes, poll_s, silence_s)
        self.workers = {}
        self._up = None

    def __enter__(self):
        self.redis.start()
        self.postgres.start()
        self.command("home", "--celery")
        self._quicken()
        return self

    def __exit__(self, *_):
        for process in filter(None, [self._up, *self.workers.values()]):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.redis.stop()
        self.postgres.remove()

    def command(self, *arguments):
        """One command of ``hst-assets``; what it printed."""
        done = subprocess.run(
            [_PROGRAM, *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # ------------------------------------------------------------------------- processes

    def serve(self):
        """Start web server and daemon, as on the first machine."""
        command = [_PROGRAM, "up", "--port", str(self.port)]
        if self.module:
            command = [sys.executable, "-m", "dagster", "dev", "-m", self.module]
            command += ["-h", "127.0.0.1", "-p", str(self.port)]
        self._up = self._started("up", command)
        wait_for(self.is_up, "the web server", within_s=180, pause_s=0.5)
        return self

    def serve_again_if_ended(self):
        """Start web server and daemon anew if they are gone, as systemd would; were they?"""
        if self._up.poll() is None and self.is_up():
            return False
        with suppress(ProcessLookupError):
            os.killpg(self._up.pid, signal.SIGKILL)
        self._up.wait()
        self.serve()
        return True

    def add_worker(self, name, *queues, own_machine=False):
        """Start a worker, and wait until it takes runs."""
        command = [_PROGRAM, "worker", "--name", name]
        command += [word for queue in queues for word in ("--queue", queue)]
        if own_machine:
            begin = f'hostname {name}; mount --bind {self.root} {self.root}; exec "$@"'
            namespaces = ["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
            command = ["unshare", *namespaces, "bash", "-ec", begin, "bash", *command]
        begun_before = self.log_of(name).count(_READY)
        process = self.workers[name] = self._started(name, command)
        wait_for(
            lambda: process.poll() is None and self.log_of(name).count(_READY) > begun_before,
            f"worker {name}",
            within_s=120,
        )
        return process

    def kill_worker(self, name):
        """As if its machine had lost power: the whole group at once."""
        os.killpg(self.workers[name].pid, signal.SIGKILL)
        self.workers[name].wait()

    def take_root_from(self, name):
        """Unmount the shared root on a worker's own machine: what is below it is empty."""
        outer = self.workers[name].pid
        inner = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0]
        empty = self._made("empty")
        enter = ["nsenter", "--mount", "--pid", "--target", inner]
        subprocess.run([*enter, "umount", "--lazy", self.root], check=True)
        # On the machine of a worker nothing is there but the place to mount it.
        subprocess.run([*enter, "mount", "--bind", empty, self.root], check=True)

    def log_of(self, name):
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _started(self, name, command):
        with (self._made("logs") / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(word) for word in command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def processes(self):
        """Processes of this deployment, wherever they hang."""
        mark = f"DAGSTER_HOME={self.home}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    pid = int(folder.name)
                    if pid != os.getpid():
                        yield pid

    def _made(self, name):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _quicken(self):
        """The deployment's dagster.yaml, with shorter pauses and the limits of these workers."""
        processes, poll_s, silence_s = self._settings
        path = self.home / "dagster.yaml"
        text = path.read_text()
        for old, new in (
            ("max_concurrent_runs: 8", f"max_concurrent_runs: {processes}"),
            ("dequeue_interval_seconds: 2", "dequeue_interval_seconds: 1"),
            ("poll_interval_seconds: 30", f"poll_interval_seconds: {poll_s}"),
            ("  config:\n    broker:", f"  config:\n    silence_s: {silence_s}\n    broker:"),
        ):
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text)

    # ----------------------------------------------------------------------- web server

    def launch(self, job, partition):
        """Put one run into Dagster's queue; its id."""
        selector = self.selector()
        parameters = {
            "selector": {**selector, "jobName": job},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
        }
        launched = self.ask(
            "mutation($parameters: ExecutionParams!) { launchRun(executionParams: $parameters)"
            " { __typename ... on LaunchRunSuccess { run { runId } }"
            " ... on PythonError { message } } }",
            parameters=parameters,
        )["launchRun"]
        assert "run" in launched, launched
        return launched["run"]["runId"]

    def runs(self):
        """All runs, latest first, their tags as a mapping."""
        found = self.ask(
            "{ runsOrError { ... on Runs { results { runId jobName status creationTime"
            " startTime endTime updateTime tags { key value } } } } }"
        )["runsOrError"]["results"]
        for run in found:
            run["tags"] = {tag["key"]: tag["value"] for tag in run["tags"]}
        return found

    def count(self):
        return Counter(run["status"] for run in self.runs())

    def is_idle(self):
        """Whether no run is queued, at work, or about to be retried."""
        runs = self.runs()
        if not runs or any(not run["endTime"] for run in runs):
            return False
        retried = {run["tags"].get("dagster/parent_run_id") for run in runs}
        # Dagster writes down that a run failed, and only then whether it tries it again.
        return not any(
            run["status"] == "FAILURE"
            and run["tags"].get("dagster/will_retry") != "false"
            and run["runId"] not in retried
            for run in runs
        )

    def wait_until_idle(self, within_s):
        deadline = time.monotonic() + within_s
        while True:
            # The web server may be without its database for a moment.
            with suppress(OSError, AssertionError):
                if self.is_idle():
                    return
            assert time.monotonic() < deadline, f"not idle within {within_s} s: {self.count()}"
            time.sleep(1)
