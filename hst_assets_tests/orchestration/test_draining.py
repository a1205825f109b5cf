"""A target drained while its runs wait."""

import json

import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterRunStatus
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from hst_assets.orchestration.dagster_private import RemoteJobOrigin
from hst_assets.orchestration.draining import drain_target
from hst_assets.orchestration.processes import this_process
from hst_assets.orchestration.runs import PROCESS_TAG, TASK_TAG, WITHIN_TAG
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


@pytest.fixture
def drain(instance):
    """Drains sn1 without waiting between looks."""
    return lambda campaign: drain_target(instance, campaign.workdir("sn1"), between_looks_s=0.0)


@pytest.fixture
def terminate(instance, monkeypatch):
    """Puts something in the place of the launcher's way to end a run."""
    return lambda function: monkeypatch.setattr(instance.run_launcher, "terminate", function)


def test_queued_runs_are_cancelled_and_nothing_of_other_targets_is(campaign, instance, put, drain):
    for target in ("sn1", "sn10"):
        campaign.add_exposure(target, "iaaa01")
    mine = [put(f"sn1/iaaa{number:02d}") for number in range(12)]
    others = [put("sn10/iaaa01"), put("sn10/iaaa02", DagsterRunStatus.STARTED)]
    drained = drain(campaign)
    assert (drained.cancelled, drained.told, drained.left) == (12, [], [])
    states = {run.run_id: run.status for run in instance.get_runs()}
    assert {states[each] for each in mine} == {DagsterRunStatus.CANCELED}
    assert [states[each] for each in others] == [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED]
    assert load_settings(campaign.workdir("sn1")).target.retired
    assert not load_settings(campaign.workdir("sn10")).target.retired


def test_a_drained_target_is_asked_for_nothing(campaign, daemon, put, drain):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn2", "iaaa01")
    put("sn1/iaaa01")
    drain(campaign)
    assert daemon.tick("visit_exposures") == ["sn2/iaaa01"]


def test_runs_at_work_are_told_to_end_and_commands_are_named(campaign, put, drain, terminate):
    campaign.add_exposure("sn1", "iaaa01")
    begun = put("sn1/iaaa01", DagsterRunStatus.STARTED)
    put("sn1/iaaa02", DagsterRunStatus.STARTED, **{PROCESS_TAG: this_process()})
    ended = []
    terminate(lambda run_id: ended.append(run_id) or True)
    drained = drain(campaign)
    assert ended == [begun]
    assert drained.told == ["visit_images sn1/iaaa01"]
    assert drained.left == []
    (named,) = drained.of_commands
    assert "visit_images sn1/iaaa02 (process " in named


def test_a_run_that_cannot_be_told_holds_up_no_other(campaign, instance, put, drain, terminate):
    campaign.add_exposure("sn1", "iaaa01")
    queued = put("sn1/iaaa01")
    reached = put("sn1/iaaa02", DagsterRunStatus.STARTED)
    unheard = put("sn1/iaaa03", DagsterRunStatus.STARTED)
    gone = put("sn1/iaaa04", DagsterRunStatus.STARTED)  # the newest, and so the first in the list

    def ends(run_id):
        assert instance.get_run_by_id(queued).status == DagsterRunStatus.CANCELED
        if run_id == gone:
            raise ConnectionError("the broker is away\nand so on")
        return run_id == reached

    terminate(ends)
    drained = drain(campaign)
    assert (drained.cancelled, drained.told) == (1, ["visit_images sn1/iaaa02"])
    assert drained.left == [
        "visit_images sn1/iaaa04 (the broker is away)",
        "visit_images sn1/iaaa03 (what launched it cannot reach it)",
    ]
    assert "hst_assets/not_told" in instance.get_run_by_id(unheard).tags


def test_a_run_that_waits_at_the_broker_counts_as_cancelled(
    campaign, instance, put, drain, terminate
):
    campaign.add_exposure("sn1", "iaaa01")
    put("sn1/iaaa01", DagsterRunStatus.STARTING)

    def cancels(run_id):
        instance.report_run_canceled(instance.get_run_by_id(run_id))
        return True

    terminate(cancels)
    drained = drain(campaign)
    assert (drained.cancelled, drained.told) == (1, [])


def test_a_run_that_leaves_the_queue_meanwhile_is_told_to_end(
    campaign, instance, put, drain, terminate, monkeypatch
):
    campaign.add_exposure("sn1", "iaaa01")
    late = put("sn1/iaaa01")
    put("sn1/iaaa02")  # the newest, and so the first
    cancel = instance.run_coordinator.cancel_run

    def the_other_starts(run_id):
        if run_id != late:
            start = DagsterEvent(DagsterEventType.RUN_START.value, "visit_images")
            instance.report_dagster_event(start, late)
        return cancel(run_id)

    monkeypatch.setattr(instance.run_coordinator, "cancel_run", the_other_starts)
    terminate(lambda _run_id: True)
    drained = drain(campaign)
    assert (drained.cancelled, drained.told) == (1, ["visit_images sn1/iaaa01"])


def test_what_was_told_before_is_named_as_such_and_not_told_again(campaign, put, drain, terminate):
    campaign.add_exposure("sn1", "iaaa01")
    put("sn1/iaaa01", DagsterRunStatus.CANCELING)
    told = []
    terminate(lambda run_id: told.append(run_id) or True)
    drained = drain(campaign)
    assert drained.told_before == ["visit_images sn1/iaaa01"]
    assert (drained.told, drained.left, told) == ([], [], [])


def test_what_could_not_be_told_is_told_by_the_next_command(
    campaign, instance, put, drain, terminate
):
    campaign.add_exposure("sn1", "iaaa01")
    nobody_listens = {".dagster/grpc_info": json.dumps({"host": "localhost", "port": 1})}
    run_id = put("sn1/iaaa01", DagsterRunStatus.STARTED, **nobody_listens)
    (left,) = drain(campaign).left
    assert left.startswith("visit_images sn1/iaaa01 (Could not reach user code server")
    assert instance.get_run_by_id(run_id).status == DagsterRunStatus.CANCELING
    terminate(lambda _run_id: True)
    assert drain(campaign).told == ["visit_images sn1/iaaa01"]
    assert drain(campaign).told_before == ["visit_images sn1/iaaa01"]


@pytest.mark.parametrize("shared", [WITHIN_TAG, TASK_TAG])
def test_runs_within_a_run_end_with_it_and_nobody_is_sent_to_their_process(
    campaign, put, drain, terminate, shared
):
    campaign.add_exposure("sn1", "iaaa01")
    outer = put("sn1", DagsterRunStatus.STARTED, **{TASK_TAG: "task-1"})
    of_outer = {WITHIN_TAG: outer, TASK_TAG: "task-1"}[shared]
    put("sn1/iaaa01", DagsterRunStatus.STARTED, **{PROCESS_TAG: this_process(), shared: of_outer})
    told = []
    terminate(lambda run_id: told.append(run_id) or True)
    drained = drain(campaign)
    assert told == [outer]
    assert (drained.of_commands, drained.left) == ([], [])


def test_runs_that_come_while_it_drains_are_cancelled_too(
    campaign, instance, put, terminate, monkeypatch
):
    campaign.add_exposure("sn1", "iaaa01")
    waits = []

    def a_tick_goes_on(wait_s):
        waits.append(wait_s)
        if len(waits) < 4:
            put(f"sn1/iaaa{len(waits):02d}")

    monkeypatch.setattr("hst_assets.orchestration.draining.time.sleep", a_tick_goes_on)
    assert drain_target(instance, campaign.workdir("sn1")).cancelled == 3
    assert waits == [1.0] * 4
