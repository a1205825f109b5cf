"""Runs of processes that are gone."""

import multiprocessing
import os
import subprocess
import sys

import pytest
from dagster import DagsterRunStatus

from hst_assets.failures import TransientFailure
from hst_assets.orchestration.dead_runs import bury_dead_runs
from hst_assets.orchestration.processes import began_at_tick, this_host
from hst_assets.orchestration.runs import HOST_TAG, PROCESS_TAG
from hst_assets.orchestration.targets import retire_target
from hst_assets.settings import load_settings
from hst_assets_tests.orchestration.daemon import Daemon

HERE = this_host()


@pytest.fixture
def ended():
    """The number of a process that is gone."""
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    return process.pid


@pytest.fixture
def local(campaign):
    campaign.add_exposure("sn1", "iaaa01")
    return campaign.workdir("sn1")


def _daemons_run(defs, instance, pid, *, host=HERE, status=DagsterRunStatus.STARTED):
    """A run as the daemon starts it: its process is in Dagster's words, its host in a tag."""
    job = defs.resolve_job_def("visit_exposures")
    tags = {**job.run_tags, "dagster/partition": "sn1/iaaa01", HOST_TAG: host}
    run = instance.create_run_for_job(job, status=status, tags=tags)
    said = f"Started process for run (pid: {pid})."
    instance.report_engine_event(said, run)
    return run


def test_jobs_say_on_which_host_they_run(defs):
    assert defs.resolve_job_def("target_frame").run_tags[HOST_TAG] == HERE


def test_a_killed_run_of_the_daemon_is_marked_as_failed_with_a_word(defs, instance, ended):
    run = _daemons_run(defs, instance, ended)
    (told,) = bury_dead_runs(instance)
    assert told.startswith(f"run {run.run_id[:8]} (visit_exposures sn1/iaaa01) was killed")
    assert instance.get_run_by_id(run.run_id).status == DagsterRunStatus.FAILURE
    assert bury_dead_runs(instance) == []


def test_it_does_not_hold_up_retiring(defs, instance, local, ended):
    _daemons_run(defs, instance, ended)
    retire_target(instance, local)
    assert load_settings(local).target.retired


@pytest.mark.usefixtures("local")
def test_a_tick_of_a_sensor_clears_it(campaign, defs, instance_on_disk, ended):
    run = _daemons_run(defs, instance_on_disk, ended)
    Daemon(defs, instance_on_disk, campaign.root).tick("target_frame")
    assert instance_on_disk.get_run_by_id(run.run_id).status == DagsterRunStatus.FAILURE


@pytest.mark.usefixtures("local")
def test_a_nightly_sweep_clears_it_and_tries_its_partition(campaign, defs, instance_on_disk, ended):
    run = _daemons_run(defs, instance_on_disk, ended)
    night = Daemon(defs, instance_on_disk, campaign.root).night("nightly_visit_exposures")
    assert instance_on_disk.get_run_by_id(run.run_id).status == DagsterRunStatus.FAILURE
    assert night == ["sn1/iaaa01"]


def test_a_child_that_nobody_asked_about_counts_as_gone(defs, instance):
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    try:
        _daemons_run(defs, instance, process.pid)
        assert len(bury_dead_runs(instance)) == 1
    finally:
        process.wait()


def test_a_later_process_of_the_same_number_is_another(defs, instance, monkeypatch):
    run = _daemons_run(defs, instance, os.getppid())
    later = instance.get_run_record_by_id(run.run_id).create_timestamp.timestamp() + 60
    monkeypatch.setattr("hst_assets.orchestration.processes._began_at", lambda _tick: later)
    monkeypatch.setattr("hst_assets.orchestration.processes._OF_RUNS", (b"no such program",))
    assert len(bury_dead_runs(instance)) == 1


def test_a_clock_that_was_set_forward_is_no_death(defs, instance, monkeypatch):
    run = _daemons_run(defs, instance, os.getpid() if os.getppid() == 1 else os.getppid())
    later = instance.get_run_record_by_id(run.run_id).create_timestamp.timestamp() + 60
    monkeypatch.setattr("hst_assets.orchestration.processes._began_at", lambda _tick: later)
    monkeypatch.setattr("hst_assets.orchestration.processes._OF_RUNS", (b"",))
    assert bury_dead_runs(instance) == []


def _commands_run(defs, instance, process, **about):
    """A run of the command line, whose process is in a tag."""
    return instance.create_run_for_job(
        defs.resolve_job_def("target_frame"),
        status=DagsterRunStatus.STARTED,
        tags={"dagster/partition": "sn1", PROCESS_TAG: process},
        **about,
    )


def test_a_process_of_the_command_line_is_known_by_its_start(defs, instance):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        tick = began_at_tick(process.pid)
        assert tick > 0
        _commands_run(defs, instance, f"{HERE}:{process.pid}:{tick}")
        assert bury_dead_runs(instance) == []
        other = _commands_run(defs, instance, f"{HERE}:{process.pid}:{tick - 1}")
        (told,) = bury_dead_runs(instance)
        assert other.run_id[:8] in told
        process.communicate(b"\n")


def test_a_run_that_is_executed_again_is_not_that_of_the_first_ones_process(defs, instance, ended):
    first = _commands_run(defs, instance, f"{HERE}:{ended}:1")
    assert len(bury_dead_runs(instance)) == 1
    about = {"parent_run_id": first.run_id, "root_run_id": first.run_id}
    _commands_run(defs, instance, f"{HERE}:{ended}:1", **about)
    assert bury_dead_runs(instance) == []


def test_a_run_that_ended_while_its_process_was_looked_for_is_left(
    defs, instance, ended, monkeypatch
):
    run = _daemons_run(defs, instance, ended)

    def ends(_process):
        instance.report_run_canceled(run)
        return True

    monkeypatch.setattr("hst_assets.orchestration.dead_runs.is_gone", ends)
    assert bury_dead_runs(instance) == []
    assert instance.get_run_by_id(run.run_id).status == DagsterRunStatus.CANCELED


@pytest.mark.parametrize("host", ["elsewhere", ""])
def test_runs_of_other_hosts_are_left_alone(defs, instance, local, ended, host):
    _daemons_run(defs, instance, ended, host=host)
    assert bury_dead_runs(instance) == []
    with pytest.raises(TransientFailure, match="in flight"):
        retire_target(instance, local)


@pytest.mark.parametrize("pid", [os.getpid(), os.getppid()], ids=["own", "parent"])
def test_runs_of_living_processes_are_left_alone(defs, instance, pid):
    _daemons_run(defs, instance, pid)
    assert bury_dead_runs(instance) == []


def test_a_run_that_waits_in_the_queue_has_no_process(defs, instance, ended):
    _daemons_run(defs, instance, ended, status=DagsterRunStatus.NOT_STARTED)
    assert bury_dead_runs(instance) == []


def test_a_killed_run_of_the_command_line_is_cleared_by_its_own_tag(defs, instance, ended):
    instance.create_run_for_job(
        defs.resolve_job_def("target_frame"),
        status=DagsterRunStatus.STARTED,
        tags={"dagster/partition": "sn1", PROCESS_TAG: f"{HERE}:{ended}"},
    )
    assert len(bury_dead_runs(instance)) == 1
