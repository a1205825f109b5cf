"""Products come whole and verified, whatever the service does to them, or not at all."""

import errno
import fcntl
import hashlib
import itertools
import json
import multiprocessing
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hst_assets.archive import file_fetcher
from hst_assets.archive.download import Fetched, NotFetched, fetch
from hst_assets.archive.receipts import read_receipt, receipt_of
from hst_assets.failures import (
    BadConfiguration,
    TransientFailure,
    UnusableInput,
)
from hst_assets_tests.archive.served_files import (
    CONTENT,
    CONTENTS,
    CUT,
    LASTING,
    NAME,
    RELEASED_AGAIN,
    ROOTS,
    bring,
    left_in,
    product,
    settings,
)
from hst_assets_tests.stand_ins.file_service import FileService
from hst_assets_tests.stand_ins.tiny_fits import tiny_fits


def cut_short(files, folder):
    """Leave a part behind, as a process does that was killed."""
    files.faults[NAME] = [f"truncate:{CUT}"]
    answer = bring(files, folder, max_tries=1)
    assert isinstance(answer.failure, TransientFailure)
    assert left_in(folder) == [f"{NAME}.part", f"{NAME}.part.json"]


# ------------------------------------------------------------------------------ as it should go


def test_a_file_comes_under_its_name_with_what_is_known_of_it(files, tmp_path):
    answer = bring(files, tmp_path / "new" / "folder")
    assert answer.path == tmp_path / "new" / "folder" / NAME
    assert answer.path.read_bytes() == CONTENT
    assert answer.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (answer.size, answer.route, answer.n_tries) == (len(CONTENT), "mast", 1)
    assert (answer.etag, answer.notes) == (files.files[NAME].etag, ())
    assert left_in(answer.path.parent) == [NAME]


def test_answers_are_in_the_order_of_the_question(files, tmp_path):
    wanted = [product(root) for root in ROOTS]
    files.always["jtest003q_flc.fits"] = "404"
    files.faults[NAME] = ["stall:100"]  # the first comes last
    answers = fetch(wanted, tmp_path, settings(files), n_workers=8)
    assert [answer.product for answer in answers] == wanted
    kinds = [type(answer) for answer in answers]
    assert kinds == [Fetched, Fetched, NotFetched, *[Fetched] * 5]
    assert fetch([], tmp_path, settings(files)) == []


def test_progress_is_told_in_this_thread(files, tmp_path):
    told = []
    files.always[f"{ROOTS[1]}_flc.fits"] = "403"
    wanted = [product(root) for root in ROOTS]

    def progress(state):
        assert threading.current_thread() is threading.main_thread()
        told.append(state)

    fetch(wanted, tmp_path, settings(files), progress=progress)
    last = told[-1]
    assert (last.n_files, last.n_done, last.n_failed) == (8, 8, 1)
    total = sum(each.size for each in wanted)
    assert last.bytes_total == total
    assert last.bytes_done == total - wanted[1].size
    assert [state.n_done for state in told] == sorted(state.n_done for state in told)
    fetch([product(size=None)], tmp_path / "x", settings(files), progress=progress)
    assert told[-1].bytes_total is None
    assert told[-1].name == NAME


def test_a_file_that_is_there_is_not_fetched_again(files, tmp_path):
    first = bring(files, tmp_path)
    assert bring(files, tmp_path) == first
    assert read_receipt(product(), tmp_path) == first
    assert len(files.requests) == 1


@pytest.mark.parametrize("spoilt", ["version", "bytes", "size", "receipt", "file"])
def test_a_file_that_is_not_the_one_is_fetched_again(files, tmp_path, spoilt):
    path = bring(files, tmp_path).path
    wanted = product(release_mjd=51000.0) if spoilt == "version" else product()
    if spoilt in ("bytes", "size"):
        path.write_bytes(CONTENT[:-1] + (b"x" if spoilt == "bytes" else b""))
    if spoilt == "receipt":
        receipt_of(path).write_text("{")
    if spoilt == "file":
        path.unlink()
    assert bring(files, tmp_path, wanted).path.read_bytes() == CONTENT
    assert len(files.requests) == 2


# ---------------------------------------------------------------------------------- the faults


#: Faults that pass, each with what comes after it.
PASSING = [
    "503", "503:0", "500", "429", "silence", "stall", "reset", "truncate", "drip",
    "no_length+truncate", "no_etag+truncate", "no_etag+no_modified+reset", "short",
    "no_etag+no_modified+no_length+truncate", "oversize", "wrong_bytes", "zeroed",
    f"other:{ROOTS[1]}_flc.fits", "html", "html_full", "ignore_range", "wrong_range",
    "no_length", "change",
]  # fmt: skip
NAMES = [f"{root}_flc.fits" for root in ROOTS]


@pytest.mark.parametrize(
    ("fault", "resumed"), [*itertools.product(PASSING, [False, True]), ("416", True)]
)
def test_a_fault_that_passes_leaves_the_right_file(files, tmp_path, fault, resumed):
    files.next_versions[NAME] = [RELEASED_AGAIN]
    if resumed:
        cut_short(files, tmp_path)
    files.faults[NAME] = [fault]
    answer = bring(files, tmp_path)
    assert isinstance(answer, Fetched)
    assert answer.path.read_bytes() == files.files[NAME].content
    assert left_in(tmp_path) == [NAME]


@pytest.mark.parametrize("n_workers", [1, 8])
@pytest.mark.parametrize("resumed", [False, True], ids=["whole", "resumed"])
def test_many_files_with_a_fault_each(files, tmp_path, resumed, n_workers):
    faults = ["503", "stall:5000", "reset", "truncate", "wrong_bytes", "oversize", "html", "429"]
    for name, fault in zip(NAMES, faults, strict=True):
        files.faults[name] = [f"truncate:{CUT}", fault] if resumed else [fault]
    wanted = [product(root) for root in ROOTS]
    answers = fetch(wanted, tmp_path, settings(files, max_tries=4), n_workers=n_workers)
    assert [answer.path.read_bytes() for answer in answers] == list(CONTENTS.values())
    if resumed:
        assert [answer.resumed_bytes for answer in answers[:2]] == [CUT, CUT + 5000 - 1024]


@pytest.mark.parametrize("n_workers", [1, 8])
@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_lasts_is_told_and_no_file_appears(files, tmp_path, fault, n_workers):
    files.always["*"] = fault
    wanted = [product(root) for root in ROOTS[2 : 2 + (2 if n_workers == 8 else 1)]]
    answers = fetch(wanted, tmp_path, settings(files, max_tries=2), n_workers=n_workers)
    for each, answer in zip(wanted, answers, strict=True):
        assert type(answer.failure) is LASTING[fault]
        assert answer.failure.where == each.name
    assert not [name for name in left_in(tmp_path) if name.endswith(".fits")]


@pytest.mark.parametrize(
    ("fault", "tries"),
    [("503", 3), ("reset", 3), ("401", 1), ("404", 1), ("wrong_bytes", 2), ("html", 3)],
)
def test_what_cannot_help_is_not_tried(files, tmp_path, fault, tries):
    files.always[NAME] = fault
    bring(files, tmp_path)
    assert len(files.requests) == tries


def test_nobody_there(tmp_path):
    files = FileService()
    files.url = "http://127.0.0.1:9"
    assert isinstance(bring(files, tmp_path, max_tries=1).failure, TransientFailure)


def test_a_folder_that_cannot_be_written(files, tmp_path):
    (tmp_path / f"{NAME}.part").mkdir()
    failure = bring(files, tmp_path).failure
    assert isinstance(failure, BadConfiguration)
    assert "cannot be written" in str(failure)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, TransientFailure),
        (errno.EDQUOT, TransientFailure),
        (errno.EIO, TransientFailure),
        (errno.EACCES, BadConfiguration),
        (errno.EROFS, BadConfiguration),
    ],
)
def test_what_no_other_moment_cures_is_no_passing_failure(
    files, tmp_path, monkeypatch, number, kind
):
    def refuse(fetched):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_fetcher, "write_receipt", refuse)
    failure = bring(files, tmp_path).failure
    assert type(failure) is kind
    assert failure.where == NAME
    assert left_in(tmp_path) == [f"{NAME}.part", f"{NAME}.part.json"]


def test_a_file_that_changed_between_cut_and_resume_is_not_pieced_together(files, tmp_path):
    cut_short(files, tmp_path)
    files.hold(NAME, RELEASED_AGAIN, modified=1.8e9)
    answer = bring(files, tmp_path)
    assert answer.path.read_bytes() == RELEASED_AGAIN
    assert answer.resumed_bytes == 0


def test_a_part_of_an_earlier_release_is_not_continued(files, tmp_path):
    cut_short(files, tmp_path)
    assert bring(files, tmp_path, product(release_mjd=51000.0)).resumed_bytes == 0


def test_pixels_that_changed_in_a_file_without_checksums_cannot_be_told(files, tmp_path):
    files.hold(NAME, tiny_fits(ROOTS[0]))
    files.faults[NAME] = ["wrong_bytes"]
    answer = bring(files, tmp_path, product(size=len(tiny_fits(ROOTS[0]))))
    assert answer.path.read_bytes() != tiny_fits(ROOTS[0])


# ------------------------------------------------------------------ sizes that contradict others


@pytest.mark.parametrize("size", [None, 7, 10**9])
def test_a_wrong_size_in_the_product_list_does_not_hide_a_good_file(files, tmp_path, size):
    answer = bring(files, tmp_path, product(size=size))
    assert answer.path.read_bytes() == CONTENT
    assert len(answer.notes) == (size is not None)
    assert all(str(size) in note and str(len(CONTENT)) in note for note in answer.notes)


@pytest.mark.parametrize(
    ("content", "always"),
    [
        (CONTENT, "no_length"),
        (tiny_fits(ROOTS[0], nextend=False), ""),
        (tiny_fits(ROOTS[0])[: -(-80 * 80 * 4 // 2880) * 2880 - 2880], ""),
        (CONTENT + bytes(2880) + b"junk", ""),
    ],
    ids=["no length", "extensions not counted", "an extension less", "junk"],
)
def test_a_size_that_nothing_else_bears_out_is_refused(files, tmp_path, content, always):
    files.hold(NAME, content)
    files.always[NAME] = always
    answer = bring(files, tmp_path, product(size=7))
    assert isinstance(answer.failure, UnusableInput)
    assert left_in(tmp_path) == []


# ------------------------------------------------------------------------- two at once, and none


def fetch_in_child(url, folder, answers):
    service = FileService()
    service.url = url
    answer = bring(service, folder, timeout_s=10)
    answers.put((answer.sha256, answer.path.read_bytes() == CONTENT))


def test_two_processes_do_not_mix_their_parts(files, tmp_path):
    files.latency_s = 0.3
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    children = [
        context.Process(target=fetch_in_child, args=(files.url, tmp_path, answers))
        for _ in range(3)
    ]
    for child in children:
        child.start()
    assert [answers.get(timeout=60)[1] for _ in children] == [True] * 3
    for child in children:
        child.join()
    assert len(files.requests) == 1


def test_a_lock_that_was_removed_while_it_was_waited_for_is_none(files, tmp_path):
    lock = tmp_path / f".{NAME}.lock"
    with lock.open("a") as first, ThreadPoolExecutor(1) as pool:
        fcntl.flock(first, fcntl.LOCK_EX)
        answer = pool.submit(bring, files, tmp_path)
        time.sleep(0.2)  # it waits for the first
        lock.unlink()
        with lock.open("a") as second:
            fcntl.flock(second, fcntl.LOCK_EX)
            fcntl.flock(first, fcntl.LOCK_UN)
            time.sleep(0.4)
            assert not files.requests
        assert isinstance(answer.result(), Fetched)


def test_one_name_twice_in_one_call(files, tmp_path):
    answers = fetch([product(), product()], tmp_path, settings(files), n_workers=2)
    assert answers[0].sha256 == answers[1].sha256
    assert len(files.requests) == 1


def test_an_interrupt_stops_workers_and_keeps_parts(files, tmp_path):
    files.always["*"] = "stall:20000"
    wanted = [product(root) for root in ROOTS]

    def interrupt(state):
        if state.bytes_done >= 20000 * 4:
            signal.raise_signal(signal.SIGINT)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch(wanted, tmp_path, settings(files, timeout_s=50), progress=interrupt, n_workers=4)
    assert time.monotonic() - start < 10
    parts = list(tmp_path.glob("*.part"))
    assert [part.stat().st_size for part in parts] == [20000] * 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch-")]
    files.always.clear()
    answers = fetch(wanted, tmp_path, settings(files))
    assert [answer.resumed_bytes for answer in answers].count(20000) == 4


def test_a_callback_that_fails_stops_the_workers(files, tmp_path):
    files.always["*"] = "stall:20000"

    def fail(state):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch([product()], tmp_path, settings(files, timeout_s=50), progress=fail)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch-")]


@pytest.mark.parametrize(
    "root",
    ["../../x", "/../../etc/x", "jtest001q/", "..", "", "JTEST001Q", "jtest 01q", "jtest\n01q"],
)
def test_what_is_no_name_touches_no_file(files, tmp_path, root):
    folder = tmp_path / "a" / "b"
    failure = bring(files, folder, product(size=1, rootname=root, uri="x")).failure
    assert type(failure) is UnusableInput
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert not files.requests


def test_nothing_is_said_of_what_the_service_calls_a_file(files, tmp_path):
    """Names are made from rootname and suffix; what the service calls them is only asked for."""
    files.hold("passwd", CONTENT)
    wanted = product(uri="mast:HST/product/../../../etc/passwd")
    answer = bring(files, tmp_path, wanted)
    assert answer.path == tmp_path / NAME
    assert re.fullmatch(
        r"/api/v0\.1/Download/file\?uri=mast:HST/product/\.\./.*passwd", files.requests[0].path
    )
    assert json.loads(receipt_of(answer.path).read_text())["size"] == len(CONTENT)
