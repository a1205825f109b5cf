"""Runs as Jobs of Kubernetes, with a server of Kubernetes that keeps what it is sent.

What dagster-k8s makes of a run is compared with Kubernetes' own schemas.
"""

import json
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import dagster as dg
import pytest
from dagster import DagsterRunStatus

pytest.importorskip("dagster_k8s")

import kubernetes_validate
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from kubernetes.client import ApiClient
from kubernetes.client.rest import ApiException
from urllib3.exceptions import MaxRetryError

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.dead_runs import bury_dead_runs
from hst_assets.orchestration.kubernetes_launcher import RunsInPods
from hst_assets.orchestration.processes import this_host
from hst_assets.orchestration.runs import HOST_TAG, POD_JOB_TAG, PROCESS_TAG

#: What the chart hands on from the pod of the code to those of runs.
CONTEXT = {
    "k8s": {
        "namespace": "hst",
        "service_account_name": "hst-dagster",
        "resources": {"limits": {"memory": "2G"}},
        "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": "hst-shared"}}],
        "volume_mounts": [{"name": "shared", "mountPath": "/shared"}],
    }
}
VERSIONS = ["1.31", "1.37"]


@pytest.fixture
def server():
    """What is asked of the server of Kubernetes about Jobs."""
    return MagicMock()


@pytest.fixture
def launcher(server, instance, monkeypatch, tmp_path):
    # As if a process in a pod could open it.
    reference = InstanceRef.from_dir(str(tmp_path))
    monkeypatch.setattr(instance, "get_ref", lambda: reference)
    monkeypatch.setattr("dagster_k8s.launcher.load_kubernetes_config", lambda **_: None)
    # It asks again a server that is away, after a pause.
    monkeypatch.setattr("dagster_k8s.client.time.sleep", lambda _: None)
    made = RunsInPods(
        service_account_name="hst-dagster",
        instance_config_map="hst-dagster-instance",
        postgres_password_secret="hst-database",
        dagster_home="/opt/dagster/dagster_home",
        job_namespace="hst",
        k8s_client_batch_api=server,
        k8s_client_core_api=MagicMock(),
    )
    made.register_instance(instance)
    return made


def _origin(job):
    return JobPythonOrigin(
        job,
        RepositoryPythonOrigin(
            executable_path=sys.executable,
            code_pointer=ModuleCodePointer("hst_assets.definitions", "defs", None),
            container_image="hst_assets:1",
            container_context=CONTEXT,
        ),
    )


def _launched(launcher, server, run):
    """The manifest of the Job that a run is launched as."""
    launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    body = server.create_namespaced_job.call_args.kwargs["body"]
    return ApiClient().sanitize_for_serialization(body)


def _run_of_job(defs, instance, name, **more):
    job = defs.resolve_job_def(name)
    return instance.create_run_for_job(
        job, job_code_origin=_origin(name), tags={**job.run_tags, **more}
    )


def _container(manifest):
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return container


def test_the_pod_of_each_job_has_what_the_largest_of_its_steps_needs(
    defs, instance, launcher, server
):
    for name in (*(level.job for level in ASSETS.levels), "process_target"):
        manifest = _launched(launcher, server, _run_of_job(defs, instance, name))
        rows = [row for row in ASSETS if name in ("process_target", row.job)]
        told = {
            "cpu": str(max(row.resources.cores for row in rows)),
            "memory": f"{max(row.resources.memory_gb for row in rows) * 1000:.0f}M",
        }
        assert _container(manifest)["resources"] == {"requests": told, "limits": told}, name


@pytest.mark.parametrize("version", VERSIONS)
def test_the_job_of_a_run_is_one_by_the_schema_of_kubernetes(
    version, defs, instance, launcher, server
):
    manifest = _launched(launcher, server, _run_of_job(defs, instance, "visit_images"))
    kubernetes_validate.validate(manifest, version, strict=True)
    manifest["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_pod_of_a_run_has_the_image_and_the_shared_folder_of_the_code(
    defs, instance, launcher, server
):
    manifest = _launched(launcher, server, _run_of_job(defs, instance, "visit_images"))
    container = _container(manifest)
    assert container["image"] == "hst_assets:1"
    assert {"name": "shared", "mountPath": "/shared"} in container["volumeMounts"]


@pytest.mark.parametrize(
    ("asset", "memory", "queue"),
    [("exposure_table", "1000M", "dagster"), ("epoch_drizzles", "8000M", "heavy")],
)
def test_assets_chosen_by_hand_have_what_their_rows_need(
    asset, memory, queue, defs, instance, launcher, server
):
    run = instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def(),
        job_code_origin=_origin("__ASSET_JOB"),
        asset_selection={dg.AssetKey(asset)},
    )
    manifest = _launched(launcher, server, run)
    assert _container(manifest)["resources"]["limits"]["memory"] == memory
    assert instance.get_run_by_id(run.run_id).tags["dagster-celery/queue"] == queue


def test_needs_that_a_user_gave_a_run_are_kept(defs, instance, launcher, server):
    given = {"container_config": {"resources": {"limits": {"memory": "64G"}}}}
    more = {"dagster-k8s/config": json.dumps(given)}
    manifest = _launched(launcher, server, _run_of_job(defs, instance, "visit_images", **more))
    assert _container(manifest)["resources"] == {"limits": {"memory": "64G"}}


def test_a_run_in_a_pod_is_not_taken_for_a_process_of_the_code_server(
    defs, instance, launcher, server
):
    run = _run_of_job(defs, instance, "visit_images")
    assert run.tags[HOST_TAG] == this_host()  # where the code was read
    _launched(launcher, server, run)
    now = instance.get_run_by_id(run.run_id)
    assert now.tags[HOST_TAG] == f"dagster-run-{run.run_id}"
    instance.report_engine_event("Started process for run (pid: 999999999).", now)
    instance.handle_new_event(_began(now))
    assert bury_dead_runs(instance) == []


def _began(run):
    from dagster._core.events import DagsterEvent, DagsterEventType
    from dagster._core.events.log import EventLogEntry

    event = DagsterEvent(DagsterEventType.RUN_START.value, run.job_name, pid=999999999)
    return EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id=run.run_id,
        timestamp=1.0,
        job_name=run.job_name,
        dagster_event=event,
    )


# -------------------------------------------------------------------------------------- health


@pytest.fixture
def run(defs, instance):
    return instance.create_run_for_job(
        defs.resolve_job_def("visit_images"),
        job_code_origin=_origin("visit_images"),
        status=DagsterRunStatus.STARTED,
        tags={POD_JOB_TAG: "dagster-run-1"},
    )


def _job(**status):
    given = {"active": None, "failed": None, "succeeded": None, **status}
    return SimpleNamespace(status=SimpleNamespace(**given))


@pytest.mark.parametrize("status", [{"active": 1}, {}])
def test_a_run_whose_pod_is_at_work_or_begins_is_running(status, server, launcher, run):
    server.read_namespaced_job_status.return_value = _job(**status)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    assert server.read_namespaced_job_status.call_args.args == ("dagster-run-1",)
    assert server.read_namespaced_job_status.call_args.kwargs == {"namespace": "hst"}


@pytest.mark.parametrize("status", [{"failed": 1}, {"succeeded": 1}])
def test_a_run_whose_pod_ended_before_it_has_failed(status, server, launcher, run):
    server.read_namespaced_job_status.return_value = _job(**status)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.FAILED


def test_a_run_that_ended_meanwhile_has_not_failed(server, launcher, instance, run):
    server.read_namespaced_job_status.return_value = _job(succeeded=1)
    instance.report_run_canceled(run)  # any end
    assert launcher.check_run_worker_health(run).status == WorkerStatus.SUCCESS


def test_a_run_whose_job_was_deleted_has_failed(server, launcher, run):
    server.read_namespaced_job_status.side_effect = ApiException(status=404)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.FAILED


@pytest.mark.parametrize(
    "away",
    [
        ApiException(status=503),
        ApiException(status=403),
        MaxRetryError(MagicMock(), "https://cluster"),
        ConnectionRefusedError(),
    ],
)
def test_a_server_that_does_not_answer_says_nothing_about_a_run(away, server, launcher, run):
    server.read_namespaced_job_status.side_effect = away
    found = launcher.check_run_worker_health(run)
    assert found.status == WorkerStatus.RUNNING
    assert "not checked" in found.msg


def test_a_run_of_a_command_that_someone_typed_has_no_job_to_ask_about(
    server, launcher, defs, instance
):
    run = instance.create_run_for_job(
        defs.resolve_job_def("visit_images"),
        status=DagsterRunStatus.STARTED,
        tags={PROCESS_TAG: f"{this_host()}:1:0"},
    )
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    assert not server.read_namespaced_job_status.called
