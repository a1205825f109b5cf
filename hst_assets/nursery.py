"""The process that calls of tools are forked from; `hst_assets.isolation` starts it.

Importing drizzlepac takes seconds. So this process imports a task's module at the first call and
forks a process for each call; it watches over them, and replies in the place of those that died.
It ends with its caller, and its children with it.

Run as a module, it is told its parent's process id and the descriptor for its signs::

    python -m hst_assets.nursery PARENT ANSWERS
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hst_assets.failures import HstAssetsError
from hst_assets.machine.core_pool import CoresOfBatch, give_back
from hst_assets.machine.failures import FAULT_SIGNALS, MEMORY_STEP, death_in_words, machine_failure
from hst_assets.machine.limits import n_memory_kills

__all__ = [
    "AGAIN",
    "REPLY_NAME",
    "WAITS",
    "die_with_parent",
    "is_own_line",
    "is_read_by_calls",
    "is_reply",
    "kill_session",
]

#: The file in a call's scratch folder that holds its value or its failure.
REPLY_NAME = "reply.json"
#: What to do about a call that ended without a reply.
AGAIN = "See its log, then rerun"
#: The sign that calls wait for cores that other runs have.
WAITS = b"w"
_POLL_S = 0.02
#: What is written to a call's log beside what the call says.
_BEGINS, _ENDED = "--- {task} in {folder}\n", "--- ended after {seconds:.1f} s\n"
_OWN_LINE = re.compile(r"--- (\S+:\S+ in .*|ended after [\d.]+ s)")
#: With it a call ends that cannot write its reply.
_NO_ROOM_STATUS = 74

#: Variables that nothing which a nursery imports reads while it is imported, so that a nursery
#: that stands may be told their new values: this project's own, which are read where they are used
#: (`_OWN_PREFIX`); Dagster's home, and no task imports Dagster; the name of the test that runs,
#: which pytest writes for people; the size of the terminal, which lays out messages and no more.
#: Whatever is not listed counts as read at import: iref, CRDS_PATH, ASTROMETRIC_CATALOG_URL,
#: MAST_API_TOKEN, PYTHONPATH, ...
_READ_BY_CALLS = frozenset({"COLUMNS", "DAGSTER_HOME", "LINES", "PYTEST_CURRENT_TEST"})
_OWN_PREFIX = "HST_ASSETS_"


def is_read_by_calls(name: str) -> bool:
    """Whether a variable is read no earlier than by a call."""
    return name in _READ_BY_CALLS or name.startswith(_OWN_PREFIX)


def kill_session(pid: int) -> None:
    """Kill a session leader and everything it started; it may be gone already."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def die_with_parent(parent: int, sent: int = signal.SIGKILL) -> None:
    """Ask Linux to kill this process when its parent dies, so that no orphan works on.

    Parameters
    ----------
    parent : int
        Process id of the parent; if it is gone already, this process ends.
    sent : int, optional
        The signal that it gets.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, sent)
    if os.getppid() != parent:
        sys.exit("the caller is gone")


def _write_reply(scratch: Path, reply: Mapping[str, Any]) -> None:
    part = scratch / f"{REPLY_NAME}.part"
    part.write_text(json.dumps(reply))
    part.replace(scratch / REPLY_NAME)


def is_own_line(line: str) -> bool:
    """Whether a line of a call's log is the nursery's, and tells nothing of a failure."""
    return _OWN_LINE.fullmatch(line) is not None


def is_reply(found: object) -> bool:
    """Whether what was read where a reply should be has the form of one."""
    if not isinstance(found, dict):
        return False
    error = found.get("error")
    return "value" in found or (
        isinstance(error, dict)
        and {"kind", "ours", "what", "next_step"} <= error.keys()
        and (not error["ours"] or {"where", "log_tail"} <= error.keys())
    )


def _error(kind: str, what: str, *, next_step: str | None = None) -> dict[str, Any]:
    """A failure to which the caller adds where it was and the log's last lines."""
    return {"error": {"kind": kind, "ours": False, "what": what, "next_step": next_step}}


def _error_of(error: BaseException, scratch: Path) -> dict[str, Any]:
    """What a task raised; the machine's own failure where that is behind it, whatever it said."""
    machine = machine_failure(error, folder=scratch)
    if machine is not None and machine is not error:
        text = machine.what if machine.where is None else f"{machine.where}: {machine.what}"
        return _error(type(machine).__name__, text, next_step=machine.next_step)
    if isinstance(error, HstAssetsError):
        return {
            "error": {
                "kind": type(error).__name__,
                "ours": True,
                "what": error.what,
                "where": error.where,
                "next_step": error.next_step,
                "log_tail": error.log_tail,
            }
        }
    return _error("ToolFailed", f"raised {type(error).__name__}: {error}")


def _run_nursery(parent: int, answers: int) -> None:
    """Do what is requested on standard input, one line a batch, until it ends.

    On the descriptor `answers` goes a sign when a batch begins, one when it is done, and now and
    then `WAITS` while calls wait for cores.
    """
    die_with_parent(parent)
    requests = os.fdopen(os.dup(0), "rb")
    _redirect(os.devnull, os.O_RDONLY, 0)
    private = (requests.fileno(), answers)
    while line := requests.readline():
        request = json.loads(line)
        os.write(answers, b"+")
        _set_variables(request["variables"])
        _redirect(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 1, 2)
        _run_batch(request, private)
        _redirect(os.devnull, os.O_WRONLY, 1, 2)
        os.write(answers, b".")


def _set_variables(told: Mapping[str, str]) -> None:
    """Let the variables that calls read be the caller's of now, and no others."""
    for name in [name for name in os.environ if is_read_by_calls(name) and name not in told]:
        del os.environ[name]
    os.environ.update(told)


def _redirect(path: str, flags: int, *descriptors: int) -> None:
    opened = os.open(path, flags, 0o644)
    for descriptor in descriptors:
        os.dup2(opened, descriptor)
    os.close(opened)


def _run_batch(request: Mapping[str, Any], private: Sequence[int]) -> None:
    """Import the task if it is new, fork a process a call, watch over them.

    `private` are the file descriptors between caller and nursery.
    """
    calls = request["calls"]
    module_name, _, function_name = request["task"].partition(":")
    try:
        function = getattr(_imported(module_name), function_name)
    except Exception as error:  # noqa: BLE001 - every call must learn why it could not run
        _print_traceback()
        for call in calls:
            scratch = Path(call["scratch"])
            _reply_for(scratch, _error_of(error, scratch))
        return
    gc.freeze()  # collections in the children shall not copy what was imported
    waiting = deque(calls)
    running: dict[int, _Running] = {}
    cores = CoresOfBatch(
        request["pool"], alone=request["alone"], say_waiting=lambda: os.write(private[1], WAITS)
    )
    cores.wait_until_alone()
    while waiting or running:
        while waiting and len(running) < request["max_cores"]:
            held = cores.for_call(waiting[0]["cores"])
            if held is None:
                break
            call = waiting.popleft()
            others = [each for at_work in running.values() for each in at_work.held]
            n_kills = n_memory_kills()
            pid = _fork(function, request["task"], call, [*private, *cores.kept, *others, *held])
            running[pid] = _Running(call, time.monotonic(), held, n_kills)
        _reap(running, request["timeout_s"])
    give_back(cores.kept)


def _imported(name: str) -> Any:
    """Import a module; what is made meanwhile stays, so that nobody looks for garbage in it.

    Of drizzlepac's HAP code, looking was 1.1 of 3.6 CPU seconds, and found 2 MB.
    """
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.enable()


@dataclass(frozen=True)
class _Running:
    """A call at work.

    Attributes
    ----------
    call : mapping
        As it was requested.
    started : float
        When, by the monotonic clock (s).
    held : list of int
        Descriptors of the cores that it has of the pool.
    n_kills : int or None
        Processes that the kernel had killed before for want of memory; None if nobody tells.
    """

    call: Mapping[str, Any]
    started: float
    held: list[int]
    n_kills: int | None


def _reap(running: dict[int, _Running], timeout_s: float) -> None:
    """Take note of calls that ended; stop those that take too long."""
    time.sleep(_POLL_S)
    for pid, at_work in list(running.items()):
        call, started = at_work.call, at_work.started
        ended, status = os.waitpid(pid, os.WNOHANG)
        scratch = Path(call["scratch"])
        if not ended and time.monotonic() - started > timeout_s:
            kill_session(pid)
            os.kill(pid, signal.SIGKILL)  # just forked, it may not lead its session yet
            os.waitpid(pid, 0)
            _reply_for(
                scratch,
                _error(
                    "TimedOut",
                    f"stopped after {timeout_s:.0f} s",
                    next_step="Raise machine.tool_timeout_s, or the tool's own in "
                    "machine.tool_timeouts_s, if the data really need more time",
                ),
            )
        elif not ended:
            continue
        else:
            kill_session(pid)  # whatever the tool spawned must not outlive it
            if not (scratch / REPLY_NAME).is_file():
                _reply_for(scratch, _death(os.waitstatus_to_exitcode(status), at_work.n_kills))
        del running[pid]
        give_back(at_work.held)


def _reply_for(scratch: Path, reply: Mapping[str, Any]) -> None:
    """Reply in a call's place; where the disk has no room for it, the caller will see that."""
    with suppress(OSError):
        _write_reply(scratch, reply)


def _print_traceback() -> None:
    with suppress(OSError):  # a log on a full disk
        traceback.print_exc()


def _death(code: int, n_kills_before: int | None) -> dict[str, Any]:
    if code == -signal.SIGKILL:
        how = death_in_words(-code)
        if n_kills_before is not None and (n_memory_kills() or 0) > n_kills_before:
            how = "was killed by the kernel for want of memory"
        return _error("OutOfMemory", how, next_step=MEMORY_STEP)
    if code == _NO_ROOM_STATUS:
        return _error("DiskFull", "the disk is full: there is no room for the reply")
    how = f"exited with status {code} and no reply" if code >= 0 else death_in_words(-code)
    kind = "Crashed" if -code in FAULT_SIGNALS else "NoReply"
    return _error(kind, how, next_step=AGAIN)


def _fork(function: Any, task: str, call: Mapping[str, Any], private: Sequence[int]) -> int:
    nursery = os.getpid()
    pid = os.fork()
    if pid == 0:
        for descriptor in private:
            os.close(descriptor)
        _run_call(function, task, call, nursery)
    return pid


def _run_call(function: Any, task: str, call: Mapping[str, Any], nursery: int) -> NoReturn:
    """In the forked process: run the call in its scratch folder, reply, end."""
    os.setsid()
    die_with_parent(nursery)
    _redirect(call["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 1, 2)
    os.chdir(call["scratch"])
    started = time.monotonic()
    scratch = Path(call["scratch"])
    _say(_BEGINS.format(task=task, folder=scratch.name))
    try:
        reply: dict[str, Any] = {"value": function(**call["arguments"])}
        json.dumps(reply)
    except BaseException as error:  # noqa: BLE001 - a tool's SystemExit is a failure as well
        _print_traceback()
        reply = _error_of(error, scratch)
    _say(_ENDED.format(seconds=time.monotonic() - started))
    try:
        _write_reply(scratch, reply)
    except OSError:
        os._exit(_NO_ROOM_STATUS)
    os._exit(0)


def _say(text: str) -> None:
    """Write to the call's log, as far as there is room on the disk."""
    with suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _run_nursery(*map(int, sys.argv[1:]))
