"""Names of Dagster that are not part of its public interface, and why each is needed.

Dagster may move or change them in any release. All private imports are here, so that an upgrade
breaks in one place; pyproject.toml admits one minor version at a time.

``DagsterAssetCheckFailedError``
    The error with which Dagster fails a step whose blocking check did not pass. Its name tells
    such a step from one whose own body failed; `dagster` exports no public counterpart.
``StepFailureData``
    The type of ``DagsterEvent.step_failure_data``. The attribute is public, its type is not.
``running_sensor_cursors``
    One sensor waits for what another has announced in its cursor, and Dagster gives a sensor no
    public way to read another's.
``InMemoryJob``, ``execute_run``
    Execute a run that was made before, in this process. ``JobDefinition.execute_in_process`` makes
    the run itself, one that belongs to no code location and that the UI passes over.
``LoadableTargetOrigin``, ``ManagedGrpcPythonEnvCodeLocationOrigin``, ``RemoteJobOrigin``,
``RemoteRepositoryOrigin``, ``SINGLETON_REPOSITORY_NAME``
    The code location of a run, by which the UI attributes it, as webserver and daemon write it.
``CODE_VERSION_TAG``, ``DATA_VERSION_TAG``, ``DEFAULT_DATA_VERSION``, ``get_input_data_version_tag``
    Tags of a materialization by which Dagster judges what is stale: a product is recorded anew if
    they would be others.
``LocalComputeLogManager``
    What the web server sends files of: it has no public way to serve a file of ours.
``CheckRunHealthResult``, ``LaunchRunContext``, ``WorkerStatus``
    What a run launcher is given and answers. Launchers of one's own are documented, their types are
    not exported.
``capture_interrupts``
    How a process of Dagster's that does a run takes signals; dagster-celery leaves it out.
``packed_run``, ``run_of_packed``
    What a launcher sends to the process that does a run; dagster-celery's task takes it packed.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    get_input_data_version_tag,
)
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.execution.api import execute_run
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.interrupts import capture_interrupts

__all__ = [
    "CODE_VERSION_TAG",
    "DATA_VERSION_TAG",
    "DEFAULT_DATA_VERSION",
    "SINGLETON_REPOSITORY_NAME",
    "CheckRunHealthResult",
    "DagsterAssetCheckFailedError",
    "InMemoryJob",
    "LaunchRunContext",
    "LoadableTargetOrigin",
    "LocalComputeLogManager",
    "ManagedGrpcPythonEnvCodeLocationOrigin",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "StepFailureData",
    "WorkerStatus",
    "capture_interrupts",
    "execute_run",
    "get_input_data_version_tag",
    "packed_run",
    "run_of_packed",
    "running_sensor_cursors",
]


def packed_run(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Any:
    """What the process is sent that does a run."""
    from dagster._grpc.types import ExecuteRunArgs
    from dagster._serdes import pack_value

    origin = run.job_code_origin
    assert origin is not None, f"run {run.run_id} was made without a code location"
    arguments = ExecuteRunArgs(
        job_origin=origin,
        run_id=run.run_id,
        instance_ref=instance.get_ref(),
        set_exit_code_on_failure=True,
    )
    return pack_value(arguments)


def run_of_packed(execute_run_args: Mapping[str, Any]) -> str:
    """The id of the run that a launcher has sent to be done."""
    from dagster._grpc.types import ExecuteRunArgs
    from dagster._serdes import unpack_value

    return unpack_value(execute_run_args, as_type=ExecuteRunArgs).run_id


def running_sensor_cursors(instance: dg.DagsterInstance) -> dict[str, list[str | None]]:
    """The cursors of all running sensors by name, one for each code location that has it."""
    # Here, for it takes 80 ms that every process with the definitions would pay.
    from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData

    found: dict[str, list[str | None]] = {}
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        if state.is_running and isinstance(state.instigator_data, SensorInstigatorData):
            found.setdefault(state.instigator_name, []).append(state.instigator_data.cursor)
    return found
