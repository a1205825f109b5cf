"""What a run would make, and why, without making it: ``status`` and ``materialize --dry-run``.

Each row's own function is called in a work directory that is only looked at
(`hst_assets.workdir.WorkDir.looked_at`): it reckons the recipe of today, and tells why it would
make its product instead of making it. What is downstream of something that would be made has its
inputs not yet, and is said to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from hst_assets.failures import HstAssetsError
from hst_assets.orchestration.levels import AssetRow, AssetTable
from hst_assets.provenance import WouldBeMade, read_record
from hst_assets.reasons import FIRST
from hst_assets.settings import Settings, load_settings
from hst_assets.workdir import WorkDir

__all__ = ["Forecast", "forecast"]

State = Literal["up to date", "stale", "may be stale", "missing", "invalid", "unknown"]
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
        file is not as recorded; ``"unknown"``: it cannot be told.
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
    def is_made(self) -> bool:
        """Whether a run would make it for all that can be told."""
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
        What the run makes; all by default. Of the rest nothing is told, and nothing follows.
    redone : callable, optional
        Whether the run makes a row's products whatever their records say.

    Raises
    ------
    BadConfiguration
        If the settings are not valid.
    """
    from hst_assets.exposures.raw import visits_in

    walk = _Walk(replace(workdir, looked_at=True), load_settings(workdir), table, redone)
    held = visits_in(workdir)
    for row in table:
        if not row.path or row.source == "archive" or (assets and row.name not in assets):
            continue
        for visit in held if row.by_visit else [None]:
            if visit is None or not visits or visit in visits:
                yield walk.look_at(row, visit, held)


class _Walk:
    """From upstream to downstream, with what would be of another version."""

    def __init__(
        self, workdir: WorkDir, settings: Settings, table: AssetTable, redone: Redone
    ) -> None:
        self._workdir = workdir
        self._settings = settings
        self._table = table
        self._redone = redone
        self._new: set[tuple[str, str | None]] = set()

    def look_at(self, row: AssetRow, visit: str | None, held: Collection[str]) -> Forecast:
        """Of one product."""
        record = read_record(row.product(self._workdir, visit))
        key = f"{self._workdir.target}/{visit}" if visit else self._workdir.target
        found = Forecast(row.name, key, "up to date", created=record.created if record else "")
        causes = dict.fromkeys(self._causes(row, visit, held))
        because = tuple(f"because {name} would be made" for name in causes)
        if record is None:
            self._new.add((row.name, visit))
            unfinished = self._own(row, visit, held)[0] if not causes else ()
            return replace(found, state="missing", reasons=unfinished or (FIRST,))
        own, is_new, unknown = self._own(row, visit, held)
        if is_new or (because and not row.sticky):
            self._new.add((row.name, visit))
        if own:
            state: State = "invalid" if record.lost(self._workdir) else "stale"
            return replace(found, state=state, reasons=(*own, *because))
        if because:
            state = "may be stale" if row.sticky else "stale"
            return replace(found, state=state, reasons=because)
        return replace(found, state="unknown", reasons=(unknown,)) if unknown else found

    def _own(
        self, row: AssetRow, visit: str | None, held: Collection[str]
    ) -> tuple[tuple[str, ...], bool, str]:
        """Why the product would be made of today's inputs, whether it would be another version.

        The third is why neither can be told.
        """
        subject: tuple[object, ...] = (visit,) if row.by_visit else ()
        if row.gathers:
            gathered = self._table[row.gathers]
            subject = (
                [v for v in held if read_record(gathered.product(self._workdir, v)) is not None],
            )
        try:
            row.maker()(self._workdir, *subject, self._settings, redo=self._redone(row))
        except WouldBeMade as answer:
            foreign = bool(row.stages) and answer.stage not in (row.name, *row.stages[:1])
            prefix = f"{answer.stage}: " if foreign else ""
            return tuple(prefix + each for each in answer.reasons), answer.is_new or foreign, ""
        except HstAssetsError as error:
            return (), False, error.brief
        return (), False, ""

    def _causes(self, row: AssetRow, visit: str | None, held: Collection[str]) -> Iterator[str]:
        """The assets upstream that would be of another version."""
        for name in row.after:
            scattered = self._table[name].scatters
            if (scattered or name, None if scattered else visit) in self._new:
                yield scattered or name
        if row.scatters and (row.scatters, None) in self._new:
            yield row.scatters
        if row.gathers and any((row.gathers, each) in self._new for each in held):
            yield row.gathers
