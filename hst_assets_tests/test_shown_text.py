"""Text of headers and archives, as it is shown."""

import logging

import pytest
from rich.table import Table

from hst_assets.archive.credentials import Token
from hst_assets.cli.terminal import output
from hst_assets.exposures.keywords import text
from hst_assets.shown_text import as_markdown, plain_text

ESCAPE = "\x1b[2J\x1b]0;owned\x07"


def test_control_characters_are_replaced():
    assert plain_text(f"M31{ESCAPE}") == "M31�[2J�]0;owned�"
    assert plain_text("a\N{RIGHT-TO-LEFT OVERRIDE}b") == "a�b"
    assert plain_text("NGC-104 (a_b)") == "NGC-104 (a_b)"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
        ("[x](javascript:y)", r"\[x\](javascript:y)"),
        ("![x](http://a/b)", r"\!\[x\](http\://a/b)"),
        ("**bold** _it_ a_b", r"\*\*bold\*\* \_it\_ a_b"),
        ("a|b\nc", r"a\|b c"),
        ("&lt;", r"\&lt;"),
        ("`code`", r"\`code\`"),
    ],
)
def test_markdown_and_html_are_read_as_they_stand(hostile, shown):
    assert as_markdown(hostile) == shown


def test_no_escape_sequence_reaches_the_terminal(capsys):
    table = Table("name")
    table.add_row(ESCAPE)
    output().print(f"name {ESCAPE}", markup=False)
    output().print(table)
    assert "\x1b]" not in (shown := capsys.readouterr().out)
    assert "\x1b[2J" not in shown


def test_keywords_give_text():
    assert text({"TARGNAME": f" M31{ESCAPE} "}, "TARGNAME") == "M31�[2J�]0;owned�"


def test_a_token_that_a_server_sends_back_is_in_no_log(caplog):
    Token("s3cret-value")
    Token("s3cret-value")
    logger = logging.getLogger("urllib3.connectionpool")
    with caplog.at_level(logging.DEBUG, logger="urllib3.connectionpool"):
        logger.debug('%s "GET %s HTTP/1.1" 302', "http://a", "/x?token=s3cret-value")
    assert "s3cret-value" not in caplog.text
    assert "/x?token=(token)" in caplog.text
