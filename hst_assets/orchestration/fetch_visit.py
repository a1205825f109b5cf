"""Fetching a visit of an archive target: which listing is used, and what a loss means.

A visit that lost files to a passing failure is tried again later by its run (`TRY_AGAIN`). What
still lacks files then is made of what stands, and its check `all_delivered` fails; a visit of which
nothing stands fails. The fetching itself is `hst_assets.archive.sync`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from hst_assets.failures import HstAssetsError, NothingFound, TransientFailure
from hst_assets.orchestration.resources import Fetching, MastAccess, Session, is_attended

if TYPE_CHECKING:
    from hst_assets.archive.download import Progress
    from hst_assets.archive.holdings import Listing
    from hst_assets.archive.sync import SyncReport

__all__ = ["TRY_AGAIN", "fetch_visit", "now_and_then"]

_MAX_RETRIES = 3
#: For passing failures only, see `as_dagster_failure`.
TRY_AGAIN = dg.RetryPolicy(
    max_retries=_MAX_RETRIES,
    delay=60,
    backoff=dg.Backoff.EXPONENTIAL,
    jitter=dg.Jitter.PLUS_MINUS,
)
#: Each line of a run's log is an event in Dagster's database.
_SECONDS_A_LINE = 5.0
_MEGABYTE = 1e6


def fetch_visit(
    context: dg.AssetExecutionContext, session: Session, config: Fetching, mast: MastAccess
) -> SyncReport | None:
    """Fetch what the archive lists for the visit and raw/ lacks.

    Returns
    -------
    delivery : SyncReport or None
        None where nothing was to be asked: not an archive target, or ordered so.

    Raises
    ------
    HstAssetsError
        If files could not be had, and another try may help or nothing of the visit stands.
    """
    from hst_assets.archive.sync import sync_visit

    if config.offline or not session.settings.archive.query:
        return None
    delivery = sync_visit(
        session.workdir,
        session.visit,
        session.settings,
        listing=_listing(context, session),
        token=mast.current_token(),
        progress=mast.progress or now_and_then(context.log.info),
        refetch=config.clobber,
    )
    if delivery.failed:
        _refuse_or_warn(context, session, delivery)
    return delivery


def _listing(context: dg.AssetExecutionContext, session: Session) -> Listing:
    """What the archive holds; where it does not answer, what it said last."""
    from hst_assets.archive.listing import current_listing, read_listing

    try:
        return current_listing(session.workdir, session.settings)
    except (NothingFound, TransientFailure) as error:
        last = read_listing(session.workdir)
        if last is None:
            raise
        context.log.warning(f"{error}; going by the last listing")
        return last


def _refuse_or_warn(
    context: dg.AssetExecutionContext, session: Session, delivery: SyncReport
) -> None:
    from hst_assets.exposures.raw import visits_in

    failures = [lost.failure for lost in delivery.failed]
    passing = [failure for failure in failures if isinstance(failure, TransientFailure)]
    text = f"{len(failures)} of {len(failures) + len(delivery.fetched) + len(delivery.unchanged)}"
    text = f"{text} files of the visit could not be fetched; {(passing or failures)[0]}"
    another_try = not is_attended(context) and context.retry_number < _MAX_RETRIES
    if passing and another_try:
        raise TransientFailure(text, where=context.partition_key)
    if session.visit not in visits_in(session.workdir):
        kind: type[HstAssetsError] = type((passing or failures)[0])
        raise kind(text, where=context.partition_key)
    context.log.error(text)


def now_and_then(say: Callable[[str], None]) -> Callable[[Progress], None]:
    """A listener to transfers that says a line every few seconds at most."""
    said_at = [time.monotonic()]

    def listen(progress: Progress) -> None:
        now = time.monotonic()
        if now - said_at[0] >= _SECONDS_A_LINE:
            said_at[0] = now
            say(_line(progress))

    return listen


def _line(progress: Progress) -> str:
    done = f"{progress.bytes_done / _MEGABYTE:.1f}"
    if progress.bytes_total is not None:
        done += f" of {progress.bytes_total / _MEGABYTE:.1f}"
    failed = f", {progress.n_failed} of them failed" if progress.n_failed else ""
    return f"fetched {done} MB; {progress.n_done} of {progress.n_files} files done{failed}"
