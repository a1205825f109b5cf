"""Which artificial stars were recovered: one table of all that were put in.

A star is recovered in a filter if the photometer found it near its place, if it is detected in that
filter and passes the cuts of real stars there, and if it was not measured brighter than put in by
more than ``max_brightening_mag``: otherwise it fell on a star that is at least as bright. A star
that the photometer does not mention is not recovered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack
from numpy.typing import NDArray

from hst_assets.photometry.artificial_stars.completeness import (
    CompletenessCurve,
    Limit,
    completeness_curve,
    magnitude_limit,
)
from hst_assets.photometry.catalog.artificial_stars import ArtificialStars, StarsPutIn
from hst_assets.photometry.catalog.bands import bands_of
from hst_assets.photometry.quality_cuts import QualityCuts, stars_in, tally
from hst_assets.products.columns import ColumnSpec
from hst_assets.settings.artificial_stars import ArtificialStarSettings

__all__ = [
    "COMPLETENESS_COLUMNS",
    "LIMIT_SHARES",
    "FilterResult",
    "completeness_rows",
    "filter_results",
    "recovery_table",
    "star_columns",
]

#: Limits that are told: where half, and where four fifths of the stars are recovered.
LIMIT_SHARES = (0.5, 0.8)

COMPLETENESS_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("filter", "str", "Filter, as the catalogue calls it"),
    ColumnSpec("bright_edge", "float64", "Bright edge of the bin, true magnitude (Vega)", u.mag),
    ColumnSpec("faint_edge", "float64", "Faint edge of the bin", u.mag),
    ColumnSpec("n_in", "int64", "Stars put in"),
    ColumnSpec("n_recovered", "int64", "Stars recovered"),
    ColumnSpec("completeness", "float64", "Share that was recovered; NaN: none was put in"),
    ColumnSpec("low", "float64", "Lower end of its Jeffreys interval of 68.27 %"),
    ColumnSpec("high", "float64", "Upper end"),
    ColumnSpec("bias", "float64", "Median of measured minus true magnitude", u.mag),
    ColumnSpec("bias_error", "float64", "Its standard error", u.mag),
    ColumnSpec("scatter", "float64", "1.4826 times the median absolute deviation", u.mag),
)


def star_columns(labels: Sequence[str]) -> tuple[ColumnSpec, ...]:
    """The columns of the table of stars, for bands by their names."""
    of_filters: list[ColumnSpec] = []
    for label in labels:
        stem = label.lower()
        of_filters += [
            ColumnSpec(f"{stem}_true", "float64", f"{label} magnitude put in (Vega)", u.mag),
            ColumnSpec(f"{stem}_measured", "float64", "Measured; NaN: not measured", u.mag),
            ColumnSpec(f"{stem}_error", "float64", "Error that the photometer states", u.mag),
            ColumnSpec(f"{stem}_recovered", "bool", "Whether it is recovered in this filter"),
        ]
    return (
        ColumnSpec("chunk", "int64", "Number of its list"),
        ColumnSpec("x", "float64", "X put in: numpy index + 0.5 of the reference", u.pix),
        ColumnSpec("y", "float64", "Y put in: numpy index + 0.5 of the reference", u.pix),
        ColumnSpec("mentioned", "bool", "Whether the photometer wrote a row: it lies on an image"),
        ColumnSpec("found", "bool", "Whether a star was found, whatever the cuts make of it"),
        ColumnSpec("distance", "float64", "From where it was put in to where it was found", u.pix),
        ColumnSpec("object_type", "int64", "Object type; 0: not found"),
        ColumnSpec("snr", "float64", "Signal-to-noise ratio over all images"),
        *of_filters,
    )


@dataclass(frozen=True)
class FilterResult:
    """What the stars tell of one filter.

    Attributes
    ----------
    curve : CompletenessCurve
        By magnitude.
    limits : tuple of Limit
        One for each of `LIMIT_SHARES`.
    """

    curve: CompletenessCurve
    limits: tuple[Limit, ...]


def recovery_table(
    chunks: Sequence[tuple[int, StarsPutIn, ArtificialStars]],
    cuts: QualityCuts,
    detectors: Mapping[str, str],
    settings: ArtificialStarSettings,
) -> QTable:
    """Put the stars of all lists into one table, each with what became of it.

    Parameters
    ----------
    chunks : sequence of (int, StarsPutIn, ArtificialStars)
        Number, list and result.
    cuts : QualityCuts
        Those of real stars.
    detectors : mapping
        Detector of each band by its name.
    settings : ArtificialStarSettings
        Of it the radius and the brightening of a match.

    Returns
    -------
    table : QTable
        One row a star, every one of the lists; columns of `star_columns`.
    """
    tables = [_of_chunk(*chunk, cuts, detectors, settings) for chunk in chunks]
    return vstack(tables, metadata_conflicts="silent") if len(tables) > 1 else tables[0]


def _of_chunk(
    number: int,
    put_in: StarsPutIn,
    result: ArtificialStars,
    cuts: QualityCuts,
    detectors: Mapping[str, str],
    settings: ArtificialStarSettings,
) -> QTable:
    row_of = result.found_of(put_in)
    mentioned = row_of >= 0
    rows = row_of[mentioned]
    measured = result.measured
    found = _among_all(result.recovered[rows], mentioned)
    distance = np.hypot(
        measured["x"][rows] - put_in.x[mentioned], measured["y"][rows] - put_in.y[mentioned]
    )
    passed = tally(measured, cuts, detectors)
    values: dict[str, NDArray[Any]] = {
        "chunk": np.full(len(put_in), number),
        "x": put_in.x,
        "y": put_in.y,
        "mentioned": mentioned,
        "found": found,
        "distance": _spread(distance, mentioned, np.nan, where=found),
        "object_type": _spread(measured["object_type"][rows], mentioned, 0, where=found),
        "snr": _spread(measured["snr"][rows], mentioned, np.nan, where=found),
    }
    near = found & (values["distance"] <= settings.match_radius_pix)
    bands = {band.name: band for band in bands_of(measured.columns)}
    for index, label in enumerate(put_in.labels):
        band = bands[label]
        good = stars_in(measured, cuts, passed, band)
        stem, true = label.lower(), put_in.brightness[:, index]
        in_filter = found & _among_all(measured.measured(**band.address)[rows], mentioned)
        magnitude, error = (
            _spread(measured.values(key, **band.address)[rows], mentioned, np.nan, where=in_filter)
            for key in ("vega_mag", "mag_error")
        )
        brighter = true - magnitude > settings.max_brightening_mag
        values |= {
            f"{stem}_true": true,
            f"{stem}_measured": magnitude,
            f"{stem}_error": error,
            f"{stem}_recovered": near & in_filter & _among_all(good[rows], mentioned) & ~brighter,
        }
    return _as_table(values, star_columns(put_in.labels))


def _among_all(flags: NDArray[np.bool_], mentioned: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Flags of the stars that were mentioned, among all stars; others have none."""
    spread = np.zeros(len(mentioned), dtype=bool)
    spread[mentioned] = flags
    return spread


def _spread(
    values: NDArray[Any],
    mentioned: NDArray[np.bool_],
    otherwise: float,
    *,
    where: NDArray[np.bool_],
) -> NDArray[Any]:
    """Values of the stars that were mentioned, among all stars; the others' are `otherwise`."""
    spread = np.full(len(mentioned), otherwise, dtype=values.dtype)
    spread[mentioned] = values
    spread[~where] = otherwise
    return spread


def _as_table(values: Mapping[str, NDArray[Any]], specs: Sequence[ColumnSpec]) -> QTable:
    table = QTable()
    for spec in specs:
        column = values[spec.name].astype(spec.dtype)
        table[spec.name] = column if spec.unit is None else u.Quantity(column, spec.unit)
        table[spec.name].info.description = spec.description
    return table


def filter_results(
    table: QTable, labels: Sequence[str], settings: ArtificialStarSettings
) -> dict[str, FilterResult]:
    """Completeness, bias, scatter and limits of each filter."""
    results = {}
    for label in labels:
        stem = label.lower()
        true, measured = (
            np.asarray(table[f"{stem}_{what}"].to_value(u.mag)) for what in ("true", "measured")
        )
        recovered = np.asarray(table[f"{stem}_recovered"])
        curve = completeness_curve(true, measured, recovered, bin_mag=settings.bin_mag)
        limits = tuple(
            magnitude_limit(true, recovered, share, seed=settings.seed) for share in LIMIT_SHARES
        )
        results[label] = FilterResult(curve, limits)
    return results


def completeness_rows(results: Mapping[str, FilterResult]) -> list[dict[str, Any]]:
    """Rows of `COMPLETENESS_COLUMNS`."""
    names = [spec.name for spec in COMPLETENESS_COLUMNS[1:]]
    return [
        {"filter": label, **{name: getattr(result.curve, name)[at].item() for name in names}}
        for label, result in results.items()
        for at in range(len(result.curve.n_in))
    ]
