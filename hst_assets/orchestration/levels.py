"""The graph of levels that follows from the rows of the table of assets.

A level is a job: assets that share one set of partitions and are made in one run. Levels form a
graph, not a line: what fails stops only what is downstream of it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType

from hst_assets.failures import BadConfiguration
from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.asset_row import AssetRow, RedoKind
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["AssetTable", "Level"]


@dataclass(frozen=True)
class Level:
    """Assets that share one set of partitions and follow each other within one run.

    Attributes
    ----------
    job : str
        The job's name.
    by_visit : bool
        Whether the partitions are visits.
    assets : tuple of str
        In an order in which they can be made.
    after : tuple of str
        The jobs whose assets these are made from.
    depth : int
        Levels upstream of it, one behind the other.
    wanted : str
        The setting without which it is run only when it is named; empty if there is none.
    purpose : str
        What people run it for, in a few words.
    """

    job: str
    by_visit: bool
    assets: tuple[str, ...]
    after: tuple[str, ...] = ()
    depth: int = 0
    wanted: str = ""
    purpose: str = ""


class AssetTable:
    """The rows, and what follows from them.

    Parameters
    ----------
    rows : iterable of AssetRow
        In the order in which they are listed.
    redo_kinds : iterable of RedoKind
        What the rows' `redo` may name.
    purposes : mapping, optional
        A level's job to what people run it for.

    Raises
    ------
    BadConfiguration
        If a row is not valid: an unknown upstream asset, a circular dependency, or other partitions
        than those of its level.
    """

    def __init__(
        self,
        rows: Iterable[AssetRow],
        redo_kinds: Iterable[RedoKind],
        purposes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.rows = tuple(rows)
        self.purposes = dict(purposes)
        self.redo_kinds = tuple(redo_kinds)
        self._by_name = {row.name: row for row in self.rows}
        for row in self.rows:
            self._refuse_impossible(row)
        self.levels = self._levels()

    def __getitem__(self, name: str) -> AssetRow:
        """The row of an asset."""
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is such an asset."""
        return name in self._by_name

    def __iter__(self) -> Iterator[AssetRow]:
        """The rows, upstream ones first."""
        return iter(self[name] for level in self.levels for name in level.assets)

    def plus(self, rows: Iterable[AssetRow], redo_kinds: Iterable[RedoKind] = ()) -> AssetTable:
        """A table with more rows."""
        return AssetTable((*self.rows, *rows), (*self.redo_kinds, *redo_kinds), self.purposes)

    def rows_of(self, assets: Container[str]) -> list[AssetRow]:
        """The rows of some assets, upstream ones first; names that are none are left out."""
        return [row for row in self if row.name in assets]

    # ---------------------------------------------------------------------------- levels

    @cached_property
    def archive_level(self) -> Level:
        """The level that asks the archive; it concerns archive targets only."""
        return self._level_of_source("archive")

    @cached_property
    def raw_level(self) -> Level:
        """The level that reads raw/."""
        return self._level_of_source("raw")

    @cached_property
    def levels_from_raw(self) -> tuple[Level, ...]:
        """The levels without the archive's: each has a sensor and a nightly sweep."""
        return tuple(level for level in self.levels if level != self.archive_level)

    def level_of(self, asset: str) -> Level:
        """The level in which an asset is made."""
        return next(level for level in self.levels if asset in level.assets)

    def level_named(self, job: str) -> Level:
        """The level whose job has this name."""
        return next(level for level in self.levels if level.job == job)

    def _level_of_source(self, source: str) -> Level:
        return self.level_of(next(row.name for row in self.rows if row.source == source))

    def _levels(self) -> tuple[Level, ...]:
        jobs = list(dict.fromkeys(row.job for row in self.rows))
        after = {job: self._jobs_before(job) for job in jobs}
        levels: dict[str, Level] = {}
        for job in _in_order(jobs, after):
            own = [row.name for row in self.rows if row.job == job]
            inside = {
                name: [up for up in (*self[name].after, *self[name].follows) if up in own]
                for name in own
            }
            depth = 1 + max((levels[before].depth for before in after[job]), default=-1)
            first = self[own[0]]
            levels[job] = Level(
                job,
                first.by_visit,
                _in_order(own, inside),
                after[job],
                depth,
                first.wanted,
                self.purposes.get(job, ""),
            )
        return tuple(levels.values())

    def _jobs_before(self, job: str) -> tuple[str, ...]:
        rows = [row for row in self.rows if row.job == job]
        upstream = (self[up].job for row in rows for up in (*row.upstream, *row.shown))
        return tuple(dict.fromkeys(before for before in upstream if before != job))

    # ------------------------------------------------------------------------ the graph

    def upstream_of(self, level: Level) -> tuple[Level, ...]:
        """Every level that a level's assets are made from or follow, however indirectly."""
        found: set[str] = set(level.after)
        for before in reversed(self.levels):
            if before.job in found:
                found.update(before.after)
        return tuple(before for before in self.levels if before.job in found)

    def joins(self, level: Level) -> bool:
        """Whether a level joins branches: several levels of its partitions are next upstream."""
        directly = map(self.level_named, level.after)
        return sum(before.by_visit == level.by_visit for before in directly) > 1

    def downstream(self, asset: str) -> frozenset[str]:
        """Every asset that is made from this one, however indirectly."""
        return self._downstream[asset]

    @cached_property
    def _downstream(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for row in reversed(list(self)):
            own = [name for name in found if row.name in self[name].upstream]
            found[row.name] = frozenset(own).union(*(found[name] for name in own))
        return found

    def is_wanted(self, level: Level, settings: Settings) -> bool:
        """Whether runs that name no assets make a level: by its setting, or one downstream."""
        return not level.wanted or any(map(settings.wants, self._wishes[level.job]))

    @cached_property
    def _wishes(self) -> dict[str, frozenset[str]]:
        """The settings any of which has a level made, its own and those of levels downstream."""
        found = {}
        for level in self.levels:
            behind = {self[name].job for asset in level.assets for name in self.downstream(asset)}
            wishes = {self.level_named(job).wanted for job in behind} | {level.wanted}
            found[level.job] = frozenset(filter(None, wishes))
        return found

    def last_of(self, level: Level) -> tuple[str, ...]:
        """The assets of a level from which no other of the level is made."""
        used = {up for name in level.assets for up in self[name].upstream}
        return tuple(name for name in level.assets if name not in used)

    # -------------------------------------------------------------------------- products

    @cached_property
    def with_file(self) -> frozenset[str]:
        """The assets that are a file of the work directory."""
        return frozenset(row.name for row in self.rows if row.path)

    def product_path(self, root: Path, asset: str, partition: str) -> Path:
        """The file of the work directory that is `asset` for `partition`."""
        if not self[asset].by_visit:
            return self[asset].product(WorkDir(root, partition))
        key = VisitKey.parse(partition)
        return self[asset].product(WorkDir(root, key.target), key.visit)

    @cached_property
    def cleanable(self) -> dict[str, str]:
        """Stage of provenance to words, of what ``clean --working-copies`` removes."""
        return {stage: words for row in self for stage, words in row.cleanable.items()}

    # ------------------------------------------------------------------------- validity

    def _refuse_impossible(self, row: AssetRow) -> None:
        for problem, found in (
            ("there are two of this name", sum(r.name == row.name for r in self.rows) > 1),
            ("an asset has the name of its job", any(r.name == row.job for r in self.rows)),
            ("it has no way to be made", not (row.make or row.body or row.scatters)),
            (
                "its level has other partitions",
                any(r.job == row.job and r.per != row.per for r in self.rows),
            ),
            (
                "its level is wanted by another setting",
                any(r.job == row.job and r.wanted != row.wanted for r in self.rows),
            ),
            ("no setting says whether it is wanted", not _is_setting(row.wanted)),
            (
                "it is made from an unknown asset",
                not all(up in self for up in (*row.upstream, *row.shown)),
            ),
            (
                "'after' or 'follows' names an asset of other partitions",
                any(self[up].per != row.per for up in (*row.after, *row.follows) if up in self),
            ),
            (
                "only a target gathers visits",
                row.by_visit and bool(row.gathers or row.follows_visits),
            ),
            ("only a visit has the version of its target", bool(row.scatters) and not row.by_visit),
            (
                "it gathers what is no file of a visit",
                not all(self._has_file(up, "visit") for up in (row.gathers, *row.follows_visits)),
            ),
            ("it scatters what is no file of a target", not self._has_file(row.scatters, "target")),
            (
                "it is redone by an unknown kind of work",
                not {kind.name for kind in self.redo_kinds} >= set(row.redo),
            ),
            ("its path is none of the work directory", not hasattr(WorkDir, row.path or "base")),
        ):
            if found:
                raise BadConfiguration(problem, where=f"asset {row.name}")

    def _has_file(self, name: str | None, per: str) -> bool:
        """Whether an upstream asset, if there is one, is a file of these partitions."""
        if name is None or name not in self:
            return True  # an unknown one is told by itself
        return self[name].per == per and bool(self[name].path)


def _is_setting(wanted: str) -> bool:
    """Whether there is such a setting, or none is named."""
    section, _, key = wanted.partition(".")
    return not wanted or key in getattr(_section(section), "model_fields", {})


def _section(name: str) -> object:
    field = Settings.model_fields.get(name)
    return field.annotation if field else None


def _in_order(names: Iterable[str], after: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The names with what each comes after before it, otherwise as they stand."""
    order = list(names)
    sorter = TopologicalSorter({name: list(after[name]) for name in order})
    try:
        sorter.prepare()
    except CycleError as error:
        raise BadConfiguration(
            f"assets are made from each other: {' → '.join(error.args[1])}",
            where="the table of assets",
        ) from error
    done: list[str] = []
    ready: set[str] = set()
    while sorter.is_active():
        ready |= set(sorter.get_ready())
        first = min(ready, key=order.index)
        ready.remove(first)
        done.append(first)
        sorter.done(first)
    return tuple(done)
