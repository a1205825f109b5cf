"""Work shared by forked processes: tasks on arrays that all of them see.

Drizzle's C code holds the interpreter's lock, so that threads do not help. Forked processes see
everything that the parent has read, WCS objects included, which cannot be sent; what they are to
leave behind, they write into arrays of `shared_array` or return.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hst_assets.failures import HstAssetsError, OutOfMemory, ToolFailed
from hst_assets.isolation import die_with_parent

__all__ = ["in_children", "row_blocks", "shared_array"]

_T = TypeVar("_T")
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
    OutOfMemory
        If a process was killed.
    """
    if cores == 1 or len(tasks) <= 1:
        return [task() for task in tasks]
    answers: dict[int, tuple[_T, list[_Warning]]] = {}
    running: dict[int, tuple[int, int]] = {}
    waiting = list(enumerate(tasks))[::-1]
    try:
        while waiting or running:
            while waiting and len(running) < cores:
                index, task = waiting.pop()
                running[index] = _start(task)
            index = _next_to_answer(running)
            pid, pipe = running.pop(index)
            answers[index] = _answer(pid, pipe)
    finally:
        _stop(running)
    results = []
    for index in range(len(tasks)):
        result, warnings = answers[index]
        for name, level, text in warnings:
            logging.getLogger(name).log(level, "%s", text)
        results.append(result)
    return results


def _start(task: Callable[[], Any]) -> tuple[int, int]:
    """Fork a child for a task; its process id, and the end of the pipe that it answers into."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        die_with_parent(parent)
        _work(task, writing)
    os.close(writing)
    return pid, reading


def _next_to_answer(running: dict[int, tuple[int, int]]) -> int:
    """Index of a task whose answer, or end, has come."""
    import select

    of_pipe = {pipe: index for index, (_, pipe) in running.items()}
    ready, _, _ = select.select(list(of_pipe), [], [])
    return min(of_pipe[pipe] for pipe in ready)


def _answer(pid: int, pipe: int) -> tuple[Any, list[_Warning]]:
    with os.fdopen(pipe, "rb") as stream:
        content = stream.read()
    _, status = os.waitpid(pid, 0)
    if not content:
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            raise OutOfMemory(f"a process of the product was killed by signal {-code}")
        raise ToolFailed(f"a process of the product ended with status {code} and no answer")
    kind, value, warnings = pickle.loads(content)  # noqa: S301 - written by the child above
    if kind == "error":
        raise value
    return value, warnings


def _stop(running: dict[int, tuple[int, int]]) -> None:
    """End the children that are left when one has failed."""
    import signal

    for pid, pipe in running.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(pipe)


class _Warnings(logging.Handler):
    """Keeps what is logged, for the parent."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[_Warning] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append((record.name, record.levelno, record.getMessage()))


def _work(task: Callable[[], Any], pipe: int) -> NoReturn:
    """In the child: run the task, answer, end without the parent's clean-up."""
    code = 1
    try:
        warnings = _Warnings()
        logging.getLogger().handlers = [warnings]
        try:
            answer: tuple[str, Any] = ("value", task())
        except HstAssetsError as error:
            answer = ("error", error)
        except MemoryError:
            answer = ("error", OutOfMemory("out of memory"))
        except Exception as error:  # noqa: BLE001 - it is raised again in the parent
            traceback.print_exc()
            answer = ("error", ToolFailed(f"{type(error).__name__}: {error}"))
        with os.fdopen(pipe, "wb") as stream:
            stream.write(pickle.dumps((*answer, warnings.heard)))
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
