"""Dagster knows targets by name: two of one name in two folders would be taken for one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hst_assets.cli.deployment import opened_instance
from hst_assets.failures import BadConfiguration
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["refuse_taken_name"]


def refuse_taken_name(workdir: WorkDir) -> None:
    """Look whether a new target's name is that of another, elsewhere.

    Raises
    ------
    BadConfiguration
        If this Dagster instance knows a target of this name in another root.
    """
    if workdir.settings_file.is_file():
        return
    with opened_instance() as instance:
        folder = _folder_of(instance, workdir.target)
    if folder is None or folder == workdir.base:
        return
    if WorkDir(folder.parent, workdir.target).settings_file.is_file():
        raise BadConfiguration(
            f"Dagster already has a target {workdir.target!r} in another folder",
            where=folder,
            next_step="Choose another folder name, or set DAGSTER_HOME to a separate folder",
        )


def _folder_of(instance: dg.DagsterInstance, target: str) -> Path | None:
    """Where a target was worked on last, by the log of its last step; None if it never was."""
    import dagster as dg

    from hst_assets.orchestration.partitions import visits_of

    keys = [str(key) for key in visits_of(instance, target)]
    if not keys:
        return None
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("raw_exposures"), asset_partitions=keys),
        limit=1,
    ).records
    for record in found:
        materialization = record.asset_materialization
        log = materialization.metadata.get("session_log") if materialization else None
        if isinstance(log, dg.PathMetadataValue) and log.path:
            return Path(log.path).parents[1]
    return None
