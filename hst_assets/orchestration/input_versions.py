"""What each level would work on, and the version of what it would consume.

Read from the records on disk alone, so that sensors, schedules and tests agree. A version is a
digest over the products of the level before and the target's settings files; a partition whose
version has not changed has nothing new to do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hst_assets.exposures.raw import raw_ledger
from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.io_managers import product_path
from hst_assets.orchestration.jobs import Level
from hst_assets.provenance import digest_of, read_record, sha256_of_file
from hst_assets.workdir import WorkDir

__all__ = ["input_versions", "last_product", "raw_visits"]


def raw_visits(workdir: WorkDir) -> dict[str, str]:
    """The visits that have verified raw files, each with the digest of its files."""
    files: dict[str, dict[str, str]] = {}
    for file in raw_ledger(workdir):
        files.setdefault(file.visit, {})[file.name] = file.sha256
    return {visit: digest_of(names) for visit, names in sorted(files.items())}


def input_versions(workdir: WorkDir, level: Level) -> dict[str, str]:
    """For each partition of one target that `level` can work on: the version of its inputs.

    Returns
    -------
    versions : dict
        Partition key to digest. A partition that lacks its inputs is not in it.
    """
    settings = _settings_version(workdir)
    versions = _CONSUMED[level.job](workdir)
    return {key: digest_of([settings, version]) for key, version in versions.items()}


def last_product(workdir: WorkDir, level: Level, partition: str) -> Path:
    """The file of the level's last asset."""
    return product_path(workdir.root, level.assets[-1], partition)


def _settings_version(workdir: WorkDir) -> dict[str, str]:
    paths = (workdir.root_settings_file, workdir.settings_file, workdir.overrides)
    return {path.name: sha256_of_file(path) for path in paths if path.is_file()}


def _digest_at(workdir: WorkDir, asset: str, partition: str) -> str | None:
    record = read_record(product_path(workdir.root, asset, partition))
    return record.digest if record else None


def _digests_of_visits(workdir: WorkDir, asset: str) -> dict[str, str]:
    """Partition key to record digest, for the visits where `asset` stands."""
    keys = [str(VisitKey(workdir.target, visit)) for visit in raw_visits(workdir)]
    digests = {key: _digest_at(workdir, asset, key) for key in keys}
    return {key: digest for key, digest in digests.items() if digest}


def _for_visit_exposures(workdir: WorkDir) -> dict[str, str]:
    return {
        str(VisitKey(workdir.target, visit)): digest
        for visit, digest in raw_visits(workdir).items()
    }


def _for_target_frame(workdir: WorkDir) -> dict[str, str]:
    tables = _digests_of_visits(workdir, "exposure_table")
    return {workdir.target: digest_of(tables)} if tables else {}


def _for_visit_images(workdir: WorkDir) -> dict[str, str]:
    reference = _digest_at(workdir, "reference_image", workdir.target)
    if reference is None:
        return {}
    return {
        key: digest_of([reference, table])
        for key, table in _digests_of_visits(workdir, "exposure_table").items()
    }


def _for_target_stacks(workdir: WorkDir) -> dict[str, str]:
    aligned = _digests_of_visits(workdir, "aligned_exposures")
    if not aligned or not _are_gathered(workdir, set(aligned)):
        return {}
    return {workdir.target: digest_of(aligned)}


def _are_gathered(workdir: WorkDir, keys: set[str]) -> bool:
    """Whether the target's table has the present tables of these visits.

    A visit that comes late may be aligned, on a reference that stands, before the target's table
    is made anew: stacks would be made without it, and not asked for again.
    """
    record = read_record(product_path(workdir.root, "target_exposures", workdir.target))
    gathered = record.recipe["inputs"] if record else {}
    tables = _digests_of_visits(workdir, "exposure_table")
    return all(
        gathered.get(VisitKey.parse(key).visit) == digest
        for key, digest in tables.items()
        if key in keys
    )


_CONSUMED: dict[str, Callable[[WorkDir], dict[str, str]]] = {
    "visit_exposures": _for_visit_exposures,
    "target_frame": _for_target_frame,
    "visit_images": _for_visit_images,
    "target_stacks": _for_target_stacks,
}
