"""Backup of the Dagster instance as the guide has it, and what is there after it was restored."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from hst_assets_tests.publishing.finished_target import FinishedTarget


def copied(home, backup):
    """By SQLite's own copy, database by database."""
    for database in home.rglob("*.db"):
        there = backup / database.relative_to(home)
        there.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database)) as one, closing(sqlite3.connect(there)) as other:
            one.backup(other)
    shutil.copy2(home / "dagster.yaml", backup)


def recorded():
    with dg.DagsterInstance.get() as instance:
        return {
            "runs": [(run.job_name, run.status.value) for run in instance.get_runs()],
            "targets": list(instance.get_dynamic_partitions("hst_target")),
            "made": instance.get_materialized_partitions(dg.AssetKey("published_products")),
        }


@pytest.mark.slow
def test_an_instance_that_is_restored_has_its_history_and_products_stay(cli, root, tmp_path):
    home, backup = Path(os.environ["DAGSTER_HOME"]), tmp_path / "backup"
    destination = (tmp_path / "published").as_uri()
    for name in ("sn1", "sn2"):
        FinishedTarget(root, name)
    cli("publish", "sn1", "--to", destination)
    before = recorded()
    copied(home, backup)
    cli("publish", "sn2", "--to", destination)  # after the copy
    shutil.rmtree(home)
    backup.rename(home)

    assert (
        recorded()
        == before
        == {
            "runs": [("target_publication", "SUCCESS")],
            "targets": ["sn1"],
            "made": {"sn1"},
        }
    )
    for name in ("sn1", "sn2"):
        assert "up to date: published_products" in cli("publish", name).out
    assert recorded()["made"] == {"sn1", "sn2"}
