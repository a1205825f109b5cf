"""Run tool calls in child processes of their own, and believe only what they leave behind.

AstroDrizzle, TweakReg and their kin change into directories, write under fixed names, ask
questions on standard input and exit 0 when they failed. Each call here gets a fresh process with
its scratch folder as current directory, an empty standard input, a watchdog and a log file, and
hands back a JSON value. The caller then checks the products. One that crashed, or ran out of
memory, in a folder that was empty is done once more, behind all others and alone: the second crash
is a verdict on its input, the second want of memory is the machine's as the first. Each call takes
a core of those that the runs of a user share on a machine (`hst_assets.machine.core_pool`).

The calls come from a *nursery* (`hst_assets.nursery`), which a thread keeps from batch to batch
(`hst_assets.kept_nurseries`).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hst_assets.failures import (
    Crashed,
    DiskFull,
    HstAssetsError,
    NoReply,
    OutOfMemory,
    failure_named,
)
from hst_assets.kept_nurseries import EVERY_TASK, IMPORT_ALLOWANCE_S, begin, serve
from hst_assets.machine.core_pool import OFF, POOL_VARIABLE, pool_of
from hst_assets.machine.failures import DISK_STEP, crashed_twice, is_disk_full
from hst_assets.machine.numerical_threads import ONE_THREAD
from hst_assets.nursery import (
    AGAIN,
    REPLY_NAME,
    is_own_line,
    is_reply,
)

__all__ = ["Call", "import_ahead", "run_isolated", "run_many_isolated"]

logger = logging.getLogger(__name__)

TAIL_LINES = 15

#: What every child is told: a dead service stalls stwcs for 60-120 s a try, and the libraries'
#: own threads fight over the cores that the calls of a batch already share.
TOOL_ENVIRONMENT = {
    "ASTROMETRY_STEP_CONTROL": "OFF",
    "ASTRODRIZ_NO_PARALLEL": "1",
    "MPLBACKEND": "Agg",
    "PYTHONUNBUFFERED": "1",
    # What a call calls in its turn works on the core that the call has.
    POOL_VARIABLE: OFF,
    **ONE_THREAD,
}


@dataclass(frozen=True)
class Call:
    """One call of a task.

    Parameters
    ----------
    arguments : mapping
        JSON-serialisable keyword arguments of the task.
    scratch : `~pathlib.Path`
        An existing folder that belongs to this call alone: its current directory.
    log_path : `~pathlib.Path`
        Everything the call prints is appended here.
    cores : int
        Among how many processes it shares its work out.
    """

    arguments: Mapping[str, Any]
    scratch: Path
    log_path: Path
    cores: int = 1


def run_isolated(
    task: str,
    arguments: Mapping[str, Any],
    *,
    scratch: Path,
    log_path: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    own_nursery: bool = False,
) -> Any:
    """Call a function in a fresh process and return its JSON value; see `run_many_isolated`.

    Raises
    ------
    HstAssetsError
        The class the task raised, if it is of the project's vocabulary.
    ToolFailed
        If it raised anything else, or crashed twice; with its last lines.
    MachineFailure
        If the disk was full (`DiskFull`), the kernel killed it or it had no memory
        (`OutOfMemory`), it hung (`TimedOut`), died or left no reply (`NoReply`), or crashed in a
        folder that was not empty (`Crashed`).
    """
    (outcome,) = run_many_isolated(
        task,
        [Call(arguments, scratch, log_path)],
        timeout_s=timeout_s,
        max_cores=1,
        environment=environment,
        own_nursery=own_nursery,
    )
    if isinstance(outcome, HstAssetsError):
        raise outcome
    return outcome


def run_many_isolated(
    task: str,
    calls: Sequence[Call],
    *,
    timeout_s: float,
    max_cores: int,
    environment: Mapping[str, str] | None = None,
    own_nursery: bool = False,
) -> list[Any]:
    """Run one task for each call, each in a process of its own.

    Parameters
    ----------
    task : str
        ``"package.module:function"``; the function takes a call's arguments as keywords and
        returns something JSON can hold.
    calls : sequence of Call
        What to run.
    timeout_s : float
        Seconds after which one call and all its children are killed.
    max_cores : int
        How many calls run at a time.
    environment : mapping, optional
        Variables to set in the children beyond `TOOL_ENVIRONMENT`.
    own_nursery : bool
        For a task whose module changes the process that imports it for good (JHAT's takes it off
        the network): it shares no nursery with other modules' tasks.

    Returns
    -------
    outcomes : list
        In the order of `calls`: the value, or the `HstAssetsError` that ended the call. One
        failed call costs only itself.
    """
    runner = _Runner(
        task,
        timeout_s,
        _environment(environment),
        resident=task.partition(":")[0] if own_nursery else EVERY_TASK,
    )
    began_empty = [not _content(call) for call in calls]
    outcomes = runner.run(calls, max_cores)
    failed = [
        index
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, Crashed | OutOfMemory) and began_empty[index]
    ]
    for index in failed:
        logger.warning("%s; it is done once more, alone", outcomes[index].what)
        _empty(calls[index])
    # One at a time: what one alone cannot do is not for want of memory that others had.
    again = runner.run([calls[index] for index in failed], max_cores=1, alone=True)
    for index, outcome in zip(failed, again, strict=True):
        outcomes[index] = crashed_twice(outcome) if isinstance(outcome, Crashed) else outcome
    return outcomes


def import_ahead(task: str, *, environment: Mapping[str, str] | None = None) -> None:
    """Let a task's module be imported while the caller has other things to do.

    The next batch of the same thread, in the same folder and with the same variables, finds it
    imported. What fails here fails again, with words, at the first call.

    Parameters
    ----------
    task : str
        As of `run_many_isolated`; it has no nursery of its own.
    environment : mapping, optional
        As of `run_many_isolated`.
    """
    request = {
        "task": task,
        "log": os.devnull,
        "timeout_s": 0.0,
        "max_cores": 1,
        "alone": False,
        "pool": None,
        "calls": [],
    }
    begin(request, _environment(environment))


def _environment(of_batch: Mapping[str, str] | None) -> dict[str, str]:
    """The variables of the children of a batch."""
    return {**os.environ, **TOOL_ENVIRONMENT, **(of_batch or {})}


@dataclass(frozen=True)
class _Runner:
    """A task with its limit, variables and nursery."""

    task: str
    timeout_s: float
    environment: Mapping[str, str]
    resident: str

    def run(self, calls: Sequence[Call], max_cores: int, *, alone: bool = False) -> list[Any]:
        """The value of each call, or what ended it.

        Parameters
        ----------
        calls : sequence of Call
            What to run.
        max_cores : int
            How many at a time.
        alone : bool
            Whether no other tool call of this user is to be at work on the machine meanwhile.
        """
        if not calls:
            return []
        log_starts = [_prepare(call) for call in calls]
        batches = -(-len(calls) // max_cores)
        request = {
            "task": self.task,
            "log": str(calls[0].log_path.absolute()),
            "timeout_s": self.timeout_s,
            "max_cores": max_cores,
            "alone": alone,
            "pool": pool_of(os.environ),
            "calls": [
                {
                    "arguments": dict(call.arguments),
                    "scratch": str(call.scratch.absolute()),
                    "log": str(call.log_path.absolute()),
                    "cores": call.cores,
                }
                for call in calls
            ],
        }
        # The calls without a reply are reported below.
        serve(
            request,
            self.environment,
            resident=self.resident,
            allowance_s=IMPORT_ALLOWANCE_S + batches * self.timeout_s,
        )
        return [
            _outcome(self.task, call, start) for call, start in zip(calls, log_starts, strict=True)
        ]


def _content(call: Call) -> list[Path]:
    """What is in the folder of a call, but for its log."""
    return [path for path in call.scratch.iterdir() if not call.log_path.is_relative_to(path)]


def _empty(call: Call) -> None:
    """Take away what a call left that crashed."""
    for path in _content(call):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _prepare(call: Call) -> int:
    """Make the log's folder, drop an old reply; return where this call's log begins."""
    (call.scratch / REPLY_NAME).unlink(missing_ok=True)
    call.log_path.parent.mkdir(parents=True, exist_ok=True)
    with call.log_path.open("ab") as log:
        return log.tell()


def _outcome(task: str, call: Call, log_start: int) -> Any:
    """The value of a call, or its failure."""
    try:
        reply = json.loads((call.scratch / REPLY_NAME).read_text())
    except FileNotFoundError:
        full = is_disk_full(call.scratch)
        return (DiskFull if full else NoReply)(
            f"{task} left no reply" + (": the disk is full" if full else ""),
            where=call.log_path,
            next_step=DISK_STEP if full else AGAIN,
            log_tail=_tail(call.log_path, log_start),
        )
    except (ValueError, IsADirectoryError):  # neither JSON nor text
        reply = None
    if not is_reply(reply):  # a tool has written over it
        return NoReply(
            f"{task} left a reply that cannot be read",
            where=call.log_path,
            next_step=AGAIN,
            log_tail=_tail(call.log_path, log_start),
        )
    if "value" in reply:
        return reply["value"]
    error = reply["error"]
    kind = failure_named(error["kind"])
    if error["ours"]:
        return kind(
            error["what"],
            where=error["where"],
            next_step=error["next_step"],
            log_tail=error["log_tail"],
        )
    return kind(
        f"{task}: {error['what']}",
        where=call.log_path,
        next_step=error["next_step"],
        log_tail=_tail(call.log_path, log_start),
    )


def _tail(log_path: Path, start: int) -> tuple[str, ...]:
    """The last lines of what a call said, from where its log began."""
    with log_path.open("rb") as log:
        log.seek(max(start, log_path.stat().st_size - 20_000))
        lines = log.read().decode(errors="replace").splitlines()
    return tuple([line for line in lines if not is_own_line(line)][-TAIL_LINES:])
