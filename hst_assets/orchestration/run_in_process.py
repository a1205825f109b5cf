"""Run a job in this process, as a run that the web UI counts among its own.

``JobDefinition.execute_in_process`` makes a run that belongs to no code location: the UI's
timeline, the history of its jobs and the pages of its assets pass such a run over. Dagster's
webserver and daemon name the location when they make a run; here the same is done, for which
there is no public way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from hst_assets.orchestration.dagster_private import (
    SINGLETON_REPOSITORY_NAME,
    InMemoryJob,
    LoadableTargetOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    execute_run,
)
from hst_assets.orchestration.runs import PARTITION_TAG

__all__ = ["CODE_LOCATION_VARIABLE", "run_in_process"]

CODE_LOCATION_VARIABLE = "HST_ASSETS_CODE_LOCATION"
_MODULE = "hst_assets.definitions"


def run_in_process(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    partition: str,
    run_config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> dg.JobExecutionResult:
    """Run one partition of a job; a failed step is told by the result.

    Parameters
    ----------
    job : JobDefinition
        What is run; its steps follow each other in this process, whatever its executor.
    instance : DagsterInstance
        Where the run is recorded.
    partition : str
        A registered partition.
    run_config : mapping
        As Dagster takes it.
    tags : mapping
        Of the run, beyond that of the partition.
    """
    in_process = job.as_ephemeral_job(resource_defs={}, input_values={})
    run = instance.create_run_for_job(
        in_process,
        run_config=run_config,
        tags={**in_process.run_tags, **tags, PARTITION_TAG: partition},
        remote_job_origin=RemoteJobOrigin(
            repository_origin=_repository(), job_name=in_process.name
        ),
    )
    return execute_run(InMemoryJob(in_process), run, instance)


def _repository() -> RemoteRepositoryOrigin:
    """The code location as ``dagster dev`` names it: by its module, unless it is told otherwise.

    The UI compares names. ``-m hst_assets.definitions``, a workspace file and a ``dg`` project
    give the same; who serves the definitions under another name sets the variable.
    """
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        loadable_target_origin=LoadableTargetOrigin(module_name=_MODULE),
        location_name=os.environ.get(CODE_LOCATION_VARIABLE) or _MODULE,
    )
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)
