"""Whether a level has anything to do for a partition: sensors look before they ask for a run.

New versions of inputs are news for a sensor, and to one that has just been started everything is
new. What the disk and Dagster's records agree on needs no run all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from hst_assets.orchestration.dagster_private import CODE_VERSION_TAG, DATA_VERSION_TAG
from hst_assets.orchestration.forecast import forecast
from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.provenance import read_record
from hst_assets.stages import code_version_of
from hst_assets.workdir import WorkDir

__all__ = ["done_of"]


def done_of(
    instance: dg.DagsterInstance,
    workdir: WorkDir,
    level: Level,
    partitions: Iterable[str],
    table: AssetTable,
) -> set[str]:
    """The partitions of which a run of the level would make nothing, and record nothing.

    Parameters
    ----------
    instance : DagsterInstance
        What of the products is recorded.
    workdir : WorkDir
        The target's.
    level : Level
        Its products are looked at one by one; nothing is written.
    partitions : iterable of str
        The target, or visits of it (``target/visit``).
    table : AssetTable
        What is made from what.

    Raises
    ------
    HstAssetsError
        If this cannot be determined, for example because the settings are not valid.
    """
    assets = [name for name in level.assets if name in table.with_file]
    done = {
        key
        for key in partitions
        if all(_is_recorded(instance, workdir, name, key, table) for name in assets)
    }
    if done:
        visits = {key.partition("/")[2] for key in done} - {""}
        found = forecast(workdir, table, assets=assets, visits=visits)
        done -= {each.partition for each in found if each.state != "up to date"}
    return done


def _is_recorded(
    instance: dg.DagsterInstance, workdir: WorkDir, asset: str, partition: str, table: AssetTable
) -> bool:
    """Whether the latest materialization is that of the product on the disk, by today's code."""
    record = read_record(table.product_path(workdir.root, asset, partition))
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition])
    latest = instance.fetch_materializations(wanted, limit=1).records
    event = latest[0].asset_materialization if latest else None
    if record is None or event is None:
        return False
    tags = event.tags or {}
    version = code_version_of(*table[asset].stages) or None
    return tags.get(DATA_VERSION_TAG) == record.digest and (
        version is None or tags.get(CODE_VERSION_TAG) == version
    )
