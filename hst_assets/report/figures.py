"""Figures of a report that answer: colours of the stars with the target, and completeness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from markupsafe import Markup
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.bands import CatalogBand, bands_of, by_wavelength
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.reading import beside, read_catalog
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.light_curve.table import SEEN_SIGMA
from hst_assets.photometry.quality_cuts import cuts_of, detected_in, tally
from hst_assets.products.interactive_figure import Axis, Detail, InteractiveFigure, facet_of
from hst_assets.settings.quality_cuts import QualityCutSettings

__all__ = ["colour_magnitude_figure", "completeness_figure"]

Floats = NDArray[np.float64]

#: A browser draws so many points without a wait; of more, evenly chosen ones are drawn.
_MOST_STARS = 30_000
_KEPT, _CUT = "kept by the cuts", "cut"


@dataclass(frozen=True)
class _Diagram:
    """Magnitudes of the stars in the bluest and in the reddest filter."""

    blue: CatalogBand
    red: CatalogBand
    blue_mag: Floats
    red_mag: Floats
    kept: NDArray[np.bool_]
    detectors: Mapping[str, str]


def colour_magnitude_figure(
    path: Path, cuts: QualityCutSettings, light_curve: QTable | None
) -> Markup:
    """The reddest filter against the colour, with the target marked where it was measured.

    Parameters
    ----------
    path : `~pathlib.Path`
        The photometer's catalogue.
    cuts : QualityCutSettings
        That tell stars from what is none.
    light_curve : QTable or None
        Of the target, whose star of the catalogue is the one that the light curve found; None if
        there is none.

    Raises
    ------
    UnusableInput
        If no star is seen in two filters, or the catalogue is damaged.
    MissingProduct
        If it is not there.
    """
    diagram = _diagram(path, cuts)
    colour = diagram.blue_mag - diagram.red_mag
    both = np.flatnonzero(np.isfinite(colour))
    if not both.size:
        raise UnusableInput(
            f"no star is detected in both {diagram.blue.name} and {diagram.red.name}"
        )
    step = -(-both.size // _MOST_STARS)
    shown = both[::step]
    columns: dict[str, Any] = {
        "colour": colour[shown].round(4),
        "magnitude": diagram.red_mag[shown].round(4),
        "stars": [_KEPT if kept else _CUT for kept in diagram.kept[shown]],
        "row": [f"{row}" for row in shown],
    }
    mark, told = _target(diagram, light_curve)
    colours = f"{diagram.blue.name} - {diagram.red.name}"
    figure = InteractiveFigure(
        title="Colours and magnitudes",
        x=(Axis(key="colour", label=f"{colours} (Vega mag)"),),
        y=(Axis(key="magnitude", label=f"{diagram.red.name} (Vega mag)", inverted=True),),
        columns=columns,
        facets=(facet_of(columns, "stars", "stars", hidden=(_CUT,)),),
        details=(
            Detail(key="magnitude", label=diagram.red.name, digits=3, unit="mag"),
            Detail(key="colour", label=colours, digits=3, unit="mag"),
            Detail(key="row", label="row of the catalogue"),
        ),
        colour="stars",
        marked=mark,
    )
    many = f" Every {step}th star is drawn." if step > 1 else ""
    return figure.as_html(f"{both.size} stars detected in both filters.{many} {told}")


def _diagram(path: Path, cuts: QualityCutSettings) -> _Diagram:
    catalog = read_catalog(path)
    detectors: Mapping[str, str] = {}
    if beside(path, ".info").is_file():
        detectors = detectors_of_bands(catalog.columns, read_run_info(beside(path, ".info")))
    bands = sorted((b for b in bands_of(catalog.columns) if b.filter_name), key=by_wavelength)
    if len(bands) < 2:
        raise UnusableInput("the catalogue has one filter only")
    limits = cuts_of(cuts)
    kept = tally(catalog, limits, detectors).kept
    blue, red = bands[0], bands[-1]

    def seen(band: CatalogBand) -> Floats:
        return _magnitudes(catalog, band, detected_in(catalog, limits, band))

    return _Diagram(blue, red, seen(blue), seen(red), kept, detectors)


def _magnitudes(catalog: Catalog, band: CatalogBand, seen: NDArray[np.bool_]) -> Floats:
    return np.where(seen, catalog.values("vega_mag", **band.address), np.nan)


def _target(
    diagram: _Diagram, light_curve: QTable | None
) -> tuple[tuple[Mapping[str, Any], ...], str]:
    """Where the target is in the diagram, and what is said of it."""
    if light_curve is None:
        return (), "The target is not marked: there is no light curve to identify its star."
    found = [_magnitude_of(light_curve, diagram, band) for band in (diagram.blue, diagram.red)]
    missing = [
        band.name
        for band, magnitude in zip((diagram.blue, diagram.red), found, strict=True)
        if magnitude is None
    ]
    blue, red = found
    if blue is None or red is None:
        return (), (
            f"The target is not marked: the catalogue has no star at its position, detected in "
            f"{' and '.join(missing)}."
        )
    return (
        ({"colour": blue - red, "magnitude": red, "label": "target"},),
        "The cross marks the target's star (mean of all epochs).",
    )


def _magnitude_of(light_curve: QTable, diagram: _Diagram, band: CatalogBand) -> float | None:
    """The target's mean Vega magnitude in a band by its star of the catalogue; None if unseen."""
    for row in light_curve:
        if (
            (int(row["source"]), row["method"], row["level"]) == (0, "catalog", "filter")
            and row["filter_name"] == band.filter_name
            and row["detector"] == diagram.detectors.get(band.name)
            and float(row["snr"]) >= SEEN_SIGMA
        ):
            magnitude = float(u.Quantity(row["vega_mag"], u.mag).value)
            return magnitude if np.isfinite(magnitude) else None
    return None


def completeness_figure(table: QTable) -> Markup:
    """Completeness and bias against the true magnitude.

    Parameters
    ----------
    table : QTable
        Of `hst_assets.photometry.artificial_stars.recovery.COMPLETENESS_COLUMNS`.

    Raises
    ------
    UnusableInput
        If no star was put in.
    """
    table = table[table["n_in"] > 0]
    if not len(table):
        raise UnusableInput("there are no artificial stars")
    columns: dict[str, Any] = {
        "filter": [str(each) for each in table["filter"]],
        "magnitude": (table["bright_edge"] + table["faint_edge"]).to_value(u.mag) / 2,
        "completeness": np.asarray(table["completeness"], dtype=float),
        "half": (np.asarray(table["high"]) - np.asarray(table["low"])) / 2,
        "bias": table["bias"].to_value(u.mag),
        "bias_error": table["bias_error"].to_value(u.mag),
        "scatter": table["scatter"].to_value(u.mag),
        "n_in": np.asarray(table["n_in"], dtype=float),
    }
    figure = InteractiveFigure(
        title="Completeness",
        x=(Axis(key="magnitude", label="true magnitude (Vega)"),),
        y=(
            Axis(key="completeness", label="fraction found", error="half"),
            Axis(key="bias", label="measured - true (mag)", error="bias_error"),
            Axis(key="scatter", label="scatter (mag)"),
        ),
        columns=columns,
        facets=(facet_of(columns, "filter", "filter"),),
        details=(
            Detail(key="filter", label="filter"),
            Detail(key="magnitude", label="true magnitude", digits=2),
            Detail(key="completeness", label="found", digits=3, error="half"),
            Detail(key="n_in", label="input stars"),
            Detail(key="bias", label="bias", digits=3, error="bias_error", unit="mag"),
            Detail(key="scatter", label="scatter", digits=3, unit="mag"),
        ),
        colour="filter",
    )
    return figure.as_html(
        "Artificial stars over the whole field. Errors are half of the 68 % Jeffreys interval."
    )
