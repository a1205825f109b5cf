"""Charge on a CCD: losses in its transfer, and what is injected to fill the traps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hst_assets.detectors import Detector
from hst_assets.exposures.keywords import is_missing

__all__ = ["charge_injection", "transfer_note", "transfer_state"]


def transfer_state(primary: Mapping[str, Any], detector: Detector) -> str:
    """Whether losses in the transfer of charge (CTE) were corrected.

    Returns
    -------
    str
        Empty for an infrared detector, which transfers none; COMPLETE; OMIT; or UNKNOWN for a
        file that is to be corrected and does not say so. Nothing corrects ACS/HRC and WFPC2.
    """
    if detector.is_infrared:
        return ""
    if detector.suffix != "flc":
        return "OMIT"
    switch = primary.get("PCTECORR")
    if is_missing(switch):
        return "UNKNOWN"
    return "COMPLETE" if str(switch).strip().upper() == "COMPLETE" else "OMIT"


def transfer_note(primary: Mapping[str, Any], detector: Detector) -> str:
    """What to note of it; empty where losses were corrected or there are none."""
    return {
        "OMIT": "CTE losses are not corrected",
        "UNKNOWN": "CTE correction not checked: PCTECORR is missing",
    }.get(transfer_state(primary, detector), "")


def charge_injection(primary: Mapping[str, Any]) -> str:
    """CHINJECT of an exposure with charge injected into rows of its image; empty if there is none.

    Every row of WFC3/UVIS (CONT), or one in 10, 17 or 25 (LINE10 ...), has then some 15,000
    electrons more and their noise.
    """
    value = primary.get("CHINJECT")
    text = "" if is_missing(value) else str(value).strip().upper()
    return "" if text == "NONE" else text
