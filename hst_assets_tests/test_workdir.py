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

from hst_assets.failures import BadConfiguration, MissingProduct, TransientFailure
from hst_assets.workdir import WorkDir, default_root, publish, targets_in, write_atomically


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "field")


# ------------------------------------------------------------------------------- the layout


def test_the_folders_are_those_of_the_guide(workdir):
    workdir.create()
    assert sorted(path.name for path in workdir.base.iterdir()) == [
        ".hst123_runfiles", ".mast_download_staging", "drizzle", "logs", "raw", "workspace",
    ]  # fmt: skip


@pytest.mark.parametrize("target", ["..", "a/b", "", "/etc"])
def test_a_target_never_leaves_its_root(tmp_path, target):
    with pytest.raises(BadConfiguration):
        WorkDir(tmp_path, target)


@pytest.mark.parametrize("visit", ["../../x", "J8BT06", ""])
def test_a_visit_never_leaves_the_workspace(workdir, visit):
    for path in (workdir.raw_manifest, workdir.visit_exposures, workdir.visit_alignment):
        with pytest.raises(BadConfiguration):
            path(visit)


def test_every_path_lies_in_the_work_directory(workdir):
    products = [
        workdir.raw_manifest("j8bt06"),
        workdir.visit_exposures("j8bt06"),
        workdir.target_exposures,
        workdir.aligned("../../etc/passwd"),
        workdir.visit_drizzle("j8bt06", "acs_hrc.f606w"),
        workdir.reference_image("acs_hrc.f606w", 3),
        workdir.epoch_stack("acs_hrc.f606w", "020413", 3),
        workdir.filter_stack("acs_hrc.f606w", "47Tuc"),
        workdir.difference("acs_hrc.f606w", 3, 1),
        workdir.difference_products,
        workdir.visit_footprints("j8bt06"),
        workdir.target_footprints,
        workdir.log("drizzle", "field/j8bt06"),
    ]
    assert all(os.path.normpath(path).startswith(f"{workdir.base}/") for path in products)


def test_products_have_the_names_of_the_guide(workdir):
    name = workdir.epoch_stack("wfc3_uvis.f606w", "180601", 7, "SN").name
    assert name == "SN.wfc3_uvis.f606w.ut180601_0007.drc.fits"
    assert workdir.reference_image("wfc3_uvis.f606w", 7).parent == workdir.base
    assert workdir.reference_image("wfc3_uvis.f606w", 7).name == "wfc3_uvis.f606w.ref_0007.drc.fits"


def test_differences_name_both_epochs(workdir):
    name = workdir.difference("wfc3_uvis.f606w", 12, 3, "SN").name
    assert name == "SN.wfc3_uvis.f606w.diff_0012-0003.fits"


def test_relative_and_absolute_are_inverse(workdir, tmp_path):
    for path in (workdir.raw / "x.fits", tmp_path / "elsewhere.fits"):
        assert workdir.absolute(workdir.relative(path)) == path


def test_the_root_is_absolute_wherever_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert WorkDir(Path("data"), "x").base == tmp_path / "data" / "x"


def test_the_root_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HST_ASSETS_ROOT", str(tmp_path / "there"))
    assert default_root() == tmp_path / "there"
    monkeypatch.setenv("HST_ASSETS_ROOT", "")
    monkeypatch.chdir(tmp_path)
    assert default_root() == tmp_path / "data"


def test_targets_are_folders_with_settings(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "target.toml").touch()
    (tmp_path / "deployment").mkdir()
    assert targets_in(tmp_path) == ["a", "b"]
    assert targets_in(tmp_path / "nowhere") == []


def test_a_target_that_was_never_ingested_is_an_error(workdir):
    with pytest.raises(BadConfiguration, match="no work directory for target 'field'") as caught:
        workdir.existing()
    assert "'hst-assets ingest FOLDER --target field'" in str(caught.value)
    assert "'hst-assets target add field RA DEC'" in str(caught.value)


# ---------------------------------------------------------------------------- whole or not


def test_publishing_moves_a_file(tmp_path):
    source = tmp_path / "a"
    source.write_text("new")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text("old")
    assert publish(source, tmp_path / "sub" / "b").read_text() == "new"
    assert not source.exists()


def test_publishing_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(MissingProduct, match="did not write this file"):
        publish(tmp_path / "nothing", tmp_path / "b")


def test_a_file_written_atomically_appears_whole(tmp_path):
    with write_atomically(tmp_path / "deep" / "x.ecsv") as part:
        part.write_text("content")
        assert part.suffix == ".ecsv"
        assert not (tmp_path / "deep" / "x.ecsv").exists()
    assert (tmp_path / "deep" / "x.ecsv").read_text() == "content"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def fail():
        with write_atomically(path) as part:
            part.write_text("half")
            raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        fail()
    assert path.read_text() == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["x"]


# --------------------------------------------------------------------- scratch and locks


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
