"""Runs as pods of Kubernetes: dagster-k8s' launcher, with what each run needs.

dagster-k8s makes one Job of Kubernetes a run. Three things are added: a run of assets that were
chosen by hand gets the queue and the memory and cores of their rows, as those of the jobs have
them; a run is known to be in its pod, and not in that of the code server, before it begins; and a
server of Kubernetes that does not answer says nothing about a run.
"""

from __future__ import annotations

import dagster as dg

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.dagster_private import (
    CheckRunHealthResult,
    LaunchRunContext,
    WorkerStatus,
)
from hst_assets.orchestration.pod_needs import POD_TAG, pod_config
from hst_assets.orchestration.queues import QUEUE_TAG, queue_for
from hst_assets.orchestration.runs import HOST_TAG, POD_JOB_TAG, UNFINISHED, chosen_assets

try:
    from dagster_k8s import K8sRunLauncher
    from dagster_k8s.client import (
        DagsterK8sAPIRetryLimitExceeded,
        DagsterK8sUnrecoverableAPIError,
    )
    from dagster_k8s.job import get_job_name_from_run_id
    from urllib3.exceptions import HTTPError
except ModuleNotFoundError as missing:
    raise BadConfiguration(
        f"runs as pods of Kubernetes need {missing.name}",
        where="run_launcher in dagster.yaml",
        next_step="pip install 'hst_assets[k8s]'",
    ) from missing

__all__ = ["RunsInPods"]

#: What is raised while the server of Kubernetes is away, or refuses to say.
_AWAY = (DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError, HTTPError, OSError)


class RunsInPods(K8sRunLauncher):  # type: ignore[misc] # it has no types
    """Runs as Jobs of Kubernetes, each with the memory and cores of its largest step.

    Its configuration is that of `dagster_k8s.K8sRunLauncher`.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        """Make the Job of a run."""
        run = context.dagster_run
        # The job's tag names the host of the code server, where the run is not.
        name = get_job_name_from_run_id(run.run_id)
        tags = {HOST_TAG: name, POD_JOB_TAG: name}
        rows = ASSETS.rows_of(chosen_assets(run))
        if QUEUE_TAG not in run.tags:
            tags[QUEUE_TAG] = queue_for(rows)
        if POD_TAG not in run.tags:
            tags[POD_TAG] = pod_config(rows)
        self._instance.add_run_tags(run.run_id, tags)
        told = run.with_tags({**run.tags, **tags})
        super().launch_run(context._replace(dagster_run=told))

    @property
    def supports_resume_run(self) -> bool:
        """False: a run is not resumed in another pod, but retried as a new run."""
        return False

    @property
    def supports_run_worker_crash_recovery(self) -> bool:
        """False: the former name of `supports_resume_run` in Dagster."""
        return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the Job that executes a run is active.

        A server that does not answer says nothing about a run.
        """
        name = run.tags.get(POD_JOB_TAG)
        if name is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "it is in no Job of Kubernetes")
        namespace = self.get_container_context_for_run(run).namespace
        try:
            status = self._api_client.get_job_status(job_name=name, namespace=namespace)
        except _AWAY as error:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"not checked: {error}")
        if status is None:
            return self._ended(run, f"there is no Job {name} any more")
        if status.active or not (status.failed or status.succeeded):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return self._ended(run, f"the pod of Job {name} ended")

    def _ended(self, run: dg.DagsterRun, why: str) -> CheckRunHealthResult:
        """Whether a run whose pod is over has said so itself; else it has died."""
        now = self._instance.get_run_by_id(run.run_id)
        if now is None or now.status not in UNFINISHED:
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"{why}, and the run did not end")
