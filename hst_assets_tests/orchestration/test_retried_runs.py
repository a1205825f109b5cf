"""Which failed runs Dagster tries again, where it retries runs."""

import errno

import dagster as dg
import pytest

from hst_assets.failures import MissingTool
from hst_assets.orchestration.partition_keys import register
from hst_assets.orchestration.partitions import hst_visit
from hst_assets.orchestration.run_target import run_target
from hst_assets.workdir.shared_root import MARK_VARIABLE, mark_root

PARTITION = "sn1/iaaa01"
WILL_RETRY = "dagster/will_retry"


@pytest.fixture
def instance(tmp_path):
    """As several machines have it (`dagster.celery.yaml`)."""
    home = tmp_path / "home"
    home.mkdir()
    retries = {"run_retries": {"enabled": True, "max_retries": 3}}
    with dg.DagsterInstance.local_temp(str(home), overrides=retries) as instance:
        instance.add_dynamic_partitions(hst_visit.name, [PARTITION])
        yield instance


def _tags_of_failed(defs, instance):
    ended = defs.resolve_job_def("visit_exposures").execute_in_process(
        partition_key=PARTITION, instance=instance, raise_on_error=False
    )
    assert not ended.success
    return instance.get_run_by_id(ended.run_id).tags


def test_a_run_that_failed_for_its_data_is_not_tried_again(campaign, defs, instance):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.broken.add(("exposure_table", PARTITION))
    assert _tags_of_failed(defs, instance)[WILL_RETRY] == "false"


def test_a_run_that_failed_for_what_nobody_knows_is(campaign, defs, instance, monkeypatch):
    campaign.add_exposure("sn1", "iaaa01")

    def gone(*_, **__):
        raise RuntimeError("server closed the connection")

    monkeypatch.setattr(campaign, "step", gone)
    assert _tags_of_failed(defs, instance)[WILL_RETRY] == "true"


def test_a_run_whose_machine_lost_the_shared_folder_is(campaign, defs, instance, monkeypatch):
    campaign.add_exposure("sn1", "iaaa01")
    monkeypatch.setenv(MARK_VARIABLE, mark_root(campaign.root))
    campaign.root.rename(campaign.root.with_name("elsewhere"))
    campaign.root.mkdir()
    assert _tags_of_failed(defs, instance)[WILL_RETRY] == "true"
    assert list(campaign.root.iterdir()) == []


def test_a_run_on_a_machine_without_the_tool_is(campaign, defs, instance, monkeypatch):
    campaign.add_exposure("sn1", "iaaa01")

    def lacks(*_, **__):
        raise MissingTool("DOLPHOT is not installed", where="PATH")

    monkeypatch.setattr(campaign, "step", lacks)
    assert _tags_of_failed(defs, instance)[WILL_RETRY] == "true"


def test_a_run_in_a_users_process_is_left_to_the_user(campaign, defs, instance, monkeypatch):
    campaign.add_exposure("sn1", "iaaa01")

    def gone(*_, **__):
        raise RuntimeError("server closed the connection")

    monkeypatch.setattr(campaign, "step", gone)
    list(run_target(defs, instance, campaign.workdir("sn1")))
    failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    assert failed
    assert {run.tags[WILL_RETRY] for run in failed} == {"false"}


@pytest.fixture
def whole(campaign, defs, instance):
    """The job of a whole target, which fails: its run."""
    campaign.add_exposure("sn1", "iaaa01")
    register(instance, "sn1", ["iaaa01"])

    def run():
        ended = defs.resolve_job_def("process_target").execute_in_process(
            partition_key="sn1", instance=instance, raise_on_error=False
        )
        assert not ended.success
        return instance.get_run_by_id(ended.run_id)

    return run


def test_a_whole_target_that_failed_for_its_data_is_not(campaign, whole):
    campaign.broken.add(("aligned_exposures", PARTITION))
    assert whole().tags[WILL_RETRY] == "false"


def test_a_whole_target_that_failed_for_its_settings_is_not(campaign, whole):
    campaign.workdir("sn1").settings_file.write_text("[nothing]\nknown = 1\n")
    assert whole().tags[WILL_RETRY] == "false"


def test_a_whole_target_whose_disk_was_full_is(campaign, whole, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(campaign, "step", full)
    assert whole().tags[WILL_RETRY] == "true"


def test_a_whole_target_whose_worker_died_is(defs, instance):
    job = defs.resolve_job_def("process_target")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=job.tags)
    instance.report_run_failed(run, "its worker does not know of it")
    assert instance.get_run_by_id(run.run_id).tags[WILL_RETRY] == "true"
