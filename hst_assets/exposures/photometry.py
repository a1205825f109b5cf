"""What a header says of its zero point, and whether that is of this exposure.

PHOTFLAM and PHOTPLAM hold for the passband that PHOTMODE names. An exposure whose PHOTMODE names
another filter or detector than it was taken with carries the zero point of something else.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hst_assets.detectors import Detector
from hst_assets.exposures.keywords import is_missing, keyword_of, number, text

__all__ = [
    "MIXED",
    "Calibration",
    "Photometry",
    "ab_zero_point",
    "calibration_of",
    "odd_ones_out",
    "of_other_units",
    "photometry_of",
    "st_zero_point",
]

#: Where a product's exposures do not agree on a keyword.
MIXED = "MIXED"
#: Tokens of PHOTMODE that name an optical element; a ramp's has its wavelength behind a ``#``.
_ELEMENT = re.compile(r"F\d{3,4}\w*|F[RQ]\w+|POL\w+|LRF|G\d+\w*|PR\d+\w*")
_INSTRUMENTS = ("ACS", "WFC3", "WFPC2")
#: Spellings of the same element in filter wheels and in PHOTMODE (synphot's keywords).
_SPELLINGS = (
    (re.compile(r"FR(?:418|533|680|868)\w*|LRF"), "a WFPC2 ramp"),
    (re.compile(r"FQUVN\w*"), "FQUVN"),
    (re.compile(r"FQCH4\w*"), "FQCH4N"),
    (re.compile(r"POLQ\w*"), "POLQ"),
    (re.compile(r"POL\w*UV"), "an ultraviolet polarizer"),
    (re.compile(r"POL\w*V"), "a visual polarizer"),
    (re.compile(r"F160[AB][WN]\w*"), "F160BW"),
)
#: No two tables of one detector and filter differ by this factor.
_MOST_BETWEEN_TABLES = 1.4
#: Angstroms by which a ramp's wavelength in PHOTMODE may differ from LRFWAVE (rounding).
_WAVELENGTH_TOLERANCE = 1.0


@dataclass(frozen=True)
class Photometry:
    """The zero point of one chip as its header has it.

    Attributes
    ----------
    mode : str
        PHOTMODE; empty where there is none.
    flam, plam : float
        Inverse sensitivity (erg/cm2/A per BUNIT/s) and pivot wavelength (A); NaN where they are
        missing or those of another passband.
    fault : str
        Why there is no zero point; empty if there is one.
    unchecked : str
        Why it could not be told whose zero point it is; empty if it could.
    """

    mode: str
    flam: float
    plam: float
    fault: str = ""
    unchecked: str = ""


def photometry_of(
    science: Mapping[str, Any], primary: Mapping[str, Any], detector: Detector
) -> Photometry:
    """The zero point of a chip, and whether it is the chip's own.

    Parameters
    ----------
    science, primary : mapping
        Header of the SCI extension, and the primary header.
    detector : Detector
        Whose exposure it is.
    """
    mode = keyword_of(science, primary, "PHOTMODE")
    mode = mode.strip(" ,") if isinstance(mode, str) else ""
    flam = _positive(science, primary, "PHOTFLAM")
    plam = _positive(science, primary, "PHOTPLAM")
    missing = [
        name for name, value in (("PHOTFLAM", flam), ("PHOTPLAM", plam)) if math.isnan(value)
    ]
    if missing:
        return Photometry(mode, flam, plam, fault=f"{' and '.join(missing)} missing")
    if not mode:
        return Photometry(mode, flam, plam, unchecked="PHOTMODE is missing")
    if of_another := _of_another(mode, primary, detector):
        return Photometry(mode, math.nan, math.nan, fault=of_another)
    named = bool(_elements(mode))
    return Photometry(
        mode, flam, plam, unchecked="" if named else f"PHOTMODE is {mode}, without a filter"
    )


def _positive(science: Mapping[str, Any], primary: Mapping[str, Any], keyword: str) -> float:
    """A number above 0 from the extension, or else the primary header, or else NaN."""
    for header in (science, primary):
        value = header.get(keyword)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value) if math.isfinite(value) else math.nan
    return math.nan


def _elements(mode: str) -> dict[str, str]:
    """The optical elements that a PHOTMODE names, and the wavelength of a ramp as it is there."""
    found = {}
    for token in re.split(r"[\s,]+", mode.upper()):
        name, _, wavelength = token.partition("#")
        if _ELEMENT.fullmatch(name):
            found[name] = wavelength
    return found


def of_other_units(flam: float, other: float) -> bool:
    """Whether two PHOTFLAM differ by more than calibrations do: their counts are other units.

    Those of WFPC2's gains 7 and 15 differ by a factor of 2; those of one detector and filter, from
    table to table and over the years, by some per cent.
    """
    return not 1 / _MOST_BETWEEN_TABLES < flam / other < _MOST_BETWEEN_TABLES


def _of_another(mode: str, primary: Mapping[str, Any], detector: Detector) -> str:
    """How PHOTMODE contradicts the exposure; empty if it does not."""
    words = [word for word in re.split(r"[\s,]+", mode.upper()) if word]
    instrument = words[0] if words[0] in _INSTRUMENTS else detector.instrument
    of = detector.detector
    if instrument != "WFPC2" and len(words) > 1 and words[1].rstrip("12").isalpha():
        of = words[1].rstrip("12")
    if (instrument, of) != (detector.instrument, detector.detector):
        return f"PHOTMODE is {mode}, the exposure is of {detector.instrument}/{detector.detector}"
    return _of_another_filter(mode, primary, detector)


def _of_another_filter(mode: str, primary: Mapping[str, Any], detector: Detector) -> str:
    named = _elements(mode)
    wheels = (text(primary, keyword, "") for keyword in detector.filter_keywords)
    own = detector.optical_elements(wheels)
    if named and {_spelling(name) for name in named} != {_spelling(name) for name in own}:
        return f"PHOTMODE is {mode}, the filter {' with '.join(own)}"
    wavelength = number(primary, "LRFWAVE", 0.0)
    told = [float(value) for value in named.values() if re.fullmatch(r"\d+(\.\d*)?", value)]
    if told and wavelength and abs(told[0] - wavelength) > _WAVELENGTH_TOLERANCE:
        return f"PHOTMODE is {mode}, LRFWAVE {wavelength:g}"
    return ""


def _spelling(name: str) -> str:
    for pattern, family in _SPELLINGS:
        if pattern.fullmatch(name):
            return family
    return name


# ------------------------------------------------------------------------------ calibration


@dataclass(frozen=True)
class Calibration:
    """What software and table the zero point of an exposure, or of a product, comes from.

    Attributes
    ----------
    table : str
        IMPHTTAB, or for older files GRAPHTAB and COMPTAB; empty where none is named.
    version : str
        CAL_VER; empty where there is none.
    ratio : float
        PHTRATIO, by which FLUXCORR multiplied UVIS2 to fit the zero point of UVIS1; NaN where
        that was not done.
    """

    table: str
    version: str
    ratio: float = math.nan

    def agrees_with(self, other: Calibration) -> bool:
        """Whether sensitivities by both can be compared with each other.

        Tables differ by their absolute calibration too: only within one of them does a ratio of
        PHOTFLAM tell how the sensitivity changed. Where no table is named, the version of the
        software tells; where neither is, nothing does.
        """
        mine, theirs = self.table or self.version, other.table or other.version
        if bool(self.table) != bool(other.table) or MIXED in {mine, theirs}:
            return False
        return bool(mine) and mine == theirs

    def __str__(self) -> str:
        return self.table or self.version or "an unknown table"


def calibration_of(primary: Mapping[str, Any]) -> Calibration:
    """The software and table behind the zero point, by a primary header."""
    table = _file(primary, "IMPHTTAB") or " ".join(
        name for name in (_file(primary, "GRAPHTAB"), _file(primary, "COMPTAB")) if name
    )
    if MIXED in table.split():
        table = MIXED
    version = primary.get("CAL_VER")
    done = str(primary.get("FLUXCORR", "")).strip().upper() == "COMPLETE"
    return Calibration(
        table=table,
        version="" if is_missing(version) else str(version).strip(),
        ratio=_positive(primary, primary, "PHTRATIO") if done else math.nan,
    )


def _file(primary: Mapping[str, Any], keyword: str) -> str:
    value = primary.get(keyword)
    return "" if is_missing(value) else str(value).strip().rpartition("$")[2]


def odd_ones_out(calibrations: Sequence[Calibration]) -> list[str]:
    """Of each of some exposures, how its calibration differs from that of most; empty if not.

    Exposures of one detector and filter that were fetched at different times may have been
    calibrated by different software: what looks like another sensitivity is another table.
    """
    notes: list[list[str]] = [[] for _ in calibrations]
    for name, values in (
        ("CAL_VER", [each.version for each in calibrations]),
        ("calibration table", [each.table for each in calibrations]),
    ):
        (most, _), *_ = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
        for note, value in zip(notes, values, strict=True):
            if value != most:
                note.append(f"{name} {value or 'missing'}, of most others {most or 'missing'}")
    return ["; ".join(note) for note in notes]


def ab_zero_point(photflam: float, photplam: float) -> float:
    """-2.5 log10 PHOTFLAM - 5 log10 PHOTPLAM - 2.408 (ACS Data Handbook, section 5.1.1)."""
    if not (photflam > 0 and photplam > 0):
        return math.nan
    return -2.5 * math.log10(photflam) - 5.0 * math.log10(photplam) - 2.408


def st_zero_point(photflam: float) -> float:
    """-2.5 log10 PHOTFLAM - 21.1 (ACS Data Handbook, section 5.1.1)."""
    return -2.5 * math.log10(photflam) - 21.1 if photflam > 0 else math.nan
