"""The stand-in's file service does what a real one does, and each fault is the one it is named."""

import time

import pytest
import requests

from hst_assets_tests.stand_ins.file_service import FileService

NAME = "jtest001q_flc.fits"
CONTENT = bytes(range(256)) * 100
NEW = CONTENT[::-1]


@pytest.fixture
def files():
    service = FileService()
    service.hold(NAME, CONTENT)
    with service.running():
        yield service


def get(files, url=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(url or files.mast_url(NAME), headers=headers, timeout=5)


# ------------------------------------------------------------------------ as a service should


def test_a_file_has_three_addresses(files):
    mission = f"{files.url}/search/hst/api/v0.1/retrieve_product?product_name=JTEST001Q%2F{NAME}"
    for url in (files.mast_url(NAME), files.s3_url(NAME), mission, f"{files.url}/files/{NAME}"):
        assert get(files, url).content == CONTENT
    assert [request.route for request in files.requests] == ["mast", "s3", "mast", "plain"]
    assert {request.name for request in files.requests} == {NAME}


def test_head_tells_what_get_sends(files):
    head = requests.head(files.mast_url(NAME), timeout=5)
    body = get(files)
    assert head.content == b""
    for name in ("Content-Length", "ETag", "Last-Modified"):
        assert head.headers[name] == body.headers[name]


def test_a_path_is_held_as_bytes_are(files, tmp_path):
    path = tmp_path / "x_flt.fits"
    path.write_bytes(CONTENT)
    files.hold("ipath001q_flt.fits", path)
    assert get(files, files.s3_url("ipath001q_flt.fits")).content == CONTENT


@pytest.mark.parametrize(
    ("asked", "first", "stop"), [("bytes=100-", 100, 25600), ("bytes=0-9", 0, 10)]
)
def test_a_range_is_served(files, asked, first, stop):
    reply = get(files, Range=asked)
    assert reply.status_code == 206
    assert reply.content == CONTENT[first:stop]
    assert reply.headers["Content-Range"] == f"bytes {first}-{stop - 1}/25600"


def test_a_range_beyond_the_end_is_416(files):
    reply = get(files, Range="bytes=25600-")
    assert (reply.status_code, reply.headers["Content-Range"]) == (416, "bytes */25600")


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
def test_if_range_gives_the_whole_file_when_it_changed(files, validator):
    known = get(files).headers[validator]
    assert get(files, Range="bytes=9-", If_Range=known).status_code == 206
    files.hold(NAME, NEW, modified=1.8e9)
    reply = get(files, Range="bytes=9-", If_Range=known)
    assert (reply.status_code, reply.content) == (200, NEW)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "token good"}, 200),
        ({"Authorization": "token bad"}, 403),
        ({"Cookie": "mast_token=good"}, 200),
    ],
)
def test_exclusive_files_need_a_token(files, headers, status):
    files.hold(NAME, CONTENT, rights="EXCLUSIVE_ACCESS")
    assert get(files, **headers).status_code == status
    assert get(files, files.s3_url(NAME), **headers).status_code == 403


def test_what_is_not_held_is_404(files):
    files.hold("jother01q_flc.fits", CONTENT, in_s3=False)
    assert get(files, files.s3_url("jother01q_flc.fits")).status_code == 404
    assert get(files, files.mast_url("jnone001q_flc.fits")).status_code == 404
    assert get(files, f"{files.url}/hst/public/jxxx/jtest001q/{NAME}").status_code == 404
    assert get(files, f"{files.url}/elsewhere").status_code == 404


def test_latency_is_waited(files):
    files.latency_s = 0.2
    start = time.monotonic()
    get(files)
    assert time.monotonic() - start >= 0.2


# ----------------------------------------------------------------------------------- the faults


def outcome(files, **headers):
    """Status and content of a GET; the bytes that came, where it broke off."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    came = b""
    with requests.get(files.mast_url(NAME), headers=headers, stream=True, timeout=1) as reply:
        try:
            for chunk in reply.iter_content(100):
                came += chunk
        except requests.RequestException as error:
            words = ("reset by peer", "IncompleteRead", "timed out")
            return next(word for word in words if word in str(error)), came
        return reply.status_code, came


def test_faults_are_used_up_one_a_get_and_heads_are_spared(files):
    files.faults[NAME] = ["503:7", "429"]
    assert requests.head(files.mast_url(NAME), timeout=5).status_code == 200
    busy = get(files)
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "7")
    assert [get(files).status_code for _ in range(3)] == [429, 200, 200]


def test_faults_may_hold_always_for_any_name_or_one_address(files):
    files.always["*"] = "no_etag"
    files.faults[f"s3/{NAME}"] = ["404"]
    assert get(files).status_code == 200
    assert get(files, files.s3_url(NAME)).status_code == 404
    assert "ETag" not in get(files, files.s3_url(NAME)).headers


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("reset:5000", ("reset by peer", CONTENT[:5000])),
        ("truncate:5000", ("IncompleteRead", CONTENT[:5000])),
        ("stall:5000", ("timed out", CONTENT[:5000])),
        ("no_length+truncate:5000", (200, CONTENT[:5000])),
        ("short", (200, CONTENT[:12800])),
        ("oversize:10", (200, CONTENT + b"junk!junk!")),
        ("wrong_bytes:3", (200, CONTENT[:3] + bytes([3 ^ 0x55]) + CONTENT[4:])),
        ("zeroed:20000", (200, CONTENT[:20000] + bytes(2880) + CONTENT[22880:])),
        ("zeroed:25000", (200, CONTENT[:25000] + bytes(600))),
        ("other:jother01q_flc.fits", (200, NEW)),
        ("no_length", (200, CONTENT)),
    ],
)
def test_what_comes_with_a_fault(files, fault, expected):
    files.hold("jother01q_flc.fits", NEW)
    files.faults[NAME] = [fault]
    status, came = outcome(files)
    assert (status, came) == expected
    assert outcome(files) == (200, CONTENT)


def test_error_pages(files):
    files.faults[NAME] = ["html", "html_full"]
    assert get(files).text.startswith("<html>")
    full = get(files)
    assert full.text.startswith("<html>")
    assert len(full.content) == len(CONTENT)


def test_a_silent_service(files):
    files.faults[NAME] = ["silence"]
    with pytest.raises(requests.Timeout):
        requests.get(files.mast_url(NAME), timeout=0.2)


def test_a_drip_is_slow(files):
    files.faults[NAME] = ["drip:20"]
    start = time.monotonic()
    with requests.get(files.mast_url(NAME), stream=True, timeout=5) as reply:
        assert reply.raw.read(5) == CONTENT[:5]
    assert time.monotonic() - start > 0.2


def test_a_file_that_changes(files):
    before = get(files)
    files.faults[NAME] = ["change", "change"]
    files.next_versions[NAME] = [NEW]
    after = get(files)
    assert after.content == NEW
    assert after.headers["ETag"] != before.headers["ETag"]
    assert get(files).content not in (CONTENT, NEW)


def test_ranges_ignored_and_wrong(files):
    files.faults[NAME] = ["ignore_range", "wrong_range"]
    assert outcome(files, Range="bytes=5000-") == (200, CONTENT)
    assert outcome(files, Range="bytes=5000-") == (206, CONTENT[4000:])


def test_validators_and_length_left_out(files):
    files.always[NAME] = "no_etag+no_modified+no_length"
    headers = get(files).headers
    assert not {"ETag", "Last-Modified", "Content-Length"} & set(headers)


def test_a_redirection_leads_to_another_service(files):
    with FileService().running() as other:
        other.hold(NAME, NEW)
        files.always[NAME] = f"redirect:{other.url}"
        assert get(files).content == NEW
        assert [request.path for request in other.requests] == [files.requests[0].path]
