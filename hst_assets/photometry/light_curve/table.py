"""The table of light curves: one row a point, in fluxes, magnitudes and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from astropy.timeseries import BinnedTimeSeries

from hst_assets.photometry.light_curve.points import (
    NOT_IN_CATALOG,
    Place,
    Point,
    ab_mag,
    ab_mag_error,
)
from hst_assets.products.columns import ColumnSpec, build_table

__all__ = [
    "FROM_ERROR",
    "FROM_LOCAL_NOISE",
    "LIGHT_CURVE_COLUMNS",
    "SEEN_SIGMA",
    "PointLimits",
    "light_curve_table",
    "time_series",
]

#: Where the limits of 3 and 5 sigma of a point are from.
FROM_LOCAL_NOISE = "local noise"
FROM_ERROR = "error of the flux"
#: What has so many errors is seen.
SEEN_SIGMA = 3.0

LIGHT_CURVE_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("source", "int64", "Number of the place; 0 is the target's"),
    ColumnSpec("name", "str", "Name of the place"),
    ColumnSpec("ra", "float64", "Right ascension of the place (ICRS)", u.deg),
    ColumnSpec("dec", "float64", "Declination of the place (ICRS)", u.deg),
    ColumnSpec(
        "method",
        "str",
        "catalog: the photometer's own star; forced: fitted at the place with its neighbours;"
        " difference: on the difference image, so the flux is that above the template",
    ),
    ColumnSpec("level", "str", "Of one exposure, of an epoch, or of all of a filter"),
    ColumnSpec("detector", "str", "Key of the detector"),
    ColumnSpec("filter_name", "str", "Filter"),
    ColumnSpec("epoch", "int64", "Number of the epoch; -1 of a whole filter"),
    ColumnSpec("images", "str", "What was measured and counts, separated by blanks"),
    ColumnSpec("mjd", "float64", "Middle, weighted by exposure time, MJD UTC", u.day),
    ColumnSpec("mjd_first", "float64", "Start of the first exposure, MJD UTC", u.day),
    ColumnSpec("mjd_last", "float64", "End of the last exposure, MJD UTC", u.day),
    ColumnSpec("exptime_s", "float64", "Exposure times that count, each exposure once", u.s),
    ColumnSpec("n_images", "int64", "Images that count; 0: nothing was measured"),
    ColumnSpec("flux_ujy", "float64", "Flux of all light, positive or not", u.uJy),
    ColumnSpec("flux_error_ujy", "float64", "Its error, by the inverse variance", u.uJy),
    ColumnSpec(
        "shared_error_ujy",
        "float64",
        "Part of the error that the points of a band share, which means do not lower",
        u.uJy,
    ),
    ColumnSpec("scatter_ujy", "float64", "Standard deviation of the images that count", u.uJy),
    ColumnSpec("chi2", "float64", "Of the images about their mean; n_images - 1 are free"),
    ColumnSpec("snr", "float64", "Flux over its error"),
    ColumnSpec("ab_mag", "float64", "AB magnitude; NaN of a flux that is not positive", u.mag),
    ColumnSpec("ab_mag_error", "float64", "Error of the magnitudes, to first order", u.mag),
    ColumnSpec("st_mag", "float64", "ST magnitude", u.mag),
    ColumnSpec("vega_mag", "float64", "Vega magnitude", u.mag),
    ColumnSpec("st_minus_ab_mag", "float64", "From AB to ST magnitudes", u.mag),
    ColumnSpec("vega_minus_ab_mag", "float64", "From AB to Vega magnitudes", u.mag),
    ColumnSpec("limit_3sigma_ab_mag", "float64", "AB magnitude of three times the noise", u.mag),
    ColumnSpec("limit_5sigma_ab_mag", "float64", "AB magnitude of five times the noise", u.mag),
    ColumnSpec(
        "limits_from",
        "str",
        "Noise of these two limits: that of empty places around (local noise), or the error of the"
        " flux itself",
    ),
    ColumnSpec(
        "limit_50_ab_mag",
        "float64",
        "AB magnitude at which half of the artificial stars around the place are found",
        u.mag,
    ),
    ColumnSpec("offset_arcsec", "float64", "From the place to what was measured", u.arcsec),
    ColumnSpec("offset_sigma", "float64", "The same over its error; NaN: measured at the place"),
    ColumnSpec("flag", "int64", "Worst quality flag of the images that count"),
    ColumnSpec("note", "str", "What a reader must know"),
)


@dataclass(frozen=True, kw_only=True)
class PointLimits:
    """How faint something at the place of a point could be seen.

    Attributes
    ----------
    noise_ujy : float
        Standard deviation of fluxes at empty places around; NaN where it was not measured.
    half_found_ab_mag : float
        AB magnitude at which half of artificial stars are found; NaN where it was not measured.
    """

    noise_ujy: float = np.nan
    half_found_ab_mag: float = np.nan


def light_curve_table(
    points: Sequence[Point],
    places: Iterable[Place],
    limits: Sequence[PointLimits],
    meta: Mapping[str, Any] | None = None,
) -> QTable:
    """The table of `LIGHT_CURVE_COLUMNS`.

    Parameters
    ----------
    points : sequence of Point
        One row each, in this order.
    places : iterable of Place
        All that the points are of.
    limits : sequence of PointLimits
        Of each point.
    meta : mapping, optional
        The table's metadata.
    """
    known = {place.source: place for place in places}
    rows = [
        _row(point, known[point.source], of_point)
        for point, of_point in zip(points, limits, strict=True)
    ]
    return build_table(LIGHT_CURVE_COLUMNS, rows, meta)


def _row(point: Point, place: Place, limits: PointLimits) -> dict[str, Any]:
    noise, source = _noise(point, limits)
    mag = ab_mag(point.flux_ujy)
    return {
        **asdict(point),
        "images": " ".join(point.images),
        "name": place.name,
        "ra": place.ra_deg,
        "dec": place.dec_deg,
        "snr": point.snr,
        "ab_mag": mag,
        "ab_mag_error": ab_mag_error(point.flux_ujy, point.flux_error_ujy),
        "st_mag": mag + point.st_minus_ab_mag,
        "vega_mag": mag + point.vega_minus_ab_mag,
        "limit_3sigma_ab_mag": ab_mag(3.0 * noise) if source else np.nan,
        "limit_5sigma_ab_mag": ab_mag(5.0 * noise) if source else np.nan,
        "limits_from": source,
        "limit_50_ab_mag": limits.half_found_ab_mag,
    }


def _noise(point: Point, limits: PointLimits) -> tuple[float, str]:
    """What tells the limits of a point, microjansky, and where it is from."""
    left_out = not point.counts and not point.note.startswith(NOT_IN_CATALOG)
    if left_out:  # a star may be there, and be bright
        return np.nan, ""
    # Of what is not seen, the error holds what empty places elsewhere do not: a bright neighbour.
    unseen = point.counts and point.snr < SEEN_SIGMA
    if not np.isfinite(limits.noise_ujy) or (unseen and point.flux_error_ujy > limits.noise_ujy):
        return point.flux_error_ujy, FROM_ERROR if point.counts else ""
    return limits.noise_ujy, FROM_LOCAL_NOISE


def time_series(table: QTable) -> BinnedTimeSeries:
    """Rows of a light curve as bins in time, from the start of the first exposure to the last end.

    Parameters
    ----------
    table : QTable
        Of `LIGHT_CURVE_COLUMNS`; choose a place, a method, a level and a band first.

    Returns
    -------
    BinnedTimeSeries
        In the order of time, with all columns.
    """
    rows = table[np.argsort(table["mjd_first"].to_value(u.day), kind="stable")]
    return BinnedTimeSeries(
        time_bin_start=Time(rows["mjd_first"].to_value(u.day), format="mjd", scale="utc"),
        time_bin_size=(rows["mjd_last"] - rows["mjd_first"]).to(u.s),
        data=rows,
    )
