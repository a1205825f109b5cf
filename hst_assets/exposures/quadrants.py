"""Quad filters of WFC3/UVIS: which part of the field lies behind which of the four.

An element holds four filters, one before each quadrant of the two chips; FILTER names one of them.
What the other quadrants saw is another band. The quadrant of each filter, by the amplifier that
reads it, is that of the WFC3 Instrument Handbook, section 6.5: A and B are the left and right
halves of UVIS1, C and D those of UVIS2. (Along the inner edges of a quadrant, filters overlap out
of focus; a sixth of the field, rather than a quarter, is free of that.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hst_assets.exposures.keywords import is_missing, number

__all__ = ["QUADRANTS", "columns_behind", "is_quad"]

_BY_AMPLIFIER = {
    "A": "FQ387N FQ437N FQ508N FQ619N FQ889N",
    "B": "FQ378N FQ492N FQ674N FQ750N FQ937N",
    "C": "FQ232N FQ422M FQ575N FQ634N FQ906N",
    "D": "FQ243N FQ436N FQ672N FQ727N FQ924N",
}
#: Amplifier of the quadrant that each quad filter lies before.
QUADRANTS: dict[str, str] = {
    name: amplifier for amplifier, names in _BY_AMPLIFIER.items() for name in names.split()
}
#: CCDCHIP, and whether it is the half of the higher columns.
_HALVES = {"A": (1, False), "B": (1, True), "C": (2, False), "D": (2, True)}
#: Column (from 0) of a full chip at which its right half begins.
_MIDDLE = 2048


def is_quad(primary: Mapping[str, Any]) -> bool:
    """Whether an exposure was taken through a quad filter of WFC3/UVIS, by its primary header."""
    return _filter(primary) in QUADRANTS


def columns_behind(
    primary: Mapping[str, Any], science: Mapping[str, Any], n_columns: int
) -> tuple[int, int]:
    """First column (from 0) of a chip that lies behind its own filter, and the one after the last.

    Parameters
    ----------
    primary, science : mapping
        Primary header, and that of the SCI extension (LTV1 tells where a subarray lies).
    n_columns : int
        Width of the chip as it was read.

    Returns
    -------
    (int, int)
        All columns, unless this is a quad filter; (0, 0) where none is behind it.
    """
    amplifier = QUADRANTS.get(_filter(primary))
    if amplifier is None:
        return 0, n_columns
    chip, right = _HALVES[amplifier]
    if science.get("CCDCHIP", 1) != chip:
        return 0, 0
    middle = min(max(round(_MIDDLE + number(science, "LTV1", 0.0)), 0), n_columns)
    first, end = (middle, n_columns) if right else (0, middle)
    return (first, end) if first < end else (0, 0)


def _filter(primary: Mapping[str, Any]) -> str:
    value = primary.get("FILTER")
    return "" if is_missing(value) else str(value).strip().upper()
