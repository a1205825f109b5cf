"""The alignment table: one row an exposure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from hst_assets.astrometry.cards import ANCHOR
from hst_assets.astrometry.shape_limits import NOT_CHECKED, ShapeVerdict, not_checked
from hst_assets.products.columns import ColumnSpec, build_table, no_numbers, read_table

__all__ = [
    "ALIGNMENT_COLUMNS",
    "alignment_row",
    "alignment_summary",
    "alignment_table",
    "first_look",
    "read_alignment",
    "shapes_of_facts",
    "unusual_stars",
]

ALIGNMENT_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("rootname", "str", "Rootname of the exposure"),
    ColumnSpec("file", "str", "File in workspace/"),
    ColumnSpec("status", "str", "PASS, COMPROMISED, FAIL or SKIPPED"),
    ColumnSpec("method", "str", "What gave the WCS; anchor, none: it is the archive's"),
    ColumnSpec("used", "bool", "Whether the exposure goes into products"),
    ColumnSpec("reason", "str", "Why not PASS, why not used, or how it defines the frame"),
    ColumnSpec("n_matches", "int64", "Stars in the fit"),
    ColumnSpec("rms_x", "float64", "RMS of the fit along the detector's x axis", u.pix),
    ColumnSpec("rms_y", "float64", "RMS of the fit along the detector's y axis", u.pix),
    ColumnSpec("rms_ra", "float64", "RMS of the fit in right ascension", u.mas, "rms_ra_mas"),
    ColumnSpec("rms_dec", "float64", "RMS of the fit in declination", u.mas, "rms_dec_mas"),
    ColumnSpec(
        "shift_ra",
        "float64",
        "Motion of the exposure in right ascension times cos Dec",
        u.arcsec,
        "shift_ra_arcsec",
    ),
    ColumnSpec(
        "shift_dec",
        "float64",
        "Motion of the exposure in declination",
        u.arcsec,
        "shift_dec_arcsec",
    ),
    ColumnSpec(
        "rotation",
        "float64",
        "Rotation of the exposure, x (west) to y (north)",
        u.deg,
        "rotation_deg",
    ),
    ColumnSpec("scale", "float64", "Scale of the new WCS over that of the old one"),
    ColumnSpec(
        "held_out_offset_x",
        "float64",
        "Median residual in x of stars by fits without them",
        u.pix,
        "held_out_x",
    ),
    ColumnSpec(
        "held_out_offset_y",
        "float64",
        "Median residual in y of stars by fits without them",
        u.pix,
        "held_out_y",
    ),
    ColumnSpec("n_held_out", "int64", "Stars found again where a fit without them puts them"),
    ColumnSpec("contrast", "float64", "Pairs at the fit over the most that scrambled lists give"),
    ColumnSpec(
        "uniqueness",
        "float64",
        "Pairs at the fit over the most at another offset of the same lists",
    ),
    ColumnSpec(
        "drift",
        "float64",
        "Distance of the fit from those made without a part of the stars",
        u.pix,
    ),
    ColumnSpec(
        "tilt",
        "float64",
        "What rotation, scale or skew left in the pairs would move the stars by",
        u.pix,
    ),
    ColumnSpec(
        "fwhm", "float64", "FWHM of the exposure's stars, in nominal pixels", u.pix, "fwhm_pix"
    ),
    ColumnSpec("elongation", "float64", "Major over minor axis of its stars, on the sky"),
    ColumnSpec(
        "star_shapes",
        "str",
        "Verdict on them: good, doubtful, bad or not checked, with the reason",
    ),
    ColumnSpec("tries", "int64", "Rungs of the ladder that were tried"),
    ColumnSpec(
        "distortion", "str", "Source of its distortion: the archive, or reference files by name"
    ),
    ColumnSpec("digest", "str", "Recipe of this exposure's alignment"),
)

#: Rows that `first_look` shows.
_MOST_ROWS = 10


def alignment_row(
    facts: Mapping[str, Any], *, file: str, digest: str, keep: bool, wide: str = ""
) -> dict[str, Any]:
    """One row.

    Parameters
    ----------
    facts : mapping
        Of the exposure's record: rootname, status, method, reason, usable, numbers, shapes, tries.
    file, digest : str
        File in workspace/ and the digest of its recipe.
    keep : bool
        Whether an exposure that failed is used with the archive's WCS.
    wide : str, optional
        Why its stars are too wide beside those of the visit's others; then it is not used.
    """
    numbers = facts["numbers"] or {}
    status, reason = facts["status"], facts["reason"]
    used = status != "FAIL"
    shapes = shapes_of_facts(facts)
    said = str(shapes)
    # No WCS makes trailed stars usable, the archive's neither.
    if status == "FAIL" and keep and facts["usable"] and not shapes.is_bad:
        used, reason = True, f"used with the archive's WCS although: {reason}"
    if wide and used:
        used, said = False, f"bad: {wide}"
        reason = "; ".join(filter(None, (wide, reason)))
    return {
        **no_numbers(ALIGNMENT_COLUMNS),
        **numbers,
        "rootname": facts["rootname"],
        "file": file,
        "status": status,
        "method": facts["method"],
        "used": used,
        "reason": reason,
        "n_matches": numbers.get("n_matches", 0),
        "n_held_out": numbers.get("n_held_out", 0),
        "fwhm_pix": shapes.shapes.fwhm_pix,
        "elongation": shapes.shapes.elongation,
        "star_shapes": said,
        "tries": len(facts["tries"]),
        "distortion": facts.get("distortion", "archive"),
        "digest": digest,
    }


def shapes_of_facts(facts: Mapping[str, Any]) -> ShapeVerdict:
    """What the record of an exposure says of the shapes of its stars."""
    shapes = facts.get("shapes")
    if shapes is not None:
        return ShapeVerdict.from_json(shapes)
    return not_checked("it was not aligned" if facts["status"] == "SKIPPED" else "not measured")


def alignment_table(rows: Sequence[Mapping[str, Any]]) -> QTable:
    """The table of `ALIGNMENT_COLUMNS` with these rows."""
    return build_table(ALIGNMENT_COLUMNS, rows)


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
    method = np.asarray(table["method"], dtype=str)
    good = np.isin(status, ["PASS", "COMPROMISED"]) & np.isfinite(rms)
    return {
        "n_exposures": len(table),
        "n_used": int(np.count_nonzero(table["used"])),
        "n_pass": int(np.count_nonzero(status == "PASS")),
        "n_compromised": int(np.count_nonzero(status == "COMPROMISED")),
        "n_fail": int(np.count_nonzero(status == "FAIL")),
        "n_skipped": int(np.count_nonzero(status == "SKIPPED")),
        "n_anchor": int(np.count_nonzero((status == "PASS") & (method == ANCHOR))),
        "not_passed": [_told(row) for row in table[np.isin(status, ["COMPROMISED", "FAIL"])]],
        **_counted_shapes(np.asarray(table["star_shapes"], dtype=str)),
        "median_rms_pix": round(float(np.median(rms[good])), 4) if good.any() else None,
    }


def _counted_shapes(said: Iterable[str]) -> dict[str, int]:
    """How many exposures have stars of good, doubtful, bad shapes, or none that were checked."""
    states = [text.partition(":")[0] for text in said]
    return {
        f"n_shapes_{state.replace(' ', '_')}": states.count(state)
        for state in ("good", "doubtful", "bad", NOT_CHECKED)
    }


def _told(row: Any) -> str:
    """An exposure that did not pass: its rootname, the reason and the numbers of its fit."""
    text = f"{row['rootname']} {row['status']}: {row['reason']}"
    if not row["n_matches"]:
        return text
    x, y = (float(row[name].to_value(u.pix)) for name in ("rms_x", "rms_y"))
    return f"{text} ({row['n_matches']} stars, RMS {x:.2f} and {y:.2f} px)"


def unusual_stars(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is said of the stars of each exposure that are not good."""
    return [
        f"{row['rootname']}: {row['star_shapes']}" for row in rows if row["star_shapes"] != "good"
    ]


def first_look(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What an astronomer looks at first, of the first rows."""
    return [_shift_row(row) for row in rows[:_MOST_ROWS]]


def _shift_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Rounded; None for what there is not."""
    digits = {
        "shift_ra_arcsec": 4,
        "shift_dec_arcsec": 4,
        "rotation_deg": 5,
        "rms_x": 3,
        "rms_y": 3,
        "fwhm_pix": 2,
        "elongation": 2,
    }
    rounded = {
        name: None if _is_missing(row[name]) else round(float(row[name]), n)
        for name, n in digits.items()
    }
    return {
        "rootname": row["rootname"],
        "status": row["status"],
        "n_matches": int(row["n_matches"]),
        "shift_ra_arcsec": rounded["shift_ra_arcsec"],
        "shift_dec_arcsec": rounded["shift_dec_arcsec"],
        "rotation_deg": rounded["rotation_deg"],
        "rms_x_pix": rounded["rms_x"],
        "rms_y_pix": rounded["rms_y"],
        "fwhm_pix": rounded["fwhm_pix"],
        "elongation": rounded["elongation"],
        "star_shapes": row["star_shapes"],
        "reason": row["reason"],
    }


def _is_missing(value: Any) -> bool:
    return value is None or not math.isfinite(value)
