"""Targets: added, listed, retired and taken up again."""

import multiprocessing

import pytest
from dagster import DagsterRunStatus
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from hst_assets.failures import BadConfiguration, TransientFailure
from hst_assets.orchestration.partition_keys import TARGET, visits_of
from hst_assets.orchestration.processes import this_host
from hst_assets.orchestration.run_target import run_target
from hst_assets.orchestration.runs import PROCESS_TAG, partitions_in_flight
from hst_assets.orchestration.targets import (
    active_targets,
    add_target,
    archive_targets,
    list_targets,
    retire_target,
)
from hst_assets.settings import load_settings, write_settings


@pytest.fixture
def local(campaign):
    campaign.add_exposure("sn1", "iaaa01")
    return campaign.workdir("sn1")


def started(defs, instance, partition, status=DagsterRunStatus.STARTED, job="visit_exposures"):
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="hst_assets"))
    return instance.create_run_for_job(
        defs.resolve_job_def(job),
        status=status,
        tags={"dagster/partition": partition},
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "repository"), job),
    )


def test_adding_writes_settings_and_registers(campaign, instance):
    workdir = campaign.workdir("sn1")
    settings = {"target": {"ra_deg": 10.0, "dec_deg": 20.0}, "archive": {"query": True}}
    add_target(instance, workdir, settings)
    assert load_settings(workdir).archive.query
    assert instance.get_dynamic_partitions(TARGET) == ["sn1"]
    assert list(archive_targets(campaign.root)) == ["sn1"]


def test_adding_registers_the_visits_that_are_there(local, instance):
    add_target(instance, local, {"archive": {"query": True}})
    assert [key.visit for key in visits_of(instance, "sn1")] == ["iaaa01"]


def test_adding_keeps_what_it_does_not_name(local, instance):
    add_target(instance, local, {"archive": {"radius_arcmin": 2.0}})
    settings = load_settings(local)
    assert settings.target.ra_deg == 10.0
    assert settings.archive.radius_arcmin == 2.0


def test_settings_that_are_not_valid_are_refused_and_nothing_is_registered(campaign, instance):
    with pytest.raises(BadConfiguration, match="radius_arcmin"):
        add_target(instance, campaign.workdir("sn1"), {"archive": {"radius_arcmin": -1.0}})
    assert instance.get_dynamic_partitions(TARGET) == []
    assert not campaign.workdir("sn1").settings_file.exists()


def test_that_a_target_is_retired_is_read_again_when_a_file_of_settings_changes(local, campaign):
    assert active_targets(campaign.root) == ["sn1"]
    write_settings(local, {"target": {"retired": True}})
    assert active_targets(campaign.root) == []
    local.settings_file.write_text(local.settings_file.read_text().replace("true", "false"))
    assert active_targets(campaign.root) == ["sn1"]
    campaign.root.joinpath("settings.toml").write_text("[target]\nretired = true\n")
    local.settings_file.write_text("[target]\nra_deg = 10.0\ndec_deg = 20.0\n")
    assert active_targets(campaign.root) == []


def test_a_retired_target_is_not_active_and_is_taken_up_by_adding(local, campaign, instance):
    retire_target(instance, local)
    assert active_targets(campaign.root) == []
    assert active_targets(campaign.root, retired=True) == ["sn1"]
    add_target(instance, local, {})
    assert active_targets(campaign.root) == ["sn1"]
    assert "retired" not in local.settings_file.read_text()


def test_retiring_a_target_that_is_not_there_is_refused(campaign, instance):
    with pytest.raises(BadConfiguration, match="no work directory"):
        retire_target(instance, campaign.workdir("sn9"))


@pytest.mark.parametrize(
    "status",
    [
        DagsterRunStatus.QUEUED,
        DagsterRunStatus.NOT_STARTED,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    ],
)
def test_retiring_is_refused_while_runs_of_visits_are_in_flight(local, defs, instance, status):
    run = started(defs, instance, "sn1/iaaa01", status)
    with pytest.raises(TransientFailure, match="in flight for sn1/iaaa01"):
        retire_target(instance, local)
    assert not load_settings(local).target.retired
    instance.report_run_canceled(run)
    retire_target(instance, local)
    assert load_settings(local).target.retired


def test_retiring_is_refused_while_a_run_of_the_target_is_in_flight(local, defs, instance):
    started(defs, instance, "sn1", job="target_stacks")
    with pytest.raises(TransientFailure, match="in flight for sn1"):
        retire_target(instance, local)


def test_runs_of_a_target_with_a_longer_name_do_not_matter(local, defs, instance):
    started(defs, instance, "sn10/iaaa01")
    retire_target(instance, local)
    assert load_settings(local).target.retired


def _hold(workdir, held, release):
    with workdir.lock("aligned_exposures_iaaa01"):
        held.set()
        release.wait(30)


def test_retiring_is_refused_while_a_process_works_in_the_folder(local, instance):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    worker = context.Process(target=_hold, args=(local, held, release))
    worker.start()
    try:
        assert held.wait(60)
        with pytest.raises(TransientFailure, match="in flight"):
            retire_target(instance, local)
    finally:
        release.set()
        worker.join()
    retire_target(instance, local)


def test_a_run_that_died_with_its_process_does_not_hold_up_retiring(local, defs, instance):
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    instance.create_run_for_job(
        defs.resolve_job_def("visit_exposures"),
        status=DagsterRunStatus.STARTED,
        tags={
            "dagster/partition": "sn1/iaaa01",
            PROCESS_TAG: f"{this_host()}:{process.pid}",
        },
    )
    retire_target(instance, local)
    assert load_settings(local).target.retired


def test_a_retired_target_can_still_be_walked(local, defs, instance):
    retire_target(instance, local)
    assert not any(outcome.failures for outcome in run_target(defs, instance, local))


def test_the_list_says_how_targets_stand(archive, campaign, defs, instance):
    followed = archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    archive.add_visit("sn1", "jaaa02")
    list(run_target(defs, instance, followed, assets=["archive_exposures"]))
    campaign.add_exposure("sn2", "iaaa01")
    retire_target(instance, campaign.workdir("sn2"))
    started(defs, instance, "sn1/jaaa01")
    one, two = list_targets(campaign.root, partitions_in_flight(instance))
    assert (one.target, one.archive, one.retired) == ("sn1", True, False)
    assert (one.n_visits, one.n_outstanding, one.in_flight) == (2, 2, 1)
    assert one.asked_mjd is not None
    assert (two.target, two.archive, two.retired) == ("sn2", False, True)
    assert (two.n_visits, two.n_outstanding, two.asked_mjd) == (1, 0, None)


def test_a_target_that_cannot_be_read_is_listed_with_the_reason(local, campaign, instance):
    local.settings_file.write_text("[target]\nra = 3\n")
    (state,) = list_targets(campaign.root, partitions_in_flight(instance))
    assert "unknown setting 'target.ra'" in state.problem
    assert active_targets(campaign.root) == ["sn1"]
    assert archive_targets(campaign.root) == {}
