"""Dagster's asset from a row of the table.

Most assets are uniform: open the work directory, call the science function of the row, report. The
rest (what talks to the archive, and the reference) have a body of their own, which takes everything
else from its row as well.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from hst_assets.failures import MissingProduct
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.assets.materialize_result import BY_PATH, materialize_result
from hst_assets.orchestration.crossings import available_visits, move_pointers
from hst_assets.orchestration.fetch_visit import TRY_AGAIN
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.partitions import hst_target, hst_visit
from hst_assets.orchestration.resources import HstRoot, Onlooker, Redo, Session
from hst_assets.progress import Progress, now_and_then
from hst_assets.provenance import Made, read_record
from hst_assets.stages import code_version_of

__all__ = ["asset_from_row", "assets_of", "decorated"]

#: Tags of a step's operation, which executors and run launchers of a cluster may go by.
_MEMORY_TAG = "hst_assets/memory_gb"
_CORES_TAG = "hst_assets/cores"
#: Tags of the asset, by which the UI may be searched.
_LEVEL_TAG = "hst_assets/level"
_PER_TAG = "hst_assets/per"
#: A line in the graph that hands nothing on: no partition of the one is made from one of the other.
_NO_PARTITION = dg.SpecificPartitionsPartitionMapping([])


def assets_of(table: AssetTable) -> list[dg.AssetsDefinition]:
    """Every asset of the table, in its order."""
    return [asset_from_row(row, table) for row in table.rows]


def asset_from_row(row: AssetRow, table: AssetTable) -> dg.AssetsDefinition:
    """The asset that a row describes."""
    if row.body:
        written: dg.AssetsDefinition = row.hand_written()(row, table)
        return written
    return _pointer(row, table) if row.scatters else _uniform(row, table)


def decorated(
    row: AssetRow, table: AssetTable, **more: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """``dagster.asset`` with the arguments that follow from a row, and with `more`."""
    decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        **_options(row, table), **more
    )
    return decorator


def _options(row: AssetRow, table: AssetTable) -> dict[str, Any]:
    """The arguments of ``dagster.asset`` that follow from a row.

    Upstream assets that are files are inputs, which the IO manager finds whole or not; the rest,
    and what is only followed, are dependencies only.
    """
    inputs = [up for up in row.after if up in table.with_file]
    pointers = [up for up in row.after if up not in table.with_file]
    crossing = [up for up in (row.gathers, row.scatters, *row.follows_visits) if up]
    options: dict[str, Any] = {
        "name": row.name,
        "partitions_def": _partitions(row),
        "ins": {up: dg.AssetIn(dagster_type=BY_PATH) for up in inputs},
        "deps": [
            *pointers,
            *row.follows,
            *(dg.AssetDep(up, partition_mapping=dg.AllPartitionMapping()) for up in crossing),
            *_shown_before(row, table),
        ],
        "group_name": row.group,
        "owners": [row.owner],
        "kinds": set(row.kinds),
        "tags": {_LEVEL_TAG: row.job, _PER_TAG: row.per},
        "description": _described(row),
        "pool": row.pool,
        "op_tags": {
            _MEMORY_TAG: f"{row.resources.memory_gb:g}",
            _CORES_TAG: str(row.resources.cores),
        },
        "check_specs": _check_specs(row),
        "code_version": code_version_of(*row.stages) or None,
    }
    return options | ({"dagster_type": BY_PATH} if row.path else {})


def _shown_before(row: AssetRow, table: AssetTable) -> list[dg.AssetDep]:
    """The archive's listing, of what reads raw/: what it lists comes as files.

    As a dependency of partitions, news of one target would make every visit of all targets stale.
    """
    listing = table.archive_level.assets if row.source == "raw" else ()
    return [dg.AssetDep(name, partition_mapping=_NO_PARTITION) for name in listing]


def _partitions(row: AssetRow) -> dg.DynamicPartitionsDefinition:
    return hst_visit if row.by_visit else hst_target


def _described(row: AssetRow) -> str:
    told = [row.description]
    if row.contents:
        told.append(row.contents)
    if row.path:
        told.append(f"File in the work directory of the target: `{row.printed_path}`")
    return "\n\n".join(told)


def _check_specs(row: AssetRow) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # Partitioned checks are marked as a preview; tests hold what we need of them.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                check.name,
                asset=row.name,
                description=check.description,
                blocking=check.blocking,
                partitions_def=_partitions(row),
            )
            for check in row.checks
        ]


def _uniform(row: AssetRow, table: AssetTable) -> dg.AssetsDefinition:
    @decorated(row, table)
    def uniform(
        context: dg.AssetExecutionContext,
        config: Redo,
        hst_root: HstRoot,
        onlooker: dg.ResourceParam[Onlooker],
        **_upstream: Path,
    ) -> dg.MaterializeResult:
        tries = TRY_AGAIN if row.tries_again else None
        with hst_root.session(context, by_visit=row.by_visit, tries=tries) as session:
            visits = None
            if row.gathers:
                visits = available_visits(context, session.workdir, table[row.gathers])
            told = {"progress": _listener(context, onlooker)} if row.tells else {}
            made = _make(row, session, visits, redo=config.again(*row.redo), **told)
            target = session.workdir.target
            move_pointers(context.instance, table, row.name, target, made.digest)
            return materialize_result(context, row, made, session)

    return uniform


def _listener(context: dg.AssetExecutionContext, onlooker: Onlooker) -> Callable[[Progress], None]:
    """Tells the run's log now and then, and who looks on of every change."""
    log = now_and_then(context.log.info)

    def listen(progress: Progress) -> None:
        log(progress)
        if onlooker.progress:
            onlooker.progress(progress)

    return listen


def _make(
    row: AssetRow, session: Session, visits: Sequence[str] | None, *, redo: bool, **told: Any
) -> Made:
    """Call the science: it takes the visit, the visits that are gathered, or neither."""
    subject: tuple[Any, ...] = (session.visit,) if row.by_visit else ()
    if visits is not None:
        subject = (visits,)
    made: Made = row.maker()(session.workdir, *subject, session.settings, redo=redo, **told)
    return made


def _pointer(row: AssetRow, table: AssetTable) -> dg.AssetsDefinition:
    """An asset without a file: the version of the target's product, for its visits."""
    upstream = table[row.scatters or ""]

    @decorated(row, table)
    def pointer(context: dg.AssetExecutionContext, hst_root: HstRoot) -> dg.MaterializeResult:
        with hst_root.session(context, by_visit=True) as session:
            path = upstream.product(session.workdir)
            record = read_record(path)
            if record is None:
                raise MissingProduct(
                    f"there is no {upstream.name} yet",
                    where=session.workdir.target,
                    next_step=f"Materialize {upstream.name} of this target first",
                )
            return dg.MaterializeResult(
                data_version=dg.DataVersion(record.digest),
                metadata={upstream.name: dg.MetadataValue.path(path)},
            )

    return pointer
