"""What kind of FITS file a name is of, from its first blocks.

``stsci.tools.fileutil.isFits`` opens a file with `astropy.io.fits` to see whether its first unit
has data; ``openImage`` asks it before it opens the file again, and AstroDrizzle opens each exposure
dozens of times: 8 % of what it does on exposures of WFC3/IR. Only child processes use this, through
`hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["by_first_blocks"]

_BLOCK, _CARD = 2880, 80
_NAMES = ("fits", "fit", "FITS", "FIT")


def by_first_blocks(method: Callable[[Any], tuple[bool, str | None]]) -> Callable[[Any], Any]:
    """An ``isFits`` that reads the first header's bytes.

    Parameters
    ----------
    method : callable
        That of ``stsci.tools.fileutil``, for whatever is no file of extensions.
    """

    def is_fits(what: Any) -> tuple[bool, str | None]:
        if isinstance(what, str) and what.endswith(_NAMES) and _has_extensions_only(what):
            return True, "mef"
        return method(what)

    return is_fits


def _has_extensions_only(name: str) -> bool:
    """Whether the first unit of a file has no data, not even a constant (``PIXVALUE``)."""
    try:
        values = _first_header(name)
    except OSError:
        return False
    is_empty = values.get(b"SIMPLE") == b"T" and values.get(b"NAXIS") == b"0"
    return is_empty and b"PIXVALUE" not in values


def _first_header(name: str) -> dict[bytes, bytes]:
    """Keywords and values of a file's first header; none if it has no end."""
    values: dict[bytes, bytes] = {}
    with Path(name).open("rb") as file:
        while len(block := file.read(_BLOCK)) == _BLOCK:
            for at in range(0, _BLOCK, _CARD):
                card = block[at : at + _CARD]
                if card.rstrip() == b"END":
                    return values
                if card[8:10] == b"= ":
                    values[card[:8].rstrip()] = card[10:].partition(b"/")[0].strip()
    return {}
