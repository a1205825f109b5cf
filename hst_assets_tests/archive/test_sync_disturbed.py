"""Deliveries that are killed, meet a full disk, or run side by side."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

from hst_assets.archive import sync as delivery_module
from hst_assets.archive.download import fetch
from hst_assets.archive.fetch_history import read_fetch_history
from hst_assets.archive.sync import outstanding
from hst_assets.exposures import ingest as ingest_module
from hst_assets.exposures import sources as sources_module
from hst_assets.exposures.raw import check_raw, raw_ledger
from hst_assets.failures import BadConfiguration, TransientFailure
from hst_assets_tests.archive.small_archive import by_hand, failures, left_in_staging

ONE, TWO = "jddd04ghq", "jddd04giq"
A, B = (f"{rootname}_flt.fits" for rootname in (ONE, TWO))

_CHILD = """
import os, pickle, signal, sys
from hst_assets.archive import sync as delivery
from hst_assets.exposures import ingest

def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

with open(sys.argv[1], "rb") as handle:
    workdir, settings, listing = pickle.load(handle)
{patch}
delivery.sync_visit(workdir, "jddd04", settings, listing=listing)
"""
_PATCHES = {
    "in transfer": "",
    "before ingest": "delivery.ingest = die",
    "before the ledger": "ingest.write_ledger = die",
    "after ingest": "delivery._Job._settle = die",
    "before the staging is cleared": "delivery._Job._clear_inbox = die",
}


def child(archive, patch=""):
    ticket = archive.folder / "ticket"
    ticket.write_bytes(pickle.dumps((archive.workdir, archive.settings(), archive.listing())))
    return subprocess.Popen([sys.executable, "-c", _CHILD.format(patch=patch), str(ticket)])


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("rerelease", [False, True])
@pytest.mark.parametrize("moment", list(_PATCHES))
def test_a_killed_delivery_is_finished_by_the_next(stocked, moment, rerelease):
    if rerelease:
        stocked.sync_visit()
        stocked.add(ONE, salt=1, side_pix=60)
        stocked.add(TWO, salt=1, side_pix=60)
        stocked.asked()
    if moment == "in transfer":
        stocked.files.faults[B] = ["stall"]
    process = child(stocked, _PATCHES[moment])
    if moment == "in transfer":
        inbox = stocked.workdir.staging / "jddd04"
        wait_until(lambda: (inbox / A).exists() and (inbox / f"{B}.part").exists())
        process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert set(stocked.asked()) == {A, B}
    delivery = stocked.sync_visit()
    assert failures(delivery) == {}
    assert stocked.in_raw() == stocked.as_served(A, B)
    assert stocked.asked() == ([B] if moment == "in transfer" else [])
    assert [file.name for file in check_raw(stocked.workdir, full=True)] == [A, B]
    origins = read_fetch_history(stocked.workdir)
    assert all(origins.of(file) for file in raw_ledger(stocked.workdir))
    stocked.sync_visit()
    assert left_in_staging(stocked) == []
    assert outstanding(stocked.workdir, stocked.listing()) == {}


@pytest.mark.slow
def test_two_processes_at_once_fetch_each_file_once(stocked):
    stocked.files.latency_s = 0.3
    processes = [child(stocked) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert sorted(stocked.asked()) == [A, B]
    assert stocked.in_raw() == stocked.as_served(A, B)
    check_raw(stocked.workdir, full=True)


def killed_before_the_ledger(archive):
    """Files of the archive lie in raw/, and no ledger knows them."""
    archive.sync_visit()
    archive.workdir.checksums.unlink()
    archive.asked()


@pytest.mark.parametrize("failed_between", [False, True])
def test_what_a_killed_delivery_left_in_raw_gives_way_to_a_rerelease(stocked, failed_between):
    killed_before_the_ledger(stocked)
    if failed_between:
        stocked.files.always[A] = "503"
        assert failures(stocked.sync_visit()) == {A: "TransientFailure"}
        stocked.files.always.clear()
    stocked.add(ONE, salt=1, side_pix=60)
    assert failures(stocked.sync_visit()) == {}
    assert stocked.in_raw() == stocked.as_served(A, B)
    check_raw(stocked.workdir, full=True)
    assert len(read_fetch_history(stocked.workdir).files) == 2


def test_a_companion_that_a_killed_delivery_left_gives_way_to_a_rerelease(archive):
    archive.add("ueee05ijm", "wfpc2")
    archive.sync_visit("ueee05")
    archive.workdir.checksums.unlink()
    (archive.workdir.raw / "ueee05ijm_c0m.fits").unlink()  # the companion is published first
    archive.add("ueee05ijm", "wfpc2", salt=1, side_pix=60)
    assert failures(archive.sync_visit("ueee05")) == {}
    assert archive.in_raw() == archive.as_served()
    check_raw(archive.workdir, full=True)


def test_what_was_left_in_raw_and_then_damaged_is_a_humans(stocked):
    killed_before_the_ledger(stocked)
    path = stocked.workdir.raw / A
    path.chmod(0o644)
    with path.open("r+b") as handle:
        handle.truncate(5000)
    assert failures(stocked.sync_visit()) == {A: "UnusableInput"}
    path.unlink()
    assert failures(stocked.sync_visit()) == {}
    assert stocked.in_raw() == stocked.as_served(A, B)


def test_visits_are_delivered_side_by_side(stocked):
    stocked.add("jddd05ghq")
    stocked.files.latency_s = 0.1
    visits = ["jddd04", "jddd05"]
    deliveries = {}

    def run(visit):
        deliveries[visit] = stocked.sync_visit(visit)

    threads = [threading.Thread(target=run, args=(visit,)) for visit in visits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [failures(deliveries[visit]) for visit in visits] == [{}, {}]
    assert stocked.in_raw() == stocked.as_served()
    assert len(read_fetch_history(stocked.workdir).files) == 3


def test_an_ingest_by_hand_does_not_hurt_a_download_under_way(stocked):
    stocked.files.faults[A] = ["stall"]

    def fetch_with_an_ingest(products, folder, settings, **options):
        answers = fetch(products, folder, settings, **options)
        by_hand(stocked, "jddd06ghq")
        return answers

    stocked.archive_settings |= {"timeout_s": 0.3, "max_tries": 1}
    assert failures(stocked.sync_visit(fetcher=fetch_with_an_ingest)) == {A: "TransientFailure"}
    assert f"{A}.part" in left_in_staging(stocked)
    stocked.asked()
    delivery = stocked.sync_visit()
    assert delivery.fetched[0].resumed_bytes > 0
    assert stocked.in_raw()[A] == stocked.content(A)


def no_room(*args, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("place", ["ingest", "origins", "ledger"])
def test_a_full_disk_is_told(stocked, monkeypatch, place):
    with monkeypatch.context() as patch:
        if place == "ingest":
            patch.setattr(sources_module.os, "link", no_room)
        elif place == "ledger":
            patch.setattr(ingest_module, "write_ledger", no_room)
        else:
            patch.setattr(delivery_module, "change_fetch_history", no_room)
        told = _told_by_delivery(stocked)
    assert told
    for failure in told:
        assert isinstance(failure, TransientFailure)
        assert "No space left" in str(failure)
        assert "Free disk space" in str(failure)
    stocked.asked()
    delivery = stocked.sync_visit()
    assert failures(delivery) == {}
    assert stocked.asked() == []  # what had come is kept, and is not blamed
    assert stocked.in_raw() == stocked.as_served(A, B)


def _told_by_delivery(archive):
    """The failures of files, or the one that ended the whole delivery."""
    try:
        return [each.failure for each in archive.sync_visit().failed]
    except TransientFailure as error:
        return [error]


def test_a_folder_that_may_not_be_written_to_is_told(stocked, monkeypatch):
    def forbidden(*args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "raw")

    monkeypatch.setattr(delivery_module, "change_fetch_history", forbidden)
    with pytest.raises(BadConfiguration, match="Permission denied"):
        stocked.sync_visit()


def test_a_part_outlives_a_refusal(stocked):
    stocked.archive_settings["max_tries"] = 1
    stocked.files.faults[A] = ["truncate:9000", "401"]
    assert failures(stocked.sync_visit()) == {A: "TransientFailure"}
    assert failures(stocked.sync_visit()) == {A: "AccessRefused"}
    [came] = stocked.sync_visit().fetched
    assert came.resumed_bytes == 9000
