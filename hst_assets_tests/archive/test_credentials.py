"""A token shows itself to nobody, and goes to MAST only."""

import copy
import dataclasses
import json
import pickle
import traceback

import pytest
import requests

from hst_assets.archive.credentials import Token, signer, token_from_environment
from hst_assets.failures import BadConfiguration

SECRET = "a1b2c3d4e5f6"
MAST = "https://mast.stsci.edu"


def test_no_text_of_a_token_has_its_value():
    token = Token(SECRET)
    held = dataclasses.make_dataclass("Holder", ["token"])(token)
    texts = [repr(token), str(token), f"{token}", repr(held), str([token]), repr({"t": token})]
    assert not [text for text in texts if SECRET in text]


def test_a_token_is_not_pickled_and_not_made_json():
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Token(SECRET))
    with pytest.raises(TypeError):
        json.dumps(Token(SECRET))


def test_a_token_can_be_copied_and_compared():
    token = Token(SECRET)
    assert copy.deepcopy(token) == copy.copy(token) == token == Token(f" {SECRET}\n")
    assert hash(token) == hash(Token(SECRET))
    assert token != Token("another")
    assert token != SECRET


@pytest.mark.parametrize("value", ["", "  ", "two words", f"{SECRET}\r\nHost: x", "käse", "a\0b"])
def test_what_is_no_token_is_refused_without_being_named(value):
    with pytest.raises(BadConfiguration) as caught:
        Token(value)
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not value.strip() or value not in text


@pytest.mark.parametrize(
    "url",
    [
        "https://mast.stsci.edu/api/v0.1/Download/file?uri=x",
        "https://MAST.stsci.edu:443/x",
        "https://masttest.mast.stsci.edu/x",
    ],
)
def test_hosts_of_mast_may_have_it_over_https(url):
    assert Token(SECRET).may_go_to(url, MAST)
    assert Token(SECRET).may_go_to(url, "http://127.0.0.1:8000")


@pytest.mark.parametrize(
    "url",
    [
        "http://mast.stsci.edu/x",
        "https://stsci.edu/x",
        "https://archive.stsci.edu/x",
        "https://mast.stsci.edu.example.org/x",
        "https://evilmast.stsci.edu/x",
        "https://example.org/mast.stsci.edu",
        "https://mast.stsci.edu@example.org/x",
        "https://stpubdata.s3.us-east-1.amazonaws.com/x",
        "http://127.0.0.1:8000/x",
        "https://mast.stsci.edu:x/",
        "",
    ],
)
def test_nobody_else_may_have_it(url):
    assert not Token(SECRET).may_go_to(url, MAST)


@pytest.mark.parametrize(
    ("url", "mast_url", "may"),
    [
        ("http://127.0.0.1:8000/x", "http://127.0.0.1:8000", True),
        ("http://127.0.0.1:8000/x", "http://127.0.0.1:8000/mast/", True),
        ("http://localhost:8000/x", "http://localhost:8000", True),
        ("http://[::1]:8000/x", "http://[::1]:8000", True),
        ("http://127.0.0.1:8001/x", "http://127.0.0.1:8000", False),
        ("https://127.0.0.1:8000/x", "http://127.0.0.1:8000", False),
        ("http://127.0.0.2:8000/x", "http://127.0.0.1:8000", False),
        ("http://10.0.0.1:8000/x", "http://10.0.0.1:8000", False),
        ("https://mirror.example.org/x", "https://mirror.example.org", False),
    ],
)
def test_a_service_of_this_machine_may_have_it_if_it_is_the_one_of_the_settings(url, mast_url, may):
    assert Token(SECRET).may_go_to(url, mast_url) is may


@pytest.mark.parametrize(
    ("token", "url", "given"),
    [
        (Token(SECRET), f"{MAST}/x", f"token {SECRET}"),
        (Token(SECRET), "https://example.org/x", None),
        (None, f"{MAST}/x", None),
    ],
)
def test_a_request_is_signed_for_those_who_may_have_it(token, url, given):
    request = requests.Request("GET", url, auth=signer(token, MAST)).prepare()
    assert request.headers.get("Authorization") == given


def test_the_token_of_the_environment():
    assert token_from_environment({"MAST_API_TOKEN": SECRET}) == Token(SECRET)
    assert token_from_environment({"MAST_API_TOKEN": " "}) is None
    assert token_from_environment({}) is None


def test_the_environment_is_that_of_the_process(monkeypatch):
    monkeypatch.setenv("MAST_API_TOKEN", SECRET)
    assert token_from_environment() == Token(SECRET)
