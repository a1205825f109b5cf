"""Backup of the Dagster instance as the guide has it, and what is there after it was restored."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import dagster as dg
import pytest

from hst_assets_tests.publishing.finished_target import FinishedTarget

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "operations.md"
#: What the guide's lines need of SQLite's shell, which not every machine has.
SHELL = """\
import sqlite3, sys
_, database, command = sys.argv
there = command.removeprefix(".backup '").removesuffix("'")
sqlite3.connect(database).backup(sqlite3.connect(there))
"""


def lines_after(words):
    """The block of commands that the guide has behind some words."""
    lines = GUIDE.read_text().split(words)[1].splitlines()
    (begin, *_) = (n for n, line in enumerate(lines) if line.startswith("    "))
    end = next(n for n in range(begin, len(lines)) if not lines[n].startswith("    "))
    return textwrap.dedent("\n".join(lines[begin:end]))


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Does the guide's commands with backups in a folder of the test's own."""
    tools, backups = tmp_path / "tools", tmp_path / "backups"
    tools.mkdir()
    backups.mkdir()
    sqlite = tools / "sqlite3"
    sqlite.write_text(f"#!{sys.executable}\n{SHELL}")
    sqlite.chmod(0o755)
    path = [str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(path))

    def run(commands, expected=0):
        script = commands.replace("/backup/", f"{backups}/")
        for made in backups.iterdir():  # the day that the guide names is an example
            script = script.replace("instance-2026-11-30", made.name)
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (expected == 0), done.stderr
        return backups

    return run


def recorded():
    with dg.DagsterInstance.get() as instance:
        return {
            "runs": [(run.job_name, run.status.value) for run in instance.get_runs()],
            "targets": list(instance.get_dynamic_partitions("hst_target")),
            "made": instance.get_materialized_partitions(dg.AssetKey("published_products")),
        }


@pytest.mark.slow
@pytest.mark.parametrize("way", ["Copy it while nothing runs", "or, while it runs"])
def test_an_instance_that_is_restored_has_its_history_and_products_stay(
    cli, root, tmp_path, shell, way
):
    destination = (tmp_path / "published").as_uri()
    for name in ("sn1", "sn2"):
        FinishedTarget(root, name)
    cli("publish", "sn1", "--to", destination)
    before = recorded()
    shell(lines_after(way))
    cli("publish", "sn2", "--to", destination)  # after the copy
    shell(lines_after("To restore, while nothing runs"))

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


def test_a_second_copy_of_a_day_does_not_go_into_the_first(cli, root, shell):
    cli("home")
    copy = lines_after("Copy it while nothing runs")
    (made,) = shell(copy).iterdir()
    held = sorted(made.rglob("*"))
    shell(copy, expected=1)
    assert sorted(made.rglob("*")) == held
