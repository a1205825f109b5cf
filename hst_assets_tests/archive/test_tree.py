"""A tree of fetched files is shared by targets, and what is damaged in it is replaced."""

import errno
import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from hst_assets.archive import tree as tree_module
from hst_assets.archive.download import fetch
from hst_assets.archive.receipts import receipt_of
from hst_assets.archive.tree import link_or_copy, path_in_tree
from hst_assets.exposures.archive_tree import exposures_near
from hst_assets.exposures.raw import check_raw
from hst_assets.workdir import WorkDir
from hst_assets_tests.archive.small_archive import (
    DEC,
    RA,
    SmallArchive,
    blank,
    delivered_names,
    failures,
)

A, B = "jddd04ghq_flt.fits", "jddd04giq_flt.fits"
C0M, C1M = "ueee05ijm_c0m.fits", "ueee05ijm_c1m.fits"


@pytest.fixture
def archive(tmp_path):
    with SmallArchive(tmp_path).running() as archive:
        archive.add("jddd04ghq")
        archive.add("jddd04giq")
        archive.archive_settings["tree"] = str(tmp_path / "tree")
        yield archive


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system than the test's own."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system: /dev/shm is not there, or is that of the test")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.fixture
def filled(archive):
    """The tree has the visit; the next target begins with nothing."""
    archive.sync_visit()
    archive.asked()
    archive.workdir = WorkDir(archive.workdir.root, "other")
    return archive


def in_tree(archive, name=A):
    return path_in_tree(archive.folder / "tree", archive.products[name])


def test_files_lie_as_hst123_lays_them(filled):
    folder = filled.folder / "tree" / "ACS" / "HRC" / "150"
    assert in_tree(filled) == folder / A
    assert sorted(path.name for path in folder.glob("*.fits")) == [A, B]


def test_the_reader_finds_them(filled):
    assert exposures_near(filled.folder / "tree", RA, DEC) == [in_tree(filled), in_tree(filled, B)]


@pytest.mark.parametrize(
    ("key", "ra", "folder"),
    [("wfpc2", 359.7, "WFPC2/WFPC2/360"), ("wfc3_uvis", 0.2, "WFC3/UVIS/0")],
)
def test_the_folder_is_named_by_the_rounded_right_ascension(archive, key, ra, folder):
    archive.change(A, detector_key=key, ra_deg=ra)
    assert in_tree(archive) == archive.folder / "tree" / folder / A


def test_raw_has_links_to_the_tree(filled):
    raw = WorkDir(filled.workdir.root, "field").raw / A
    assert raw.samefile(in_tree(filled))


def test_another_target_fetches_nothing(filled):
    delivery = filled.sync_visit()
    assert delivered_names(delivery) == [A, B]
    assert (filled.asked(), sorted(filled.asked("HEAD"))) == ([], [A, B])
    assert filled.in_raw() == filled.as_served(A, B)
    assert (filled.workdir.raw / A).stat().st_nlink == 3


def test_on_another_file_system_raw_has_copies(filled, monkeypatch):
    def other_device(source, destination):
        if "tree" in str(source):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return link(source, destination)

    link = os.link
    monkeypatch.setattr(tree_module.os, "link", other_device)
    filled.sync_visit()
    assert filled.in_raw() == filled.as_served(A, B)
    assert not (filled.workdir.raw / A).samefile(in_tree(filled))


def test_a_tree_on_another_file_system_is_filled_and_raw_has_copies(archive, elsewhere):
    archive.archive_settings["tree"] = str(elsewhere / "tree")
    assert failures(archive.sync_visit()) == {}
    kept = {path.name: path.read_bytes() for path in (elsewhere / "tree").rglob("*.fits")}
    assert kept == archive.in_raw() == archive.as_served(A, B)
    check_raw(archive.workdir, full=True)
    assert (archive.workdir.raw / A).stat().st_dev != elsewhere.stat().st_dev
    archive.asked()
    archive.workdir = WorkDir(archive.workdir.root, "other")
    archive.sync_visit()
    assert archive.asked() == []
    assert archive.in_raw() == archive.as_served(A, B)


def test_a_copy_that_was_spoilt_is_not_taken(archive, elsewhere, monkeypatch):
    def spoilt(source, destination):
        content = bytearray(source.read_bytes())
        content[-2000] ^= 1  # in the data
        destination.write_bytes(content)

    archive.archive_settings["tree"] = str(elsewhere / "tree")
    with monkeypatch.context() as patch:
        patch.setattr(tree_module.shutil, "copyfile", spoilt)
        assert failures(archive.sync_visit()) == {A: "TransientFailure", B: "TransientFailure"}
    assert archive.in_raw() == {}
    assert failures(archive.sync_visit()) == {}
    assert archive.in_raw() == archive.as_served(A, B)


def test_a_file_that_another_target_replaces_meanwhile_is_not_mistaken(archive):
    def fetch_and_be_overtaken(products, folder, settings, **options):
        came = fetch(products, folder, settings, **options)
        path = in_tree(archive)
        path.unlink()
        path.write_bytes(newer)
        return came

    other = SmallArchive(archive.folder)
    other.add("jddd04ghq", salt=1)
    newer = other.content(A)
    assert failures(archive.sync_visit(fetcher=fetch_and_be_overtaken)) == {A: "TransientFailure"}
    assert failures(archive.sync_visit()) == {}
    assert archive.in_raw() == archive.as_served(A, B)


def test_a_relative_tree_is_taken_from_the_work_directory(archive, monkeypatch):
    monkeypatch.chdir(archive.folder)
    archive.archive_settings["tree"] = "tree"
    archive.sync_visit()
    assert path_in_tree(archive.workdir.base / "tree", archive.products[A]).is_file()
    assert archive.in_raw() == archive.as_served(A, B)


def test_a_link_that_fails_otherwise_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        link_or_copy(tmp_path / "nothing", tmp_path / "somewhere")


@pytest.mark.parametrize("damage", ["bytes", "short"])
def test_a_damaged_file_is_replaced(filled, damage):
    path = in_tree(filled)
    path.chmod(0o644)
    with path.open("r+b") as handle:
        if damage == "short":
            handle.truncate(5000)
        else:
            handle.seek(9000)
            handle.write(b"junk")
    filled.sync_visit()
    assert filled.asked() == [A]
    assert path.read_bytes() == filled.content(A)
    assert filled.in_raw() == filled.as_served(A, B)


def test_a_file_without_receipt_is_looked_at_and_taken(filled):
    receipt_of(in_tree(filled)).unlink()
    filled.sync_visit()
    assert filled.asked() == []
    assert filled.in_raw() == filled.as_served(A, B)


@pytest.mark.parametrize("fault", ["truncated", "other exposure", "other size", "blank"])
def test_a_file_without_receipt_that_is_no_good_is_replaced(filled, fault):
    path = in_tree(filled)
    receipt_of(path).unlink()
    other = SmallArchive(filled.folder)
    other.add("jddd04ghq", side_pix=60)
    content = {
        "truncated": filled.content(A)[:-2880],
        "other exposure": filled.content(B),
        "other size": other.content(A),
        "blank": blank(filled.content(A)),
    }[fault]
    path.unlink()
    path.write_bytes(content)
    delivery = filled.sync_visit()
    assert failures(delivery) == {}
    assert filled.asked() == [A]
    assert path.read_bytes() == filled.content(A)
    assert filled.in_raw() == filled.as_served(A, B)


def test_a_file_that_the_archive_replaced_meanwhile_is_fetched(filled):
    filled.add("jddd04ghq", salt=1)  # size and release as they were
    filled.sync_visit()
    assert filled.asked() == [A]
    assert filled.in_raw() == filled.as_served(A, B)


def test_a_rerelease_replaces_the_file_in_the_tree(filled):
    first = WorkDir(filled.workdir.root, "field").raw / A
    was = first.read_bytes()
    filled.add("jddd04ghq", salt=1, side_pix=60)
    filled.sync_visit()
    assert in_tree(filled).read_bytes() == filled.content(A)
    assert filled.in_raw()[A] == filled.content(A)
    assert first.read_bytes() == was  # until its own delivery


def test_a_rerelease_that_only_the_etag_tells_is_fetched_into_the_tree(filled):
    filled.sync_visit()
    filled.add("jddd04ghq", salt=1)
    filled.archive_settings["recheck_after_days"] = 0
    filled.sync_visit()
    assert filled.asked() == [A]
    assert in_tree(filled).read_bytes() == filled.in_raw()[A] == filled.content(A)


def test_a_rerelease_that_fails_leaves_the_tree_as_it_was(filled):
    was = in_tree(filled).read_bytes()
    filled.add("jddd04ghq", salt=1, side_pix=60)
    filled.files.always[A] = "html_full"
    assert failures(filled.sync_visit()) == {A: "UnusableInput"}
    assert in_tree(filled).read_bytes() == was


def test_a_wfpc2_pair_lies_side_by_side(archive):
    archive.add("ueee05ijm", "wfpc2")
    assert failures(archive.sync_visit("ueee05")) == {}
    assert in_tree(archive, C0M).parent == in_tree(archive, C1M).parent
    archive.add("ueee05ijm", "wfpc2", salt=1, release=59500.0)
    archive.sync_visit("ueee05")
    assert archive.in_raw() == archive.as_served(C0M, C1M)


def test_two_targets_at_once_share_one_transfer(archive):
    archive.files.latency_s = 0.2
    others = [WorkDir(archive.workdir.root, name) for name in ("one", "two")]
    done = {}

    def run(workdir):
        from hst_assets.archive.sync import sync_visit

        done[workdir.target] = sync_visit(
            workdir, "jddd04", archive.settings(), listing=archive.listing()
        )

    threads = [threading.Thread(target=run, args=(workdir,)) for workdir in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(archive.asked()) == [A, B]
    for workdir in others:
        assert failures(done[workdir.target]) == {}
        check_raw(workdir, full=True)


def test_a_tree_that_was_moved_is_believed(filled):
    shutil.move(filled.folder / "tree", filled.folder / "moved")
    filled.archive_settings["tree"] = str(filled.folder / "moved")
    filled.sync_visit()
    assert filled.asked() == []
