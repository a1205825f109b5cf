"""Crossings between visits and their target: what a gather takes, and what a scatter hands on."""

from __future__ import annotations

import dagster as dg

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.partition_keys import visits_of
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir

__all__ = ["available_visits", "move_pointers"]

_DATA_VERSION_TAG = "dagster/data_version"


def available_visits(
    context: dg.AssetExecutionContext, workdir: WorkDir, row: AssetRow
) -> list[str]:
    """The target's registered visits for which the asset of `row` is there, with its record.

    A visit that was never materialized (its run failed, or is still to come), or whose rerun failed
    half way, is left out with a warning: a bad visit costs itself, not its target.

    Raises
    ------
    UnusableInput
        If no visit has the asset.
    MissingProduct
        If Dagster has a materialization whose file is gone.
    """
    asset = row.name
    believed = context.instance.get_materialized_partitions(dg.AssetKey(asset))
    visits: list[str] = []
    missing: list[str] = []
    for key in visits_of(context.instance, workdir.target):
        path = row.product(workdir, key.visit)
        if path.is_file():
            # A file without a record is what a failed rerun left.
            (visits if read_record(path) else missing).append(key.visit)
        elif str(key) in believed:
            raise MissingProduct(
                f"{asset} of {key} was materialized, but its file is gone",
                where=path,
                next_step=f"Materialize {asset} of {key} again",
            )
        else:
            missing.append(key.visit)
    if missing:
        context.log.warning(f"{asset} not made yet, left out: {', '.join(missing)}")
    if not visits:
        raise UnusableInput(
            f"no visit of it has {asset} yet",
            where=workdir.target,
            next_step=f"Materialize {asset} of its visits first",
        )
    return visits


def move_pointers(
    instance: dg.DagsterInstance, table: AssetTable, asset: str, target: str, digest: str
) -> None:
    """Hand a new version of a target's asset to its visits, without a run for each.

    A pointer that has this version already is left alone.
    """
    for pointer in (row.name for row in table if row.scatters == asset):
        for key in visits_of(instance, target):
            latest = instance.get_latest_data_version_record(
                dg.AssetKey(pointer), partition_key=str(key)
            )
            event = latest.asset_materialization if latest else None
            if event and (event.tags or {}).get(_DATA_VERSION_TAG) == digest:
                continue
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    pointer, partition=str(key), tags={_DATA_VERSION_TAG: digest}
                )
            )
