import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from markupsafe import Markup

from hst_assets.products.web_page import json_for_script, templates_in, write_page
from hst_assets.shown_text import plain_text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("NGC 104, café", "NGC 104, café"),
        ("a\x1b[31mb\x00", "a�[31mb�"),
        ("user\u202egpj.exe", "user�gpj.exe"),
        ("two\nlines\tand more", "two\nlines\tand more"),
    ],
)
def test_what_cannot_be_seen_is_replaced(text, read):
    assert plain_text(text) == read


def test_json_cannot_end_its_element():
    text = json_for_script({"name": "</script><!--<script>&amp;", "values": [1.5, None]})
    assert not re.search(r"[<>&]", text)
    assert text.endswith('"values":[1.5,null]}')


def test_json_has_no_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_for_script({"value": float("nan")})


def test_templates_escape_what_is_put_in():
    template = templates_in("hst_assets.products", "web").get_template("figure.html")
    page = template.render(title="<b>\x07</b>", figure=Markup("<i></i>"))
    assert page.splitlines() == ["<h1>&lt;b&gt;�&lt;/b&gt;</h1>", "<i></i>"]


@pytest.fixture
def listener():
    """An address of this machine, and the paths that were asked for there."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.block_on_close = False  # the browser keeps its connections
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def hostile(address):
    return (
        f'<img src="{address}/picture"><link rel="stylesheet" href="{address}/style">'
        f'<script>document.title = "taken"; fetch("{address}/script")</script>'
        f'<iframe src="{address}/frame"></iframe><base href="{address}/">'
        f'<p id="p" style="background: url(\'{address}/background\')" '
        f"onclick=\"document.title = 'taken'\">text</p>"
    )


@pytest.mark.ui
def test_a_page_runs_and_asks_for_nothing_whatever_is_in_it(browser, listener, tmp_path):
    address, asked = listener
    page = browser.open(
        write_page(tmp_path / "page.html", title="a page", body=Markup(hostile(address)))
    )
    page.evaluate("document.getElementById('p').click()")
    assert page.evaluate("document.title") == "a page"
    assert len(page.complaints) >= 5  # the policy forbade each
    assert asked == []
    page.close()


@pytest.mark.ui
def test_without_the_policy_the_same_is_seen_to_ask(browser, listener, tmp_path):
    address, asked = listener
    bare = tmp_path / "bare.html"
    bare.write_text(f"<!doctype html><title>a page</title>{hostile(address)}")
    page = browser.open(bare)
    assert page.evaluate("document.title") == "taken"
    assert f"{address}/picture" in page.requests
    assert {"/picture", "/style", "/script"} <= set(asked)
    page.close()
