"""Pages for a browser in one file: they work offline, ask nothing of any network, and show text.

A page has its style, its script and its pictures inside. Its content security policy allows the
one style and the one script by their hashes (CSP 3, https://www.w3.org/TR/CSP3/), pictures only
from the page itself, and forbids everything else, so that the browser holds the page to this
whatever is in the headers it shows. Whatever is put into a template is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hst_assets.shown_text import plain_text
from hst_assets.workdir import write_atomically

__all__ = ["data_uri", "json_for_script", "templates_in", "write_page"]

#: Where `page_parts.html` and the frame of a page are.
_SHARED = ("hst_assets.products", "web")


@cache
def templates_in(package: str, folder: str) -> Environment:
    """The templates of a package's folder, and the parts that all pages share; all is escaped.

    Parameters
    ----------
    package : str
        Its dotted name.
    folder : str
        Of its templates, inside of it.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, folder), PackageLoader(*_SHARED)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )


def _finalized(value: Any) -> Any:
    return value if isinstance(value, Markup) else plain_text(value)


def json_for_script(value: Any) -> Markup:
    """A value as JSON that can stand inside a ``script`` element.

    No character that could end the element, or begin a comment in it, is left.

    Raises
    ------
    ValueError
        If it holds NaN or infinity, which JSON has not.
    """
    text = json.dumps(_seen(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _seen(value: Any) -> Any:
    """The same with `plain_text` for each text."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, Mapping):
        return {plain_text(key): _seen(each) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_seen(each) for each in value]
    return value


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """A picture as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def write_page(path: Path, *, title: str, body: Markup) -> Path:
    """Write a page, in one step.

    Parameters
    ----------
    path : `~pathlib.Path`
        The HTML file.
    title : str
        As the browser names it.
    body : `~markupsafe.Markup`
        What is in it, from a template.
    """
    style, script = _asset("page.css"), _asset("plot.js")
    page = (
        templates_in(*_SHARED)
        .get_template("document.html")
        .render(
            title=title,
            policy=_policy(style, script),
            # Ours, from the package: escaped they would not work.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            body=body,
        )
    )
    with write_atomically(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _asset(name: str) -> str:
    return (files("hst_assets.products") / "web" / name).read_text(encoding="utf-8")
