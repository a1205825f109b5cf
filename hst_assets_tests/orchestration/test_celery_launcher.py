"""What the launcher says of runs, with a result store and workers that say what a test wants."""

import json
import time
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

celery_launcher = pytest.importorskip("hst_assets.orchestration.celery_launcher")

from celery.exceptions import BackendGetMetaError, Ignore  # noqa: E402
from dagster import DagsterRunStatus  # noqa: E402
from dagster._core.launcher import WorkerStatus  # noqa: E402
from redis.exceptions import ConnectionError as RedisAway  # noqa: E402

from hst_assets.failures import BadConfiguration  # noqa: E402
from hst_assets.orchestration.dead_runs import bury_dead_runs  # noqa: E402
from hst_assets.orchestration.worker_code import (  # noqa: E402
    CODE_HEADER,
    code_here,
    code_of_launcher,
    note_code,
)
from hst_assets_tests.orchestration.servers import wait_for  # noqa: E402

TASK = "task-1"
TAGS = {"dagster-celery/task_id": TASK, "dagster-celery/queue": "heavy"}
STARTED = {"status": "STARTED", "result": {"pid": 7, "hostname": "worker@a"}}
SILENCE_S = 60.0
#: What is raised while the result store is away, by its client and by Celery.
AWAY = [RedisAway("refused"), BackendGetMetaError("failed to get meta", task_id=TASK)]


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
    clock = SimpleNamespace(monotonic=lambda: world.now, time=lambda: world.now)
    monkeypatch.setattr(celery_launcher, "time", clock)
    return made


@pytest.fixture
def run(defs, instance):
    job = defs.resolve_job_def("target_frame")
    return instance.create_run_for_job(job, status=DagsterRunStatus.STARTED, tags=TAGS)


@pytest.fixture
def waiting(defs, instance):
    """A run that was launched, and has not begun."""
    job = defs.resolve_job_def("target_frame")
    return instance.create_run_for_job(job, status=DagsterRunStatus.STARTING, tags=TAGS)


def _with(launcher, instance):
    """The instance, as its dagster.yaml would give it the launcher."""
    storage = instance.daemon_cursor_storage
    return SimpleNamespace(run_launcher=launcher, daemon_cursor_storage=storage)


def _lost(launcher, run):
    """Why a run will not begin that was launched long ago, with the tags it has now."""
    return launcher.lost_on_the_way(launcher._instance.get_run_by_id(run.run_id), 2 * SILENCE_S)


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


@pytest.mark.parametrize("away", AWAY)
def test_a_broker_that_is_away_says_nothing_about_a_run(world, launcher, run, away):
    assert _health(launcher, run) == WorkerStatus.RUNNING
    world.meta, world.now = away, world.now + 2 * SILENCE_S
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
    assert _lost(launcher, run) == ""
    world.now += SILENCE_S + 1
    assert "no worker has it" in _lost(launcher, run)


def test_one_unanswered_question_loses_no_run(world, launcher, run):
    assert _lost(launcher, run) == ""
    world.answers, world.now = {"worker@a": {TASK: ["active", {}]}}, world.now + SILENCE_S - 1
    assert _lost(launcher, run) == ""
    world.answers, world.now = {}, world.now + 2
    assert _lost(launcher, run) == ""


def test_how_long_nobody_has_a_run_is_known_to_all_processes(world, launcher, run, monkeypatch):
    assert _lost(launcher, run) == ""
    another = celery_launcher.RunsOnWorkers(default_queue="dagster", silence_s=SILENCE_S)
    another.register_instance(launcher._instance)
    for method in ("_noted", "_n_waiting", "_asked"):
        monkeypatch.setattr(another, method, getattr(launcher, method))
    world.now += SILENCE_S + 1
    assert "no worker has it" in _lost(another, run)


def test_a_run_that_began_on_a_worker_that_is_there_is_not_lost(world, launcher, run):
    world.answers = {"worker@a": {TASK: ["active", {}]}}
    assert launcher.lost_on_the_way(run, 2 * SILENCE_S) == ""


@pytest.mark.parametrize("away", AWAY)
def test_a_broker_that_is_away_loses_no_run(world, launcher, run, away):
    world.meta = away
    assert launcher.lost_on_the_way(run, 2 * SILENCE_S) == ""


def test_runs_that_were_lost_on_their_way_are_marked_as_failed(
    world, launcher, waiting, instance, monkeypatch
):
    monkeypatch.setattr(type(instance), "run_launcher", launcher)
    assert bury_dead_runs(instance) == []
    monkeypatch.setattr(launcher, "_silence_s", -1.0)  # the run was launched just now
    (told,) = bury_dead_runs(instance)
    assert "was lost: no worker has it, and its queue is empty" in told
    assert instance.get_run_by_id(waiting.run_id).status == DagsterRunStatus.FAILURE


@pytest.fixture
def revoked(launcher):
    """What is sent to the workers when a task is revoked."""
    sent = []
    launcher.celery.control.revoke = lambda *args, **more: sent.append((args, more))
    return sent


def test_a_revoked_run_is_cancelling_until_its_worker_has_ended_it(
    launcher, run, instance, revoked
):
    assert launcher.terminate(run.run_id)
    assert instance.get_run_by_id(run.run_id).status == DagsterRunStatus.CANCELING
    ((_, more),) = revoked
    assert more["terminate"]


@pytest.mark.parametrize("state", ["PENDING", "REVOKED"])
def test_a_run_that_waits_at_the_broker_is_cancelled_at_once(
    world, launcher, waiting, instance, revoked, state
):
    world.meta = {"status": state, "result": None}
    assert launcher.terminate(waiting.run_id)
    assert instance.get_run_by_id(waiting.run_id).status == DagsterRunStatus.CANCELED
    assert len(revoked) == 1  # else a worker would begin it, and find out


@pytest.mark.parametrize("away", AWAY)
def test_a_run_whose_state_nobody_told_is_cancelled_when_it_is_told_to_end_again(
    world, launcher, waiting, instance, revoked, away
):
    world.meta = away
    assert launcher.terminate(waiting.run_id)
    assert instance.get_run_by_id(waiting.run_id).status == DagsterRunStatus.CANCELING
    world.meta = {"status": "PENDING", "result": None}
    assert launcher.terminate(waiting.run_id)
    assert instance.get_run_by_id(waiting.run_id).status == DagsterRunStatus.CANCELED


def test_a_run_that_a_worker_is_just_beginning_is_left_to_that_worker(
    world, launcher, waiting, instance, revoked
):
    world.meta = STARTED
    assert launcher.terminate(waiting.run_id)
    assert instance.get_run_by_id(waiting.run_id).status == DagsterRunStatus.CANCELING


def test_who_asks_about_a_run_does_not_wait_for_the_result_store(instance, run):
    asking = celery_launcher.RunsOnWorkers(
        default_queue="dagster",
        broker="redis://127.0.0.1:1/0",  # nobody listens
        backend="redis://127.0.0.1:1/0",
    )
    asking.register_instance(instance)
    begun = time.monotonic()
    assert "not checked" in asking.check_run_worker_health(run).msg
    # With thirty retries it was some minutes.
    assert time.monotonic() - begun < 10


def test_a_worker_keeps_telling_the_result_store(launcher):
    from hst_assets.orchestration.celery_worker import worker_app

    assert worker_app(launcher).conf.result_backend_always_retry
    assert not launcher.celery.conf.result_backend_always_retry


def test_of_two_workers_with_one_name_the_second_is_refused(launcher, instance, monkeypatch):
    from celery.utils.nodenames import gethostname

    from hst_assets.orchestration import celery_worker

    at_work = {f"worker@{gethostname()}"}
    app = celery_worker.worker_app(launcher)
    begun = []

    def inspected(destination, **_):
        answers = {name: {"ok": "pong"} for name in at_work.intersection(destination)}
        return SimpleNamespace(ping=lambda: answers or None)

    monkeypatch.setattr(app.control, "inspect", inspected)
    monkeypatch.setattr(app, "connection_for_write", lambda: MagicMock())
    monkeypatch.setattr(app, "worker_main", begun.append)
    monkeypatch.setattr(celery_worker, "worker_app", lambda _: app)

    def serve(name):
        told = _with(launcher, instance)
        celery_worker.serve_queues(told, ["heavy"], n_processes=1, name=name, environment={})

    with pytest.raises(BadConfiguration, match="--name"):
        serve("worker")
    assert begun == []
    serve("second")
    assert f"second@{gethostname()}" in begun[0]


# ------------------------------------------------------------------- old and new code side by side


@pytest.fixture
def served(instance, monkeypatch):
    """The task of a worker with its broker in memory, and what it gives back, or begins."""
    from dagster_celery.config import TASK_EXECUTE_JOB_NAME

    from hst_assets.orchestration import celery_worker

    # Celery gives the tasks of each app of a process to all others.
    monkeypatch.setattr("celery._state._on_app_finalizers", set())
    launcher = celery_launcher.RunsOnWorkers(
        default_queue="dagster", broker="memory://", backend="cache+memory://"
    )
    launcher.register_instance(instance)
    app = celery_worker.worker_app(launcher)
    task = app.tasks[TASK_EXECUTE_JOB_NAME]
    seen = SimpleNamespace(given_back=[], begun=[], ended=[], app=app, put=task.apply_async)
    monkeypatch.setattr(task, "apply_async", lambda **more: seen.given_back.append(more))
    monkeypatch.setattr(celery_worker, "is_lost", lambda _: False)
    monkeypatch.setattr(celery_worker, "run_of_packed", lambda packed: packed["run"])
    monkeypatch.setattr(celery_worker, "_HANDING_BACK_S", 0.0)
    monkeypatch.setattr(celery_worker.os, "kill", lambda *told: seen.ended.append(told))

    def begin(run):
        seen.begun.append(run)
        raise Begun

    def do(run, code):
        delivered = {"routing_key": "heavy", "priority": 0}
        more = {} if code is None else {CODE_HEADER: code}
        task.push_request(id="task-1", delivery_info=delivered, **more)
        with pytest.raises((Begun, Ignore)):
            task(execute_job_args_packed={"run": run})
        task.pop_request()

    monkeypatch.setattr(celery_worker, "_say_host", begin)
    monkeypatch.setattr(celery_worker, "_code_launching_now", lambda: code_of_launcher(instance))
    seen.do = do
    return seen


class Begun(Exception):
    """Of a run that would be done now."""


def _code(**changed):
    """The code here, with other versions of some stages."""
    here = code_here()
    return {**here, "stages": {**here["stages"], **changed}}


def test_a_run_that_newer_code_launched_is_given_back_by_a_worker_which_ends(served):
    newer = _code(drizzled_image="999")
    served.do("run-1", newer)
    (back,) = served.given_back
    assert back["kwargs"] == {"execute_job_args_packed": {"run": "run-1"}}
    assert (back["task_id"], back["queue"]) == ("task-1", "heavy")
    # Whoever takes it next is asked the same.
    assert back["headers"] == {CODE_HEADER: newer}
    assert served.ended
    assert served.begun == []


def test_a_run_of_newer_code_is_done_after_everybody_went_back(served, instance):
    """It would be given back for ever: no newer worker comes."""
    note_code(instance)
    served.do("run-1", _code(drizzled_image="999"))
    assert served.begun == ["run-1"]
    assert served.given_back == served.ended == []


@pytest.mark.parametrize("code", [None, _code(), _code(drizzled_image="0")])
def test_a_run_of_the_same_or_older_code_is_done(served, code):
    served.do("run-1", code)
    assert served.begun == ["run-1"]
    assert served.given_back == served.ended == []


def test_the_code_that_launched_a_run_comes_to_the_worker_through_the_broker(served):
    from celery.contrib.testing.worker import start_worker

    newer = _code(drizzled_image="999")
    kwargs = {"execute_job_args_packed": {"run": "run-1"}}
    served.put(kwargs=kwargs, headers={CODE_HEADER: newer})
    with start_worker(served.app, pool="solo", perform_ping_check=False):
        wait_for(lambda: served.given_back, "the run is given back")
    assert served.given_back[0]["headers"] == {CODE_HEADER: newer}


def test_a_worker_with_older_code_is_refused_when_it_starts(launcher, instance, monkeypatch):
    from hst_assets.orchestration import celery_worker

    monkeypatch.setattr(celery_worker, "_refuse_taken", lambda *_: None)
    instance.daemon_cursor_storage.set_cursor_values(
        {"hst_assets/code_of_launcher": json.dumps(_code(reference_image="999"))}
    )
    told = _with(launcher, instance)
    with pytest.raises(BadConfiguration, match=r"reference_image \d+ \(launched by 999\)"):
        celery_worker.serve_queues(told, ["heavy"], n_processes=1, name="one", environment={})


def test_the_launcher_tells_its_code_with_each_run_and_in_the_instance(
    launcher, instance, run, monkeypatch
):
    sent = []
    monkeypatch.setattr(celery_launcher, "packed_run", lambda *_: {})
    monkeypatch.setattr(launcher, "_launch_celery_task_run", lambda _, task, __: sent.append(task))
    assert code_of_launcher(instance) is None
    launcher.launch_run(SimpleNamespace(dagster_run=run))
    assert sent[0].options["headers"] == {CODE_HEADER: code_here()}
    assert code_of_launcher(instance) == code_here()
