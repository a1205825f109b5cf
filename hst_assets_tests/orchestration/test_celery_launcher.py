"""What the launcher says of runs, with a result store and workers that say what a test wants."""

from types import SimpleNamespace

import pytest

celery_launcher = pytest.importorskip("hst_assets.orchestration.celery_launcher")

from dagster import DagsterRunStatus  # noqa: E402
from dagster._core.launcher import WorkerStatus  # noqa: E402
from redis.exceptions import ConnectionError as RedisAway  # noqa: E402

from hst_assets.orchestration.dead_runs import bury_dead_runs  # noqa: E402

TASK = "task-1"
TAGS = {"dagster-celery/task_id": TASK, "dagster-celery/queue": "heavy"}
STARTED = {"status": "STARTED", "result": {"pid": 7, "hostname": "worker@a"}}
SILENCE_S = 60.0


@pytest.fixture
def world(monkeypatch):
    """What the result store notes, how many runs wait in the queue, and what workers answer."""
    return SimpleNamespace(meta=STARTED, waiting=0, answers={}, now=1000.0, asked=[])


@pytest.fixture
def launcher(world, instance, monkeypatch):
    made = celery_launcher.RunsOnWorkers(
        default_queue="dagster",
        broker="redis://127.0.0.1:1/0",
        backend="redis://127.0.0.1:1/0",
        silence_s=SILENCE_S,
    )
    made.register_instance(instance)

    def noted(*_, **__):
        if isinstance(world.meta, Exception):
            raise world.meta
        return world.meta

    def inspected(destination, timeout):
        world.asked.append(destination)
        return SimpleNamespace(query_task=lambda _: world.answers)

    monkeypatch.setattr(made.celery.backend, "get_task_meta", noted)
    monkeypatch.setattr(made.celery.control, "inspect", inspected)
    monkeypatch.setattr(made, "_n_waiting", lambda _: world.waiting)
    monkeypatch.setattr(celery_launcher.time, "monotonic", lambda: world.now)
    return made


@pytest.fixture
def run(defs, instance):
    job = defs.resolve_job_def("target_frame")
    return instance.create_run_for_job(job, status=DagsterRunStatus.STARTED, tags=TAGS)


def _health(launcher, run):
    return launcher.check_run_worker_health(run).status


def test_a_run_that_its_worker_knows_is_at_work(world, launcher, run):
    world.answers = {"worker@a": {TASK: ["active", {}]}}
    assert _health(launcher, run) == WorkerStatus.RUNNING
    assert world.asked == [["worker@a"]]


def test_a_worker_that_was_started_again_does_not_know_its_run_which_has_failed(
    world, launcher, run
):
    world.answers = {"worker@a": {}}
    assert _health(launcher, run) == WorkerStatus.FAILED


def test_a_silent_worker_is_waited_for_and_then_given_up(world, launcher, run):
    assert _health(launcher, run) == WorkerStatus.RUNNING
    world.now += SILENCE_S - 1
    assert _health(launcher, run) == WorkerStatus.RUNNING
    world.now += 2
    assert _health(launcher, run) == WorkerStatus.FAILED


def test_a_worker_that_answers_again_is_waited_for_anew(world, launcher, run):
    assert _health(launcher, run) == WorkerStatus.RUNNING
    world.answers = {"worker@a": {TASK: ["active", {}]}}
    assert _health(launcher, run) == WorkerStatus.RUNNING
    world.answers, world.now = {}, world.now + 2 * SILENCE_S
    assert _health(launcher, run) == WorkerStatus.RUNNING


def test_a_broker_that_is_away_says_nothing_about_a_run(world, launcher, run):
    assert _health(launcher, run) == WorkerStatus.RUNNING
    world.meta, world.now = RedisAway("refused"), world.now + 2 * SILENCE_S
    found = launcher.check_run_worker_health(run)
    assert found.status == WorkerStatus.RUNNING
    assert "not checked" in found.msg
    # Nor does the silence before it count when the broker is there again.
    world.meta = STARTED
    assert _health(launcher, run) == WorkerStatus.RUNNING


def test_all_workers_are_asked_where_the_note_was_lost_with_the_broker(world, launcher, run):
    world.meta = {"status": "PENDING", "result": None}
    world.answers = {"worker@a": {}, "worker@b": {TASK: ["active", {}]}}
    assert _health(launcher, run) == WorkerStatus.RUNNING
    assert world.asked == [None]


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE"])
def test_a_run_that_did_not_end_with_its_task_has_failed(world, launcher, run, instance, state):
    world.meta = {"status": state, "result": 1}
    assert _health(launcher, run) == WorkerStatus.FAILED
    instance.report_run_failed(run, "as it should")
    assert _health(launcher, run) == WorkerStatus.SUCCESS


def test_a_run_that_waits_in_its_queue_is_not_lost(world, launcher, run):
    world.meta, world.waiting = {"status": "PENDING", "result": None}, 1
    assert launcher.lost_on_the_way(run, 2 * SILENCE_S) == ""


def test_a_run_that_nobody_has_is_lost_after_a_while(world, launcher, run):
    world.meta = {"status": "PENDING", "result": None}
    assert launcher.lost_on_the_way(run, SILENCE_S - 1) == ""
    assert "no worker has it" in launcher.lost_on_the_way(run, SILENCE_S + 1)


def test_a_run_that_began_on_a_worker_that_is_there_is_not_lost(world, launcher, run):
    world.answers = {"worker@a": {TASK: ["active", {}]}}
    assert launcher.lost_on_the_way(run, 2 * SILENCE_S) == ""


def test_a_broker_that_is_away_loses_no_run(world, launcher, run):
    world.meta = RedisAway("refused")
    assert launcher.lost_on_the_way(run, 2 * SILENCE_S) == ""


def test_runs_that_were_lost_on_their_way_are_marked_as_failed(
    world, launcher, defs, instance, monkeypatch
):
    job = defs.resolve_job_def("target_frame")
    run = instance.create_run_for_job(job, status=DagsterRunStatus.STARTING, tags=TAGS)
    monkeypatch.setattr(type(instance), "run_launcher", launcher)
    assert bury_dead_runs(instance) == []
    monkeypatch.setattr(launcher, "_silence_s", -1.0)
    (told,) = bury_dead_runs(instance)
    assert "was lost: no worker has it, and its queue is empty" in told
    assert instance.get_run_by_id(run.run_id).status == DagsterRunStatus.FAILURE


def test_a_revoked_run_is_cancelling_until_its_worker_has_ended_it(launcher, run, instance):
    revoked = []
    launcher.celery.control.revoke = lambda *args, **more: revoked.append((args, more))
    assert launcher.terminate(run.run_id)
    assert instance.get_run_by_id(run.run_id).status == DagsterRunStatus.CANCELING
    ((_, more),) = revoked
    assert more["terminate"]
