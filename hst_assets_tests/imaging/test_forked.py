"""Work in forked processes: answers, order, faults, memory that all see."""

from __future__ import annotations

import errno
import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.failures import Crashed, DiskFull, NoReply, OutOfMemory, ToolFailed, UnusableInput
from hst_assets.imaging.forked import FirstAnswer, in_children, row_blocks, shared_array

CORES = [1, 2, 3]


def answer(value: int, wait_s: float = 0.0) -> int:
    time.sleep(wait_s)
    return value


@pytest.mark.parametrize("cores", CORES)
def test_answers_come_in_the_order_of_the_tasks(cores: int) -> None:
    tasks = [partial(answer, index, 0.02 * (4 - index)) for index in range(5)]
    assert in_children(tasks, cores) == [0, 1, 2, 3, 4]


def test_each_task_has_a_process_of_its_own() -> None:
    pids = in_children([os.getpid] * 3, 2)
    assert len({*pids, os.getpid()}) == 4


def test_no_more_run_at_a_time_than_there_are_cores() -> None:
    times = shared_array((6, 2), np.float64)
    told = in_children([partial(_among_others, times, index) for index in range(6)], 2)
    began, ended = times.T
    assert max(np.count_nonzero((began <= moment) & (ended > moment)) for moment in began) == 2
    assert all(told[:2]), "the first two did not meet"


def _among_others(times: np.ndarray, index: int) -> bool:
    """Note when a task runs; the first two wait for each other, however slowly they begin."""
    times[index, 0] = time.monotonic()
    give_up = time.monotonic() + 60
    while index < 2 and not times[:2, 0].all() and time.monotonic() < give_up:
        time.sleep(0.01)
    time.sleep(0.02)
    times[index, 1] = time.monotonic()
    return bool(times[:2, 0].all())


def test_children_write_into_shared_arrays() -> None:
    array = shared_array((4, 3), np.float32)
    assert not array.any()

    def fill(row: int) -> None:
        array[row] = row + 1

    in_children([partial(fill, row) for row in range(4)], 2)
    assert np.array_equal(array, np.repeat([[1.0], [2.0], [3.0], [4.0]], 3, axis=1))


@pytest.mark.parametrize("cores", CORES)
def test_what_the_first_task_finds_the_others_wait_for(cores: int) -> None:
    first = FirstAnswer()

    def find() -> float:
        time.sleep(0.05)
        first.tell(2.5)
        return 0.0

    assert in_children([find, first.wait, first.wait], cores) == [0.0, 2.5, 2.5]


def test_those_that_wait_end_with_a_first_task_that_dies() -> None:
    first = FirstAnswer()
    with pytest.raises(NoReply):
        in_children([partial(os._exit, 3), first.wait], 2)


def test_a_failure_of_the_vocabulary_arrives_as_it_is() -> None:
    def fail() -> None:
        raise UnusableInput("no stars", where="x.fits", next_step="Look at it")

    with pytest.raises(UnusableInput, match=r"x\.fits: no stars\. Look at it"):
        in_children([partial(answer, 1), fail], 2)


def test_any_other_fault_is_a_failed_tool() -> None:
    def fail() -> None:
        raise KeyError("absent")

    with pytest.raises(ToolFailed, match="KeyError: 'absent'"):
        in_children([partial(answer, 1), fail], 2)


def test_a_killed_child_is_out_of_memory() -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(OutOfMemory, match="killed by SIGKILL"):
        in_children([partial(answer, 1), die], 2)


def test_a_child_that_crashes_is_told_from_one_that_was_stopped() -> None:
    def end(number: int) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    with pytest.raises(Crashed, match="SIGABRT"):
        in_children([partial(answer, 1), partial(end, signal.SIGABRT)], 2)
    with pytest.raises(NoReply, match="SIGTERM") as stopped:
        in_children([partial(answer, 1), partial(end, signal.SIGTERM)], 2)
    assert type(stopped.value) is NoReply


def test_a_child_that_leaves_without_an_answer_is_a_failure() -> None:
    def leave() -> None:
        os._exit(3)

    with pytest.raises(NoReply, match="status 3"):
        in_children([partial(answer, 1), leave], 2)


def test_a_full_disk_is_named_whatever_was_raised_from_it() -> None:
    def write() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "x.fits")
        except OSError as error:
            raise ValueError("the image could not be saved") from error

    with pytest.raises(DiskFull, match=r"x\.fits: the disk is full"):
        in_children([partial(answer, 1), write], 2)


def test_a_failure_ends_the_others() -> None:
    pids = shared_array((1,), np.int64)

    def linger() -> None:
        pids[0] = os.getpid()
        time.sleep(60)

    def fail() -> None:
        while not pids[0]:
            time.sleep(0.01)
        raise UnusableInput("no stars")

    with pytest.raises(UnusableInput):
        in_children([linger, fail], 2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[0]), 0)


def test_warnings_of_children_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    def warn(text: str) -> None:
        logging.getLogger("drizzle").warning("%s", text)

    with caplog.at_level(logging.WARNING):
        in_children([partial(warn, "one"), partial(warn, "two")], 2)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("drizzle", "one"),
        ("drizzle", "two"),
    ]


@given(st.integers(1, 500), st.integers(1, 40))
def test_blocks_cover_the_rows_once(n_rows: int, n_blocks: int) -> None:
    blocks = row_blocks(n_rows, n_blocks)
    rows = [row for low, high in blocks for row in range(low, high)]
    assert rows == list(range(n_rows))
    lengths = [high - low for low, high in blocks]
    assert max(lengths) - min(lengths) <= 1


def test_children_of_a_killed_parent_do_not_work_on() -> None:
    pids = shared_array((2,), np.int64)

    def task(index: int) -> None:
        pids[index] = os.getpid()
        time.sleep(600)

    parent = os.fork()
    if parent == 0:
        try:
            in_children([partial(task, index) for index in range(2)], 2)
        finally:
            os._exit(1)
    assert _within(10.0, lambda: bool(pids.all()))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert _within(10.0, lambda: not any(map(_runs, pids.tolist())))


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


def _runs(pid: int) -> bool:
    """Whether a process runs: one that ended but is not reaped here does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rsplit(")", 1)[1].split()[0] != "Z"
