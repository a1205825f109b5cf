"""The unit of an exposure's pixels, and whether it is the one that its detector's exposures have.

Every figure behind alignment, cosmic rays, noise and zero points is for the unit of the registry
(`hst_assets.detectors.Detector.science_units`). Archive files are in it, whole; a file in another
one was made by other software, or calibrated in part, and no header says what else was done to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hst_assets.detectors import Detector
from hst_assets.exposures.keywords import is_missing

__all__ = ["is_unit_of", "unit_fault"]

_SPELLINGS = {
    "ELECTRONS": frozenset({"ELECTRONS", "ELECTRON", "E-", "E"}),
    "COUNTS": frozenset({"COUNTS", "COUNT", "DN", "ADU"}),
}
_PER_SECOND = re.compile(r"\s*(?:/\s*S(?:EC|ECOND)?|S-1|S\*\*-1|S\^-1)")


def unit_fault(science: Mapping[str, Any], detector: Detector) -> str:
    """Why the pixels of a SCI extension cannot be used as they are; empty if they can.

    A missing BUNIT is the detector's own (WFPC2's archive files have none).
    """
    unit = science.get("BUNIT")
    if is_missing(unit) or is_unit_of(str(unit), detector):
        return ""
    return f"BUNIT is {str(unit).strip()}, not {detector.science_units} as the archive's files"


def is_unit_of(unit: str, detector: Detector) -> bool:
    """Whether BUNIT, in one of its spellings, is the unit of a detector's exposures."""
    text = unit.strip().upper()
    per_second = _PER_SECOND.search(text)
    name = text[: per_second.start()].strip() if per_second else text
    wanted = detector.science_units.removesuffix("/S")
    return name in _SPELLINGS[wanted] and bool(per_second) == detector.rate_units
