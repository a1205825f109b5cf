"""``hst-assets status --metrics``: what Prometheus reads."""

import time

import dagster as dg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hst_assets.orchestration.build import build_defs
from hst_assets.settings import write_settings
from hst_assets_tests.publishing.finished_target import FinishedTarget


@pytest.fixture
def metrics(cli):
    def read():
        result = cli("status", "--metrics")
        assert result.code == 0, result.err
        return {
            (sample.name.removeprefix("hst_assets_"), *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(result.out)
            for sample in family.samples
        }

    return read


def test_an_empty_root_has_its_disk_and_no_target(metrics):
    found = metrics()
    assert found["targets", "readable"] == 0
    assert found["disk_free_bytes", "work directories"] > 0
    assert found["disk_size_bytes", "instance"] > found["disk_free_bytes", "instance"]


def test_products_are_counted_as_status_tells_them(cli, root, metrics):
    target = FinishedTarget(root)
    write_settings(target.workdir, {"target": {"ra_deg": 1.0, "dec_deg": 2.0}})
    before = metrics()
    assert before["visits", "sn1"] == 1
    assert before["products_made", "sn1"] >= 3
    assert not any(name == "products" for name, *_ in before)  # nothing was compared
    assert abs(before["last_made_timestamp_seconds", "sn1"] - time.time()) < 600


def test_states_are_those_of_the_last_comparison(cli, root, metrics):
    import os

    target = FinishedTarget(root)
    long_ago = time.time() - 100
    for path in [target.workdir.base, *target.workdir.base.rglob("*")]:
        os.utime(path, (long_ago, long_ago))
    os.utime(root, (long_ago, long_ago))
    cli("status", "sn1")
    found = metrics()
    states = {
        state: value
        for (name, *of), value in found.items()
        if name == "products"
        for state in of
        if state != "sn1"
    }
    assert set(states) == {
        *("up to date", "stale", "may be stale", "missing", "invalid", "unknown", "not wanted")
    }
    assert sum(states.values()) > 0
    assert abs(found["compared_timestamp_seconds", "sn1"] - time.time()) < 600


def test_runs_and_partitions_are_counted_as_dagster_recorded_them(cli, root, metrics, tmp_path):
    FinishedTarget(root)
    assert metrics()["partitions", "made", "published_products"] == 0
    cli("publish", "sn1", "--to", (tmp_path / "published").as_uri())
    found = metrics()
    assert found["partitions", "made", "published_products"] == 1
    assert found["partitions", "drizzled_stacks", "missing"] == 1
    assert abs(found["last_success_timestamp_seconds", "target_publication"] - time.time()) < 600
    assert found["published_products", "published", "sn1"] == 4
    assert found["published_products", "out of date", "sn1"] == 0
    assert found["runs_unfinished",] == 0


def test_a_failed_partition_is_counted(cli, root, metrics):
    target = FinishedTarget(root, destination="file:///proc/nobody/writes/here")
    assert cli("publish", "sn1").code != 0
    assert metrics()["partitions", "failed", "published_products"] == 1
    assert target.workdir.target == "sn1"


def test_partitions_of_retired_targets_are_left_out(cli, root, metrics):
    FinishedTarget(root, destination="file:///proc/nobody/writes/here")
    assert cli("publish", "sn1").code != 0
    assert cli("target", "retire", "sn1").code == 0
    found = metrics()
    assert found["partitions", "failed", "published_products"] == 0
    assert found["partitions", "drizzled_stacks", "missing"] == 0


def test_partitions_of_what_a_target_does_not_want_are_left_out(cli, root, metrics, tmp_path):
    target = FinishedTarget(root)
    cli("publish", "sn1", "--to", (tmp_path / "published").as_uri())
    found = {}
    for wanted in (True, False):
        write_settings(target.workdir, {"photometry": {"make": wanted}})
        found[wanted] = metrics()["partitions", "dolphot_catalog", "missing"]
    assert found == {True: 1, False: 0}


def test_the_nightly_check_is_a_success_that_is_told(root, metrics):
    assert ("last_success_timestamp_seconds", "left_failed") not in metrics()
    job = build_defs().resolve_job_def("left_failed")
    with dg.DagsterInstance.get() as instance:
        assert job.execute_in_process(instance=instance).success
    assert abs(metrics()["last_success_timestamp_seconds", "left_failed"] - time.time()) < 600


def test_a_target_that_cannot_be_read_is_counted_and_named(cli, root):
    FinishedTarget(root)
    FinishedTarget(root, "sn2").workdir.settings_file.write_text("[target\n")
    result = cli("status", "--metrics")
    assert result.code == 0
    assert 'hst_assets_targets{state="unreadable"} 1.0' in result.out
    assert "cannot be read sn2" in result.err


def test_metrics_are_of_all_targets(cli, root):
    assert cli("status", "sn1", "--metrics").code == 2
    assert cli("status", "--metrics", "--json").code == 2
