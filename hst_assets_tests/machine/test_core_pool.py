"""Cores shared by the tool calls of several processes, with real ones."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hst_assets import isolation
from hst_assets.failures import OutOfMemory
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.machine import core_pool
from hst_assets.machine.core_pool import POOL_VARIABLE, CorePool, give_back, pool_of
from hst_assets_tests.own_control_group import control_group

TASKS = "isolated_tasks"
HERE = {"PYTHONPATH": str(Path(__file__).parents[1])}
#: A run of its own: calls at a time as many as it likes.
RUN = """
import json, sys
from pathlib import Path
from hst_assets.isolation import Call, run_many_isolated
folder, task, arguments, n, cores = json.loads(sys.argv[1])
calls = []
for index in range(n):
    scratch = Path(folder) / str(index)
    scratch.mkdir(parents=True)
    calls.append(Call(arguments, scratch, Path(folder) / f"{index}.log", cores=cores))
found = run_many_isolated(f"isolated_tasks:{task}", calls, timeout_s=60, max_cores=4,
                          environment={"PYTHONPATH": sys.argv[2]})
print(json.dumps([each if isinstance(each, (list, str)) else str(each) for each in found]))
"""


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """The pool of this process and of all that it starts."""
    monkeypatch.setenv(POOL_VARIABLE, str(tmp_path / "pool"))
    folder, n_cores = pool_of(os.environ)
    return CorePool(Path(folder), n_cores), n_cores


def _start(folder, task="tells_when_it_works", n=4, cores=1, **arguments):
    told = json.dumps([str(folder), task, arguments, n, cores])
    command = [sys.executable, "-c", RUN, told, HERE["PYTHONPATH"]]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _answers(run):
    told, _ = run.communicate(timeout=120)
    assert run.returncode == 0
    return json.loads(told)


def _most_at_a_time(spans):
    """How many of the spans of time overlap at most."""
    edges = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    count = most = 0
    for _, step in edges:
        count += step
        most = max(most, count)
    return most


def test_calls_of_two_runs_use_no_more_than_the_cores_of_the_machine(pool, tmp_path):
    runs = [_start(tmp_path / name, seconds=0.3) for name in ("first", "second")]
    spans = [span for run in runs for span in _answers(run)]
    assert len(spans) == 8
    assert _most_at_a_time(spans) <= pool[1]


def test_without_a_pool_each_run_has_its_own(pool, tmp_path, monkeypatch):
    monkeypatch.setenv(POOL_VARIABLE, "off")
    if pool[1] >= 4:
        pytest.skip("a run of four calls has a core for each")
    # Long enough that a busy machine has forked all before the first ends.
    spans = _answers(_start(tmp_path / "first", seconds=3.0))
    assert _most_at_a_time(spans) > pool[1]


def test_the_cores_of_a_run_that_is_killed_are_free(pool, tmp_path):
    cores, n_cores = pool
    run = _start(tmp_path / "first", seconds=60)
    deadline = time.monotonic() + 60
    while len(held := cores.take(n_cores)) and time.monotonic() < deadline:
        give_back(held)
        time.sleep(0.05)
    assert held == []  # the run has them all
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    while len(held) < n_cores and time.monotonic() < deadline:
        give_back(held)
        held = cores.take(n_cores)
        time.sleep(0.05)
    assert len(held) == n_cores
    give_back(held)


def test_who_waits_says_so_and_his_time_does_not_count(pool, tmp_path, monkeypatch, caplog):
    cores, n_cores = pool
    _warm(tmp_path)
    # With the call's own limit it is less than the wait, and more than a call takes.
    monkeypatch.setattr(isolation, "IMPORT_ALLOWANCE_S", 2.0)
    held = cores.take(n_cores)
    threading.Timer(5.0, give_back, [held]).start()
    (tmp_path / "s").mkdir()
    call = Call({"seconds": 0.0}, tmp_path / "s", tmp_path / "log")
    with caplog.at_level(logging.INFO):
        began = time.monotonic()
        (span,) = run_many_isolated(
            f"{TASKS}:tells_when_it_works", [call], timeout_s=1, max_cores=1, environment=HERE
        )
    assert span[0] - began > 4.0
    assert caplog.text.count("waits for a core") == 1


def _warm(tmp_path):
    """Have the nursery of this thread begin: what it imports is not what is timed."""
    scratch = tmp_path / "warm"
    scratch.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(POOL_VARIABLE, "off")
        patch.setattr(isolation, "IMPORT_ALLOWANCE_S", 60.0)
        run_many_isolated(
            f"{TASKS}:tells_when_it_works",
            [Call({"seconds": 0.0}, scratch, tmp_path / "warm.log")],
            timeout_s=60,
            max_cores=1,
            environment=HERE,
        )


def test_a_call_within_a_call_waits_for_no_core(pool, tmp_path):
    cores, n_cores = pool
    held = cores.take(n_cores - 1)  # the call itself has the last
    (tmp_path / "s").mkdir()
    arguments = {"folder": str(tmp_path / "inner"), "log": str(tmp_path / "inner.log")}
    (found,) = run_many_isolated(
        f"{TASKS}:runs_a_call_within",
        [Call(arguments, tmp_path / "s", tmp_path / "log")],
        timeout_s=60,
        max_cores=1,
        environment=HERE,
    )
    give_back(held)
    assert isinstance(found, list), found


def test_a_call_that_shares_its_work_out_has_that_many_cores(pool, tmp_path):
    cores, n_cores = pool
    if n_cores < 2:
        pytest.skip("one core")
    run = _start(tmp_path / "first", n=1, cores=n_cores, seconds=1.0)
    deadline = time.monotonic() + 60
    while len(held := cores.take(n_cores)) and time.monotonic() < deadline:
        give_back(held)
        time.sleep(0.05)
    assert held == []
    assert len(_answers(run)) == 1


def test_want_of_memory_is_tried_again_while_nobody_else_is_at_work(pool, tmp_path):
    others = _start(tmp_path / "others", n=6, seconds=0.5)
    scratch = tmp_path / "s"
    scratch.mkdir()
    (found,) = run_many_isolated(
        f"{TASKS}:is_killed_once",
        [Call({"memory": str(tmp_path / "memory")}, scratch, tmp_path / "log")],
        timeout_s=60,
        max_cores=2,
        environment=HERE,
    )
    spans = _answers(others)
    assert isinstance(found, list), found
    assert all(end <= found[0] or begin >= found[1] for begin, end in spans)


def test_two_that_want_to_be_alone_do_not_wait_for_each_other(pool, tmp_path):
    runs = [
        _start(tmp_path / name, task="is_killed_once", n=1, memory=str(tmp_path / f"m{name}"))
        for name in ("first", "second")
    ]
    for run in runs:
        (found,) = _answers(run)
        assert isinstance(found, list), found


def test_memory_that_lacks_twice_is_the_machines_failure(tmp_path):
    scratch = tmp_path / "s"
    scratch.mkdir()
    (found,) = run_many_isolated(
        f"{TASKS}:is_killed",
        [Call({}, scratch, tmp_path / "log")],
        timeout_s=60,
        max_cores=1,
        environment=HERE,
    )
    assert isinstance(found, OutOfMemory)
    assert (tmp_path / "log").read_text().count("--- isolated_tasks:is_killed in s") == 2


def test_what_the_kernel_kills_for_want_of_memory_is_told_so_and_done_again(tmp_path):
    code = (
        "import logging, sys; logging.basicConfig(stream=sys.stdout)\n"
        "from pathlib import Path\n"
        "from hst_assets.isolation import run_isolated\n"
        f"here = Path({str(tmp_path)!r}); (here / 's').mkdir()\n"
        "print(run_isolated('isolated_tasks:takes_memory_once',"
        " {'memory': str(here / 'm'), 'n_bytes': 1 << 30}, scratch=here / 's',"
        f" log_path=here / 'log', timeout_s=60, environment={HERE!r}))"
    )
    with control_group("memory", limit_bytes=400 << 20) as join:
        told = subprocess.run(
            [sys.executable, "-c", code], preexec_fn=join, capture_output=True, text=True
        )
    assert told.returncode == 0, told.stderr
    assert "was killed by the kernel for want of memory; it is done once more, alone" in told.stdout
    assert told.stdout.strip().endswith("little")


def test_where_no_lock_can_be_made_there_is_no_pool(tmp_path):
    (tmp_path / "file").write_text("")
    assert pool_of({POOL_VARIABLE: str(tmp_path / "file")}) is None
    assert pool_of({POOL_VARIABLE: "off"}) is None


def test_a_service_and_a_terminal_share_one_pool_of_their_user():
    """Services have no runtime folder and another TMPDIR than logins."""
    at_a_terminal = pool_of({"XDG_RUNTIME_DIR": "/run/user/1000", "TMPDIR": "/nowhere"})
    assert at_a_terminal == pool_of({})
    folder = Path(at_a_terminal[0])
    assert folder.stat().st_mode & 0o077 == 0
    assert folder.stat().st_uid == os.geteuid()


def test_a_lock_on_a_file_that_was_replaced_does_not_count(tmp_path, monkeypatch):
    """Between opening and locking another process may remove the file and make it again."""
    flock = core_pool.fcntl.flock

    def removed_meanwhile(descriptor, how):
        (tmp_path / "core_0").unlink()
        flock(descriptor, how)

    with monkeypatch.context() as patch:
        patch.setattr(core_pool.fcntl, "flock", removed_meanwhile)
        assert CorePool(tmp_path, 1).take(1) == []
    (held,) = CorePool(tmp_path, 1).take(1)
    give_back([held])


def test_a_lock_that_cannot_be_made_leaves_no_core_held(tmp_path):
    (tmp_path / "core_1").mkdir()
    with pytest.raises(OSError, match="core_1"):
        CorePool(tmp_path, 2).take(2)
    (held,) = CorePool(tmp_path, 1).take(1)
    give_back([held])


def test_without_locks_a_batch_goes_on(tmp_path):
    """As before there was a pool."""
    (tmp_path / "core_0").mkdir()
    cores = core_pool.CoresOfBatch((str(tmp_path), 1), alone=False, say_waiting=lambda: None)
    assert cores.for_call(1) == []


def test_a_call_that_waits_for_all_its_cores_goes_on_with_those_it_gets(tmp_path, monkeypatch):
    (other,) = CorePool(tmp_path, 2).take(1)
    said = []
    cores = core_pool.CoresOfBatch(
        (str(tmp_path), 2), alone=False, say_waiting=lambda: said.append(1)
    )
    assert cores.for_call(2) is None
    assert said == [1]
    monkeypatch.setattr(core_pool, "_PATIENCE_S", 0.0)
    held = cores.for_call(2)
    assert len(held) == 1
    give_back([other, *held])
