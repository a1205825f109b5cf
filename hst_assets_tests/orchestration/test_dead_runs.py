"""Runs of processes that are gone."""

import multiprocessing
import os
import socket
import subprocess
import sys

import pytest
from dagster import DagsterRunStatus

from hst_assets.failures import TransientFailure
from hst_assets.orchestration.dead_runs import bury_dead_runs
from hst_assets.orchestration.runs import HOST_TAG, PROCESS_TAG
from hst_assets.orchestration.targets import retire_target
from hst_assets.settings import load_settings
from hst_assets_tests.orchestration.daemon import Daemon

HERE = socket.gethostname()


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
    found = "hst_assets.orchestration.dead_runs._state_of"
    monkeypatch.setattr(found, lambda _pid: ("S", later))
    assert len(bury_dead_runs(instance)) == 1


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
