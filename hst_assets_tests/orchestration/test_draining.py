"""A target drained while its runs wait."""

import pytest
from dagster import DagsterRunStatus
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from hst_assets.orchestration.dagster_private import RemoteJobOrigin
from hst_assets.orchestration.draining import drain_target
from hst_assets.orchestration.processes import this_process
from hst_assets.orchestration.runs import PROCESS_TAG
from hst_assets.settings import load_settings


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


@pytest.fixture
def put(defs, instance):
    """Puts a run of the images of a visit into the instance."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="hst_assets"))
    repository = RemoteRepositoryOrigin(location, "__repository__")

    def made(key, status=DagsterRunStatus.QUEUED, **tags):
        return instance.create_run_for_job(
            defs.resolve_job_def("visit_images"),
            status=status,
            tags={"dagster/partition": key, **tags},
            remote_job_origin=RemoteJobOrigin(repository, "visit_images"),
        ).run_id

    return made


def test_queued_runs_are_cancelled_and_nothing_of_other_targets_is(campaign, instance, put):
    for target in ("sn1", "sn10"):
        campaign.add_exposure(target, "iaaa01")
    mine = [put(f"sn1/iaaa{number:02d}") for number in range(12)]
    others = [put("sn10/iaaa01"), put("sn10/iaaa02", DagsterRunStatus.STARTED)]
    drained = drain_target(instance, campaign.workdir("sn1"))
    assert (drained.cancelled, drained.told, drained.left) == (12, [], [])
    states = {run.run_id: run.status for run in instance.get_runs()}
    assert {states[each] for each in mine} == {DagsterRunStatus.CANCELED}
    assert [states[each] for each in others] == [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED]
    assert load_settings(campaign.workdir("sn1")).target.retired
    assert not load_settings(campaign.workdir("sn10")).target.retired


def test_a_drained_target_is_asked_for_nothing(campaign, daemon, instance, put):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn2", "iaaa01")
    put("sn1/iaaa01")
    drain_target(instance, campaign.workdir("sn1"))
    assert daemon.tick("visit_exposures") == ["sn2/iaaa01"]


def test_runs_at_work_are_told_to_end_and_commands_are_named(campaign, instance, put, monkeypatch):
    campaign.add_exposure("sn1", "iaaa01")
    begun = put("sn1/iaaa01", DagsterRunStatus.STARTED)
    put("sn1/iaaa02", DagsterRunStatus.STARTED, **{PROCESS_TAG: this_process()})
    ended = []
    monkeypatch.setattr(
        instance.run_launcher, "terminate", lambda run_id: ended.append(run_id) or True
    )
    drained = drain_target(instance, campaign.workdir("sn1"))
    assert ended == [begun]
    assert drained.told == ["visit_images sn1/iaaa01"]
    (left,) = drained.left
    assert "visit_images sn1/iaaa02 (process " in left
