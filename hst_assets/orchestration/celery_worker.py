"""A worker of Celery that takes runs from queues and does them, one a process.

It works in one root, which it recognizes by a mark. If the root is lost, it gives its run back and
ends: otherwise it would fail each run at once, be free first, and so take all runs. It does the
same if its code is older than the code that launched the run (`orchestration.worker_code`).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from celery import Celery, Task
from celery.exceptions import Ignore
from celery.utils.nodenames import gethostname
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task
from tenacity import before_sleep_log, retry, stop_after_delay, wait_fixed

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.celery_launcher import ANSWER_S, RunsOnWorkers
from hst_assets.orchestration.dagster_private import capture_interrupts, run_of_packed
from hst_assets.orchestration.processes import this_host
from hst_assets.orchestration.runs import HOST_TAG
from hst_assets.orchestration.worker_code import (
    CODE_HEADER,
    code_of_launcher,
    difference,
    older_stages,
)
from hst_assets.reasons import first_of
from hst_assets.workdir import default_root
from hst_assets.workdir.shared_root import is_lost

__all__ = ["serve_queues", "worker_app"]

logger = logging.getLogger(__name__)

#: Runs that a process does before another takes its place: what libraries do not give back ends.
_RUNS_A_PROCESS = 50
#: How long a worker that ends keeps the run that it gives back, so that another takes it, seconds.
_HANDING_BACK_S = 2.0
#: How long a run that has not begun waits for the database, seconds.
_DATABASE_S = 120.0
#: At most so many stages are named.
_NAMED = 3
#: A worker that has done its run keeps trying to say so.
_KEEPS_TELLING = {"result_backend_always_retry": True, "result_backend_max_retries": 30}


def worker_app(launcher: RunsOnWorkers) -> Celery:
    """Celery's application as the launcher of an instance has it, with the task that does a run."""
    arguments = launcher.app_args()
    arguments["config_source"] = {**arguments["config_source"], **_KEEPS_TELLING}
    app = make_app(app_args=arguments)
    create_execute_job_task(app, base=_Run)
    return app


def serve_queues(
    instance: dg.DagsterInstance,
    queues: Sequence[str],
    *,
    n_processes: int,
    name: str,
    environment: Mapping[str, str],
) -> None:
    """Take runs from the queues until SIGTERM; runs in progress are finished.

    Parameters
    ----------
    instance : DagsterInstance
        Whose `dagster.yaml` names `RunsOnWorkers`.
    queues : sequence of str
        See `hst_assets.orchestration.queues`.
    n_processes : int
        Runs at a time.
    name : str
        Of the worker on this machine; no other has the same.
    environment : mapping
        The root and its mark, as variables of the worker and its processes.

    Raises
    ------
    BadConfiguration
        If the instance launches its runs otherwise, another worker has the name, or the code here
        is older than that which launches runs.
    """
    launcher = instance.run_launcher
    if not isinstance(launcher, RunsOnWorkers):
        raise BadConfiguration(
            f"its runs are started by {type(launcher).__name__}, not by Celery",
            where=instance.root_directory,
            next_step="Write its dagster.yaml with 'hst-assets home --celery'",
        )
    app = worker_app(launcher)
    hostname = f"{name}@{gethostname()}"
    _refuse_older(instance)
    _refuse_taken(app, hostname)
    arguments = ["worker", "--loglevel", "INFO", "--queues", ",".join(queues)]
    arguments += ["--concurrency", str(n_processes), "--hostname", hostname]
    arguments += ["--max-tasks-per-child", str(_RUNS_A_PROCESS), "-O", "fair"]
    # Workers that look for each other cost messages, and nothing here needs them to.
    arguments += ["--without-gossip", "--without-mingle"]
    os.environ.update(environment)
    app.worker_main(arguments)


def _refuse_older(instance: dg.DagsterInstance) -> None:
    launcher = code_of_launcher(instance)
    if older := older_stages(launcher):
        named = first_of(older, _NAMED)
        raise BadConfiguration(
            f"the code of this worker is older than that which launches runs: {named}",
            where=gethostname(),
            next_step="Upgrade hst_assets here; if it was the other that went back, start "
            "'hst-assets up' again and let it launch a run",
        )
    if told := difference(launcher):
        logger.warning("%s: restart 'hst-assets up' and all workers after an upgrade", told)


def _refuse_taken(app: Celery, hostname: str) -> None:
    """Raise if another worker answers to a name: of two, each would deny the runs of the other."""
    with app.connection_for_write() as connection:
        # Without the broker there is nothing to do: it is waited for.
        connection.ensure_connection(errback=_say_away)
        inspect = app.control.inspect(
            destination=[hostname], timeout=ANSWER_S, connection=connection
        )
        answers = inspect.ping()
    if answers:
        raise BadConfiguration(
            "another worker of this name is running",
            where=hostname,
            next_step="Give this one another with --name",
        )


def _say_away(error: Exception, interval_s: float) -> None:
    logger.warning("the broker does not answer (%s): asked again in %.0f s", error, interval_s)


class _Run(Task):  # type: ignore[misc] # Celery has no types
    """A run of Dagster's as a task: only in the root that is meant, and known by its host."""

    def __call__(self, execute_job_args_packed: Mapping[str, Any]) -> Any:
        """Do the run; one that cannot be done here, or not by this code, is given back."""
        launcher = self.request.get(CODE_HEADER)
        if is_lost(default_root()):
            why = f"the shared folder {default_root()} is not there"
            self._give_back(execute_job_args_packed, why)
        # Of a run from before somebody went back to this code, nobody newer will come.
        if older_stages(launcher) and (older := older_stages(_code_launching_now() or launcher)):
            why = f"the code of this worker is older: {first_of(older, _NAMED)}"
            self._give_back(execute_job_args_packed, why)
        if told := difference(launcher):
            logger.warning("%s", told)
        _say_host(run_of_packed(execute_job_args_packed))
        with _interrupted_by_revoking():
            return super().__call__(execute_job_args_packed)

    def _give_back(self, execute_job_args_packed: Mapping[str, Any], why: str) -> None:
        logger.error("%s: this worker ends", why)
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(_HANDING_BACK_S)
        delivered = self.request.delivery_info
        queue, priority = delivered["routing_key"], delivered.get("priority") or 0
        again = {"execute_job_args_packed": execute_job_args_packed}
        self.apply_async(
            kwargs=again,
            task_id=self.request.id,
            queue=queue,
            priority=priority,
            headers={CODE_HEADER: self.request.get(CODE_HEADER)},
        )
        raise Ignore


_waits_for_database = retry(
    stop=stop_after_delay(_DATABASE_S),
    wait=wait_fixed(1.0),
    before_sleep=before_sleep_log(logger, logging.WARNING),
    reraise=True,
)


@_waits_for_database
def _code_launching_now() -> dict[str, Any] | None:
    with dg.DagsterInstance.get() as instance:
        return code_of_launcher(instance)


@_waits_for_database
def _say_host(run_id: str) -> None:
    """Write where a run is done; a database that restarts is waited for."""
    with dg.DagsterInstance.get() as instance:
        # Before the run tells its process: number and host belong together (`dead_runs`).
        instance.add_run_tags(run_id, {HOST_TAG: this_host()})


@contextmanager
def _interrupted_by_revoking() -> Iterator[None]:
    """Let the signal by which Celery ends a task interrupt the step, as in Dagster's processes."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with capture_interrupts():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
