"""The sensor on new data: asks the archive for every archive target in turn, requests the visits.

A tick has a time budget, because Dagster gives up on a sensor after a minute. What it does not
reach is the next tick's: the cursor (`orchestration.archive_cursor`) says whose turn it is and how
far each target has come. A target that cannot be asked keeps its cursor, and holds up no other.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import dagster as dg

from hst_assets.archive.holdings import Listing, VisitHoldings
from hst_assets.failures import HstAssetsError, NothingFound, TransientFailure
from hst_assets.orchestration.archive_cursor import (
    ArchiveCursor,
    TargetCursor,
    obtainable,
    run_key,
)
from hst_assets.orchestration.archive_report import listing_digest
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.dagster_private import running_sensor_cursors
from hst_assets.orchestration.partitions import registrations
from hst_assets.orchestration.resources import HstRoot, MastAccess
from hst_assets.orchestration.target_roots import forgotten_marks
from hst_assets.orchestration.targets import archive_targets
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["ARCHIVE_SENSOR", "awaited_targets", "new_mast_data_sensor"]

ARCHIVE_SENSOR = "new_mast_data_sensor"
_VISITS = ASSETS.raw_level
_INTERVAL_S = 60
#: No target is begun after this; Dagster gives a sensor 60 s.
_TICK_S = 20.0
#: A target that has not answered after this is left for a later tick.
_QUESTION_S = 20.0
_MAX_REQUESTS_A_TICK = 100
_DATA_VERSION_TAG = "dagster/data_version"


@dataclass
class _Tick:
    """What one tick collects."""

    context: dg.SensorEvaluationContext
    mast: MastAccess
    cursor: ArchiveCursor
    marks: dict[str, str]
    requests: list[dg.RunRequest] = field(default_factory=list)
    events: list[dg.AssetMaterialization] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def room(self) -> int:
        return _MAX_REQUESTS_A_TICK - len(self.requests)


def new_mast_data_sensor(interval_s: int | None = None) -> dg.SensorDefinition:
    """The sensor; between its ticks pass `interval_s` seconds at least, 60 if not given."""

    @dg.sensor(
        name=ARCHIVE_SENSOR,
        job_name=_VISITS.job,
        minimum_interval_seconds=interval_s or _INTERVAL_S,
        description="Queries MAST for new or changed exposures of every archive target, and runs "
        f"{_VISITS.job} for their visits.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, hst_root: HstRoot, mast: dg.ResourceParam[MastAccess]
    ) -> dg.SensorResult:
        return _evaluate(context, hst_root, mast)

    return sensor


def _evaluate(
    context: dg.SensorEvaluationContext, hst_root: HstRoot, mast: MastAccess
) -> dg.SensorResult:
    """Ask for each archive target in turn until time or room is used up."""
    begun = time.monotonic()
    targets = archive_targets(hst_root.path, context.log.warning)
    cursor = ArchiveCursor.parse(context.cursor, context.log.warning)
    tick = _Tick(context, mast, cursor, forgotten_marks(context.instance, targets))
    turn = tick.cursor.in_turn(targets)
    for number, target in enumerate(turn, start=1):
        _look_at(tick, hst_root.workdir(target), targets[target])
        tick.cursor.next_target = turn[number % len(turn)]
        if tick.room <= 0 or time.monotonic() - begun > _TICK_S:
            break
    for target, state in tick.cursor.targets.items():
        state.waiting *= target in targets  # retired, or no longer looked for
    tick.cursor.written_at = time.time()
    keys = [str(request.partition_key) for request in tick.requests]
    return dg.SensorResult(
        run_requests=tick.requests,
        dynamic_partitions_requests=registrations(
            [*keys, *(str(event.partition) for event in tick.events)]
        ),
        asset_events=tick.events,
        cursor=tick.cursor.model_dump_json(),
        skip_reason=None if tick.requests else "; ".join(tick.failures) or "nothing new",
    )


def _look_at(tick: _Tick, workdir: WorkDir, settings: Settings) -> None:
    """Ask for one target and request what is due of it; what is amiss with it is its own."""
    state = tick.cursor.of(workdir.target)
    try:
        _request_due(tick, workdir, state, _ask(workdir, settings))
    except (HstAssetsError, OSError) as error:
        tick.context.log.warning(f"{workdir.target}: {error}")
        tick.failures.append(f"{workdir.target}: {error}")
        state.waiting = 0  # nobody should wait for it


def _request_due(tick: _Tick, workdir: WorkDir, state: TargetCursor, listing: Listing) -> None:
    _announce(tick, workdir, state, listing)
    mark = tick.marks[workdir.target]
    state.begin(f"{listing.question}{mark}")
    visits = obtainable(listing.products, tick.mast.current_token())
    due = state.due(listing, visits)
    standing = _standing(workdir, listing) if due else frozenset()
    requested = 0
    for held in due:
        if held.visit not in standing:
            if tick.room <= 0:
                break
            tick.requests.append(_request(workdir.target, held, mark))
        state.take(listing, [held])
        requested += 1
    state.waiting = len(due) - requested
    state.forget(listing, visits)


def _request(target: str, held: VisitHoldings, mark: str) -> dg.RunRequest:
    key = f"{run_key(target, held)}{mark}"
    return dg.RunRequest(run_key=key, partition_key=f"{target}/{held.visit}")


def _ask(workdir: WorkDir, settings: Settings) -> Listing:
    from hst_assets.archive.listing import current_listing, is_being_asked, read_listing

    if is_being_asked(workdir):
        # Of an earlier tick, perhaps: questions to a silent archive would pile up.
        raise TransientFailure(
            "a query is running",
            where=workdir.target,
            next_step="Its answer is used by a later tick",
        )
    try:
        return _in_time(lambda: current_listing(workdir, settings), workdir.target)
    except NothingFound:
        listing = read_listing(workdir)
        if listing is None:
            raise
        return listing


def _in_time(ask: Callable[[], Listing], target: str) -> Listing:
    """Ask, but wait for the answer only so long.

    A question that takes longer is not broken off: its answer is written down, and serves a
    later tick. Until then the target is not asked about again. A server that stops does not
    wait for it: the answer is written whole or not at all.
    """
    answer: Future[Listing] = Future()
    threading.Thread(target=_bring, args=(answer, ask), name=f"mast-{target}", daemon=True).start()
    try:
        return answer.result(timeout=_QUESTION_S)
    except TimeoutError:
        raise TransientFailure(
            f"no answer after {_QUESTION_S:g} s",
            where=target,
            next_step="A later tick queries again",
        ) from None


def _bring(answer: Future[Listing], ask: Callable[[], Listing]) -> None:
    try:
        answer.set_result(ask())
    except (HstAssetsError, OSError) as error:
        answer.set_exception(error)
    except BaseException as error:
        answer.set_exception(error)
        raise


def _announce(tick: _Tick, workdir: WorkDir, state: TargetCursor, listing: Listing) -> None:
    """Tell Dagster of a listing that is not the last one: the file has changed under it."""
    digest = listing_digest(listing)
    if digest == state.listing:
        return
    state.listing = digest
    tick.events.append(
        dg.AssetMaterialization(
            "archive_exposures",
            partition=workdir.target,
            description="queried by the sensor",
            tags={_DATA_VERSION_TAG: digest},
            metadata={"n_visits": len(listing.visits()), "n_files": len(listing.products)},
        )
    )


def _standing(workdir: WorkDir, listing: Listing) -> frozenset[str]:
    """The visits of which raw/ holds everything listed, and whose table was made."""
    from hst_assets.archive.sync import outstanding

    wanting = outstanding(workdir, listing)
    return frozenset(
        visit
        for visit in listing.visits()
        if visit not in wanting and ASSETS[_VISITS.assets[-1]].product(workdir, visit).is_file()
    )


def awaited_targets(instance: dg.DagsterInstance) -> set[str]:
    """Targets with visits that the running sensor will request in its next ticks."""
    awaited: set[str] = set()
    for cursor in running_sensor_cursors(instance).get(ARCHIVE_SENSOR, []):
        awaited |= ArchiveCursor.parse(cursor).awaited(time.time())
    return awaited
