"""Runs as tasks of Celery, on whatever machine takes them: the run launcher of many machines.

dagster-celery's launcher trusts the state of a task in the result store. So a run whose machine
went down stays STARTED for ever, and a run whose entry was lost with the broker is failed while it
still works. This launcher asks the worker itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.dagster_private import (
    CheckRunHealthResult,
    LaunchRunContext,
    WorkerStatus,
    packed_run,
)
from hst_assets.orchestration.queues import QUEUE_TAG, queue_for
from hst_assets.orchestration.runs import UNFINISHED, chosen_assets
from hst_assets.orchestration.worker_code import CODE_HEADER, code_here, note_code

try:
    from celery.exceptions import BackendError
    from celery.exceptions import OperationalError as BrokerError
    from dagster_celery.config import TASK_EXECUTE_JOB_NAME
    from dagster_celery.launcher import CeleryRunLauncher
    from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
    from redis.exceptions import RedisError
except ModuleNotFoundError as missing:
    raise BadConfiguration(
        f"runs on Celery's workers need {missing.name}",
        where="run_launcher in dagster.yaml",
        next_step="pip install 'hst_assets[celery]'",
    ) from missing

__all__ = ["ANSWER_S", "RunsOnWorkers"]

#: How long a worker is waited for that does not answer, seconds: more than a broker's restart.
SILENCE_S = 180.0
#: What the broker or the result store raise while they are away.
_AWAY = (BrokerError, BackendError, RedisError, OSError)
#: Of a task of which no worker has said anything, and of one that a worker threw away.
_NOT_BEGUN = frozenset({"PENDING", "REVOKED"})
_ENDED = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
#: How long a worker has for its answer, seconds.
ANSWER_S = 3.0
#: A broker that restarts is waited for two minutes before a run counts as not launched.
_PUBLISH = {"max_retries": 60, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 2.0}
SETTINGS: dict[str, Any] = {
    "task_publish_retry": True,
    "task_publish_retry_policy": _PUBLISH,
    "broker_transport_options": {},
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # A worker that is busy leaves what waits to the others.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # What a run says goes to its log, by file descriptor.
    "worker_redirect_stdouts": False,
    # Who asks about a run has no time to wait for the result store; a worker has.
    "result_backend_always_retry": False,
    "redis_socket_connect_timeout": 5.0,
    "redis_socket_keepalive": True,
}


#: Since when nobody has a run that was launched (s since 1970): sensors and commands that ask are
#: processes of their own, each with its launcher.
SILENT_TAG = "hst_assets/silent_since"


@dataclass
class _Silence:
    """Since when nobody says that he works on a run, by this process's clock (s)."""

    since: float


class RunsOnWorkers(CeleryRunLauncher):  # type: ignore[misc] # it has no types
    """Runs as tasks of Celery, in queues by need, with workers that are asked.

    Parameters
    ----------
    silence_s : float, optional
        How long a worker that does not answer is waited for, seconds, before its run is failed.
    **more : Any
        As `dagster_celery.launcher.CeleryRunLauncher` takes them.
    """

    def __init__(self, silence_s: float = SILENCE_S, **more: Any) -> None:
        given = more.pop("config_source", None) or {}
        super().__init__(config_source={**SETTINGS, **given}, **more)
        self._silence_s = silence_s
        self._silent: dict[str, _Silence] = {}
        self._has_told_code = False

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration of dagster-celery's own, and how long a silent worker is waited for."""
        return {
            **CeleryRunLauncher.config_type(),
            "silence_s": dg.Field(float, is_required=False, default_value=SILENCE_S),
        }

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> RunsOnWorkers:
        """As Dagster makes it from ``dagster.yaml``."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Put a run into its queue; runs of assets that were chosen by hand have no tag for it."""
        run = context.dagster_run
        if QUEUE_TAG not in run.tags:
            tags = {QUEUE_TAG: queue_for(ASSETS.rows_of(chosen_assets(run)))}
            self._instance.add_run_tags(run.run_id, tags)
            run = run.with_tags({**run.tags, **tags})
        # dagster-celery declares the task again at each launch, and Celery warns of it.
        signature = self.celery.signature(
            TASK_EXECUTE_JOB_NAME,
            kwargs={"execute_job_args_packed": packed_run(run, self._instance)},
            immutable=True,
            headers={CODE_HEADER: code_here()},
        )
        if not self._has_told_code:
            note_code(self._instance)
            self._has_told_code = True
        self._launch_celery_task_run(run, signature, TASK_EXECUTE_JOB_NAME)

    @property
    def supports_resume_run(self) -> bool:
        """False: a run is not resumed in another process, but retried as a new run."""
        return False

    def terminate(self, run_id: str) -> bool:
        """Cancel a run: at once while it waits at the broker, else as far as its worker hears."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        told = bool(super().terminate(run_id))
        if told and self._never_began(run):
            # A worker throws its task away, and nobody would say so: the run would keep its place
            # among those at work until Dagster gives up waiting.
            self._instance.report_run_canceled(run, "It waited at the broker and had not begun")
        return told

    def _never_began(self, run: dg.DagsterRun) -> bool:
        """Whether a run was launched and revoked before a worker began it.

        It may have been told to end before, while nobody could say so.
        """
        record = self._instance.get_run_record_by_id(run.run_id)
        waits = run.status in {DagsterRunStatus.STARTING, DagsterRunStatus.CANCELING}
        if not waits or record is None or record.start_time is not None:
            return False
        try:
            state, _ = self._noted(run.tags[DAGSTER_CELERY_TASK_ID_TAG])
        except _AWAY:
            return False
        return state in _NOT_BEGUN

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a worker works on a run that has begun.

        A broker that does not answer says nothing about a run.
        """
        try:
            found = self._health(run, run.tags[DAGSTER_CELERY_TASK_ID_TAG])
        except KeyError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "it is no task of Celery")
        except _AWAY as error:
            self._silent.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"not checked: {error}")
        if found.status != WorkerStatus.RUNNING:
            self._silent.pop(run.run_id, None)
        return found

    def lost_on_the_way(self, run: dg.DagsterRun, waiting_s: float) -> str:
        """Why a launched run will never begin; empty if it still waits, or this is not known.

        Dagster itself has only a time limit, which would also fail runs that wait for a free
        worker.

        Parameters
        ----------
        run : DagsterRun
            A run that has not begun.
        waiting_s : float
            How long it has waited, seconds.
        """
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None or waiting_s < self._silence_s:
            return ""
        try:
            state, worker = self._noted(task_id)
            if state in _ENDED:
                return f"its task ended ({state}) before the run began"
            waits = self._n_waiting(run.tags.get(QUEUE_TAG, self.default_queue)) > 0
            is_silent = not (waits or self._is_known(task_id, worker))
        except _AWAY:
            is_silent = False
        # One question may get lost, or meet a worker that is busy.
        dead = self._silent_s(run, is_silent=is_silent) > self._silence_s
        return "no worker has it, and its queue is empty" if dead else ""

    def _is_known(self, task_id: str, worker: str | None) -> bool:
        """Whether a worker says that it has a task."""
        answers = self._asked(task_id, worker)
        return any(task_id in (tasks or {}) for tasks in answers.values())

    def _silent_s(self, run: dg.DagsterRun, *, is_silent: bool) -> float:
        """How long nobody has had a run, seconds, with what was found now; it is noted."""
        now, noted = time.time(), run.tags.get(SILENT_TAG, "")
        if is_silent and noted:
            return now - float(noted)
        if is_silent or noted:
            self._instance.add_run_tags(run.run_id, {SILENT_TAG: str(now) if is_silent else ""})
        return 0.0

    def _n_waiting(self, queue: str) -> int:
        """How many runs no worker has taken yet."""
        with self.celery.connection_for_read() as connection:
            try:
                declared = connection.default_channel.queue_declare(queue=queue, passive=True)
            except connection.channel_errors:  # in Redis what is empty is not there
                return 0
            return int(declared.message_count)

    def _noted(self, task_id: str) -> tuple[str, str | None]:
        """The state of a task by the result store, and the worker that has begun it."""
        meta = self.celery.backend.get_task_meta(task_id, cache=False)
        told = meta.get("result")
        return meta["status"], told.get("hostname") if isinstance(told, Mapping) else None

    def _health(self, run: dg.DagsterRun, task_id: str) -> CheckRunHealthResult:
        state, worker = self._noted(task_id)
        if state in _ENDED:
            return self._ended(run, f"its task ended ({state})")
        answers = self._asked(task_id, worker)
        if any(task_id in (tasks or {}) for tasks in answers.values()):
            self._silent.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if worker in answers:
            return self._ended(run, f"worker {worker} does not know of it")
        return self._silence(run, worker)

    def _asked(self, task_id: str, worker: str | None) -> Mapping[str, Mapping[str, Any]]:
        """What a worker, or all where nobody says which, say of a task; empty if nobody answers."""
        inspect = self.celery.control.inspect(
            destination=[worker] if worker else None, timeout=ANSWER_S
        )
        return inspect.query_task(task_id) or {}

    def _ended(self, run: dg.DagsterRun, why: str) -> CheckRunHealthResult:
        """Whether a run whose task is over has said so itself; else it has died."""
        now = self._instance.get_run_by_id(run.run_id)
        if now is None or now.status not in UNFINISHED:
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"{why}, and the run did not end")

    def _silence(self, run: dg.DagsterRun, worker: str | None) -> CheckRunHealthResult:
        now = time.monotonic()
        silent = now - self._silent.setdefault(run.run_id, _Silence(now)).since
        told = f"{worker or 'no worker'} answers for {silent:.0f} s"
        dead = silent > self._silence_s
        return CheckRunHealthResult(WorkerStatus.FAILED if dead else WorkerStatus.RUNNING, told)

    def get_run_worker_debug_info(
        self,
        run: dg.DagsterRun,
        include_container_logs: bool | None = True,  # noqa: ARG002, FBT001, FBT002 - Dagster's
    ) -> str | None:
        """Which task a run was, and its queue."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        return f"task {task_id} of queue {run.tags.get(QUEUE_TAG)}" if task_id else None
