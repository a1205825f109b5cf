"""`hst-assets worker` and the instance for several machines: what is refused, with what to do."""

import os
import sys

import pytest
import yaml

from hst_assets.workdir.shared_root import MARK_VARIABLE, mark_of, mark_root


@pytest.fixture
def elsewhere(monkeypatch):
    """Addresses at which nobody listens."""
    monkeypatch.setenv("HST_ASSETS_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("HST_ASSETS_POSTGRES_URL", "postgresql+psycopg2://hst@127.0.0.1:1/hst")


def test_the_instance_for_several_machines_is_written_once_and_its_root_marked(cli, root, tmp_path):
    assert cli("home", "--celery").code == 0
    path = tmp_path / "home" / "dagster.yaml"
    written = yaml.safe_load(path.read_text())
    assert written["run_launcher"]["class"] == "RunsOnWorkers"
    assert written["telemetry"] == {"enabled": False}
    mark = mark_of(root)
    assert mark
    path.write_text(path.read_text().replace("limit: 2", "limit: 7"))
    assert cli("home", "--celery").code == 0
    assert "limit: 7" in path.read_text()
    assert mark_of(root) == mark


def test_the_folder_of_an_instance_for_several_machines_is_made(cli, root, tmp_path, monkeypatch):
    home = tmp_path / "shared" / "deployment"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert cli("home").code == 2
    assert cli("home", "--celery").code == 0
    assert (home / "dagster.yaml").is_file()


def test_the_instance_of_one_machine_is_not_turned_into_one_for_several(cli, root):
    assert cli("home").code == 0
    refused = cli("home", "--celery")
    assert refused.code == 2
    assert "of an instance on one machine" in refused.err
    assert mark_of(root) == ""


def test_a_worker_wants_a_shared_root(cli, root):
    refused = cli("worker")
    assert refused.code == 2
    assert f"{root}: this is not the folder of work directories that the machines share" in (
        refused.err
    )


def test_a_worker_of_an_instance_on_one_machine_is_refused(cli, root):
    mark_root(root)
    refused = cli("worker")
    assert MARK_VARIABLE not in os.environ
    assert refused.code == 2
    assert "not by Celery" in refused.err
    assert "hst-assets home --celery" in refused.err


def test_an_unknown_queue_is_refused(cli, root):
    refused = cli("worker", "--queue", "fast")
    assert refused.code == 2
    assert "no queue 'fast'. Use dagster, heavy, mast" in refused.err


@pytest.mark.usefixtures("elsewhere")
def test_without_the_extra_it_is_named(cli, root, monkeypatch):
    assert cli("home", "--celery").code == 0
    for name in ("dagster_celery", "dagster_postgres"):
        monkeypatch.setitem(sys.modules, name, None)
    refused = cli("worker")
    assert refused.code == 2
    assert "pip install 'hst_assets[celery]'" in refused.err
