"""Work shared by forked processes: tasks on arrays that all of them see.

Drizzle's C code holds the interpreter's lock, so that threads do not help. Forked processes see
everything that the parent has read, WCS objects included, which cannot be sent; what they are to
leave behind, they write into arrays of `shared_array` or return.

Why not `concurrent.futures.ProcessPoolExecutor`, with the fork context and tasks inherited: its
processes serve several tasks, and drizzlepac's image objects keep what a task does to them; a
process that dies breaks the pool without a word on how (killed for want of memory, or ended); and
those that still work cannot be stopped. It would save forks: with drizzlepac loaded and 200 MB in
memory, 8 empty tasks on two busy cores took 25 ms each, and 80 ms here.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hst_assets.failures import Crashed, HstAssetsError, NoReply, OutOfMemory, ToolFailed
from hst_assets.machine.failures import (
    FAULT_SIGNALS,
    MEMORY_STEP,
    death_in_words,
    machine_failure,
)
from hst_assets.nursery import die_with_parent

__all__ = ["FirstAnswer", "in_children", "row_blocks", "shared_array"]

_T = TypeVar("_T")
_FORK = get_context("fork")
#: Logger, level and text.
_Warning = tuple[str, int, str]


def shared_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros that forked children write into for all to see."""
    kind = np.dtype(dtype)
    n_bytes = max(math.prod(shape) * kind.itemsize, 1)
    # Anonymous and shared: it has no name, so that nothing is left behind by a killed process.
    memory = mmap.mmap(-1, n_bytes)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, kind, math.prod(shape)).reshape(shape)


def row_blocks(n_rows: int, n_blocks: int) -> list[tuple[int, int]]:
    """Rows in contiguous blocks of nearly equal size: first row, and the one after the last."""
    edges = [n_rows * index // n_blocks for index in range(n_blocks + 1)]
    return [(low, high) for low, high in pairwise(edges) if high > low]


class FirstAnswer:
    """A number that the first task of `in_children` finds, and the others wait for.

    Made before the tasks begin. Should the first task's process die, those that wait are ended.
    """

    def __init__(self) -> None:
        self._number: NDArray[np.float64] = shared_array((1,), np.float64)
        self._known = _FORK.Event()

    def tell(self, number: float) -> None:
        """Let the others have it.

        Parameters
        ----------
        number : float
            The number.
        """
        self._number[0] = number
        self._known.set()

    def wait(self) -> float:
        """The number, when it is known."""
        self._known.wait()
        return float(self._number[0])


def in_children(tasks: Sequence[Callable[[], _T]], cores: int) -> list[_T]:
    """Call each task in a forked process of its own, at most `cores` at a time.

    Parameters
    ----------
    tasks : sequence of callable
        Called without arguments; what they return must be picklable. The later ones must not
        need what the earlier ones did.
    cores : int
        With 1, or a single task, they are called here, one after the other.

    Returns
    -------
    list
        What the tasks returned, in their order. Warnings that they logged are logged here.

    Raises
    ------
    HstAssetsError
        The first failure: of the project's vocabulary if the task raised such a one.
    ToolFailed
        If it raised anything else.
    MachineFailure
        If the machine was at fault: a process was killed (`OutOfMemory`), ended without an answer
        (`NoReply`), crashed (`Crashed`), or met a full disk (`DiskFull`).
    """
    if cores == 1 or len(tasks) <= 1:
        return [task() for task in tasks]
    answers: dict[int, tuple[_T, list[_Warning]]] = {}
    running: dict[Connection, tuple[int, ForkProcess]] = {}
    waiting = list(enumerate(tasks))[::-1]
    try:
        while waiting or running:
            while waiting and len(running) < cores:
                index, task = waiting.pop()
                answering, process = _start(task)
                running[answering] = (index, process)
            ready = wait(list(running))
            answering = next(each for each in running if each in ready)
            index, process = running[answering]
            answers[index] = _answer(answering, process)
            del running[answering]
    finally:
        _stop(running)
    results = []
    for index in range(len(tasks)):
        result, warnings = answers[index]
        for name, level, text in warnings:
            logging.getLogger(name).log(level, "%s", text)
        results.append(result)
    return results


def _start(task: Callable[[], Any]) -> tuple[Connection, ForkProcess]:
    """Fork a child for a task; it, and where its answer, or its end, will be heard."""
    answering, writing = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_work, args=(task, writing, os.getpid()))
    process.start()
    writing.close()
    return answering, process


def _answer(answering: Connection, process: ForkProcess) -> tuple[Any, list[_Warning]]:
    try:
        kind, value, warnings = answering.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        if code == -signal.SIGKILL:
            what = f"a process of the product {death_in_words(-code)}"
            raise OutOfMemory(what, next_step=MEMORY_STEP) from None
        how = f"ended with status {code} and no answer" if code >= 0 else death_in_words(-code)
        kind = Crashed if -code in FAULT_SIGNALS else NoReply
        raise kind(f"a process of the product {how}") from None
    process.join()
    answering.close()
    if kind == "error":
        raise value
    return value, warnings


def _stop(running: dict[Connection, tuple[int, ForkProcess]]) -> None:
    """End the children that are left when one has failed."""
    for answering, (_, process) in running.items():
        process.kill()
        process.join()
        answering.close()


class _Warnings(logging.Handler):
    """Keeps what is logged, for the parent."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[_Warning] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append((record.name, record.levelno, record.getMessage()))


def _work(task: Callable[[], Any], writing: Connection, parent: int) -> None:
    """In the child: run the task and answer."""
    die_with_parent(parent)
    warnings = _Warnings()
    logging.getLogger().handlers = [warnings]
    try:
        answer: tuple[str, Any] = ("value", task())
    except HstAssetsError as error:
        answer = ("error", machine_failure(error) or error)
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        with suppress(OSError):  # a log on a full disk
            traceback.print_exc()
        said = ToolFailed(f"{type(error).__name__}: {error}")
        answer = ("error", machine_failure(error) or said)
    writing.send((*answer, warnings.heard))
