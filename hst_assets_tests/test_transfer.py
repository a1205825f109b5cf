"""One URL into one file: what came is kept and continued, and failures are told apart."""

import io
import json
import logging
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from hst_assets.failures import (
    AccessRefused,
    NothingFound,
    TransientFailure,
    UnusableInput,
)
from hst_assets.transfer import Halt, announced, discard, in_tries, shown, transfer
from hst_assets.transfer.answers import length_of, seconds_asked
from hst_assets.transfer.requests import next_hop
from hst_assets_tests.stand_ins.file_service import FileService

NAME = "jtest001q_flc.fits"
# No two stretches of it are alike.
CONTENT = b"".join(number.to_bytes(4) for number in range(75_000))
NEW = CONTENT[150_000:] + CONTENT[:150_000]
CUT = 200_000


@pytest.fixture
def files():
    service = FileService()
    service.hold(NAME, CONTENT)
    with service.running():
        yield service


@pytest.fixture
def part(tmp_path):
    return tmp_path / f"{NAME}.part"


def bring(files, part, **options):
    options = {"timeout_s": 5.0, **options}
    return transfer(files.mast_url(NAME), part, **options)


def cut(files, part, fault="truncate", **options):
    """Let a transfer break off after CUT bytes."""
    files.faults[NAME] = [f"{fault}:{CUT}"]
    with pytest.raises(TransientFailure):
        bring(files, part, **options)
    assert part.stat().st_size == CUT


def ranges(files):
    return [request.range for request in files.requests]


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


# ---------------------------------------------------------------- redirections and secrets


def sign(allowed):
    def put(request):
        if request.url.startswith(allowed):
            request.headers["Authorization"] = "token SECRET"
        return request

    return put


@pytest.mark.parametrize("allowed", ["the first", "the second"])
def test_credentials_go_to_the_hosts_that_may_have_them(files, part, allowed):
    with FileService().running() as other:
        other.hold(NAME, NEW)
        files.faults[NAME] = [f"redirect:{other.url}"]
        bring(files, part, sign=sign(files.url if allowed == "the first" else other.url))
        assert part.read_bytes() == NEW
        had = ["authorization" in service.requests[0].headers for service in (files, other)]
        assert had == [allowed == "the first", allowed == "the second"]


def test_passwords_of_the_user_are_left_out(files, part, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    bring(files, part)
    assert "authorization" not in files.requests[0].headers


def test_redirections_end(files, part):
    files.always[NAME] = f"redirect:{files.url}"
    with pytest.raises(UnusableInput, match="more than 5"):
        bring(files, part)


def test_no_redirection_gives_up_encryption():
    assert next_hop("https://a/x", "/y") == "https://a/y"
    assert next_hop("http://a/x", "https://b/y") == "https://b/y"
    with pytest.raises(UnusableInput, match="unencrypted address"):
        next_hop("https://a/x", "http://a/x")
    with pytest.raises(UnusableInput, match="unencrypted address"):
        next_hop("HTTPS://a/x", "http://a/x")
    assert next_hop("https://a/x", "HTTPS://b/y") == "https://b/y"


@pytest.mark.parametrize("base", ["http://[", "http://127.0.0.1:99999999", "http://%00"])
def test_a_redirection_to_what_is_no_address_is_no_file(files, part, base):
    files.faults[NAME] = [f"redirect:{base}"]
    with pytest.raises(UnusableInput):
        bring(files, part)


def test_a_number_of_too_many_digits_is_no_length():
    many = "9" * 5000
    reply = SimpleNamespace(headers={"Content-Length": many})
    assert length_of(reply) is None
    reply.headers["Content-Length"] = str(2**63)
    assert length_of(reply) == 2**63
    assert seconds_asked("nan") is None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://me:mine@h.org:8443/p/x.fits?X-Amz-Signature=S#f", "https://h.org:8443/p/x.fits"),
        ("https://h.org/d?uri=mast:HST/product/x.fits&token=S", "https://h.org/d?uri=mast:HST/product/x.fits"),
        ("http://[::1]:80/x", "http://::1:80/x"),
        ("http://[::1/x", "an invalid address"),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_secrets(url, text):
    assert shown(url) == text


@pytest.mark.parametrize("fault", ["401", "503", "reset:5000", "silence", "stall:5000", "html"])
def test_no_failure_holds_what_was_sent(files, part, fault, caplog):
    caplog.set_level(logging.DEBUG)
    files.faults[NAME] = [fault]
    with pytest.raises(Exception) as caught:  # noqa: PT011
        bring(files, part, timeout_s=0.2, sign=sign(files.url))
    assert files.requests[0].headers["authorization"] == "token SECRET"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "SECRET" not in caplog.text
    assert not [path for path in part.parent.iterdir() if b"SECRET" in path.read_bytes()]


# ------------------------------------------------------------------------------------- to stop


@pytest.mark.parametrize("fault", ["drip:100", "stall:5000"])
def test_a_transfer_is_stopped_from_another_thread(files, part, fault):
    files.faults[NAME] = [fault]
    halt = Halt()
    timer = threading.Timer(0.2, halt.stop)
    timer.start()
    start = time.monotonic()
    with pytest.raises(TransientFailure, match="stopped"):
        bring(files, part, timeout_s=20, halt=halt, slowest_bytes_per_s=0)
    assert time.monotonic() - start < 5
    assert part.stat().st_size > 0
    timer.join()
    with pytest.raises(TransientFailure, match="stopped"):
        bring(files, part, halt=halt)


# --------------------------------------------------------------------------------------- HEAD


def test_a_file_is_announced_without_being_sent(files):
    found = announced(files.mast_url(NAME), timeout_s=5)
    assert (found.size, found.etag) == (len(CONTENT), files.files[NAME].etag)
    assert found.last_modified.endswith("GMT")
    assert [request.method for request in files.requests] == ["HEAD"]
    with pytest.raises(NothingFound):
        announced(files.mast_url("jnone001q_flc.fits"), timeout_s=5)


# --------------------------------------------------------------------------------------- tries


def failing(*failures):
    left = list(failures)

    def action():
        if left:
            raise left.pop(0)
        return "done"

    return action


def tried(action, **options):
    return in_tries(action, label="x", **{"max_tries": 3, "first_wait_s": 0.001, **options})


def test_what_may_help_is_tried_again(caplog):
    assert tried(failing(TransientFailure("busy"), TransientFailure("cut"))) == "done"
    assert [record.getMessage() for record in caplog.records] == [
        "x: trying again (busy)", "x: trying again (cut)"
    ]  # fmt: skip
    with pytest.raises(TransientFailure, match="three"):
        tried(failing(*map(TransientFailure, ("one", "two", "three", "four"))))


@pytest.mark.parametrize("kind", [AccessRefused, NothingFound, UnusableInput])
def test_what_does_not_help_is_not_tried_again(kind):
    action = failing(kind("no"))
    with pytest.raises(kind):
        tried(action)
    assert action() == "done"


def test_waits_grow_and_obey_the_service():
    class Watched(Halt):
        waits: list[float] = []  # noqa: RUF012

        def wait(self, seconds):
            self.waits.append(seconds)

    busy = TransientFailure("busy")
    busy.retry_after_s = 50.0
    plain = [TransientFailure("cut") for _ in range(8)]
    halt = Watched()
    tried(failing(*plain, busy), max_tries=10, first_wait_s=1.0, halt=halt)
    *grown, asked = halt.waits
    for number, wait in enumerate(grown):
        assert min(2.0**number, 30) <= wait <= min(2.0**number + 1, 30)
    assert asked == 50.0


def test_waiting_is_stopped():
    halt = Halt()
    halt.stop()
    with pytest.raises(TransientFailure, match="stopped"):
        tried(failing(TransientFailure("busy")), halt=halt, first_wait_s=100)
