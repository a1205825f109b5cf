"""What each level would work on, and the version of its inputs.

Read from the records on disk alone, so that sensors, schedules and tests agree. What the inputs of
a level are follows from the rows of its assets. A version is a digest over them, the target's
settings files and the files that these name; a partition whose version has not changed has nothing
new to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from weakref import WeakKeyDictionary

from hst_assets.exposures.raw import raw_ledger
from hst_assets.failures import BadConfiguration, failure_named, may_work_again
from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.input_memory import InputMemory
from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.provenance import Record, digest_of, read_record, sha256_of_file
from hst_assets.settings import load_settings
from hst_assets.settings.named_paths import inputs_named
from hst_assets.workdir import WorkDir, stamp_if_there

__all__ = ["input_versions", "lacks_product", "raw_visits"]


def raw_visits(workdir: WorkDir) -> dict[str, str]:
    """The visits that have verified raw files, each with the digest of its files."""
    files: dict[str, dict[str, str]] = {}
    for file in raw_ledger(workdir):
        files.setdefault(file.visit, {})[file.name] = file.sha256
    return {visit: digest_of(names) for visit, names in sorted(files.items())}


def input_versions(workdir: WorkDir, level: Level, table: AssetTable) -> dict[str, str]:
    """For each partition of one target that `level` can work on: the version of its inputs.

    Returns
    -------
    versions : dict
        Partition key to digest. A partition that lacks an input is not in it, and none is where
        the target's settings do not want the level.
    """
    memory = _MEMORIES.setdefault(table, InputMemory())
    return memory.versions(workdir, level.job, lambda: _read(workdir, level, table, memory))


#: What was read in this process, by the table of the assets.
_MEMORIES: WeakKeyDictionary[AssetTable, InputMemory] = WeakKeyDictionary()


def _read(
    workdir: WorkDir, level: Level, table: AssetTable, memory: InputMemory
) -> tuple[dict[str, str], list[Path]]:
    """The versions, and the folders and files by whose times it is seen that they stand."""
    named = _inputs_named(workdir)
    written = [*workdir.user_files, workdir.checksums, *named.values()]
    if level.wanted and not table.is_wanted(level, load_settings(workdir)):
        return {}, written
    settings = _settings_version(workdir, named)
    inputs = _Inputs(workdir, table, memory)
    visits: list[str | None] = [*inputs.raw] if level.by_visit else [None]
    found = {visit: inputs.of_level(level, visit) for visit in visits}
    versions = {
        str(VisitKey(workdir.target, visit)) if visit else workdir.target: digest_of(
            [settings, digests]
        )
        for visit, digests in found.items()
        if digests is not None
    }
    return versions, [*written, *inputs.folders]


def lacks_product(workdir: WorkDir, level: Level, partition: str, table: AssetTable) -> bool:
    """Whether a final product of the level is missing, or lists parts that may work by now."""
    paths = {
        asset: table.product_path(workdir.root, asset, partition)
        for asset in level.assets
        if asset in table.with_file
    }
    last = [paths[asset] for asset in table.last_of(level) if asset in paths]
    # A file without a record is what a failed rerun left.
    lacking = not all(path.is_file() and WorkDir.record(path).is_file() for path in last)
    return lacking or any(_may_be_completed(path) for path in paths.values())


def _may_be_completed(product: Path) -> bool:
    """Whether an index lacks products that the next run would try again."""
    record = read_record(product)
    kinds = _failures(record).values() if record else ()
    return any(may_work_again(failure_named(kind)) for kind in kinds)


def _failures(record: Record) -> dict[str, str]:
    """Products that an index lists and that could not be made, with the class of the failure."""
    failures: dict[str, str] = record.facts.get("failures") or {}
    return failures


def _inputs_named(workdir: WorkDir) -> dict[str, Path]:
    """The files and folders that settings name; none of settings that a run will refuse."""
    try:
        return inputs_named(load_settings(workdir), workdir)
    except BadConfiguration:
        return {}


def _settings_version(workdir: WorkDir, named: Mapping[str, Path]) -> dict[str, object]:
    """What settings say, and the time and size of the files that they name, where there are some.

    These may be large and on a slow disk: a run reads them, and is content with the same content.
    """
    version: dict[str, object] = {
        path.name: sha256_of_file(path) for path in workdir.user_files if path.is_file()
    }
    for key, path in named.items():
        if stamp := stamp_if_there(path):
            modified, _inode, size = stamp
            version[key] = [modified, size]
    return version


def _version(record: Record) -> str:
    """The digest; of an index that lacks products, another one than when it is complete."""
    failures = _failures(record)
    return digest_of([record.digest, failures]) if failures else record.digest


def _version_of_files(record: Record) -> str:
    """The same, and another one whenever the product was made again, if only with other bytes."""
    stamps = {name: stamp.model_dump() for name, stamp in record.outputs.items()}
    return digest_of([_version(record), stamps])


class _Inputs:
    """What is on the disk of one target, by the digests of the records."""

    def __init__(self, workdir: WorkDir, table: AssetTable, memory: InputMemory) -> None:
        self._workdir = workdir
        self._table = table
        self._memory = memory
        #: Where records were looked for.
        self.folders = {workdir.workspace}  # the note on the reference names its image
        self._digests: dict[tuple[Path, bool], str | None] = {}
        self.raw = raw_visits(workdir)

    def of_level(self, level: Level, visit: str | None) -> dict[str, object] | None:
        """Digests of what a level's assets are made from, outside the level; None if one lacks.

        Where a level gathers visits, what others have gathered upstream of these visits' assets
        counts only by being up to date: it follows from the same visits, and changes before they
        have come so far.
        """
        digests = {
            name: digest
            for asset in level.assets
            for name, digest in self._of_row(self._table[asset], visit)
            if name not in level.assets
        }
        if not all(digests.values()) or not self._gathers_agree(level):
            return None
        return {name: each for name, each in digests.items() if not self._follows(name, level)}

    def _follows(self, name: str, level: Level) -> bool:
        """Whether an input is a gather upstream of the visits' assets that the level gathers."""
        before = self._table[name].gathers if name in self._table else None
        own = {self._table[asset].gathers for asset in level.assets}
        return before is not None and not own.isdisjoint({before, *self._table.downstream(before)})

    def _of_row(self, row: AssetRow, visit: str | None) -> Iterator[tuple[str, object]]:
        if row.source == "raw" and visit:
            yield "raw", self.raw[visit]
        for upstream in row.after:
            # A pointer has the version of what it hands on.
            is_file = upstream in self._table.with_file
            name = upstream if is_file else self._table[upstream].scatters
            if name:
                yield name, self._digest(name, visit, of_files=row.copies)
        for name in row.follows:
            if digest := self._digest(name, visit, of_files=row.copies):
                yield name, digest
        for name in row.follows_visits:
            if digests := self._of_visits(name, of_files=row.copies):
                yield name, digests
        if row.scatters:
            yield row.scatters, self._digest(row.scatters, None)
        if row.gathers:
            yield row.gathers, self._of_visits(row.gathers)

    def _digest(self, asset: str, visit: str | None, *, of_files: bool = False) -> str | None:
        """What the record says, read once: the target's are inputs of each of its visits."""
        path = self._path(asset, visit)
        key = (path, of_files)
        if key not in self._digests:
            self.folders.add(path.parent)
            version = _version_of_files if of_files else _version
            self._digests[key] = self._memory.of_record(path, version)
        return self._digests[key]

    def _path(self, asset: str, visit: str | None) -> Path:
        row = self._table[asset]
        return row.product(self._workdir, visit if row.by_visit else None)

    def _of_visits(self, asset: str, *, of_files: bool = False) -> dict[str, str]:
        """Visit to digest, for the visits where `asset` is there."""
        digests = {visit: self._digest(asset, visit, of_files=of_files) for visit in self.raw}
        return {visit: digest for visit, digest in digests.items() if digest}

    def _gathers_agree(self, level: Level) -> bool:
        """Whether what other levels gathered is up to date for the visits this one gathers.

        A visit that comes late may be aligned, on a reference that stands, before the target's
        table is made anew: stacks would be made without it, and not asked for again.
        """
        rows = [self._table[name] for name in level.assets]
        own = {visit for row in rows if row.gathers for visit in self._of_visits(row.gathers)}
        outside = {up for row in rows for up in row.after if up not in level.assets}
        return all(self._is_current(self._table[up], own) for up in outside if own)

    def _is_current(self, row: AssetRow, visits: set[str]) -> bool:
        if not row.gathers:
            return True
        record = read_record(self._path(row.name, None))
        gathered = set(record.recipe["inputs"].values()) if record else set()
        return all(
            digest in gathered
            for visit, digest in self._of_visits(row.gathers).items()
            if visit in visits
        )
