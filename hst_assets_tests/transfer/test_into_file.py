"""One URL into one file: what came is kept and continued, and failures are told apart."""

import io
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from hst_assets.failures import (
    AccessRefused,
    NothingFound,
    TransientFailure,
    UnusableInput,
)
from hst_assets.transfer import Halt, discard, transfer
from hst_assets.transfer.answers import seconds_asked
from hst_assets_tests.transfer.served_file import CONTENT, CUT, NAME, NEW, bring, cut, ranges

# ------------------------------------------------------------------------------ whole and rest


def test_a_file_comes_whole(files, part):
    counts = []
    came = bring(files, part, on_bytes=counts.append)
    assert part.read_bytes() == CONTENT
    assert (came.size, came.announced, came.resumed_bytes) == (len(CONTENT), len(CONTENT), 0)
    assert came.etag == files.files[NAME].etag
    assert counts == sorted(counts)
    assert counts[-1] == len(CONTENT)
    assert files.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("fault", ["truncate", "reset", "no_length+reset"])
def test_what_came_before_a_break_is_continued(files, part, fault):
    cut(files, part, fault)
    came = bring(files, part)
    assert part.read_bytes() == CONTENT
    assert came.resumed_bytes == CUT
    assert ranges(files) == [None, f"bytes={CUT - 1024}-"]
    assert files.requests[1].headers["if-range"] == files.files[NAME].etag


def test_what_came_before_a_stall_is_continued(files, part):
    cut(files, part, "stall", timeout_s=0.2)
    assert bring(files, part).resumed_bytes == CUT
    assert part.read_bytes() == CONTENT


def test_without_etag_the_date_is_the_validator(files, part):
    files.always[NAME] = "no_etag"
    cut(files, part)
    assert bring(files, part).resumed_bytes == CUT
    assert files.requests[1].headers["if-range"].endswith("GMT")
    assert part.read_bytes() == CONTENT


def test_without_a_validator_begin_and_end_are_compared_first(files, part):
    files.always[NAME] = "no_etag+no_modified"
    cut(files, part)
    assert bring(files, part).resumed_bytes == CUT
    assert part.read_bytes() == CONTENT
    assert ranges(files) == [None, "bytes=0-65535", f"bytes={CUT - 65536}-"]


def test_without_a_validator_a_service_without_ranges_is_asked_once(files, part):
    files.always[NAME] = "no_etag+no_modified+ignore_range"
    cut(files, part)
    assert bring(files, part).resumed_bytes == 0
    assert ranges(files) == [None, None]


@pytest.mark.parametrize(
    ("start", "stop"), [(0, len(NEW)), (0, 10), (CUT - 10, CUT), (CUT - 60_000, CUT - 59_000)]
)
def test_without_a_validator_a_changed_file_comes_anew(files, part, start, stop):
    files.always[NAME] = "no_etag+no_modified"
    cut(files, part)
    changed = CONTENT[:start] + NEW[start:stop] + CONTENT[stop:]
    files.hold(NAME, changed)
    assert bring(files, part).resumed_bytes == 0
    assert part.read_bytes() == changed


@pytest.mark.parametrize("always", ["", "no_etag", "no_etag+no_modified"])
def test_a_file_that_changed_comes_anew(files, part, always):
    files.always[NAME] = always
    cut(files, part)
    files.hold(NAME, NEW, modified=1.8e9)
    assert bring(files, part).resumed_bytes == 0
    assert part.read_bytes() == NEW


def test_a_service_that_forgets_the_condition_is_found_out_by_the_validator(files, part):
    cut(files, part)
    state = part.with_name(f"{part.name}.json")
    known = json.loads(state.read_text())
    # Of a weak ETag none can be conditional: If-Range goes by the date, which stays.
    state.write_text(json.dumps({**known, "etag": 'W/"old"'}))
    changed = NEW[:1000] + CONTENT[1000:]  # the end of the part, which comes again, is the same
    files.hold(NAME, changed)
    assert bring(files, part).resumed_bytes == 0
    assert part.read_bytes() == changed
    assert files.requests[1].headers["if-range"].endswith("GMT")


@pytest.mark.parametrize("fault", ["ignore_range", "wrong_range", "416"])
def test_a_service_that_cannot_continue_is_asked_anew(files, part, fault):
    cut(files, part)
    files.faults[NAME] = [fault]
    assert bring(files, part).resumed_bytes == 0
    assert part.read_bytes() == CONTENT


def test_another_range_is_not_taken_where_all_bytes_are_alike(files, part):
    files.hold(NAME, bytes(300_000))
    cut(files, part)
    files.faults[NAME] = ["wrong_range"]
    assert bring(files, part).resumed_bytes == 0
    assert part.read_bytes() == bytes(300_000)


def test_a_part_longer_than_the_file_is_thrown_away(files, part):
    cut(files, part)
    files.hold(NAME, CONTENT[:1000], modified=files.files[NAME].modified)
    files.always[NAME] = "no_etag"
    part.with_name(f"{part.name}.json").write_text(
        part.with_name(f"{part.name}.json").read_text().replace('"etag": "', '"etag": "W/')
    )
    assert bring(files, part).size == 1000
    assert part.read_bytes() == CONTENT[:1000]


def test_a_part_that_is_complete_needs_its_end_only(files, part):
    bring(files, part)
    assert bring(files, part).resumed_bytes == len(CONTENT)
    assert ranges(files)[1] == f"bytes={len(CONTENT) - 1024}-"
    assert part.read_bytes() == CONTENT


def test_a_part_that_was_spoilt_is_thrown_away(files, part):
    cut(files, part)
    part.write_bytes(part.read_bytes()[:-100] + bytes(100))
    assert bring(files, part).resumed_bytes == 0
    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize("state", [None, "", "{", "[]", '{"address": 3, "colour": 1}'])
def test_a_part_of_which_nothing_is_known_is_thrown_away(files, part, state):
    part.write_bytes(b"junk" * 1000)
    if state is not None:
        part.with_name(f"{part.name}.json").write_text(state)
    assert bring(files, part).resumed_bytes == 0
    assert part.read_bytes() == CONTENT


def test_a_part_of_other_content_is_thrown_away(files, part):
    cut(files, part, identity="release 1")
    assert bring(files, part, identity="release 2").resumed_bytes == 0
    cut(files, part.with_suffix(".s3"))
    transfer(files.s3_url(NAME), part.with_suffix(".s3"), timeout_s=5.0)
    assert ranges(files)[-1] is None


def test_a_break_after_a_break_goes_on_from_there(files, part):
    cut(files, part)
    files.faults[NAME] = ["truncate:51024", "truncate:500"]
    for _ in range(2):
        with pytest.raises(TransientFailure):
            bring(files, part)
        assert part.stat().st_size == CUT + 50_000
    assert bring(files, part).resumed_bytes == CUT + 50_000
    assert part.read_bytes() == CONTENT


def test_an_error_page_in_place_of_the_rest_leaves_the_part(files, part):
    cut(files, part)
    files.faults[NAME] = ["html", "503"]
    for words in ("web page", "503"):
        with pytest.raises(TransientFailure, match=words):
            bring(files, part)
    assert bring(files, part).resumed_bytes == CUT


def test_discarding_leaves_nothing(files, part):
    cut(files, part)
    discard(part)
    assert not list(part.parent.iterdir())
    discard(part)


# --------------------------------------------------------------------------------- the failures


@pytest.mark.parametrize(
    ("fault", "failure", "words"),
    [
        ("503", TransientFailure, "503 Service Unavailable"),
        ("500", TransientFailure, "500"),
        ("429", TransientFailure, "429"),
        ("408", TransientFailure, "408"),
        ("599", TransientFailure, "599"),
        ("silence", TransientFailure, "no answer"),
        ("stall", TransientFailure, "broke off"),
        ("reset", TransientFailure, "reset by peer"),
        ("truncate", TransientFailure, "IncompleteRead"),
        ("drip", TransientFailure, "too slow"),
        ("401", AccessRefused, "401 Unauthorized"),
        ("403", AccessRefused, "403"),
        ("400", AccessRefused, "400"),
        ("416", AccessRefused, "416"),
        ("404", NothingFound, "404"),
        ("410", NothingFound, "410"),
        ("html", TransientFailure, "web page"),
    ],
)
def test_failures_are_told_apart(files, part, fault, failure, words):
    files.faults[NAME] = [fault]
    with pytest.raises(failure, match=words) as caught:
        bring(files, part, timeout_s=0.3)
    assert type(caught.value) is failure
    assert f"{NAME}" in str(caught.value)


def test_nobody_at_the_address(part):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    with pytest.raises(TransientFailure, match="no answer"):
        transfer(url, part, timeout_s=1)


def test_a_host_without_a_name(part, monkeypatch):
    def unknown(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TransientFailure, match="the host is unknown"):
        transfer("https://nowhere.invalid/x", part, timeout_s=1)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "x", "http://", "http://[::1/x"])
def test_what_is_no_address_cannot_be_asked(part, url):
    with pytest.raises(UnusableInput):
        transfer(url, part, timeout_s=1)


def test_what_this_machine_cannot_write_is_no_failure_of_the_service(files, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        bring(files, tmp_path / "file" / "x.part")


def test_a_disk_that_takes_half_of_what_it_is_given_leaves_no_gap(files, part, monkeypatch):
    class Grudging(io.FileIO):
        def write(self, data):
            return super().write(data[: len(data) // 2 + 1])

    whole = type(part).open

    def opened(path, mode="r", **options):
        return Grudging(path, mode) if "b" in mode else whole(path, mode, **options)

    cut(files, part)
    monkeypatch.setattr(type(part), "open", opened)
    bring(files, part)
    discard(part)
    bring(files, part)
    monkeypatch.undo()
    assert part.read_bytes() == CONTENT


def test_a_slow_but_steady_service_is_waited_for(files, part):
    files.hold(NAME, CONTENT[:60])
    files.faults[NAME] = ["drip:100"]
    assert bring(files, part, timeout_s=0.1, slowest_bytes_per_s=20).size == 60


def test_a_service_that_asks_for_patience_says_how_much(files, part):
    later = datetime.now(UTC) + timedelta(seconds=30)
    said = {"7": 7.0, "100000": 120.0, "-3": 0.0, "soon": None,
            format_datetime(later, usegmt=True): pytest.approx(30, abs=5)}  # fmt: skip
    assert {text: seconds_asked(text) for text in said} == said
    files.faults[NAME] = ["503:7"]
    with pytest.raises(TransientFailure) as caught:
        bring(files, part)
    assert caught.value.retry_after_s == 7.0


# ------------------------------------------------------------------------------------- to stop


@pytest.mark.parametrize("fault", ["drip:100", "stall:5000"])
def test_a_transfer_is_stopped_from_another_thread(files, part, fault):
    files.faults[NAME] = [fault]
    halt = Halt()

    def stop_once_something_is_there() -> None:
        while not (part.exists() and part.stat().st_size):
            time.sleep(0.01)
        halt.stop()

    stopping = threading.Thread(target=stop_once_something_is_there, daemon=True)
    stopping.start()
    start = time.monotonic()
    with pytest.raises(TransientFailure, match="stopped"):
        bring(files, part, timeout_s=20, halt=halt, slowest_bytes_per_s=0)
    assert time.monotonic() - start < 5
    assert part.stat().st_size > 0
    stopping.join()
    with pytest.raises(TransientFailure, match="stopped"):
        bring(files, part, halt=halt)
