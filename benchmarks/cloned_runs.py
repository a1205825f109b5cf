"""What a campaign leaves in Dagster's database: real runs of one visit, and copies of their rows.

One simulated visit is run through all levels for real. Of its runs, their tags, events and checks
the rows are copied for every other target and visit, with other ids, partitions and data versions,
by statements that SQLite and PostgreSQL both understand: as runs they would take days. On SQLite
the events of a run are in a file of the run's own as well. These are not copied, but counted.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as db

from hst_assets.exposures.ingest import ingest
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.run_target import run_target
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir

__all__ = ["TEMPLATE", "Clones", "run_template"]

#: A name that is in no text but as that of the target.
TEMPLATE = "zqtemplate"


def run_template(instance: dg.DagsterInstance, folder: Path) -> WorkDir:
    """One visit of WFC3/IR, two exposures, run through all levels."""
    truth = simulate_campaign(small_plan("wfc3_ir"), folder / "campaign", max_cores=2)
    workdir = WorkDir(folder / "root", TEMPLATE).create()
    ingest([truth.exposure_folder], workdir)
    failed = [
        each
        for each in run_target(build_defs(root=str(workdir.root)), instance, workdir)
        if each.failures or each.skipped
    ]
    assert not failed, failed
    return workdir


@dataclass
class Clones:
    """Copies of the template's rows.

    Attributes
    ----------
    instance : DagsterInstance
        It has the template's runs, and nothing else.
    """

    instance: dg.DagsterInstance

    def __post_init__(self) -> None:
        runs = self.instance.get_runs()
        self._templates = [(run.run_id, run.tags["dagster/partition"]) for run in runs]
        self._visit_key = next(key for _, key in self._templates if "/" in key)
        assert all(key.startswith(TEMPLATE) for _, key in self._templates)

    @property
    def n_runs(self) -> tuple[int, int]:
        """Runs of the target, and of its visit."""
        by_visit = sum("/" in key for _, key in self._templates)
        return len(self._templates) - by_visit, by_visit

    def write(self, digests: Iterable[tuple[str, str, str]]) -> None:
        """Write the rows of further targets and visits.

        Parameters
        ----------
        digests : iterable of (str, str, str)
            Asset, partition and data version of each product.
        """
        products = list(digests)
        keys = list(dict.fromkeys(key for _, key, _ in products))
        copies = [
            {
                "template": run_id,
                "run_id": str(uuid.uuid4()),
                "old": old,
                "new": key,
                "target": key.partition("/")[0],
            }
            for run_id, old in self._templates
            for key in keys
            if ("/" in key) == ("/" in old)
        ]
        found = [
            {"asset": f'["{asset}"]', "of": key, "digest": each}
            for asset, key, each in (*products, *self._template_digests())
        ]
        with self._tables(self.instance.run_storage.connect(), copies, found) as connection:
            for statement in _RUNS:
                connection.execute(db.text(statement))
        with self._tables(self._events(), copies, found) as connection:
            for statement in _EVENTS:
                connection.execute(db.text(statement))

    @staticmethod
    def queue(instance: dg.DagsterInstance, n_runs: int) -> None:
        """Let so many of the runs of visits wait in the daemon's queue."""
        with instance.run_storage.connect() as connection:
            connection.execute(
                db.text(
                    "UPDATE runs SET status = 'QUEUED', run_body = replace(run_body, '\"SUCCESS\"',"
                    " '\"QUEUED\"') WHERE id IN (SELECT id FROM runs WHERE run_body LIKE :of"
                    " ORDER BY id DESC LIMIT :n)"
                ),
                {"of": "%visit_images%", "n": n_runs},
            )

    def _events(self) -> Any:
        return self.instance.event_log_storage.index_connection()

    @contextmanager
    def _tables(
        self, connecting: Any, copies: list[dict[str, str]], digests: list[dict[str, str]]
    ) -> Iterator[db.Connection]:
        """A connection with the tables that the statements join."""
        with connecting as connection:
            for statement in _TABLES:
                connection.execute(db.text(statement))
            connection.execute(
                db.text("INSERT INTO copied VALUES (:template, :run_id, :old, :new, :target)"),
                copies,
            )
            insert = db.text("INSERT INTO versions VALUES (:asset, :of, :digest)")
            connection.execute(insert, digests)
            yield connection
            for table in ("copied", "versions"):
                connection.execute(db.text(f"DROP TABLE {table}"))

    def _template_digests(self) -> Iterator[tuple[str, str, str]]:
        for row in ASSETS:
            wanted = dg.AssetRecordsFilter(dg.AssetKey(row.name))
            for record in self.instance.fetch_materializations(wanted, limit=10).records:
                event = record.asset_materialization
                if event and event.partition and event.partition.startswith(TEMPLATE):
                    yield row.name, event.partition, (event.tags or {})["dagster/data_version"]


def _changed(column: str) -> str:
    """A column of the template with the ids and names of the copy."""
    return (
        f"replace(replace(replace({column}, c.template, c.run_id), c.old, c.new), "
        f"'{TEMPLATE}', c.target)"
    )


_TABLES = (
    "CREATE TEMPORARY TABLE copied (template TEXT, run_id TEXT, old TEXT, new TEXT, target TEXT)",
    "CREATE TEMPORARY TABLE versions (asset TEXT, of TEXT, digest TEXT)",
    "CREATE INDEX copied_run ON copied (run_id)",
    "CREATE INDEX copied_template ON copied (template)",
    "CREATE INDEX versions_of ON versions (of, asset)",
)
_RUNS = (
    (
        "INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status, run_body, partition,"
        " partition_set, create_timestamp, update_timestamp, start_time, end_time)"
        " SELECT c.run_id, r.snapshot_id, r.pipeline_name, r.mode, r.status,"
        f" {_changed('r.run_body')}, CASE WHEN r.partition IS NULL THEN NULL ELSE c.new END,"
        " r.partition_set, r.create_timestamp, r.update_timestamp, r.start_time, r.end_time"
        " FROM copied c JOIN runs r ON r.run_id = c.template"
    ),
    (
        "INSERT INTO run_tags (run_id, key, value)"
        f" SELECT c.run_id, t.key, {_changed('t.value')}"
        " FROM copied c JOIN run_tags t ON t.run_id = c.template"
    ),
)
#: What was made of what, before and after.
_VERSIONS = (
    " LEFT JOIN versions old ON old.of = c.old AND old.asset = e.asset_key"
    " LEFT JOIN versions new ON new.of = c.new AND new.asset = e.asset_key"
)
_EVENTS = (
    (
        "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key,"
        f" partition) SELECT c.run_id, replace({_changed('e.event')},"
        " coalesce(old.digest, '-no-digest-'), coalesce(new.digest, '')),"
        " e.dagster_event_type, e.timestamp, e.step_key, e.asset_key,"
        " CASE WHEN e.partition IS NULL THEN NULL ELSE c.new END"
        f" FROM copied c JOIN event_logs e ON e.run_id = c.template{_VERSIONS}"
    ),
    (
        "INSERT INTO asset_event_tags (event_id, asset_key, key, value, event_timestamp)"
        " SELECT n.id, a.asset_key, a.key,"
        " CASE WHEN a.value = old.digest THEN new.digest ELSE a.value END, a.event_timestamp"
        " FROM copied c JOIN event_logs e ON e.run_id = c.template"
        " JOIN asset_event_tags a ON a.event_id = e.id"
        " JOIN event_logs n ON n.run_id = c.run_id AND n.asset_key = e.asset_key"
        f" AND n.dagster_event_type = e.dagster_event_type{_VERSIONS}"
    ),
    (
        "INSERT INTO asset_check_executions (asset_key, check_name, partition, run_id,"
        " execution_status, evaluation_event, evaluation_event_timestamp,"
        " evaluation_event_storage_id, materialization_event_storage_id, create_timestamp)"
        " SELECT k.asset_key, k.check_name, CASE WHEN k.partition IS NULL THEN NULL ELSE c.new END,"
        f" c.run_id, k.execution_status, {_changed('k.evaluation_event')},"
        " k.evaluation_event_timestamp, k.evaluation_event_storage_id,"
        " k.materialization_event_storage_id, k.create_timestamp"
        " FROM copied c JOIN asset_check_executions k ON k.run_id = c.template"
    ),
)
