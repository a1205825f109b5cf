"""Resources: the folder of work directories, access to the archive, and what a run may override.

A resource finds things (work directories, settings); it computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, create_model

from hst_assets.failures import HstAssetsError, MachineFailure, MissingTool, TransientFailure
from hst_assets.identifiers import VisitKey
from hst_assets.machine.failures import machine_failure
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.processes import this_host
from hst_assets.orchestration.runs import HOST_TAG, RETRY_TAG, process_tag
from hst_assets.orchestration.shortage import shortage
from hst_assets.orchestration.target_roots import claim
from hst_assets.orchestration.tool_logs import said_in_run
from hst_assets.session import session_log
from hst_assets.settings import Settings, load_settings
from hst_assets.workdir import ROOT_VARIABLE, WorkDir, default_root
from hst_assets.workdir.shared_root import kept_root

if TYPE_CHECKING:
    from hst_assets.archive.credentials import Token
    from hst_assets.archive.download import Progress

__all__ = [
    "PASSING",
    "Fetching",
    "HstRoot",
    "MastAccess",
    "Onlooker",
    "Redo",
    "Session",
    "as_dagster_failure",
    "is_attended",
]

#: Failures that say nothing of the data: another machine, or a later try, may do better.
PASSING = (MachineFailure, TransientFailure, MissingTool)


class RedoOptions(dg.Config):
    """What is made again although nothing changed, as in the user guide."""

    redo: bool = Field(default=False, description="Every kind of work below.")
    clobber: bool = Field(default=False, description="Remake everything.")

    def again(self, *kinds: str) -> bool:
        """Whether what any of these kinds of work remakes is made again; tables are of none."""
        ordered = self.redo and bool(kinds)
        return self.clobber or ordered or any(getattr(self, f"redo_{kind}") for kind in kinds)


if TYPE_CHECKING:

    class Redo(RedoOptions):
        """The options with a field ``redo_<kind>`` for each kind of work of the table."""
else:
    Redo = create_model(
        "Redo",
        __base__=RedoOptions,
        __module__=__name__,
        **{
            kind.field: (bool, Field(default=False, description=kind.help))
            for kind in ASSETS.redo_kinds
        },
    )


class Fetching(Redo):
    """What is made again, and whether the archive is asked at all."""

    offline: bool = Field(
        default=False,
        description="Ask and fetch nothing: the visit is what raw/ holds of it.",
    )


@dataclass(frozen=True)
class MastAccess:
    """The clients of the archive, and who is told of their progress.

    A plain object, so that nothing of it can stand in a run's configuration.

    Parameters
    ----------
    token : Token, optional
        For data under exclusive access; by default what ``$MAST_API_TOKEN`` holds when it is
        needed.
    progress : callable, optional
        Told how transfers go; by default the run's log is, now and then.
    """

    token: Token | None = None
    progress: Callable[[Progress], None] | None = None

    def current_token(self) -> Token | None:
        """The token given, or that of the environment; None where there is neither."""
        from hst_assets.archive.credentials import token_from_environment

        return self.token or token_from_environment()


@dataclass(frozen=True)
class Onlooker:
    """Who is told of the progress of a long step, besides the run's log.

    Parameters
    ----------
    progress : callable, optional
        Told of every change; its argument's text is a line. By default nobody is.
    """

    progress: Callable[[object], None] | None = None


@dataclass(frozen=True)
class Session:
    """What an asset body works with."""

    workdir: WorkDir
    settings: Settings
    log_path: Path
    visit: str = ""


class HstRoot(dg.ConfigurableResource):
    """The folder of work directories."""

    root: str = Field(
        default="", description=f"Folder of work directories; empty: ${ROOT_VARIABLE}, or data/."
    )

    @property
    def path(self) -> Path:
        """The folder, absolute."""
        return Path(self.root).absolute() if self.root else default_root()

    def workdir(self, target: str) -> WorkDir:
        """The work directory of a target."""
        return WorkDir(self.path, target)

    @contextmanager
    def session(
        self,
        context: dg.AssetExecutionContext,
        *,
        by_visit: bool,
        tries: dg.RetryPolicy | None = None,
    ) -> Iterator[Session]:
        """Open the work directory of the run's partition for one asset: settings, session log.

        Failures of the project's vocabulary become Dagster failures that say what to do next;
        transient ones are tried again as `tries` says, but not where someone waits for the run.
        """
        with (
            as_dagster_failure(_left_of(tries, context), context.retry_number),
            _verdicts_are_final(context),
            kept_root(self.path),
        ):
            if by_visit:
                key = VisitKey.parse(context.partition_key)
                opened = self._opened(key.target, context, key.visit)
            else:
                opened = self._opened(context.partition_key, context)
            with opened as session:
                yield session

    @contextmanager
    def _opened(
        self, target: str, context: dg.AssetExecutionContext, visit: str = ""
    ) -> Iterator[Session]:
        claim(context.instance, self.workdir(target))
        _say_host(context)
        _say_shortage(context)
        workdir = self.workdir(target).existing().create()
        settings = load_settings(workdir)
        label = "_".join(filter(None, [context.asset_key.path[-1], visit]))
        # A second run of the same asset and partition waits, and then finds it done.
        with (
            workdir.lock(label, wait_s=settings.machine.lock_wait_s, waiting=context.log.warning),
            session_log(workdir, label) as log_path,
            said_in_run(workdir, context.log.info),
        ):
            yield Session(workdir, settings, log_path, visit)


@contextmanager
def _verdicts_are_final(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Where runs that fail are retried, leave out those that failed for their data or settings.

    And those of which someone sees that they failed.
    """
    try:
        yield
    except HstAssetsError as error:
        passing = isinstance(error, PASSING) and not is_attended(context)
        if not passing and context.instance.run_retries_enabled:
            context.instance.add_run_tags(context.run.run_id, {RETRY_TAG: "false"})
        raise


def _say_host(context: dg.AssetExecutionContext) -> None:
    """Write the host of a run into its tags, if it is of no job that has it."""
    if not process_tag(context.run) and context.run.tags.get(HOST_TAG) != this_host():
        context.instance.add_run_tags(context.run.run_id, {HOST_TAG: this_host()})


def _say_shortage(context: dg.AssetExecutionContext) -> None:
    """Warn of a step that may need more than this process may have, before it begins."""
    name = context.asset_key.path[-1]
    if name in ASSETS and (told := shortage(ASSETS[name].resources)):
        context.log.warning(f"{name}: {told}")


def is_attended(context: dg.AssetExecutionContext) -> bool:
    """Whether the run is one of `run_target`: someone waits for it, and sees failures at once."""
    return bool(process_tag(context.run))


def _left_of(
    tries: dg.RetryPolicy | None, context: dg.AssetExecutionContext
) -> dg.RetryPolicy | None:
    return None if is_attended(context) else tries


@contextmanager
def as_dagster_failure(tries: dg.RetryPolicy | None = None, n_before: int = 0) -> Iterator[None]:
    """Turn a failure of the vocabulary into one that Dagster shows and treats well.

    Parameters
    ----------
    tries : RetryPolicy, optional
        How a step is retried after a temporary failure. The retry is requested here; a policy of
        the asset itself would make Dagster retry also what a user cancels.
    n_before : int, optional
        How often the step was tried again already.

    Raises
    ------
    RetryRequested
        After a temporary failure, while `tries` allows another try.
    Failure
        After any other failure of the vocabulary or of the machine.
    """
    try:
        yield
    except HstAssetsError as error:
        if tries and n_before < tries.max_retries and isinstance(error, TransientFailure):
            raise dg.RetryRequested(
                tries.max_retries, tries.calculate_delay(n_before + 1)
            ) from error
        raise _told(error) from error
    except (OSError, MemoryError) as error:
        machine = machine_failure(error)
        if machine is None:
            raise
        raise _told(machine) from error


def _told(error: HstAssetsError) -> dg.Failure:
    """A failure as Dagster shows it."""
    return dg.Failure(
        description=f"{type(error).__name__}: {error.one_line}",  # "log_tail" has the rest
        metadata={
            "kind": type(error).__name__,
            "what": error.what,
            "where": error.where or "",
            "next_step": error.next_step or "",
            "log_tail": "\n".join(error.log_tail),
        },
        allow_retries=isinstance(error, TransientFailure),
    )
