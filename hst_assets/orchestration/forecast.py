"""What a run would make, and why, without making it: ``status`` and ``materialize --dry-run``.

Each row's own function is called in a work directory that is only looked at
(`hst_assets.workdir.WorkDir.looked_at`): it computes today's recipe and, instead of making its
product, says why it would make it. The inputs of a product downstream of one that would be made do
not exist yet: it would be made as well if its record names a digest that no product will have any
more (`hst_assets.provenance.WouldBeMade.replaced`); otherwise it may be made. What a run would fail
on, and what is downstream of that, is "unknown", with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hst_assets.failures import BadConfiguration, HstAssetsError, MissingProduct, MissingTool
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.in_the_way import Failed, blocked_in_words, never_made
from hst_assets.orchestration.levels import AssetTable
from hst_assets.provenance import Record, WouldBeMade, read_record, why_without_record
from hst_assets.settings import Settings, load_settings
from hst_assets.workdir import WorkDir

__all__ = ["Forecast", "State", "forecast"]

State = Literal[
    "up to date", "stale", "may be stale", "missing", "invalid", "unknown", "not wanted"
]
Redone = Callable[[AssetRow], bool]


@dataclass(frozen=True)
class Forecast:
    """Whether a product would be made.

    Attributes
    ----------
    asset, partition : str
        The product.
    state : str
        ``"up to date"``; ``"stale"``: made by another recipe; ``"may be stale"``: something
        upstream would be made, after which it may stay as it is; ``"missing"``; ``"invalid"``: a
        file is not as recorded, or the record cannot be read; ``"unknown"``: a run would fail on
        it, or it cannot be told; ``"not wanted"``: it was made, and a setting says by now that runs
        leave it as it is, so that it is not compared with anything.
    reasons : tuple of str
        Why it would be made; why it cannot be told.
    created : str
        When it was made; empty if it is missing.
    """

    asset: str
    partition: str
    state: State
    reasons: tuple[str, ...] = ()
    created: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether nothing is to be done about it."""
        return self.state in ("up to date", "not wanted")

    @property
    def is_made(self) -> bool:
        """Whether a run would make it for sure."""
        return self.state in ("stale", "missing", "invalid")


def forecast(
    workdir: WorkDir,
    table: AssetTable,
    *,
    assets: Collection[str] = (),
    visits: Collection[str] = (),
    redone: Redone = lambda _row: False,
) -> Iterator[Forecast]:
    """Tell of each product of a target whether a run would make it, and why.

    Parameters
    ----------
    workdir : WorkDir
        The target's; nothing in it is written.
    table : AssetTable
        Which products there are. The archive is not queried, and pointers have no file.
    assets, visits : collection of str, optional
        What the run makes; by default all that the settings want, and of the rest it is told what
        was made. Otherwise nothing is told of the rest, and nothing follows.
    redone : callable, optional
        Whether the run makes a row's products whatever their records say.

    Raises
    ------
    BadConfiguration
        If the settings are not valid.
    MissingProduct
        If the choice of the reference cannot be read.
    """
    from hst_assets.exposures.raw import visits_in

    settings, held = load_settings(workdir), visits_in(workdir)
    walk = _Walk(replace(workdir, looked_at=True), settings, table, redone, held, assets)
    for row in table:
        if not row.path or row.source == "archive" or (assets and row.name not in assets):
            continue
        level = table.level_of(row.name)
        is_looked_at = bool(assets) or table.is_wanted(level, settings)
        for visit in held if row.by_visit else [None]:
            if visit is not None and visits and visit not in visits:
                continue
            if is_looked_at:
                yield walk.look_at(row, visit)
            elif found := _left_alone(row, workdir, visit, level.wanted):
                yield found


def _key(workdir: WorkDir, visit: str | None) -> str:
    return f"{workdir.target}/{visit}" if visit else workdir.target


def _left_alone(row: AssetRow, workdir: WorkDir, visit: str | None, wanted: str) -> Forecast | None:
    """Of a product that was made and is not wanted any more; None if it was not made."""
    product = row.product(workdir, visit)
    record = read_record(product)
    if record is None and not product.is_file():
        return None
    told = f"{wanted} is off: runs leave it as it is; not checked"
    created = record.created if record else ""
    return Forecast(row.name, _key(workdir, visit), "not wanted", (told,), created)


@dataclass(frozen=True)
class _Change:
    """What would become of a product that others are made from.

    Attributes
    ----------
    is_made, is_new : bool
        Whether it would be made for sure; whether it would or may be another version.
    replaced : frozenset of str
        Digests that nothing will have any more (see `WouldBeMade`).
    digest : str
        The digest that it will have; empty if that cannot be told.
    """

    is_made: bool
    is_new: bool
    replaced: frozenset[str] = frozenset()
    digest: str = ""


class _Walk:
    """From upstream to downstream, with what would be made and what would fail."""

    def __init__(
        self,
        workdir: WorkDir,
        settings: Settings,
        table: AssetTable,
        redone: Redone,
        held: Sequence[str],
        assets: Collection[str],
    ) -> None:
        self._workdir = workdir
        self._settings = settings
        self._table = table
        self._redone = redone
        self._held = held
        self._assets = assets
        self._changes: dict[tuple[str, str | None], _Change] = {}
        self._failed = Failed(table)
        self._blocked: dict[tuple[str, str], dict[str, str]] = {}

    def look_at(self, row: AssetRow, visit: str | None) -> Forecast:
        """Of one product."""
        key = _key(self._workdir, visit)
        record = read_record(row.product(self._workdir, visit))
        found = Forecast(row.name, key, "up to date", created=record.created if record else "")
        upstream = list(self._upstream(row, visit))
        answer: WouldBeMade | HstAssetsError | None = None
        stopped = self._stopped(row, key)
        if not stopped:
            answer = self._asked(row, visit)
            # While inputs are still to be made, only what the user wrote or installed can be wrong.
            if isinstance(answer, HstAssetsError) and (
                not upstream or isinstance(answer, BadConfiguration | MissingTool)
            ):
                stopped = answer.brief
        if stopped:
            self._failed.add(row.name, key)
            return replace(found, state="unknown", reasons=(stopped,))
        if isinstance(answer, WouldBeMade) and self._lacks_visits(row):
            answer = MissingProduct("visits that are gathered are still to be made", where=key)
        if record is None:
            return self._unrecorded(found, row, visit, upstream, answer)
        return self._recorded(found, row, visit, record, upstream, answer)

    # ------------------------------------------------------------------------ one product

    def _unrecorded(
        self,
        found: Forecast,
        row: AssetRow,
        visit: str | None,
        upstream: Sequence[tuple[str, _Change]],
        answer: WouldBeMade | HstAssetsError | None,
    ) -> Forecast:
        """Of a product that has no record, or none that can be read."""
        product = row.product(self._workdir, visit)
        reasons: tuple[str, ...] = (why_without_record(product, self._workdir),)
        digest = ""
        if not upstream:
            if answer is None:
                return found  # it stands under another name: that of a user's reference
            if isinstance(answer, WouldBeMade):
                reasons = _in_words(row, answer)
                digest = "" if _is_foreign(row, answer) else answer.digest
        self._changes[row.name, visit] = _Change(is_made=True, is_new=True, digest=digest)
        unreadable = WorkDir.record(product).is_file()
        return replace(found, state="invalid" if unreadable else "missing", reasons=reasons)

    def _recorded(
        self,
        found: Forecast,
        row: AssetRow,
        visit: str | None,
        record: Record,
        upstream: Sequence[tuple[str, _Change]],
        answer: WouldBeMade | HstAssetsError | None,
    ) -> Forecast:
        """Of a product whose record tells what it was made from."""
        parts = self._parts(record)
        named = record.inputs.union(*(part.inputs for part in parts))
        follows, may_follow = self._causes(row, record, named, upstream)
        own = answer if isinstance(answer, WouldBeMade) else None
        maybe = _told(may_follow)
        if own and _is_foreign(row, own) and not own.replaced & named:
            maybe, own = [*maybe, *_in_words(row, own)], None
        if own or follows:
            self._changes[row.name, visit] = _change_of(
                row, record, parts, own, follows, may=bool(maybe)
            )
            state: State = "invalid" if own and record.lost(self._workdir) else "stale"
            told = (*(_in_words(row, own) if own else ()), *_told(follows))
            return replace(found, state=state, reasons=told)
        if isinstance(answer, HstAssetsError) and not maybe:
            maybe = _told(upstream)  # made again as they were, but not to be read before
        if maybe:
            self._changes[row.name, visit] = _Change(is_made=False, is_new=True)
            return replace(found, state="may be stale", reasons=tuple(maybe))
        return found

    def _asked(self, row: AssetRow, visit: str | None) -> WouldBeMade | HstAssetsError | None:
        """What the row's function says of today's inputs; None if the product is up to date."""
        subject: tuple[object, ...] = (visit,) if row.by_visit else ()
        if row.gathers:
            subject = (list(self._gathered(row)),)
        try:
            row.maker()(self._workdir, *subject, self._settings, redo=self._redone(row))
        except (WouldBeMade, HstAssetsError) as answer:
            return answer
        return None

    def _gathered(self, row: AssetRow) -> dict[str, Record]:
        """The visits of which a row's gathered product is there, with its records."""
        gathered = self._table[row.gathers or ""]
        found = {each: read_record(gathered.product(self._workdir, each)) for each in self._held}
        return {each: record for each, record in found.items() if record is not None}

    def _lacks_visits(self, row: AssetRow) -> bool:
        """Whether visits that a run would gather are not there yet."""
        if not row.gathers:
            return False
        lacking = set(self._held) - set(self._gathered(row))
        return any((row.gathers, each) in self._changes for each in lacking)

    def _parts(self, record: Record) -> list[Record]:
        """The records of the products that an index lists."""
        found = [read_record(path) for path in record.paths(self._workdir)]
        return [part for part in found if part is not None and part.digest != record.digest]

    # -------------------------------------------------------------------------- upstream

    def _upstream(self, row: AssetRow, visit: str | None) -> Iterator[tuple[str, _Change]]:
        """What would or may be made of what a product is made from, by the asset's name."""
        names: list[tuple[str, str | None]] = []
        for name in row.after:
            scattered = self._table[name].scatters
            names.append((scattered or name, None if scattered else visit))
        names += [(name, visit) for name in row.follows]
        if row.scatters:
            names.append((row.scatters, None))
        for name in filter(None, (row.gathers, *row.follows_visits)):
            names += [(name, each) for each in self._held]
        for key in names:
            if key in self._changes:
                yield key[0], self._changes[key]

    def _causes(
        self,
        row: AssetRow,
        record: Record,
        named: frozenset[str],
        upstream: Sequence[tuple[str, _Change]],
    ) -> tuple[list[tuple[str, _Change]], list[tuple[str, _Change]]]:
        """What a product would follow for sure, and what it may follow."""
        sure, maybe = [], []
        for name, change in upstream:
            if not change.is_new or (change.digest and change.digest in named):
                continue
            is_one_more = not change.replaced and change.is_made and name == row.gathers
            if change.replaced & named or (is_one_more and self._names_visits(row, record)):
                sure.append((name, change))
            else:
                maybe.append((name, change))
        return sure, maybe

    def _names_visits(self, row: AssetRow, record: Record) -> bool:
        """Whether a record names the products that it gathers by their digests."""
        return any(each.digest in record.inputs for each in self._gathered(row).values())

    def _stopped(self, row: AssetRow, key: str) -> str:
        """Why a run would not even try to make a product; empty if it would."""
        level = self._table.level_of(row.name)
        wanted = [
            name
            for name in level.assets
            if not self._assets or name in self._assets or not self._table[name].path
        ]
        skipped = self._failed.upstream_of(wanted, key)
        if row.name in skipped:
            return f"because {skipped[row.name]} cannot be determined"
        if not self._assets:
            return ""
        if (level.job, key) not in self._blocked:
            due = [name for name in wanted if name in self._assets and name not in skipped]
            blocked = never_made(self._table, self._workdir, due, key, chosen=self._assets)
            self._blocked[level.job, key] = (
                blocked_in_words(self._table, self._settings, due, blocked) if blocked else {}
            )
        return self._blocked[level.job, key].get(row.name, "")


def _change_of(
    row: AssetRow,
    record: Record,
    parts: Sequence[Record],
    own: WouldBeMade | None,
    follows: Sequence[tuple[str, _Change]],
    *,
    may: bool,
) -> _Change:
    """What becomes of a product that is made for sure, for its `own` reasons or others upstream."""
    dying = frozenset[str]().union(*(change.replaced for _, change in follows))
    replaced: set[str] = set()
    is_foreign = own is not None and _is_foreign(row, own)
    if own and is_foreign:
        dying |= own.replaced
    elif own:
        replaced |= own.replaced
    if follows or is_foreign:
        replaced |= {record.digest, *(part.digest for part in parts if part.inputs & dying)}
    is_new = bool(own and own.is_new) or bool(follows) or may
    return _Change(
        is_made=True,
        is_new=is_new,
        replaced=frozenset(replaced),
        digest="" if is_new else record.digest,
    )


def _is_foreign(row: AssetRow, answer: WouldBeMade) -> bool:
    """Whether an answer is that of something which is made on the way to the product."""
    return bool(row.stages) and answer.stage not in (row.name, *row.stages[:1])


def _in_words(row: AssetRow, answer: WouldBeMade) -> tuple[str, ...]:
    prefix = f"{answer.stage}: " if _is_foreign(row, answer) else ""
    return tuple(prefix + each for each in answer.reasons)


def _told(causes: Sequence[tuple[str, _Change]]) -> list[str]:
    """What would or may be made upstream, each once."""
    words = {name: "would" if change.is_made else "may" for name, change in causes}
    return [f"because {name} {verb} be made" for name, verb in words.items()]
