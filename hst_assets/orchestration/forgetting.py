"""Targets and visits taken out of a Dagster instance, such as keys that were added by mistake.

What has exposures is registered again by the next run or sensor, so it is not forgotten: its
files are the user's to remove. A forgotten target that has files is retired, so that sensors pass
over it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg

from hst_assets.failures import BadConfiguration, NothingFound
from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.partition_keys import TARGET, VISIT
from hst_assets.orchestration.target_roots import disclaim, refuse_other_root
from hst_assets.orchestration.targets import retire_target
from hst_assets.workdir import WorkDir

__all__ = ["forget_target", "forget_visits"]


def forget_target(instance: dg.DagsterInstance, root: Path, target: str) -> Path | None:
    """Take a target and its visits out of an instance.

    Parameters
    ----------
    instance : DagsterInstance
        Where they are registered.
    root : Path
        The folder of work directories.
    target : str
        Its name, or a key that is no name.

    Returns
    -------
    Path or None
        The work directory, where it has exposures: it stays, and the target is retired. One that
        has none is removed.

    Raises
    ------
    NothingFound
        If it is neither registered nor has a work directory.
    BadConfiguration
        If it belongs to another root.
    TransientFailure
        If runs of it are in flight.
    """
    _refuse_elsewhere(instance, root, target)
    visits = [key for key in instance.get_dynamic_partitions(VISIT) if _is_of(key, target)]
    registered = target in instance.get_dynamic_partitions(TARGET)
    workdir = _workdir_of(root, target)
    if not registered and not visits and workdir is None:
        raise NothingFound(
            "no such target", where=target, next_step="'hst-assets target list' names all"
        )
    if workdir is not None:
        retire_target(instance, workdir)
    for key in visits:
        instance.delete_dynamic_partition(VISIT, key)
    if registered:
        instance.delete_dynamic_partition(TARGET, target)
    disclaim(instance, target)
    return None if workdir is None else _emptied(workdir)


def forget_visits(instance: dg.DagsterInstance, root: Path, keys: list[str]) -> None:
    """Take visits out of an instance.

    Parameters
    ----------
    instance : DagsterInstance
        Where they are registered.
    root : Path
        The folder of work directories.
    keys : list of str
        ``target/visit``, or keys that are none.

    Raises
    ------
    NothingFound
        If one of them is not registered; nothing is then done.
    BadConfiguration
        If there are exposures of one of them; nothing is then done.
    """
    for target in {key.partition("/")[0] for key in keys}:
        _refuse_elsewhere(instance, root, target)
    registered = instance.get_dynamic_partitions(VISIT)
    strange = [key for key in keys if key not in registered]
    if strange:
        raise NothingFound("no such visit is registered", where=", ".join(map(repr, strange)))
    held = [key for key in keys if _has_exposures(root, key)]
    if held:
        raise BadConfiguration(
            "there are exposures of it: the next run registers it again",
            where=", ".join(held),
            next_step="Remove its exposures from raw/, or leave them out with overrides.ecsv",
        )
    for key in keys:
        instance.delete_dynamic_partition(VISIT, key)


def _is_of(key: str, target: str) -> bool:
    return key.partition("/")[0] == target and "/" in key


def _workdir_of(root: Path, target: str) -> WorkDir | None:
    """The target's work directory, where there is one; a key that is no name has none."""
    try:
        workdir = WorkDir(root, target)
    except BadConfiguration:
        return None
    return workdir if workdir.settings_file.is_file() else None


def _refuse_elsewhere(instance: dg.DagsterInstance, root: Path, target: str) -> None:
    """Raise if a target has files under another root; a key that is no name has none."""
    try:
        workdir = WorkDir(root, target)
    except BadConfiguration:
        return
    refuse_other_root(instance, workdir)


def _has_exposures(root: Path, key: str) -> bool:
    from hst_assets.exposures.raw import visits_in

    try:
        visit = VisitKey.parse(key)
        workdir = WorkDir(root, visit.target)
    except BadConfiguration:
        return False
    return workdir.raw.is_dir() and visit.visit in visits_in(workdir)


def _emptied(workdir: WorkDir) -> Path | None:
    """Remove a work directory that holds no exposure and no product; otherwise return its path.

    What a link leads to may be somebody else's, or lie on a disk that is not there just now.
    """
    kept = workdir.base.is_symlink() or [
        path
        for path in workdir.base.rglob("*")
        if (path.is_file() or path.is_symlink())
        and path != workdir.settings_file
        and workdir.runfiles not in path.parents
        and workdir.logs not in path.parents
    ]
    if kept:
        return workdir.base
    shutil.rmtree(workdir.base)
    return None
