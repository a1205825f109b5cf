"""The alignment table: one row an exposure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable

from hst_assets.exposures.table import read_table

__all__ = [
    "ALIGNMENT_COLUMNS",
    "alignment_row",
    "alignment_summary",
    "alignment_table",
    "first_look",
    "read_alignment",
]

#: Name, unit (None: a plain number or text) and meaning of the alignment table's columns.
ALIGNMENT_COLUMNS: dict[str, tuple[u.UnitBase | None, str]] = {
    "rootname": (None, "Rootname of the exposure"),
    "file": (None, "File in workspace/"),
    "status": (None, "PASS, COMPROMISED, FAIL or SKIPPED"),
    "method": (None, "What gave the WCS; anchor, none: it is the archive's"),
    "used": (None, "Whether the exposure goes into products"),
    "reason": (None, "Why not PASS, why not used, or how it defines the frame"),
    "n_matches": (None, "Stars in the fit"),
    "rms_x": (u.pix, "RMS of the fit along the detector's x axis"),
    "rms_y": (u.pix, "RMS of the fit along the detector's y axis"),
    "rms_ra": (u.mas, "RMS of the fit in right ascension"),
    "rms_dec": (u.mas, "RMS of the fit in declination"),
    "shift_ra": (u.arcsec, "Motion of the exposure in right ascension times cos Dec"),
    "shift_dec": (u.arcsec, "Motion of the exposure in declination"),
    "rotation": (u.deg, "Rotation of the exposure, x (west) to y (north)"),
    "scale": (None, "Scale of the new WCS over that of the old one"),
    "held_out_offset_x": (u.pix, "Median residual in x of stars by fits without them"),
    "held_out_offset_y": (u.pix, "Median residual in y of stars by fits without them"),
    "n_held_out": (None, "Stars found again where a fit without them puts them"),
    "contrast": (None, "Pairs at the fit over the most that scrambled lists give"),
    "uniqueness": (None, "Pairs at the fit over the most at another offset of the same lists"),
    "drift": (u.pix, "Distance of the fit from those made without a part of the stars"),
    "tilt": (u.pix, "What rotation or scale left in the pairs would move the stars by"),
    "tries": (None, "Rungs of the ladder that were tried"),
    "distortion": (None, "Whence its distortion is: the archive, or reference files by name"),
    "digest": (None, "Recipe of this exposure's alignment"),
}

_FROM_NUMBERS = {
    "rms_x": "rms_x",
    "rms_y": "rms_y",
    "rms_ra": "rms_ra_mas",
    "rms_dec": "rms_dec_mas",
    "shift_ra": "shift_ra_arcsec",
    "shift_dec": "shift_dec_arcsec",
    "rotation": "rotation_deg",
    "scale": "scale",
    "held_out_offset_x": "held_out_x",
    "held_out_offset_y": "held_out_y",
    "contrast": "contrast",
    "uniqueness": "uniqueness",
    "drift": "drift",
    "tilt": "tilt",
}

#: Rows that `first_look` shows.
_MOST_ROWS = 10


def alignment_row(
    facts: Mapping[str, Any], *, file: str, digest: str, keep: bool
) -> dict[str, Any]:
    """One row.

    Parameters
    ----------
    facts : mapping
        Of the exposure's record: rootname, status, method, reason, usable, numbers, tries.
    file, digest : str
        File in workspace/ and the digest of its recipe.
    keep : bool
        Whether an exposure that failed is used with the archive's WCS.
    """
    numbers = facts["numbers"] or {}
    status, reason = facts["status"], facts["reason"]
    used = status != "FAIL"
    if status == "FAIL" and keep and facts["usable"]:
        used, reason = True, f"used with the archive's WCS although: {reason}"
    row = {
        "rootname": facts["rootname"],
        "file": file,
        "status": status,
        "method": facts["method"],
        "used": used,
        "reason": reason,
        "n_matches": numbers.get("n_matches", 0),
        "n_held_out": numbers.get("n_held_out", 0),
        "tries": len(facts["tries"]),
        "distortion": facts.get("distortion", "archive"),
        "digest": digest,
    }
    for column, name in _FROM_NUMBERS.items():
        value = numbers.get(name)
        row[column] = math.nan if value is None else value
    return row


def alignment_table(rows: Sequence[Mapping[str, Any]]) -> QTable:
    """The table of `ALIGNMENT_COLUMNS` with these rows."""
    table = QTable()
    for name, (unit, description) in ALIGNMENT_COLUMNS.items():
        values = np.array([row[name] for row in rows], dtype=_dtype(name))
        column = Column(values) if unit is None else u.Quantity(values, unit)
        table[name] = column
        table[name].info.description = description
    return table


def _dtype(name: str) -> str:
    if name in ("n_matches", "n_held_out", "tries"):
        return "int64"
    if name == "used":
        return "bool"
    return "float64" if name in _FROM_NUMBERS else "str"


def read_alignment(path: Path) -> QTable:
    """Read a visit's alignment table.

    Raises
    ------
    MissingProduct
        If it is not there or cannot be read.
    """
    return read_table(path)


def alignment_summary(table: QTable) -> dict[str, Any]:
    """How many exposures came to what, and the median of their RMS on the worse axis."""
    status = np.asarray(table["status"], dtype=str)
    rms = np.maximum(table["rms_x"].to_value(u.pix), table["rms_y"].to_value(u.pix))
    good = np.isin(status, ["PASS", "COMPROMISED"]) & np.isfinite(rms)
    return {
        "n_exposures": len(table),
        "n_used": int(np.count_nonzero(table["used"])),
        "n_pass": int(np.count_nonzero(status == "PASS")),
        "n_compromised": int(np.count_nonzero(status == "COMPROMISED")),
        "n_fail": int(np.count_nonzero(status == "FAIL")),
        "n_skipped": int(np.count_nonzero(status == "SKIPPED")),
        "median_rms_pix": round(float(np.median(rms[good])), 4) if good.any() else None,
    }


def first_look(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What an astronomer looks at first, of the first rows."""
    return [_shift_row(row) for row in rows[:_MOST_ROWS]]


def _shift_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Rounded; None for what there is not."""
    digits = {"shift_ra": 4, "shift_dec": 4, "rotation": 5, "rms_x": 3, "rms_y": 3}
    rounded = {
        name: round(float(row[name]), n) if math.isfinite(row[name]) else None
        for name, n in digits.items()
    }
    return {
        "rootname": row["rootname"],
        "status": row["status"],
        "n_matches": int(row["n_matches"]),
        "shift_ra_arcsec": rounded["shift_ra"],
        "shift_dec_arcsec": rounded["shift_dec"],
        "rotation_deg": rounded["rotation"],
        "rms_x_pix": rounded["rms_x"],
        "rms_y_pix": rounded["rms_y"],
        "reason": row["reason"],
    }
