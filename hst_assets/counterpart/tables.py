"""The tables of a counterpart: its candidates, and what each band says of them and the place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import astropy.units as u
from astropy.table import QTable

from hst_assets.counterpart.candidates import Candidate
from hst_assets.counterpart.disappearance import Disappearance
from hst_assets.products.columns import ColumnSpec, build_table

__all__ = [
    "COUNTERPART_COLUMNS",
    "COUNTERPART_PHOTOMETRY_COLUMNS",
    "THE_PLACE",
    "BandMeasurement",
    "candidate_table",
    "photometry_table",
]

#: Number of the place itself among the candidates.
THE_PLACE = 0

COUNTERPART_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("number", "int64", "Rank, from 1: the nearest in errors first"),
    ColumnSpec("row", "int64", "Row in the photometer's catalogue, from 0"),
    ColumnSpec("ra", "float64", "Right ascension (ICRS)", u.deg, "ra_deg"),
    ColumnSpec("dec", "float64", "Declination (ICRS)", u.deg, "dec_deg"),
    ColumnSpec("object_type", "int64", "Object type, as in DOLPHOT's catalogues"),
    ColumnSpec("east", "float64", "East of the object", u.mas, "east_mas"),
    ColumnSpec("north", "float64", "North of it", u.mas, "north_mas"),
    ColumnSpec("separation", "float64", "From the object", u.mas, "separation_mas"),
    ColumnSpec("own_error", "float64", "Error of its own place on an axis", u.mas, "own_error_mas"),
    ColumnSpec(
        "error",
        "float64",
        "Total error on an axis: of the object, of the alignment and its own",
        u.mas,
        "error_mas",
    ),
    ColumnSpec("sigma", "float64", "Separation over the total error"),
    ColumnSpec("offset_probability", "float64", "Of the object itself to lie at least so far off"),
    ColumnSpec("is_inside", "bool", "Whether it lies within the circle of 99 %"),
    ColumnSpec("best_band", "str", "Band of the earlier images in which it is most significant"),
    ColumnSpec("snr", "float64", "Signal-to-noise ratio there"),
    ColumnSpec(
        "density",
        "float64",
        "Sources around that are at least as bright in this band",
        u.arcsec**-2,
        "density_arcsec2",
    ),
    ColumnSpec(
        "chance_probability",
        "float64",
        "Of such a source within the separation, or the circle of 99 % if that is larger",
    ),
    ColumnSpec(
        "state",
        "str",
        "What became of it: still there, fainter, gone, not decided, not checked",
    ),
    ColumnSpec("forced_sigma", "float64", "Decline over its error by forced photometry"),
    ColumnSpec("difference_sigma", "float64", "The same by the difference of the epochs"),
    ColumnSpec("late_snr", "float64", "Late flux over its error"),
    ColumnSpec("left", "float64", "Late over early flux, upper limit at 3 sigma"),
    ColumnSpec("note", "str", "What a reader must know"),
)

COUNTERPART_PHOTOMETRY_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("number", "int64", "Candidate; 0: the place of the object itself"),
    ColumnSpec("band", "str", "Detector and filter"),
    ColumnSpec("images", "str", "early; late: after the object has faded; or all"),
    ColumnSpec(
        "method",
        "str",
        "catalog: of the photometer's catalogue; forced: fitted at the place; difference: on the "
        "difference of epochs; local noise, artificial stars: limits only",
    ),
    ColumnSpec("n_images", "int64", "Images that count"),
    ColumnSpec("flux", "float64", "Flux of all light", u.uJy, "flux_ujy"),
    ColumnSpec("flux_error", "float64", "Its error", u.uJy, "flux_error_ujy"),
    ColumnSpec("snr", "float64", "Flux over its error"),
    ColumnSpec("ab_mag", "float64", "AB magnitude; NaN of what is not positive", u.mag),
    ColumnSpec("st_mag", "float64", "ST magnitude", u.mag),
    ColumnSpec("vega_mag", "float64", "Vega magnitude", u.mag),
    ColumnSpec("mag_error", "float64", "Error of the magnitudes", u.mag),
    ColumnSpec("limit_3sigma", "float64", "AB magnitude of 3 sigma", u.mag, "limit_3sigma_mag"),
    ColumnSpec("limit_5sigma", "float64", "AB magnitude of 5 sigma", u.mag, "limit_5sigma_mag"),
    ColumnSpec(
        "limit_50",
        "float64",
        "AB magnitude at which half of the artificial stars are found",
        u.mag,
        "limit_50_mag",
    ),
    ColumnSpec("extinction", "float64", "Extinction", u.mag, "extinction_mag"),
    ColumnSpec("absolute_mag", "float64", "Absolute AB magnitude", u.mag),
    ColumnSpec(
        "absolute_mag_error",
        "float64",
        "Its error, those of extinction and distance included",
        u.mag,
    ),
    ColumnSpec(
        "absolute_limit",
        "float64",
        "Absolute AB magnitude of 3 sigma",
        u.mag,
        "absolute_limit_mag",
    ),
    ColumnSpec("note", "str", "What a reader must know"),
)


@dataclass(frozen=True)
class BandMeasurement:
    """What one method says of one source in one band; a row of the table of magnitudes.

    Attributes are those of `COUNTERPART_PHOTOMETRY_COLUMNS`, by their keys.
    """

    number: int
    band: str
    images: str
    method: str
    n_images: int
    flux_ujy: float = math.nan
    flux_error_ujy: float = math.inf
    snr: float = math.nan
    ab_mag: float = math.nan
    st_mag: float = math.nan
    vega_mag: float = math.nan
    mag_error: float = math.nan
    limit_3sigma_mag: float = math.nan
    limit_5sigma_mag: float = math.nan
    limit_50_mag: float = math.nan
    extinction_mag: float = math.nan
    absolute_mag: float = math.nan
    absolute_mag_error: float = math.nan
    absolute_limit_mag: float = math.nan
    note: str = ""


def candidate_table(
    candidates: Sequence[Candidate],
    fates: dict[int, Disappearance],
    notes: dict[int, str],
    meta: dict[str, Any],
) -> QTable:
    """The table of the candidates, with what became of each."""
    rows = []
    for one in candidates:
        fate = fates.get(one.number)
        told = {"state": "not checked"} if fate is None else {
            "state": fate.state,
            "forced_sigma": fate.forced_sigma,
            "difference_sigma": fate.difference_sigma,
            "late_snr": fate.late_snr,
            "left": fate.left,
        }  # fmt: skip
        nothing = dict.fromkeys(("forced_sigma", "difference_sigma", "late_snr", "left"))
        rows.append({**asdict(one), **nothing, **told, "note": notes.get(one.number, "")})
    return build_table(COUNTERPART_COLUMNS, rows, meta)


def photometry_table(rows: Sequence[BandMeasurement], meta: dict[str, Any]) -> QTable:
    """The table of magnitudes and limits."""
    return build_table(COUNTERPART_PHOTOMETRY_COLUMNS, [asdict(row) for row in rows], meta)
