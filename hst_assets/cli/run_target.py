"""Process a target's levels and report each: shared by ``run`` and ``materialize``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from hst_assets.cli.account import show_account
from hst_assets.cli.console_log import keep_console
from hst_assets.cli.deployment import opened_instance
from hst_assets.cli.live import display
from hst_assets.cli.terminal import errors, output
from hst_assets.failures import (
    AccessRefused,
    HstAssetsError,
    MachineFailure,
    MissingProduct,
    MissingTool,
    NothingFound,
    ToolFailed,
    TransientFailure,
    failure_named,
    machines_kind,
)
from hst_assets.reasons import FIRST
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    from hst_assets.archive.credentials import Token
    from hst_assets.orchestration.run_target import LevelResult

__all__ = ["RunSummary", "raise_for", "run_and_report"]

_LISTING = "archive_exposures"
#: Failures that are passed on as they are, if there was no other.
_OWN_EXIT_CODE = (NothingFound, TransientFailure, AccessRefused)


@dataclass
class RunSummary:
    """What became of a target's levels.

    Attributes
    ----------
    n_made, n_unchanged : int
        Assets by partition, without the archive's listing, which is new each time.
    archive_asked : bool
        Whether the archive was queried and answered.
    failures : list of str
        Steps that failed, in words.
    errors : list of str
        Checks that failed as errors: products that are missing.
    kinds : set of str
        Names of the failures' classes.
    undelivered : list of str
        What the archive lists and could not be fetched.
    misconfigured : bool
        Whether a step failed because of the settings.
    """

    n_made: int = 0
    n_unchanged: int = 0
    archive_asked: bool = False
    failures: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    undelivered: list[str] = field(default_factory=list)
    misconfigured: bool = False

    def add(self, outcome: LevelResult) -> None:
        """Count one level of one partition."""
        asked = _LISTING in outcome.made
        self.archive_asked |= asked
        self.n_made += len(outcome.made) - asked
        self.n_unchanged += len(outcome.unchanged)
        self.failures += outcome.failures
        self.errors += outcome.errors
        self.kinds |= outcome.kinds
        self.undelivered += outcome.undelivered
        self.misconfigured |= outcome.misconfigured


def run_and_report(
    workdir: WorkDir,
    *,
    assets: Sequence[str] = (),
    visits: Sequence[str] = (),
    redo: dict[str, bool] | None = None,
    offline: bool = False,
    token: Token | None = None,
    look: Callable[[LevelResult], bool] = lambda _outcome: True,
    account: bool = True,
) -> RunSummary:
    """Process a target; print a line for each level and partition, and the account of it all.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    assets, visits : sequence of str, optional
        Only these; all by default.
    redo : dict, optional
        Fields of `hst_assets.orchestration.resources.Redo`.
    offline : bool, optional
        Ask and fetch nothing; raw/ is what there is.
    token : Token, optional
        Of the archive; it is handed on in memory alone.
    look : callable, optional
        Sees each outcome after it was printed; false ends it.
    account : bool, optional
        Whether the account of the exposures is printed.
    """
    keep_console(workdir)
    summary = RunSummary()
    console = output()
    with opened_instance() as instance, display(console) as shown:
        from hst_assets.orchestration.build import build_defs
        from hst_assets.orchestration.partition_keys import invalid_keys_of
        from hst_assets.orchestration.resources import MastAccess, Onlooker, Redo
        from hst_assets.orchestration.run_target import run_target

        for key in invalid_keys_of(instance, workdir.target):
            errors().print(
                f"[yellow]note[/yellow] {escape(repr(key))} is registered but no visit: skipped; "
                f"'hst-assets visit forget {escape(quote(key))}' removes it",
                highlight=False,
            )
        mast = MastAccess(token=token, progress=shown.fetching)
        resources = {"mast": mast, "onlooker": Onlooker(shown.following)}
        for outcome in run_target(
            build_defs(root=str(workdir.root), resources=resources),
            instance,
            workdir,
            assets=assets,
            visits=visits,
            redo=Redo(**(redo or {})),
            offline=offline,
            started=lambda level, key: shown.working(f"{level.job} {key}"),
        ):
            summary.add(outcome)
            _tell(console, outcome)
            if not look(outcome):
                break
    if account:
        show_account(workdir)
    return summary


def raise_for(summary: RunSummary, workdir: WorkDir) -> None:
    """Raise one failure for everything that was not made or not fetched.

    Raises
    ------
    HstAssetsError
        If anything was not. It has the class of the failures if all share one with an exit code of
        its own (nothing found, unreachable, refused) and no visit is incomplete; else that of a
        failure of the machine, if this is behind all of them; else it is `ToolFailed`.
    """
    if not (summary.failures or summary.errors or summary.undelivered):
        if NothingFound.__name__ in summary.kinds:
            raise NothingFound("no exposures in the archive match the query", where=workdir.target)
        return
    if summary.misconfigured:
        next_step = "fix the settings, then rerun"
    elif AccessRefused.__name__ in summary.kinds:
        next_step = (
            "access was denied, see above; exclusive data of the archive need a token with access "
            "to them (MAST_API_TOKEN)"
        )
    elif _machines_kind(summary):
        next_step = "the machine failed, not the data: fix that, then rerun the same command"
    elif summary.kinds == {MissingTool.__name__}:
        next_step = "install the missing tool, then rerun the same command"
    elif summary.kinds == {MissingProduct.__name__}:
        next_step = "make or restore the missing product, then rerun the same command"
    else:
        next_step = "rerun the same command to make what is missing"
    raise _shared_kind(summary)(
        _count(summary),
        where=workdir.target,
        next_step=f"The logs are in {workdir.logs}; {next_step}",
    )


def _shared_kind(summary: RunSummary) -> type[HstAssetsError]:
    for kind in _OWN_EXIT_CODE:
        if summary.kinds == {kind.__name__} and not summary.undelivered:
            return kind
    return _machines_kind(summary) or ToolFailed


def _machines_kind(summary: RunSummary) -> type[MachineFailure] | None:
    """The machine's failure, if all that failed, failed because of it."""
    return machines_kind(failure_named(name) for name in summary.kinds)


def _count(summary: RunSummary) -> str:
    parts = []
    if summary.failures:
        n = len(summary.failures)
        parts.append(f"{n} step failed" if n == 1 else f"{n} steps failed")
    if summary.errors:
        n = len(summary.errors)
        parts.append(f"{n} asset is incomplete" if n == 1 else f"{n} assets are incomplete")
    if summary.undelivered:
        n = len(summary.undelivered)
        parts.append(f"{n} visit is incomplete" if n == 1 else f"{n} visits are incomplete")
    return ", ".join(parts)


def _by_reason(outcome: LevelResult) -> dict[str, list[str]]:
    """The assets that were made, by why they were."""
    found: dict[str, list[str]] = {}
    for asset in outcome.made:
        if outcome.reasons.get(asset):
            found.setdefault(outcome.reasons[asset], []).append(asset)
    return found


def _tell(console: Console, outcome: LevelResult) -> None:
    parts = []
    if outcome.made:
        parts.append(f"made: {', '.join(outcome.made)}")
    if outcome.unchanged:
        parts.append(f"up to date: {', '.join(outcome.unchanged)}")
    console.print(f"{outcome.partition:<24} {'; '.join(parts) or 'nothing made'}", highlight=False)
    for reason, assets in _by_reason(outcome).items():
        if reason == FIRST:  # which the line above says
            continue
        console.print(f"  {', '.join(assets)}: {escape(reason)}", highlight=False)
    for asset, cause in outcome.skipped.items():
        errors().print(
            f"  [yellow]skipped[/yellow] {asset}: {cause} failed upstream", highlight=False
        )
    for text in outcome.failures:
        errors().print(f"  [red]failed[/red] {escape(text)}", highlight=False)
    for text in dict.fromkeys(outcome.warnings):  # two checks may say the same
        tag = "[red]failed[/red]" if text in outcome.errors else "[yellow]note[/yellow]"
        # What was not checked says so itself.
        tag = "[yellow]check[/yellow]" if text in outcome.unchecked else tag
        errors().print(f"  {tag} {escape(text)}", highlight=False)
