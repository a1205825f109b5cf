"""What the name of a filter says: a ramp and its wavelength, a wide filter.

Names are those of the exposure tables: crossed elements are joined with a hyphen, and a ramp has
its wavelength behind one (``FR656N-6710``). Which filters there are is in `hst_assets.detectors`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["is_among", "is_ramp", "is_wide", "without_wavelength"]

_RAMP = re.compile(r"FR\d+[A-Z]?\d*")
_AT_WAVELENGTH = re.compile(r"(FR\d+[A-Z]?\d*)-\d+")


def is_ramp(element: str) -> bool:
    """Whether an optical element is a ramp, whose passband depends on LRFWAVE."""
    return bool(_RAMP.fullmatch(element.strip().upper()))


def is_among(filter_name: str, wanted: Iterable[str]) -> bool:
    """Whether a filter is one of those wanted; a ramp is by its own name at all wavelengths.

    A ramp of which the wavelength is not known is among those of any.
    """
    name = filter_name.upper()
    families = {name, without_wavelength(name)}
    return any(each in families or without_wavelength(each) == name for each in wanted)


def without_wavelength(filter_name: str) -> str:
    """A filter's name without the wavelength of a ramp: ``FR656N`` of ``FR656N-6710``."""
    return _AT_WAVELENGTH.sub(r"\1", filter_name.upper())


def is_wide(filter_name: str) -> bool:
    """Whether a filter, or the first of a crossed pair, is wide: X, W or LP end its name."""
    return filter_name.upper().split("-")[0].endswith(("X", "W", "LP"))
