"""What the archive lists of a visit, into raw/: what is missing or changed, and nothing else.

A delivery compares listing, ledger and ``raw/.origins.json``, fetches into the staging folder of
its visit (or into the archive tree) what does not stand, and brings it in through
`hst_assets.exposures.ingest`, which verifies it as an exposure. A WFPC2 exposure's c0m and c1m come
in together or not at all. The old file stays until the new one takes its name.

Where bytes came from is written down *before* they get their name, so a delivery that is killed at
any moment is finished by the next one. Two deliveries of one visit wait for each other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hst_assets.archive.comparison import (
    Case,
    Compared,
    lies_in_raw,
    outstanding,
    withdrawn,
)
from hst_assets.archive.credentials import Token
from hst_assets.archive.delivery_units import Unit, is_name_of_visit, is_stale, one_each, units_of
from hst_assets.archive.disk_failures import DISK_STEP, failure_on_disk
from hst_assets.archive.download import Fetched, NotFetched, Progress, fetch
from hst_assets.archive.fetch_history import (
    ProductKey,
    Refusal,
    change_fetch_history,
    fetch_record_of,
    key_of,
)
from hst_assets.archive.holdings import Listing, Product
from hst_assets.archive.receipts import receipt_of
from hst_assets.archive.revalidation import outdated, revalidate
from hst_assets.archive.sync_report import (
    Failed,
    SyncReport,
    came_before,
    has_no_place,
    not_usable,
    waits_for,
)
from hst_assets.archive.tree import (
    Fetcher,
    fetch_through,
    is_unproven,
    link_or_copy,
    path_in_tree,
    taken_from_tree,
)
from hst_assets.exposures.ingest import IngestReport, ingest
from hst_assets.exposures.raw import RawFile, exposure_key, raw_ledger
from hst_assets.failures import (
    AccessRefused,
    BadConfiguration,
    HstAssetsError,
    NothingFound,
    TransientFailure,
    UnusableInput,
)
from hst_assets.identifiers import validate_visit
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["Failed", "SyncReport", "outstanding", "sync_visit"]

logger = logging.getLogger(__name__)

_KEY_LENGTH = len(exposure_key("ipppssoot"))


def sync_visit(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    token: Token | None = None,
    progress: Callable[[Progress], None] | None = None,
    refetch: bool = False,
    listing: Listing | None = None,
    fetcher: Fetcher = fetch,
) -> SyncReport:
    """Bring into raw/ what the archive lists of a visit and raw/ does not have as listed.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    visit : str
        IPPPSS.
    settings : Settings
        Of the target.
    token : Token, optional
        For files under exclusive access.
    progress : callable, optional
        Told how far the transfers are.
    refetch : bool, optional
        Fetch every file that the archive does not say to be unchanged: also those that were
        ingested by hand, which are then replaced, and those that were refused before.
    listing : Listing, optional
        What the archive holds; by default the target's own, asked for if it is too old.
    fetcher : callable, optional
        Brings files into a folder.

    Returns
    -------
    SyncReport
        One file's failure is its own, and does not raise.

    Raises
    ------
    NothingFound
        If the archive lists nothing of the visit, and raw/ has nothing of it either.
    BadConfiguration
        If ledger or ``.origins.json`` are damaged, or a folder may not be written to.
    TransientFailure
        If the disk is full; or if the archive did not answer a query.
    """
    validate_visit(visit)
    if listing is None:
        from hst_assets.archive.listing import current_listing

        listing = current_listing(workdir, settings)
    holdings = listing.visits().get(visit)
    products = one_each(holdings.products if holdings else ())
    with _disk_failures(workdir), workdir.create().lock(f"delivery.{visit}"):
        if not products and not any(file.visit == visit for file in raw_ledger(workdir)):
            raise NothingFound(
                f"the archive lists nothing of visit {visit} for this target",
                where=workdir.target,
                next_step="See what it lists in workspace/archive_exposures.ecsv, and what was "
                "left out; the settings under [archive] and [selection] decide",
            )
        job = _Job(workdir, visit, settings, token, progress, refetch, fetcher)
        return job.run(products)


@contextmanager
def _disk_failures(workdir: WorkDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise failure_on_disk(error, workdir.base) from error


# ---------------------------------------------------------------------------- one visit


@dataclass
class _Job:
    """One delivery under way."""

    workdir: WorkDir
    visit: str
    settings: Settings
    token: Token | None
    progress: Callable[[Progress], None] | None
    refetch: bool
    fetcher: Fetcher
    fetched: list[Fetched] = field(default_factory=list)
    unchanged: list[Product] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    same: frozenset[str] = frozenset()
    placeless: set[str] = field(default_factory=set)

    @property
    def inbox(self) -> Path:
        """Where files of this visit come; ingest clears only folders of its own there."""
        return self.workdir.staging / self.visit

    @property
    def tree(self) -> Path | None:
        """The archive tree that files are kept in."""
        tree = self.settings.archive.tree
        return None if tree is None else self.workdir.base / tree

    def run(self, listed: Sequence[Product]) -> SyncReport:
        """Do it."""
        products = [product for product in listed if self._is_sound(product)]
        self.same = revalidate(
            self.workdir,
            products,
            self.settings.archive,
            token=self.token,
            all_of_them=self.refetch,
        )
        units = units_of(self.workdir, products)
        wanted = [unit for unit in units if self._is_wanted(unit)]
        arrived = self._fetch(wanted, anew=self.refetch)
        self._bring_in(arrived)
        self._clear_inbox()
        self._look_back(listed)
        return SyncReport(
            tuple(self.fetched), tuple(self.unchanged), tuple(self.failed), tuple(self.notes)
        )

    def _is_sound(self, product: Product) -> bool:
        """Names become paths: they are looked at once more, wherever the listing came from."""
        if is_name_of_visit(product, self.visit):
            return True
        self._fail(product, UnusableInput("not a name of an exposure", where=repr(product.name)))
        return False

    # -------------------------------------------------------------- what is wanted

    def _lacks(self, part: Compared) -> bool:
        return not part.case.stands or (self.refetch and part.product.name not in self.same)

    def _is_wanted(self, unit: Unit) -> bool:
        """Whether something of it is to be fetched; if not, write down why."""
        lacking = [part for part in unit.parts if self._lacks(part)]
        for part in unit.parts:
            if part.differs and part not in lacking:
                self._note_other(part)
        refused = [part for part in lacking if part.refusal and not self.refetch]
        if lacking and not refused:
            return True
        self.unchanged += [part.product for part in unit.parts if part not in lacking]
        for part in lacking:
            refusal = part.refusal or (refused[0].refusal if refused else None)
            if refusal is not None:
                self._fail(part.product, came_before(refusal, part), remembered=True)
        return False

    def _note_other(self, part: Compared) -> None:
        if part.file is not None:
            self._note(
                f"raw/{part.file.name} was ingested by hand and has {part.file.size} bytes, the "
                f"archive's has {part.product.size}: kept; --clobber replaces it"
            )

    # -------------------------------------------------------------- fetching

    def _fetch(self, units: Sequence[Unit], *, anew: bool) -> list[Unit]:
        """Fetch what the units lack; return those that are complete."""
        lacking = [
            part
            for unit in units
            for part in unit.parts
            if self._lacks(part) or unit.may_be_outdated(part)
        ]
        if not lacking:
            return []
        self.inbox.mkdir(parents=True, exist_ok=True)
        stale = {part.product.name for part in lacking if anew or is_stale(part)}
        came = {answer.product: answer for answer in self._answers(lacking, stale)}
        return [unit for unit in units if self._is_complete(unit, came)]

    def _answers(self, lacking: Sequence[Compared], stale: set[str]) -> list[Fetched | NotFetched]:
        products = [part.product for part in lacking]
        archive = self.settings.archive
        places = {self._place(product): product for product in products}
        stale = stale | outdated(places, archive, token=self.token)
        if self.tree is None:
            for name in stale:
                receipt_of(self.inbox / name).unlink(missing_ok=True)
            return self.fetcher(
                products, self.inbox, archive, token=self.token, progress=self.progress
            )
        answers = fetch_through(
            self.fetcher,
            products,
            self.tree,
            archive,
            token=self.token,
            progress=self.progress,
            anew=stale,
        )
        return [taken_from_tree(each, self.inbox / each.product.name) for each in answers]

    def _place(self, product: Product) -> Path:
        """Where a product is fetched to."""
        return path_in_tree(self.tree, product) if self.tree else self.inbox / product.name

    def _is_complete(self, unit: Unit, came: dict[Product, Fetched | NotFetched]) -> bool:
        answers = [came[product] for product in unit.products if product in came]
        unit.came = {each.product.name: each for each in answers if isinstance(each, Fetched)}
        lost = [each for each in answers if isinstance(each, NotFetched)]
        for each in lost:
            self._fail(each.product, each.failure)
            if isinstance(each.failure, UnusableInput):
                self._remember([each.product], each.failure.what)
        if lost:
            for fetched in unit.came.values():
                self._fail(fetched.product, waits_for(fetched.product, lost[0]))
        return not lost

    # -------------------------------------------------------------- bringing in

    def _bring_in(self, units: Sequence[Unit], *, again: bool = False) -> None:
        """Verify complete units as exposures, and give them their names in raw/."""
        if not units:
            return
        self._record([fetched for unit in units for fetched in unit.came.values()])
        doubtful: list[Unit] = []
        for replaces in (False, True):
            group = [unit for unit in units if (self.refetch or unit.replaces) is replaces]
            if group:
                report = ingest(
                    [self._placed(unit) for unit in group],
                    self.workdir,
                    mode="hardlink",
                    replace=replaces,
                )
                doubtful += self._settle(group, report, again=again)
        if doubtful:
            self._bring_in(self._fetch(doubtful, anew=True), again=True)

    def _placed(self, unit: Unit) -> Path:
        """Compare what is in raw/ with what was fetched."""
        for part in unit.parts:
            if part.product.name not in unit.came and part.file is not None:
                link_or_copy(self.workdir.raw / part.file.name, self.inbox / part.product.name)
        return self.inbox / unit.leader.name

    def _settle(self, units: Sequence[Unit], report: IngestReport, *, again: bool) -> list[Unit]:
        """Write down what ingest did; return units whose files in the tree were no good."""
        taken = {file.key: file for file in (*report.accepted, *report.unchanged)}
        rejected = {each.path.name: each for each in report.rejected}
        doubtful = []
        for unit in units:
            refusal = rejected.get(unit.leader.name)
            if refusal is None:
                self._delivered(unit, taken)
            elif refusal.by_machine:
                for name in unit.came:
                    failure = TransientFailure(refusal.reason, where=name, next_step=DISK_STEP)
                    self._fail(unit.came[name].product, failure)
            elif refusal.in_the_way:
                self.placeless.add(exposure_key(unit.leader.rootname))
                for fetched in unit.came.values():
                    self._fail(fetched.product, has_no_place(fetched.product, refusal.reason))
            elif not again and any(is_unproven(each) for each in unit.came.values()):
                doubtful.append(unit)
            else:
                products = [fetched.product for fetched in unit.came.values()]
                self._remember(products, refusal.reason)
                for product in products:
                    self._fail(product, not_usable(product, refusal.reason))
        self._prune()
        return doubtful

    def _delivered(self, unit: Unit, taken: dict[ProductKey, RawFile]) -> None:
        for part in unit.parts:
            product = part.product
            fetched = unit.came.get(product.name)
            if fetched is None:
                self.unchanged.append(product)
                continue
            path = self.workdir.raw / taken[key_of(product)].name
            self.fetched.append(replace(fetched, path=path))
            for note in fetched.notes:
                self._note(f"{product.name}: {note}")
            self._note_replaced(part, fetched)
        with change_fetch_history(self.workdir) as origins:
            for product in unit.products:
                origins.refused.pop(product.name, None)

    def _note_replaced(self, part: Compared, fetched: Fetched) -> None:
        if part.file is None or (part.file.sha256 == fetched.sha256 and part.case.stands):
            return
        was = {
            Case.BY_HAND: "was ingested by hand",
            Case.DAMAGED: "was missing, or not what had been verified",
        }.get(part.case, "was an earlier version")
        self._note(f"raw/{part.file.name} {was}: replaced by the archive's")

    # -------------------------------------------------------------- the records

    def _record(self, fetched: Sequence[Fetched]) -> None:
        with change_fetch_history(self.workdir) as origins:
            for each in fetched:
                origins.add(fetch_record_of(each, _now()))

    def _remember(self, products: Sequence[Product], reason: str) -> None:
        now = _now()
        again = now + timedelta(days=self.settings.archive.recheck_after_days)
        with change_fetch_history(self.workdir) as origins:
            for product in products:
                origins.refused[product.name] = Refusal(
                    name=product.name,
                    version=product.version,
                    reason=reason,
                    refused=now,
                    again=again,
                )

    def _prune(self) -> None:
        """Forget where bytes of this visit came from that raw/ does not have."""
        standing = {file.key: file.sha256 for file in raw_ledger(self.workdir)}
        with change_fetch_history(self.workdir) as origins:
            for origin in list(origins.files.values()):
                if origin.rootname[:6] != self.visit or standing.get(origin.key) == origin.sha256:
                    continue
                if origin.key in standing or not lies_in_raw(self.workdir, origin):
                    origins.forget(origin)

    def _clear_inbox(self) -> None:
        """Remove all but what the next delivery will go on with."""
        if not self.inbox.is_dir():
            return
        awaited = self.placeless | {
            exposure_key(each.product.rootname)
            for each in self.failed
            if isinstance(each.failure, TransientFailure | AccessRefused | BadConfiguration)
        }
        for path in list(self.inbox.iterdir()):
            # .part, receipt and lock have the file's name in theirs.
            if path.name.lstrip(".")[:_KEY_LENGTH] not in awaited:
                path.unlink(missing_ok=True)
        if not any(self.inbox.iterdir()):
            self.inbox.rmdir()

    def _look_back(self, listed: Sequence[Product]) -> None:
        for file in withdrawn(self.workdir, listed, self.visit):
            self._note(
                f"raw/{file.name} came from the archive, which does not list it for this target "
                "any more: kept"
            )

    def _fail(self, product: Product, failure: HstAssetsError, *, remembered: bool = False) -> None:
        self.failed.append(Failed(product, failure, remembered))
        logger.warning("not delivered: %s", failure)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        logger.warning(text)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
