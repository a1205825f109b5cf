"""The jobs of a whole target and of a new visit: runs of every level, in one of theirs."""

import pytest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.partition_keys import register
from hst_assets.orchestration.run_target import run_target


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


@pytest.fixture
def target(campaign, instance):
    for visit in ("iaaa01", "iaaa02"):
        campaign.add_exposure("sn1", visit)
    register(instance, "sn1", ["iaaa01", "iaaa02"])
    return campaign.workdir("sn1")


def run(defs, instance, job, partition):
    return defs.resolve_job_def(job).execute_in_process(
        partition_key=partition, instance=instance, raise_on_error=False
    )


def test_one_job_makes_everything_of_a_target_and_then_finds_it_up_to_date(
    campaign, defs, instance, target
):
    assert run(defs, instance, "process_target", "sn1").success
    assert target.report.is_file()
    assert {key for _, key in campaign.ran} == {"sn1", "sn1/iaaa01", "sn1/iaaa02"}
    levels = {record.dagster_run.job_name for record in instance.get_run_records()}
    wanted = {level.job for level in ASSETS.levels_from_raw if not level.wanted}
    assert levels == {"process_target", *wanted}
    campaign.ran.clear()
    assert run(defs, instance, "process_target", "sn1").success
    assert campaign.ran == []


def test_a_new_visit_is_processed_with_what_follows_from_it(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    campaign.add_exposure("sn1", "iaaa03")
    register(instance, "sn1", ["iaaa03"])
    assert run(defs, instance, "process_new_visit", "sn1/iaaa03").success
    assert {key for _, key in campaign.ran} == {"sn1/iaaa03", "sn1"}
    assert ("drizzled_stacks", "sn1") in campaign.ran


def test_what_failed_fails_the_job_and_is_named(campaign, defs, instance, target):
    campaign.broken.add(("aligned_exposures", "sn1/iaaa02"))
    result = run(defs, instance, "process_target", "sn1")
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "broken on purpose" in failure.step_failure_data.user_failure_data.description
    assert target.stack_products.is_file()  # of the other visit


def test_runs_within_a_run_are_asked_about_with_its_task(campaign, defs, instance, target):
    task = {"dagster-celery/task_id": "task-1"}
    assert (
        defs.resolve_job_def("process_target")
        .execute_in_process(partition_key="sn1", instance=instance, tags=task)
        .success
    )
    tasks = [run.tags.get("dagster-celery/task_id") for run in instance.get_runs()]
    assert len(tasks) > 1
    assert set(tasks) == {"task-1"}


def test_runs_within_a_run_name_it(defs, instance, target):
    outer = run(defs, instance, "process_target", "sn1").run_id
    named = {each.tags.get("hst_assets/within_run") for each in instance.get_runs()}
    assert named == {None, outer}
    assert "hst_assets/within_run" not in instance.get_run_by_id(outer).tags
