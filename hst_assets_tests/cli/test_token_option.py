"""The token as an option: where it may come from, and where it must not stay."""

import io
import subprocess
import sys

import pytest

from hst_assets.archive.credentials import Token
from hst_assets.cli.token_option import token_given
from hst_assets.failures import BadConfiguration

SECRET = "s3cr3t-0f-the-archive"

_PROGRAM = """
import sys
from pathlib import Path
from hst_assets.cli.token_option import token_given
token_given(sys.argv[2] if len(sys.argv) == 3 else sys.argv[1].partition("=")[2])
print(Path("/proc/self/cmdline").read_text().replace("\\0", " "), sys.argv)
"""


def test_what_was_typed_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("MAST_API_TOKEN", "another")
    assert token_given(SECRET) == Token(SECRET)
    assert token_given(None) == Token("another")


def test_without_any_there_is_none(monkeypatch):
    monkeypatch.delenv("MAST_API_TOKEN", raising=False)
    assert token_given(None) is None


def test_a_hyphen_reads_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{SECRET}\nmore\n"))
    assert token_given("-") == Token(SECRET)


@pytest.mark.parametrize("typed", ["", "  "])
def test_an_empty_one_is_refused(typed):
    with pytest.raises(BadConfiguration, match="empty"):
        token_given(typed)


def test_nothing_on_standard_input_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(BadConfiguration, match="empty"):
        token_given("-")


@pytest.mark.skipif(sys.platform != "linux", reason="the process list is Linux's")
@pytest.mark.parametrize("words", [["--token", SECRET], [f"--token={SECRET}"]])
def test_it_leaves_the_process_list(words):
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words], capture_output=True, text=True, check=True
    )
    assert "--token" in result.stdout
    assert "*" * len(SECRET) in result.stdout
    assert SECRET not in result.stdout
