"""Tables of a report: what of a product is shown, as texts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time

from hst_assets.exposure_account import ProductCount
from hst_assets.products.page_table import PageTable
from hst_assets.report.shown_products import ShownProduct
from hst_assets.workdir import WorkDir

__all__ = [
    "alignment_table",
    "candidate_table",
    "exposure_table",
    "header_words",
    "image_table",
    "limit_table",
    "product_table",
    "set_values",
]

#: Words of the primary header that are shown as they are.
_HEADER_WORDS = ("TARGNAME", "PROPOSID")
_UNREADABLE = "unreadable"
_POSITIONS = frozenset({"ra", "dec"})
_NONE = "-"


def header_words(exposures: QTable, workdir: WorkDir) -> dict[str, tuple[str, ...]]:
    """Name of the target and number of the programme, by rootname, as the headers have them."""
    return {str(row["rootname"]): _words(workdir.raw / str(row["file"])) for row in exposures}


def _words(path: Any) -> tuple[str, ...]:
    try:
        header = fits.getheader(path, 0)
        return tuple(str(header.get(keyword, _NONE)) for keyword in _HEADER_WORDS)
    except (OSError, ValueError, fits.VerifyError):
        return (_UNREADABLE,) * len(_HEADER_WORDS)


def exposure_table(exposures: QTable, words: Mapping[str, tuple[str, ...]]) -> PageTable:
    """The exposures in the order of time, with what their headers call target and programme."""
    rows = [
        (
            str(row["rootname"]),
            str(row["detector_key"]),
            str(row["filter"]),
            "used" if row["used"] else "not used",
            _epoch(row["epoch"]),
            _moment(row["mjd_mid"].to_value(u.day)),
            f"{row['exptime'].to_value(u.s):.1f}",
            *words[str(row["rootname"])],
            "; ".join(filter(None, (str(row["reason"]), str(row["override"]), str(row["note"])))),
        )
        for row in exposures
    ]
    columns = (
        *("exposure", "detector", "filter", "state", "epoch", "middle (UTC)", "time (s)"),
        *("target in header", "programme", "remarks"),
    )
    return PageTable(columns, tuple(rows), long=frozenset({"remarks"}))


def _epoch(epoch: Any) -> str:
    return str(epoch) if int(epoch) > 0 else _NONE


def _moment(mjd: float) -> str:
    return str(Time(mjd, format="mjd").iso[:16]) if math.isfinite(mjd) else _NONE


def alignment_table(alignment: QTable) -> PageTable:
    """The fit of each exposure, with its verdict."""
    rows = [
        (
            str(row["rootname"]),
            str(row["status"]),
            str(row["method"]),
            "yes" if row["used"] else "no",
            str(row["n_matches"]),
            *(_rounded(row[name].to_value(u.mas), 1) for name in ("rms_ra", "rms_dec")),
            *(_rounded(row[name].to_value(u.arcsec), 3) for name in ("shift_ra", "shift_dec")),
            str(row["star_shapes"]),
            str(row["reason"]),
        )
        for row in alignment
    ]
    columns = (
        *("exposure", "verdict", "method", "used", "stars", "RMS RA (mas)", "RMS Dec (mas)"),
        *("shift RA (arcsec)", "shift Dec (arcsec)", "star shapes", "reason"),
    )
    return PageTable(columns, tuple(rows), "verdict", frozenset({"star shapes", "reason"}))


def image_table(products: Iterable[ProductCount]) -> PageTable:
    """The drizzled images of the target, with what was said of them."""
    rows = [
        (each.name, each.status, f"{each.n_exposures} of {each.n_available}", each.reason)
        for each in products
        if not each.of_visit
    ]
    columns = ("image", "verdict", "exposures", "reason")
    return PageTable(columns, tuple(rows), "verdict", frozenset({"reason"}))


def limit_table(limits: Sequence[Mapping[str, Any]]) -> PageTable:
    """The magnitudes at which shares of the artificial stars are found."""
    rows = [
        (
            str(each["filter"]),
            f"{each['share']:.0%}",
            _rounded(each["magnitude"], 2),
            _rounded(each["error"], 2),
            str(each["note"]),
        )
        for each in limits
    ]
    columns = ("filter", "share found", "magnitude (Vega)", "error", "note")
    return PageTable(columns, tuple(rows), long=frozenset({"note"}))


def candidate_table(candidates: QTable) -> PageTable:
    """A table as it is: positions to 0.4 mas, other numbers to four digits."""
    names = candidates.colnames
    columns = [_heading(name, candidates[name]) for name in names]
    rows = [tuple(_cell(row[name], name) for name in names) for row in candidates]
    notes = frozenset(heading for heading in columns if heading.startswith(("note", "verdict")))
    return PageTable(tuple(columns), tuple(rows), long=notes)


def _heading(name: str, column: Any) -> str:
    unit = getattr(column, "unit", None)
    return f"{name} ({unit})" if unit else name


def _cell(value: Any, name: str) -> str:
    plain = value.value if isinstance(value, u.Quantity) else value
    if isinstance(plain, (bool, np.bool_)):
        return "yes" if plain else "no"
    if not isinstance(plain, (float, np.floating)):
        return str(plain)
    if not math.isfinite(plain):
        return _NONE
    return f"{float(plain):.7f}" if name in _POSITIONS else f"{float(plain):.4g}"


def _rounded(value: Any, digits: int) -> str:
    if value is None or not math.isfinite(float(value)):
        return _NONE
    return f"{float(value):.{digits}f}"


def product_table(products: Iterable[ShownProduct], workdir: WorkDir) -> PageTable:
    """Which product was made when, by which versions."""
    rows = []
    for each in products:
        record = each.record
        if record is None:
            continue
        tools = record.recipe.get("tools", {})
        rows.append(
            (
                each.name,
                workdir.relative(each.path),
                record.created.replace("T", " ")[:16],
                record.hst_assets,
                ", ".join(f"{stage} {code}" for stage, code in record.recipe["code"].items()),
                ", ".join(f"{tool} {version}" for tool, version in tools.items()),
                record.digest[:16],
                each.why_not,
            )
        )
    columns = ("product", "file", "made (UTC)", "hst_assets", "code", "tools", "digest", "fault")
    return PageTable(columns, tuple(rows), long=frozenset({"tools", "fault"}))


def set_values(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """What is set, by dotted keys."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from set_values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value)
