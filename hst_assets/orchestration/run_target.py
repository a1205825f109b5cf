"""Run a target through all levels in this process: what ``hst-assets materialize`` does.

Each level of each partition is one Dagster run, recorded like any other. A failure stops only what
is downstream of it: other visits go on, and so do all products that are not made from the failed
one. If the archive cannot be queried, the run goes on with the exposures in raw/.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import dagster as dg

from hst_assets.failures import BadConfiguration, MissingProduct, ToolFailed
from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.dead_runs import bury_dead_runs
from hst_assets.orchestration.failed_steps import (
    failed_by_check,
    kind_in,
    reason_of,
    said_by,
    was_interrupted,
)
from hst_assets.orchestration.in_the_way import Failed, blocked_in_words, never_made
from hst_assets.orchestration.jobs import overall
from hst_assets.orchestration.levels import AssetTable, Level
from hst_assets.orchestration.metadata import MADE_NOW, OUTCOME
from hst_assets.orchestration.partition_keys import register, visits_of
from hst_assets.orchestration.processes import this_process
from hst_assets.orchestration.resources import Redo
from hst_assets.orchestration.run_in_process import run_in_process
from hst_assets.orchestration.runs import MAX_RETRIES_TAG, PROCESS_TAG
from hst_assets.orchestration.target_roots import claim
from hst_assets.orchestration.unchanged import restate_run
from hst_assets.settings import Settings, load_settings
from hst_assets.workdir import WorkDir

__all__ = ["LevelResult", "refuse_unknown", "run_target"]

_DELIVERY_CHECK = "all_delivered"


@dataclass(frozen=True)
class LevelResult:
    """What became of one level of one partition.

    Attributes
    ----------
    level, partition : str
        The job's name and the partition key.
    made, unchanged : tuple of str
        Assets that were made now, and those that were up to date.
    failures : tuple of str
        Why steps failed, in the words of the failure.
    not_made : frozenset of str
        The assets of those steps.
    warnings : tuple of str
        Checks that did not pass: ``asset: what was found``.
    errors : tuple of str
        Those among the warnings that are failures of the run: a product is missing.
    unchecked : tuple of str
        Those among the warnings that had nothing to compare.
    skipped : mapping
        Assets that were not tried, and the failed asset upstream of each.
    undelivered : tuple of str
        Those among the warnings that name files the archive has and raw/ lacks.
    reasons : mapping
        Why each asset was made, by its name.
    kinds : frozenset of str
        Classes of the failures, by name; ``NothingFound`` where the archive has nothing.
    run_id : str
        Id of the Dagster run; empty if there was none.
    """

    level: str
    partition: str
    made: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    not_made: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    undelivered: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    reasons: Mapping[str, str] = field(default_factory=dict, compare=False)
    run_id: str = field(default="", compare=False)

    @property
    def misconfigured(self) -> bool:
        """Whether a step failed for what the settings say: the same again would fail again."""
        return BadConfiguration.__name__ in self.kinds


def run_target(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    workdir: WorkDir,
    *,
    assets: Collection[str] = (),
    visits: Collection[str] = (),
    redo: Redo | None = None,
    offline: bool = False,
    table: AssetTable = ASSETS,
    tags: Mapping[str, str] | None = None,
    started: Callable[[Level, str], None] = lambda _level, _partition: None,
) -> Iterator[LevelResult]:
    """Materialize a target's assets, upstream levels first.

    Parameters
    ----------
    definitions : Definitions
        As `build_defs` makes them.
    instance : DagsterInstance
        Where runs and partitions are recorded.
    workdir : WorkDir
        The target's work directory; its visits are registered first.
    assets : collection of str, optional
        Only these; all by default.
    visits : collection of str, optional
        Only these at the visit level; all by default.
    redo : Redo, optional
        What is made again although nothing changed.
    offline : bool, optional
        Ask the archive nothing and fetch nothing, although this is an archive target.
    table : AssetTable, optional
        Which assets there are, as `definitions` has them.
    tags : mapping, optional
        Of each run, beyond its own.
    started : callable, optional
        Told of each level and partition before it runs.

    Yields
    ------
    outcome : LevelResult
        One a level and partition, as it ends.

    Raises
    ------
    BadConfiguration
        If an asset or a visit does not exist, the settings are not valid, or the target belongs
        to another root.
    KeyboardInterrupt
        If the user interrupted a step; nothing is started after it.
    """
    plan = _Plan.of(instance, workdir, visits, table, offline=offline)
    bury_dead_runs(instance)
    refuse_unknown("asset", assets, [row.name for row in table])
    failed = Failed(table)
    # Who waits for these runs sees that one failed: nobody else tries it again.
    tags = {PROCESS_TAG: this_process(), MAX_RETRIES_TAG: "0", **(tags or {})}
    for level in table.levels:
        selected = plan.selected(level, assets)
        if level == table.raw_level:
            plan.refuse_unknown_visits(instance)
        if not selected or plan.passes_over(level, named=bool(assets)):
            continue
        for partition in plan.partitions(instance, level):
            skipped = failed.upstream_of(selected, partition)
            due = [asset for asset in selected if asset not in skipped]
            blocked = never_made(table, workdir, due, partition) if assets else {}
            if blocked:
                result = plan.blocked(level, partition, due, blocked)
                result = replace(result, skipped=skipped)
            elif due:
                started(level, partition)
                config = plan.config(redo)
                result = _run(definitions, instance, level, due, partition, config, table, tags)
                result = replace(result, skipped=skipped)
            else:
                result = LevelResult(level.job, partition, skipped=skipped)
            for asset in (*result.not_made, *result.skipped):
                failed.add(asset, partition)
            yield result
            if level == table.archive_level:
                plan.offline |= bool(result.failures)
        if level == table.archive_level and not plan.keys(instance, table.raw_level):
            return  # neither the archive nor raw/ has anything


@dataclass
class _Plan:
    """Which partitions are run; `offline` once the archive is not to be asked any more."""

    workdir: WorkDir
    settings: Settings
    visits: frozenset[str]
    table: AssetTable
    offline: bool

    @classmethod
    def of(
        cls,
        instance: dg.DagsterInstance,
        workdir: WorkDir,
        visits: Collection[str],
        table: AssetTable,
        *,
        offline: bool,
    ) -> _Plan:
        """Read the settings and register the target with the visits of raw/."""
        from hst_assets.exposures.raw import visits_in

        settings = load_settings(workdir.existing())
        claim(instance, workdir)
        register(instance, workdir.target, visits_in(workdir))
        return cls(workdir, settings, frozenset(visits), table, offline)

    @property
    def from_archive(self) -> bool:
        """Whether this is an archive target."""
        return self.settings.archive.query

    def selected(self, level: Level, assets: Collection[str]) -> list[str]:
        """The assets of a level that are named, or wanted where none is."""
        if assets:
            return [asset for asset in level.assets if asset in assets]
        return [*level.assets] if self.table.is_wanted(level, self.settings) else []

    def blocked(
        self,
        level: Level,
        partition: str,
        assets: Sequence[str],
        blocked: Mapping[str, Sequence[str]],
    ) -> LevelResult:
        """What is not tried, because what it is made from was not chosen and was never made."""
        told = blocked_in_words(self.table, self.settings, assets, blocked)
        return LevelResult(
            level.job,
            partition,
            failures=tuple(f"{asset}: {text}" for asset, text in told.items()),
            not_made=frozenset(assets),
            kinds=frozenset({MissingProduct.__name__}),
        )

    def passes_over(self, level: Level, *, named: bool) -> bool:
        """Whether a level is none of this target; one asked for by name says why itself."""
        return level == self.table.archive_level and (
            self.offline or not (self.from_archive or named)
        )

    def partitions(self, instance: dg.DagsterInstance, level: Level) -> list[str]:
        """The partitions of a level that are wanted, in order."""
        if not level.by_visit:
            return [self.workdir.target]
        keys = self.keys(instance, level)
        return [str(key) for key in keys if not self.visits or key.visit in self.visits]

    def keys(self, instance: dg.DagsterInstance, level: Level) -> list[VisitKey]:
        """The visits that there are at a level.

        Of an archive target, those that neither raw/ nor the listing has are left alone: they
        were registered for another question.
        """
        keys = visits_of(instance, self.workdir.target)
        if not self.from_archive:
            return keys
        held = self._held(level, {key.visit for key in keys})
        return [key for key in keys if key.visit in held]

    def refuse_unknown_visits(self, instance: dg.DagsterInstance) -> None:
        """Raise if a visit that is wanted does not exist."""
        known = [key.visit for key in self.keys(instance, self.table.raw_level)]
        refuse_unknown("visit", self.visits, known)

    def _held(self, level: Level, registered: set[str]) -> set[str]:
        from hst_assets.archive.listing import read_listing
        from hst_assets.exposures.raw import visits_in

        held = set(visits_in(self.workdir))
        if level == self.table.raw_level and not self.offline:
            listing = read_listing(self.workdir)
            held |= set(listing.visits()) if listing else registered
        return held

    def config(self, redo: Redo | None) -> dict[str, Any]:
        """The configuration of `raw_exposures`; the other assets take a part of it."""
        return {**(redo or Redo()).model_dump(), "offline": self.offline}


def refuse_unknown(what: str, names: Collection[str], known: Sequence[str]) -> None:
    """Raise `BadConfiguration` if there are names of what does not exist; say which do."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        near = dict.fromkeys(
            each for name in unknown for each in get_close_matches(name, known, n=2)
        )
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise BadConfiguration(
            f"no {what} {', '.join(unknown)}",
            next_step=f"{meant}Known: {', '.join(known) or 'none'}",
        )


def _run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    level: Level,
    assets: list[str],
    partition: str,
    config: dict[str, Any],
    table: AssetTable,
    tags: Mapping[str, str],
) -> LevelResult:
    whole = definitions.resolve_job_def(level.job)
    wanted = {dg.AssetKey(asset) for asset in assets}
    checks = {
        key for key in whole.asset_layer.asset_graph.asset_check_keys if key.asset_key in wanted
    }
    job = whole.get_subset(
        asset_selection=wanted, asset_check_selection=checks - set(overall(level, table))
    )
    result = run_in_process(
        job,
        instance,
        partition=partition,
        run_config=_run_config([table[asset] for asset in assets], config),
        tags=tags,
    )
    if not result.success:
        restate_run(instance, result.run_id)
    return _level_result(level, assets, partition, result)


def _run_config(rows: Sequence[AssetRow], config: dict[str, Any]) -> dict[str, Any]:
    """What each asset takes: one that reads raw/ all of it; the archive's and pointers nothing."""
    of_others = {key: value for key, value in config.items() if key in Redo.model_fields}
    return {
        "ops": {
            row.name: {"config": config if row.source == "raw" else of_others}
            for row in rows
            if row.source != "archive" and not row.scatters
        },
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


def _level_result(
    level: Level, assets: list[str], partition: str, result: dg.JobExecutionResult
) -> LevelResult:
    made: list[str] = []
    unchanged: list[str] = []
    reasons: dict[str, str] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        executed = materialization.metadata.get("executed")
        told = str(executed.value) if executed is not None else ""
        is_new = told.startswith("made")
        asset = materialization.asset_key.path[-1]
        (made if is_new else unchanged).append(asset)
        if is_new:
            reasons[asset] = told.removeprefix(MADE_NOW).removeprefix(": ")
    observed = (e.asset_observation_data for e in result.get_asset_observation_events())
    unchanged += [data.asset_observation.asset_key.path[-1] for data in observed]
    remarks = [check for check in result.get_asset_check_evaluations() if not check.passed]
    if any(was_interrupted(event) for event in result.all_events):
        raise KeyboardInterrupt
    failures = dict(_failures(result))
    lost = [asset for asset in assets if asset not in {*made, *unchanged, *failures}]
    failures |= dict.fromkeys(lost, "not made, because something upstream failed")
    return LevelResult(
        level=level.job,
        partition=partition,
        made=tuple(made),
        unchanged=tuple(unchanged),
        reasons=reasons,
        failures=tuple(f"{asset}: {text}" for asset, text in failures.items()),
        not_made=frozenset(failures),
        warnings=_those(remarks, lambda _check: True),
        undelivered=_those(
            remarks,
            lambda check: check.check_name == _DELIVERY_CHECK and not _is_unchecked(check),
        ),
        errors=_those(remarks, _is_error),
        unchecked=_those(remarks, _is_unchecked),
        kinds=frozenset(_kinds(result, remarks)),
        run_id=result.run_id,
    )


def _is_unchecked(check: dg.AssetCheckEvaluation) -> bool:
    """Whether nothing could be compared."""
    return OUTCOME in check.metadata


def _those(
    remarks: Sequence[dg.AssetCheckEvaluation], wanted: Callable[[dg.AssetCheckEvaluation], bool]
) -> tuple[str, ...]:
    """What the checks say of which something holds."""
    found = [check for check in remarks if wanted(check)]
    return tuple(f"{check.asset_key.path[-1]}: {check.description}" for check in found)


def _is_error(check: dg.AssetCheckEvaluation) -> bool:
    is_delivery = check.check_name == _DELIVERY_CHECK
    return check.severity == dg.AssetCheckSeverity.ERROR and not is_delivery


def _failures(result: dg.JobExecutionResult) -> Iterator[tuple[str, str]]:
    """Each failed step, with the words of its failure rather than Dagster's."""
    for event in result.all_events:
        if event.is_step_failure and event.step_key:
            yield event.step_key, reason_of(event.step_failure_data)


def _kinds(result: dg.JobExecutionResult, remarks: list[dg.AssetCheckEvaluation]) -> Iterator[str]:
    """The classes of failures, as `as_dagster_failure` and the checks write them down.

    One that names none, such as an error that nobody foresaw, is a `ToolFailed`: were it passed
    over, what failed beside it would speak for all.
    """
    for event in result.all_events:
        data = event.step_failure_data if event.is_step_failure else None
        if data is not None and not failed_by_check(data):  # whose check is among the remarks
            yield kind_in(said_by(data)) or ToolFailed.__name__
    for check in remarks:
        kind = kind_in(check.metadata) or (ToolFailed.__name__ if _is_error(check) else "")
        if kind:
            yield kind
