"""Targets as the deployment knows them: added, listed, retired; which ones sensors look at.

The settings of a target are files; Dagster knows it by its partitions. Retiring a target changes a
setting only: its products, partitions and history stay, sensors and schedules pass it over, and
it can be run by hand. Adding it again takes that back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hst_assets.failures import BadConfiguration, HstAssetsError, TransientFailure
from hst_assets.identifiers import validate_target
from hst_assets.machine.failures import refusal_of_system
from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.orchestration.partition_keys import Registry, register, targets_of
from hst_assets.orchestration.target_roots import claim
from hst_assets.reasons import first_of
from hst_assets.settings import Settings, load_settings, write_settings
from hst_assets.workdir import WorkDir, stamp_if_there, targets_in

if TYPE_CHECKING:
    import dagster as dg

    from hst_assets.archive.holdings import Listing, Product

__all__ = [
    "TargetState",
    "active_settings",
    "active_targets",
    "add_target",
    "archive_targets",
    "costing_itself",
    "list_targets",
    "retire_target",
    "targets_wanting",
]

logger = logging.getLogger(__name__)

_NAMED = 3
#: Targets of which a process keeps whether they are retired.
_REMEMBERED = 100_000


@dataclass(frozen=True)
class TargetState:
    """What is known of a target without asking anyone.

    Attributes
    ----------
    target : str
        Its name.
    archive, retired : bool
        Whether it is looked for at MAST; whether sensors and schedules pass it over.
    n_visits, n_outstanding : int
        Visits of raw/ and of the last listing together; listed files that raw/ lacks.
    asked_mjd : float or None
        When the archive was asked last (MJD, UTC).
    in_flight : int
        Partitions of it on which runs are queued or at work.
    problem : str
        Why the rest could not be told, such as settings that are not valid.
    """

    target: str
    archive: bool = False
    retired: bool = False
    n_visits: int = 0
    n_outstanding: int = 0
    asked_mjd: float | None = None
    in_flight: int = 0
    problem: str = ""


def add_target(
    instance: Registry, workdir: WorkDir, changes: Mapping[str, Mapping[str, Any]]
) -> Settings:
    """Make a target's work directory and settings, and register it with its visits.

    A target that exists keeps what `changes` does not name; a retired one is taken up again.

    Parameters
    ----------
    instance : Registry
        Where partitions are registered: a Dagster instance, or its databases.
    workdir : WorkDir
        Of the target.
    changes : mapping
        ``{section: {key: value}}``, as `hst_assets.settings.write_settings` takes them.

    Raises
    ------
    BadConfiguration
        If the settings would not be valid, or the target belongs to another root; they then stay
        as they were.
    """
    claim(instance, workdir)
    wanted = {section: dict(values) for section, values in changes.items()}
    if workdir.settings_file.is_file() and load_settings(workdir).target.retired:
        wanted.setdefault("target", {})["retired"] = None
    settings = write_settings(workdir, wanted)
    workdir.create()
    register(instance, workdir.target, _known_visits(workdir))
    return settings


def retire_target(instance: dg.DagsterInstance, workdir: WorkDir) -> None:
    """Let sensors and schedules pass a target over from now on.

    Raises
    ------
    TransientFailure
        If runs of it are queued or at work, or a process works in its folder; nothing is changed.
    BadConfiguration
        If there is no such target.
    """
    from hst_assets.orchestration.dead_runs import bury_dead_runs

    workdir.existing()
    bury_dead_runs(instance)
    busy = sorted(_in_flight(instance, workdir.target))
    if busy:
        raise TransientFailure(
            f"runs are in flight for {first_of(busy, _NAMED)}",
            where=workdir.target,
            next_step="Wait until they are done, or end them with 'hst-assets target retire "
            f"{workdir.target} --drain'",
        )
    with workdir.alone():
        write_settings(workdir, {"target": {"retired": True}})


def list_targets(root: Path, busy: set[str]) -> list[TargetState]:
    """The state of every target under `root`, by name.

    Parameters
    ----------
    root : Path
        The folder of work directories.
    busy : set of str
        Keys of partitions on which runs are queued or at work.
    """
    return [_state(WorkDir(root, target), busy) for target in active_targets(root, retired=True)]


def active_targets(
    root: Path,
    warn: Callable[[str], None] = logger.warning,
    *,
    retired: bool = False,
) -> list[str]:
    """Targets under `root`, without those that are retired (unless these are wanted too).

    A folder with a name that no target may have is passed over with a warning. A target whose
    settings cannot be read stays: its runs say what is wrong.
    """
    return [
        target
        for target in targets_in(root)
        if _may_be_target(target, warn) and (retired or not _is_retired(WorkDir(root, target)))
    ]


def archive_targets(
    root: Path, warn: Callable[[str], None] = logger.warning
) -> dict[str, Settings]:
    """The targets that are looked for at MAST and not retired, with their settings."""
    found = {}
    for target in active_targets(root, warn):
        try:
            settings = load_settings(WorkDir(root, target))
        except (HstAssetsError, OSError) as error:
            warn(f"{target} skipped: {error}")
            continue
        if settings.archive.query:
            found[target] = settings
    return found


def active_settings(
    root: Path, warn: Callable[[str], None] = logger.warning
) -> dict[str, Settings | None]:
    """The settings of the targets that are not retired; None where they cannot be read."""
    found: dict[str, Settings | None] = {}
    for target in active_targets(root, warn, retired=True):
        try:
            settings = load_settings(WorkDir(root, target))
        except (HstAssetsError, OSError) as error:
            warn(f"settings of {target}: {error}")
            found[target] = None
            continue
        if not settings.target.retired:
            found[target] = settings
    return found


def targets_wanting(
    level: Level, table: AssetTable, targets: Mapping[str, Settings | None]
) -> set[str]:
    """The targets for which runs make a level, or for which that is unknown.

    Parameters
    ----------
    level : Level
        What is made.
    table : AssetTable
        Its place among the others.
    targets : mapping
        Settings by target, as `active_settings` reads them.
    """
    return {
        target
        for target, settings in targets.items()
        if settings is None or table.is_wanted(level, settings)
    }


@contextmanager
def costing_itself(target: str, warn: Callable[[str], None] = logger.warning) -> Iterator[None]:
    """Look at one target of many: one that cannot be read is skipped with a warning."""
    try:
        yield
    except (HstAssetsError, OSError) as error:
        warn(f"{target} skipped: {error}")


def _may_be_target(name: str, warn: Callable[[str], None]) -> bool:
    try:
        validate_target(name)
    except BadConfiguration as error:
        warn(f"folder skipped: {error}")
        return False
    return True


def _is_retired(workdir: WorkDir) -> bool:
    try:
        stamps = tuple(map(stamp_if_there, (workdir.root_settings_file, workdir.settings_file)))
        return _retired_as_of(workdir, stamps)
    except (HstAssetsError, OSError):
        return False


@lru_cache(maxsize=_REMEMBERED)
def _retired_as_of(workdir: WorkDir, _stamps: tuple[object, ...]) -> bool:
    """Whether a target is retired, read anew where a file of settings has another stamp.

    Sensors ask for each target at each tick: of a thousand targets, reading took 0.3 s of 0.35.
    """
    return load_settings(workdir).target.retired


def _in_flight(instance: dg.DagsterInstance, target: str) -> set[str]:
    from hst_assets.orchestration.runs import partitions_in_flight

    return {key for key in partitions_in_flight(instance) if targets_of([key]) == {target}}


def _known_visits(workdir: WorkDir) -> set[str]:
    from hst_assets.exposures.raw import visits_in

    listing = _listing_of(workdir)
    return {*visits_in(workdir), *(listing.visits() if listing else ())}


def _listing_of(workdir: WorkDir) -> Listing | None:
    """The archive's listing; without one, astropy's tables are not loaded for it (0.7 s)."""
    if not workdir.archive_listing.is_file():
        return None
    from hst_assets.archive.listing import read_listing

    return read_listing(workdir)


def _state(workdir: WorkDir, busy: set[str]) -> TargetState:
    in_flight = sum(targets_of([key]) == {workdir.target} for key in busy)
    try:
        settings = load_settings(workdir)
        listing = _listing_of(workdir) if settings.archive.query else None
        missing = _outstanding(workdir, listing) if listing else {}
        return TargetState(
            workdir.target,
            archive=settings.archive.query,
            retired=settings.target.retired,
            n_visits=len(_known_visits(workdir)),
            n_outstanding=sum(map(len, missing.values())),
            asked_mjd=listing.asked_mjd if listing else None,
            in_flight=in_flight,
        )
    except HstAssetsError as error:
        return TargetState(workdir.target, in_flight=in_flight, problem=str(error))
    except OSError as error:
        told = str(refusal_of_system(error))
        return TargetState(workdir.target, in_flight=in_flight, problem=told)


def _outstanding(workdir: WorkDir, listing: Listing) -> dict[str, tuple[Product, ...]]:
    from hst_assets.archive.comparison import outstanding

    return outstanding(workdir, listing)
