"""Redirections are followed, and credentials go to the hosts that may have them."""

import logging

import pytest

from hst_assets.failures import (
    NothingFound,
    UnusableInput,
)
from hst_assets.transfer import announced
from hst_assets.transfer.requests import next_hop
from hst_assets_tests.stand_ins.file_service import FileService
from hst_assets_tests.transfer.served_file import CONTENT, NAME, NEW, bring


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


def test_a_file_is_announced_without_being_sent(files):
    found = announced(files.mast_url(NAME), timeout_s=5)
    assert (found.size, found.etag) == (len(CONTENT), files.files[NAME].etag)
    assert found.last_modified.endswith("GMT")
    assert [request.method for request in files.requests] == ["HEAD"]
    with pytest.raises(NothingFound):
        announced(files.mast_url("jnone001q_flc.fits"), timeout_s=5)
