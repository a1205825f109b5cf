"""Values of header keywords, and which of them say that there is no value.

A keyword without a value is written in several ways: it is absent, undefined, blank, or ``N/A``.
All of them are read alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from astropy.io import fits

from hst_assets.failures import UnusableInput
from hst_assets.shown_text import plain_text

__all__ = ["is_missing", "keyword_of", "number", "text"]

_NOTHING = frozenset({"", "N/A", "INDEF"})
_ABSENT = object()


def is_missing(value: object) -> bool:
    """Whether the value of a keyword says that there is none."""
    if value is None or isinstance(value, fits.card.Undefined):
        return True
    return isinstance(value, str) and value.strip().upper() in _NOTHING


def text(header: Mapping[str, Any], keyword: str, default: Any = _ABSENT) -> str:
    """A keyword's text, without blanks around it.

    Raises
    ------
    UnusableInput
        If it has no value and there is no default, or it is not text.
    """
    value = header.get(keyword)
    if is_missing(value):
        return str(_instead(header, keyword, default))
    if not isinstance(value, str):
        raise UnusableInput(f"keyword {keyword} is {value!r}, not text")
    return plain_text(value).strip()


def number(header: Mapping[str, Any], keyword: str, default: Any = _ABSENT) -> float:
    """A keyword's number.

    Raises
    ------
    UnusableInput
        If it has no value and there is no default, or it is not a finite number.
    """
    value = header.get(keyword)
    if is_missing(value):
        return float(_instead(header, keyword, default))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnusableInput(f"keyword {keyword} is {value!r}, not a number")
    return float(value)


def keyword_of(science: Mapping[str, Any], primary: Mapping[str, Any], keyword: str) -> Any:
    """A keyword's value in the extension, or else in the primary header; None where there is none.

    Some instruments write what holds for one chip into the one, some into the other.
    """
    for header in (science, primary):
        value = header.get(keyword)
        if not is_missing(value):
            return value
    return None


def _instead(header: Mapping[str, Any], keyword: str, default: Any) -> Any:
    if default is not _ABSENT:
        return default
    blank = isinstance(header.get(keyword), str)
    raise UnusableInput(f"keyword {keyword} is {'empty' if blank else 'missing'}")
