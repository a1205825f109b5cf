"""The light curve as one HTML file that answers to the mouse and works offline.

What was seen is drawn with its error; where nothing was, an arrow stands at the limit. Magnitudes
are AB, ST or Vega; fluxes show every point as it was measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from astropy.units import Quantity
from markupsafe import Markup
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.photometry.light_curve.table import SEEN_SIGMA
from hst_assets.products.interactive_figure import Axis, Detail, InteractiveFigure, facet_of
from hst_assets.products.web_page import templates_in, write_page

__all__ = ["light_curve_figure", "write_interactive_plot"]

Floats = NDArray[np.float64]

#: Means over all epochs hide what a light curve is to show, exposures are many: a click shows them.
_HIDDEN_LEVELS = ("exposure", "filter")
_SYSTEMS = {"AB": "ab_mag", "ST": "st_mag", "Vega": "vega_mag"}
_NO_TIME = "unknown"


def write_interactive_plot(table: QTable, path: Path, *, magnitudes: str = "ab") -> Path:
    """Write the light curve as a page of its own.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Of `hst_assets.photometry.light_curve.table.LIGHT_CURVE_COLUMNS`.
    path : `~pathlib.Path`
        The HTML file; written in one step.
    magnitudes : {"ab", "st", "vega"}, optional
        What is on the axis until another is chosen.

    Raises
    ------
    UnusableInput
        If the table has no point.
    """
    title = f"Light curve of {table.meta.get('target') or 'the target'}"
    body = (
        templates_in("hst_assets.products", "web")
        .get_template("figure.html")
        .render(title=title, figure=light_curve_figure(table, magnitudes=magnitudes))
    )
    return write_page(path, title=title, body=Markup(body))  # noqa: S704 - of a template


def light_curve_figure(table: QTable, *, magnitudes: str = "ab") -> Markup:
    """The light curve as an element of a page.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        As in `write_interactive_plot`.
    magnitudes : {"ab", "st", "vega"}, optional
        What is on the axis until another is chosen.

    Raises
    ------
    UnusableInput
        If the table has no point.
    """
    if not len(table):
        raise UnusableInput("the light curve has no point")
    columns = _columns(table)
    levels = set(columns["level"])
    hidden = _HIDDEN_LEVELS if "epoch" in levels else ("filter",) if len(levels) > 1 else ()
    first = float(np.nanmin(columns["mjd"])) if np.isfinite(columns["mjd"]).any() else 0.0
    columns["days"] = columns["mjd"] - first
    facets = [facet_of(columns, "band", "band"), facet_of(columns, "method", "method")]
    facets.append(facet_of(columns, "level", "level", hidden=hidden))
    if len(set(columns["place"])) > 1:
        facets.append(facet_of(columns, "place", "place"))
    figure = InteractiveFigure(
        title="Light curve",
        x=(
            Axis(key="mjd", label="MJD (UTC)"),
            Axis(key="days", label=f"days since MJD {first:.3f}"),
        ),
        y=_brightness_axes(magnitudes),
        columns=columns,
        facets=tuple(facets),
        details=_details(),
        colour="band",
        mark="method",
    )
    return figure.as_html(_caption(columns))


def _brightness_axes(first: str) -> tuple[Axis, ...]:
    axes = [
        Axis(
            key=f"seen_{column}",
            label=f"{system} magnitude",
            error="seen_error",
            limit=f"limit_{column}",
            inverted=True,
        )
        for system, column in sorted(_SYSTEMS.items(), key=lambda each: each[1] != f"{first}_mag")
    ]
    return (*axes, Axis(key="flux_ujy", label="flux (µJy)", error="flux_error_ujy"))


def _details() -> tuple[Detail, ...]:
    return (
        Detail(key="place", label="place"),
        Detail(key="band", label="band"),
        Detail(key="method", label="method"),
        Detail(key="level", label="level"),
        Detail(key="epoch", label="epoch", digits=0),
        Detail(key="utc", label="UTC"),
        Detail(key="mjd", label="MJD", digits=5),
        Detail(key="seen_ab_mag", label="AB", digits=3, error="seen_error"),
        Detail(key="seen_st_mag", label="ST", digits=3, error="seen_error"),
        Detail(key="seen_vega_mag", label="Vega", digits=3, error="seen_error"),
        Detail(key="limit_ab_mag", label="fainter than AB", digits=2),
        Detail(key="limits_from", label="limit from"),
        Detail(key="limit_50_ab_mag", label="half found at AB", digits=2),
        Detail(key="flux_ujy", label="flux", digits=5, error="flux_error_ujy", unit="µJy"),
        Detail(key="snr", label="flux / error", digits=1),
        Detail(key="offset_arcsec", label="offset", digits=3, unit="arcsec"),
        Detail(key="images", label="images"),
        Detail(key="note", label="note"),
    )


def _caption(columns: dict[str, Any]) -> str:
    n_seen = int(np.isfinite(columns["seen_ab_mag"]).sum())
    n_limits = int(np.isfinite(columns["limit_ab_mag"]).sum())
    n_neither = len(columns["snr"]) - n_seen - n_limits
    text = (
        f"{n_seen} points of at least {SEEN_SIGMA:g} sigma; {n_limits} below are arrows at their "
        f"{SEEN_SIGMA:g} sigma limits, and have a flux of their own."
    )
    if n_neither:
        text += f" {n_neither} have neither: see their notes in the table."
    return (
        f"{text} Drag to move, + and - or the wheel to zoom, double click for all, the arrow keys "
        "from point to point."
    )


def _columns(table: QTable) -> dict[str, Any]:
    snr = _numbers(table, "snr")
    seen = snr >= SEEN_SIGMA
    # Of what was left out there is no limit: a star may be there, and be bright.
    limit = np.where(seen, np.nan, _numbers(table, "limit_3sigma_ab_mag"))
    offsets = {
        "ab_mag": np.zeros(len(table)),
        "st_mag": _numbers(table, "st_minus_ab_mag"),
        "vega_mag": _numbers(table, "vega_minus_ab_mag"),
    }
    detectors, filters = _texts(table, "detector"), _texts(table, "filter_name")
    mjd = _numbers(table, "mjd")
    return {
        "place": _texts(table, "name"),
        "band": [f"{each} {name}" for each, name in zip(detectors, filters, strict=True)],
        "method": _texts(table, "method"),
        "level": _texts(table, "level"),
        "epoch": _numbers(table, "epoch"),
        "mjd": mjd,
        "utc": [_utc(each) for each in mjd],
        "flux_ujy": _numbers(table, "flux_ujy"),
        "flux_error_ujy": _numbers(table, "flux_error_ujy"),
        "snr": snr,
        "seen_error": np.where(seen, _numbers(table, "ab_mag_error"), np.nan),
        **{
            f"seen_{name}": np.where(seen, _numbers(table, name), np.nan)
            for name in _SYSTEMS.values()
        },
        **{f"limit_{name}": limit + offset for name, offset in offsets.items()},
        "limits_from": _texts(table, "limits_from"),
        "limit_50_ab_mag": _numbers(table, "limit_50_ab_mag"),
        "offset_arcsec": _numbers(table, "offset_arcsec"),
        "images": _texts(table, "images"),
        "note": _texts(table, "note"),
    }


def _numbers(table: QTable, name: str) -> Floats:
    values = table[name]
    plain = values.value if isinstance(values, Quantity) else np.ma.filled(values, np.nan)
    return np.asarray(plain, dtype=float)


def _texts(table: QTable, name: str) -> list[str]:
    return [str(each) for each in table[name]]


def _utc(mjd: float) -> str:
    return str(Time(mjd, format="mjd").isot[:19]) if np.isfinite(mjd) else _NO_TIME
