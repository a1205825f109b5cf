"""What is told of a folder that several processes are to use."""

import errno
import fcntl
import select
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from hst_assets.workdir import folder_trial
from hst_assets.workdir.folder_trial import mounted_as, try_folder


def _problems(folder):
    return {trial.what: trial.problem for trial in try_folder(folder) if trial.problem}


def test_a_folder_on_a_local_disk_has_no_problem_and_is_left_as_it_was(tmp_path):
    assert _problems(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        try_folder(tmp_path / "nowhere")


def test_locks_that_keep_nobody_out_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # in this process alone
    assert _problems(tmp_path) == {"a lock keeps another process out": "another process got it too"}


def test_a_folder_without_hard_links_is_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    assert "Operation not supported" in _problems(tmp_path)["hard links"]


def test_names_that_two_can_make_are_told(tmp_path, monkeypatch):
    made = set(map(str, range(50)))
    monkeypatch.setattr(folder_trial, "_create", lambda _: made)
    told = _problems(tmp_path)["one of two makes a file"]
    assert told == "50 of 50 were made by both, 0 by none"


def test_a_process_that_does_not_start_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert "the other process did not start" in _problems(tmp_path)["one of two makes a file"]


@contextmanager
def _listed(tmp_path, text):
    mounts = tmp_path / "mounts"
    mounts.write_text(text.format(folder=tmp_path))
    yield mounts


def test_the_innermost_mount_counts_and_of_two_at_one_place_the_later(tmp_path):
    text = (
        "/dev/sda / ext4 rw 0 0\n"
        "server:/a {folder} nfs4 rw,local_lock=all 0 0\n"
        "server:/b {folder} nfs4 rw,local_lock=none 0 0\n"
    )
    with _listed(tmp_path, text) as mounts:
        assert mounted_as(tmp_path, mounts) == ("nfs4", {"rw", "local_lock=none"})


@pytest.mark.parametrize("option", ["nolock", "local_lock=all", "local_lock=flock"])
def test_locks_that_each_machine_keeps_by_itself_are_told(tmp_path, monkeypatch, option):
    with _listed(tmp_path, f"server:/a / nfs rw,{option} 0 0\n") as mounts:
        monkeypatch.setattr(folder_trial, "mounted_as", lambda path: mounted_as(path, mounts))
        told = _problems(tmp_path)["how it is mounted"]
    assert told == f"nfs, with {option}: each machine has its own locks"


def test_a_place_whose_name_is_no_plain_text_is_found(tmp_path):
    folder = tmp_path / "Bögen und \\name"
    folder.mkdir()
    escaped = str(folder).replace("\\", "\\134").replace(" ", "\\040")
    (tmp_path / "mounts").write_text(f"/dev/sda / ext4 rw 0 0\nserver:/a {escaped} nfs4 rw 0 0\n")
    assert mounted_as(folder, tmp_path / "mounts") == ("nfs4", {"rw"})


def test_a_list_of_mounts_that_cannot_be_read_is_a_problem(tmp_path, monkeypatch):
    with _listed(tmp_path, "nonsense\n") as mounts:
        monkeypatch.setattr(folder_trial, "mounted_as", lambda path: mounted_as(path, mounts))
        assert "how it is mounted" in _problems(tmp_path)


def test_a_file_that_the_server_has_no_more_is_one_that_was_not_whole(tmp_path, monkeypatch):
    def stale(_):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "read_bytes", stale)
    looks = iter([False, False, True])
    n_read, n_bad = folder_trial._read(tmp_path / "replaced", lambda: next(looks)).split()
    assert n_read == n_bad == "3"


def test_what_the_other_process_says_before_it_is_asked_is_not_lost(tmp_path, monkeypatch):
    """On a busy machine it is done before this process has read that it is ready."""
    start = subprocess.Popen

    def read_late(*arguments, **options):
        process = start(*arguments, **options)
        select.select([process.stdout], [], [])
        time.sleep(0.1)
        return process

    monkeypatch.setattr(subprocess, "Popen", read_late)
    assert folder_trial._creating(tmp_path) == ""
