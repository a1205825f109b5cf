"""The state of the sensor on new data for each target: what is due, what was requested.

Visits are taken in the order ``(release, visit)``. The cursor of a target is the last one taken;
what was released up to `LOOK_BACK_DAYS` before it is looked at again, because the archive also
announces data late. In that window the version of each visit that was taken is remembered, so
that a visit is taken again when its products are others, and only then. Why this suffices is in
docs/decisions/0009-archive-sensor.md. Nothing here asks or runs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from hst_assets.archive.holdings import Listing, Product, VisitHoldings, visit_holdings

if TYPE_CHECKING:
    from hst_assets.archive.credentials import Token

__all__ = ["LOOK_BACK_DAYS", "ArchiveCursor", "TargetCursor", "obtainable", "run_key"]

LOOK_BACK_DAYS = 10.0
_DIGEST_LENGTH = 12
_SILENCE_S = 900.0


class TargetCursor(BaseModel):
    """How far one target has come.

    Attributes
    ----------
    release_mjd, visit
        The last visit taken, and its release (MJD, UTC); a release that lies ahead (data under
        exclusive access) counts as the moment of the listing.
    taken : dict
        Visit to version, for what was taken within the window.
    question : str
        Digest of the query. If the query changes, the cursor begins anew.
    waiting : int
        How many due visits the last tick had no room for.
    listing : str
        Data version of the listing that was last announced.
    """

    model_config = ConfigDict(extra="ignore")

    release_mjd: float = 0.0
    visit: str = ""
    taken: dict[str, str] = {}
    question: str = ""
    waiting: int = 0
    listing: str = ""

    def begin(self, question: str) -> None:
        """Look at everything again if another question is asked: a wider one finds older visits."""
        if self.question and self.question != question:
            self.release_mjd, self.visit, self.taken = 0.0, "", {}
        self.question = question

    def due(self, listing: Listing, visits: Iterable[VisitHoldings]) -> list[VisitHoldings]:
        """The visits to take, in the order of the cursor."""
        since = self._since(listing)
        due = [
            held
            for held in visits
            if _release(held, listing) >= since
            and self.taken.get(held.visit) != held.version[:_DIGEST_LENGTH]
        ]
        return sorted(due, key=lambda held: (_release(held, listing), held.visit))

    def take(self, listing: Listing, visits: Sequence[VisitHoldings]) -> None:
        """Move past visits that `due` returned, from its beginning."""
        for held in visits:
            self.taken[held.visit] = held.version[:_DIGEST_LENGTH]
            place = (_release(held, listing), held.visit)
            self.release_mjd, self.visit = max((self.release_mjd, self.visit), place)

    def forget(self, listing: Listing, visits: Iterable[VisitHoldings]) -> None:
        """Drop what has left the window: `due` does not look at it any more."""
        since = self._since(listing)
        recent = {held.visit for held in visits if _release(held, listing) >= since}
        self.taken = {visit: version for visit, version in self.taken.items() if visit in recent}

    def _since(self, listing: Listing) -> float:
        # The clock may have been ahead when the cursor was written.
        return min(self.release_mjd, listing.asked_mjd) - LOOK_BACK_DAYS


class ArchiveCursor(BaseModel):
    """The sensor's whole cursor: every target's, whose turn it is, and when it was written (s)."""

    model_config = ConfigDict(extra="ignore")

    targets: dict[str, TargetCursor] = {}
    next_target: str = ""
    written_at: float = 0.0

    @classmethod
    def parse(
        cls, text: str | None, warn: Callable[[str], None] = lambda _text: None
    ) -> ArchiveCursor:
        """Read what the last tick left; an empty cursor where there is none that can be read.

        An empty one asks for everything again, of which Dagster knows the run keys.
        """
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError as error:
            warn(f"the cursor cannot be read, and starts afresh: {error}")
            return cls()

    def in_turn(self, targets: Collection[str]) -> list[str]:
        """All targets, beginning where the last tick ended."""
        ahead = sorted(target for target in targets if target >= self.next_target)
        return [*ahead, *sorted(target for target in targets if target < self.next_target)]

    def awaited(self, now: float) -> set[str]:
        """Targets of which further visits are about to be requested.

        A cursor that was not written for `_SILENCE_S` promises nothing.
        """
        if now - self.written_at > _SILENCE_S:
            return set()
        return {target for target, state in self.targets.items() if state.waiting}

    def of(self, target: str) -> TargetCursor:
        """The cursor of one target, which is made where there is none."""
        return self.targets.setdefault(target, TargetCursor())


def obtainable(products: Iterable[Product], token: Token | None) -> list[VisitHoldings]:
    """The visits with what may be had of them: public files, with a token the others too."""
    wanted = (product for product in products if product.is_public or token is not None)
    return list(visit_holdings(wanted).values())


def run_key(target: str, held: VisitHoldings) -> str:
    """``target/visit@release`` with a digest of the products: one release may be added to."""
    from hst_assets.orchestration.archive_report import utc

    return f"{target}/{held.visit}@{utc(held.release_mjd)}+{held.version[:_DIGEST_LENGTH]}"


def _release(held: VisitHoldings, listing: Listing) -> float:
    return min(held.release_mjd, listing.asked_mjd)
