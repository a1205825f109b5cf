"""Which folder of work directories each target belongs to.

Dagster knows targets and visits by name alone. One instance that sees two folders would take two
targets of one name for one, and a deployment on another folder would find partitions that look
materialized and files that are "gone". So the instance remembers the root of each target, and
whoever comes with another root is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.partition_keys import Registry, visits_of
from hst_assets.workdir import ROOT_VARIABLE, WorkDir

if TYPE_CHECKING:
    import dagster as dg

__all__ = [
    "claim",
    "disclaim",
    "forgotten_mark",
    "forgotten_marks",
    "refuse_other_root",
    "remembered_root",
    "root_of",
]

_KEY = "hst_assets/root_of/"
#: How often a target was forgotten.
_FORGOTTEN = "hst_assets/forgotten/"
#: Materializations carry their root under this name.
ROOT_METADATA = "root"


def claim(instance: Registry, workdir: WorkDir) -> None:
    """Remember that a target belongs to the root of `workdir`.

    A target whose former work directory is gone (moved, or deleted) belongs to the new root from
    now on.

    Raises
    ------
    BadConfiguration
        If the target has a work directory under another root.
    """
    refuse_other_root(instance, workdir)
    # Not by the link that it was reached by: that may be turned elsewhere.
    root = str(workdir.root.resolve())
    if remembered_root(instance, workdir.target) != root:
        instance.daemon_cursor_storage.set_cursor_values({_KEY + workdir.target: root})


def disclaim(instance: dg.DagsterInstance, target: str) -> None:
    """Forget which root a target belongs to, and what sensors requested for it."""
    key = _FORGOTTEN + target
    times = int(instance.daemon_cursor_storage.get_cursor_values({key}).get(key) or 0)
    # One by one: of several, Dagster updates those that are there, and leaves out the new.
    for name, value in ((_KEY + target, ""), (key, str(times + 1))):
        instance.daemon_cursor_storage.set_cursor_values({name: value})


def forgotten_mark(instance: dg.DagsterInstance, target: str) -> str:
    """What sensors add to what they ask for, so that it is asked again of a target added again.

    Returns
    -------
    str
        Empty for a target that was never forgotten.
    """
    return forgotten_marks(instance, [target])[target]


def forgotten_marks(instance: dg.DagsterInstance, targets: Iterable[str]) -> dict[str, str]:
    """The marks of many targets, with one question to the database (see `forgotten_mark`)."""
    keys = {target: _FORGOTTEN + target for target in targets}
    times = instance.daemon_cursor_storage.get_cursor_values(set(keys.values())) if keys else {}
    return {target: f"#{times[key]}" if times.get(key) else "" for target, key in keys.items()}


def refuse_other_root(instance: Registry, workdir: WorkDir) -> None:
    """Raise if the target of `workdir` has a work directory under another root.

    Raises
    ------
    BadConfiguration
        If it has; the message names both roots.
    """
    root = root_of(instance, workdir.target)
    if root is None or _same(root, workdir.root):
        return
    other = WorkDir(root, workdir.target)
    if not other.settings_file.is_file() or _same(other.base, workdir.base):
        return
    raise BadConfiguration(
        f"target {workdir.target!r} of this Dagster instance belongs to the root {root}, "
        f"and the root here is {workdir.root}",
        where=other.base,
        next_step=f"Set {ROOT_VARIABLE} (or give --root) {root}, choose another name, or set "
        "DAGSTER_HOME to a folder of its own for this root",
    )


def root_of(instance: Registry, target: str) -> Path | None:
    """The root that a target belongs to; None where the instance has never seen it.

    Of targets of older instances it is read from the last materialization of their raw exposures.
    """
    remembered = remembered_root(instance, target)
    return Path(remembered) if remembered else _root_of_last_run(instance, target)


def remembered_root(instance: Registry, target: str) -> str | None:
    """The root of a target on record; None, or empty, where there is none."""
    key = _KEY + target
    return instance.daemon_cursor_storage.get_cursor_values({key}).get(key)


def _root_of_last_run(instance: Registry, target: str) -> Path | None:
    keys = [str(key) for key in visits_of(instance, target)]
    if not keys:
        return None
    import dagster as dg

    if not isinstance(instance, dg.DagsterInstance):
        raise TypeError("events of runs are read by a Dagster instance alone")
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("raw_exposures"), asset_partitions=keys),
        limit=1,
    ).records
    for record in found:
        materialization = record.asset_materialization
        log = materialization.metadata.get("session_log") if materialization else None
        if isinstance(log, dg.PathMetadataValue) and log.path:
            return Path(log.path).parents[2]
    return None


def _same(first: Path, second: Path) -> bool:
    """Whether two paths are one folder, by whatever links."""
    return first == second or first.resolve() == second.resolve()
