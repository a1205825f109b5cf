"""Runs on workers of Celery, with a real broker, a real database and real workers."""

import os
import subprocess
from importlib.util import find_spec

import pytest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.queues import DEFAULT_QUEUE, HEAVY_QUEUE, QUEUE_TAG, queue_for
from hst_assets.simulate.plans import small_plan
from hst_assets_tests.orchestration.servers import missing_servers, wait_for

TARGET = "field"


def _why_not():
    """Why a deployment cannot be started here; empty if it can."""
    if find_spec("dagster_celery") is None:
        return "the extra 'celery' is not installed"
    missing = missing_servers()
    return f"{missing} not installed (Debian: redis-server, postgresql)" if missing else ""


def _has_namespaces():
    """Whether a worker can be given a machine of its own."""
    command = ["unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_servers = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "all is there")


def test_what_asks_the_archive_or_needs_memory_has_a_queue_of_its_own():
    queues = {
        level.job: queue_for(ASSETS[asset] for asset in level.assets) for level in ASSETS.levels
    }
    assert queues["target_archive"] == queues["visit_exposures"] == "mast"
    assert queues["visit_images"] == queues["target_stacks"] == HEAVY_QUEUE
    assert queues["target_pictures"] == queues["target_page"] == DEFAULT_QUEUE


def test_jobs_carry_the_queue_by_which_the_launcher_goes(defs):
    tags = pytest.importorskip("dagster_celery.tags")
    assert QUEUE_TAG == tags.DAGSTER_CELERY_QUEUE_TAG
    assert defs.resolve_job_def("visit_images").run_tags[QUEUE_TAG] == HEAVY_QUEUE
    assert defs.resolve_job_def("process_target").tags[QUEUE_TAG] == HEAVY_QUEUE


@needs_servers
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_visit_is_made_by_another_worker_after_one_is_killed(tmp_path, simulated):
    from hst_assets_tests.orchestration.worker_deployment import WorkerDeployment

    exposures = simulated(small_plan("wfc3_ir")).exposure_folder
    own_machine = os.geteuid() == 0 and _has_namespaces()
    with WorkerDeployment(tmp_path, processes=2, poll_s=1, silence_s=3.0) as deployment:
        deployment.command("ingest", exposures, "--target", TARGET)
        first = deployment.add_worker("first", own_machine=own_machine)
        deployment.serve()
        run = deployment.launch("visit_exposures", f"{TARGET}/isim01")

        def begun():
            return deployment.log_of("first").count("received") > 0

        wait_for(begun, "a run on the first worker", within_s=60, pause_s=0.02)
        deployment.kill_worker("first")
        assert first.returncode is not None
        deployment.add_worker("second", own_machine=own_machine)
        # A run that was killed before it began is found by any sensor; this one has nothing to do.
        deployment.start_sensor("target_pictures_sensor")
        deployment.wait_until_idle(90)
        runs = [each for each in deployment.runs() if each["jobName"] == "visit_exposures"]
        products = deployment.command("status", TARGET)
    last = runs[0]
    assert last["status"] == "SUCCESS", runs
    assert last["tags"].get("dagster/root_run_id", last["runId"]) == run
    for asset in ("raw_exposures", "exposure_table"):
        (line,) = [line for line in products.splitlines() if asset in line and "isim01" in line]
        assert "up to date" in line
