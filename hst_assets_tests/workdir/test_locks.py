import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from hst_assets.failures import TransientFailure


def test_scratch_is_fresh_and_removed(workdir):
    with workdir.scratch("drizzle/a") as folder:
        (folder / "deep").mkdir()
        assert folder.parent == workdir.runfiles
    assert not list(workdir.runfiles.glob("drizzle_a*"))


def test_scratch_is_removed_after_a_failure(workdir):
    with pytest.raises(RuntimeError), workdir.scratch("x") as folder:
        raise RuntimeError
    assert not folder.exists()


def test_two_scratch_folders_live_side_by_side(workdir):
    with workdir.scratch("x") as one, workdir.scratch("x") as other:
        assert one != other
        assert one.is_dir()
        assert other.is_dir()


_CHILD = """
import sys, time
from pathlib import Path
from hst_assets.workdir import WorkDir
with WorkDir(Path(sys.argv[1]), "field").scratch("dead") as folder:
    (folder / "work").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_scratch_of_a_killed_process_is_swept_and_of_a_live_one_not(workdir):
    command = [sys.executable, "-c", textwrap.dedent(_CHILD), str(workdir.root)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    dead, alive = (Path(child.stdout.readline().strip()) for child in children)
    children[0].send_signal(signal.SIGKILL)
    children[0].wait()
    try:
        with workdir.scratch("next"):
            assert not dead.exists()
            assert (alive / "work").exists()
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()


def test_many_at_once_never_sweep_each_other(workdir):
    """A folder just made, whose lock is not held yet, is not taken for a dead one."""
    failures = []

    def work():
        for _ in range(30):
            with workdir.scratch("x") as folder:
                try:
                    (folder / "file").write_text("here")
                except FileNotFoundError as error:
                    failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_lock_keeps_others_out(workdir):
    seen = []

    def second():
        with workdir.lock("raw"):
            seen.append("second")

    with workdir.lock("raw"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        seen.append("first")
    thread.join()
    assert seen == ["first", "second"]


def test_a_lock_that_is_held_is_told(workdir):
    assert not workdir.is_locked("raw/a")
    with workdir.lock("raw/a"):
        assert workdir.is_locked("raw/a")
        assert not workdir.is_locked("raw")
    assert not workdir.is_locked("raw/a")


def test_a_lock_that_stays_held_is_a_passing_failure_that_names_the_holder(workdir):
    told = []
    with (
        workdir.lock("raw"),
        pytest.raises(TransientFailure, match=rf"process {os.getpid()} on .*\(since 20"),
        workdir.lock("raw", wait_s=0.05, waiting=told.append),
    ):
        raise AssertionError("two hold it")
    (text,) = told
    assert f"process {os.getpid()} on {socket.gethostname()}" in text
    with workdir.lock("raw", wait_s=0.0, waiting=told.append):
        assert len(told) == 1


def test_locks_of_other_names_are_free(workdir):
    with workdir.lock("a"), workdir.lock("b/c"):
        assert {path.name for path in workdir.runfiles.iterdir()} == {"a.lock", "b_c.lock"}


def _as_nfs(monkeypatch):
    """Let locks need what they need on NFS: a file that may be written, or read."""
    import fcntl

    take = fcntl.flock

    def flock(file, operation):
        mode = fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
        needed = {fcntl.LOCK_EX: os.O_RDONLY, fcntl.LOCK_SH: os.O_WRONLY}
        if needed[operation & ~fcntl.LOCK_NB] == mode:
            raise OSError(9, "Bad file descriptor")
        take(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)


def test_every_lock_can_be_had_on_nfs(workdir, monkeypatch):
    _as_nfs(monkeypatch)
    with workdir.scratch("a"), workdir.scratch("b"), workdir.lock("c"), workdir.edit_settings():
        assert workdir.is_locked("c")
    with workdir.alone():
        assert workdir.is_locked("c")
