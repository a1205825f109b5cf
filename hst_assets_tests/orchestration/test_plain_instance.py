"""What is read and written without Dagster is what Dagster reads and writes."""

import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from hst_assets.failures import BadConfiguration, TransientFailure
from hst_assets.orchestration import plain_instance as module
from hst_assets.orchestration.partition_keys import TARGET, VISIT, register
from hst_assets.orchestration.plain_instance import IN_FLIGHT, plain_instance
from hst_assets.orchestration.runs import UNFINISHED
from hst_assets.orchestration.target_roots import claim, root_of
from hst_assets.workdir import WorkDir

PACKAGED = Path(module.__file__).parents[1] / "dagster.yaml"


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_bytes(PACKAGED.read_bytes())
    return folder


@pytest.fixture
def opened(home):
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_dynamic_partitions("")  # the database opens at the first question
        yield instance


@pytest.fixture
def plain(home, opened):
    found = plain_instance(home)
    assert found is not None, "the installed Dagster has another schema: see SCHEMA_REVISION"
    return found


def test_what_is_registered_without_dagster_is_registered(plain, opened):
    register(plain, "sn1", ["iaaa02", "iaaa01"])
    register(plain, "sn1", ["iaaa01", "iaaa03"])
    assert opened.get_dynamic_partitions(TARGET) == ["sn1"]
    assert opened.get_dynamic_partitions(VISIT) == ["sn1/iaaa01", "sn1/iaaa02", "sn1/iaaa03"]


def test_what_dagster_registered_is_read(plain, opened):
    register(opened, "sn1", ["iaaa01"])
    assert plain.get_dynamic_partitions(VISIT) == ["sn1/iaaa01"]
    opened.delete_dynamic_partition(VISIT, "sn1/iaaa01")
    assert plain.get_dynamic_partitions(VISIT) == []


def test_a_root_that_is_claimed_without_dagster_is_claimed(plain, opened, tmp_path):
    workdir = WorkDir(tmp_path / "root", "sn1").create()
    workdir.settings_file.touch()
    claim(plain, workdir)
    assert root_of(opened, "sn1") == workdir.root
    with pytest.raises(BadConfiguration, match="belongs to the root"):
        claim(plain, WorkDir(tmp_path / "other", "sn1"))


def test_a_target_that_moved_is_claimed_anew(plain, opened, tmp_path):
    claim(opened, WorkDir(tmp_path / "gone", "sn1"))
    claim(plain, WorkDir(tmp_path / "root", "sn1"))
    assert root_of(opened, "sn1") == tmp_path / "root"


def test_dagster_is_asked_for_the_root_of_a_target_of_an_older_version(plain, opened, tmp_path):
    register(opened, "sn1", ["iaaa01"])
    assert not plain.knows_root_of("sn1")
    assert plain.knows_root_of("sn2")
    claim(opened, WorkDir(tmp_path / "root", "sn1"))
    assert plain.knows_root_of("sn1")


def test_runs_in_flight_have_the_statuses_that_dagster_writes():
    assert sorted(IN_FLIGHT) == sorted(status.value for status in UNFINISHED)


def test_an_instance_is_idle_until_a_run_is_started(plain, opened):
    @dg.job
    def nothing():
        pass

    assert plain.is_idle()
    run = opened.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    assert not plain.is_idle()
    opened.report_run_canceled(run)
    assert plain.is_idle()


def test_an_instance_that_was_never_opened_is_left_to_dagster(home):
    assert plain_instance(home) is None


@pytest.mark.parametrize("section", ["storage: {postgres: {}}", "run_storage: {module: x}", "[]"])
def test_another_storage_is_left_to_dagster(plain, home, section):
    (home / "dagster.yaml").write_text(f"{section}\n")
    assert plain_instance(home) is None


def test_another_schema_is_left_to_dagster(plain, home):
    with closing(sqlite3.connect(plain.runs)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '000000000000'")
    assert plain_instance(home) is None


def test_a_database_that_another_process_holds_is_a_passing_failure(plain, monkeypatch):
    monkeypatch.setattr(module, "_WAIT_S", 0.01)
    with closing(sqlite3.connect(plain.events)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TransientFailure, match="locked"):
            register(plain, "sn1", [])
