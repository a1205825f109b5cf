"""Text of unknown origin as it may be shown: headers and archives may hold anything."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["as_markdown", "plain_text"]

_UNSEEN = "\N{REPLACEMENT CHARACTER}"
_KEPT_CONTROLS = frozenset("\t\n")
#: Unicode categories: control, format (among them those that turn text around), surrogate.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs"})
#: What means something in Markdown or HTML; an underscore within a word does not.
_MEANS_SOMETHING = re.compile(r"[\\`*\[\]<>#|~$!&]|(?<!\w)_|_(?!\w)|(?<=\w):(?=//)|@|(?<=www)\.")


def plain_text(value: object) -> str:
    """What is to be read of a value: control characters and the like are replaced.

    A header may hold anything; an escape sequence or a mark that turns text around must neither
    reach a terminal through a copied text nor make a page say something else.
    """
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_UNSEEN if _is_unseen(one) else one for one in text)


def as_markdown(value: object) -> str:
    """A value in Markdown, on one line, that is read as it stands: no link, no HTML."""
    one_line = " ".join(plain_text(value).splitlines())
    return _MEANS_SOMETHING.sub(lambda found: f"\\{found[0]}", one_line)


def _is_unseen(character: str) -> bool:
    if character in _KEPT_CONTROLS:
        return False
    return unicodedata.category(character) in _UNSEEN_CATEGORIES
