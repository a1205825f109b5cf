"""Stars with known positions and motions: the columns of an absolute catalogue, and their motion.

Proper motions are mas/yr on the sky: ``pmra`` is that in right ascension times cos Dec, as Gaia has
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import ArrayLike, NDArray

from hst_assets.failures import MissingProduct
from hst_assets.sky_geometry import direction_of, unit_vectors

__all__ = ["STAR_COLUMNS", "julian_year", "read_stars", "star_table", "stars_at"]

_MAS_PER_DEG = 3.6e6

#: Name, unit and meaning of the columns. What is not known of a star is 0, a magnitude NaN.
STAR_COLUMNS: dict[str, tuple[u.UnitBase, str]] = {
    "ra": (u.deg, "Right ascension at the epoch (ICRS)"),
    "dec": (u.deg, "Declination at the epoch (ICRS)"),
    "epoch": (u.yr, "Epoch of the position (Julian year)"),
    "pmra": (u.mas / u.yr, "Proper motion in right ascension times cos Dec"),
    "pmdec": (u.mas / u.yr, "Proper motion in declination"),
    "position_error": (u.mas, "Standard error of the position at the epoch, worse axis"),
    "motion_error": (u.mas / u.yr, "Standard error of the proper motion, worse axis"),
    "parallax": (u.mas, "Parallax"),
    "mag": (u.mag, "Magnitude"),
}


def star_table(columns: Mapping[str, ArrayLike]) -> QTable:
    """The table of `STAR_COLUMNS` with these values, brightest first; what is missing is 0.

    A star without a position is left out.
    """
    n_stars = len(np.atleast_1d(np.asarray(columns["ra"])))
    values = {}
    for name in STAR_COLUMNS:
        missing = np.nan if name == "mag" else 0.0
        given: Any = np.ma.asarray(columns.get(name, np.full(n_stars, missing)), dtype=float)
        values[name] = np.atleast_1d(given.filled(np.nan))
        if name not in ("ra", "dec", "mag"):
            values[name] = np.nan_to_num(values[name], nan=0.0)
    known = np.isfinite(values["ra"]) & np.isfinite(values["dec"])
    # A stable sort with NaN last: without magnitudes the stars stay in their order.
    order = np.flatnonzero(known)[np.argsort(values["mag"][known], kind="stable")]
    table = QTable()
    for name, (unit, description) in STAR_COLUMNS.items():
        table[name] = u.Quantity(values[name][order], unit)
        table[name].info.description = description
    return table


def read_stars(path: Path) -> QTable:
    """Read an absolute catalogue as `star_table` made it.

    Raises
    ------
    MissingProduct
        If it is not there.
    """
    if not path.is_file():
        raise MissingProduct(
            "the absolute catalogue is missing",
            where=path,
            next_step="Materialize reference_image",
        )
    return QTable.read(path, format="ascii.ecsv")


def julian_year(mjd: float) -> float:
    """The Julian year of a moment (MJD, UTC)."""
    return float(Time(mjd, format="mjd", scale="utc").jyear)


def stars_at(stars: QTable, year: float, *, max_error_mas: float) -> QTable:
    """The stars where they are in a certain year, without those whose place is too uncertain.

    Parameters
    ----------
    stars : QTable
        With the columns of `STAR_COLUMNS`.
    year : float
        Julian year.
    max_error_mas : float
        Largest uncertainty in that year: that of the position, that of the motion times the
        years since, and the parallax, by which a star may be displaced, added in quadrature.

    Returns
    -------
    QTable
        ra, dec (deg, of that year), error (mas) and mag, in the order of `stars`.

    Notes
    -----
    Each star moves on a straight line: the vector ``r + (pmra e_east + pmdec e_north) t``,
    normalised, which is right at the poles too. Radial motion changes it by less than 1 mas in
    a century for all but a few of the nearest stars.
    """
    years = year - stars["epoch"].to_value(u.yr)
    spread = [
        stars["position_error"].to_value(u.mas),
        stars["motion_error"].to_value(u.mas / u.yr) * years,
        stars["parallax"].to_value(u.mas),
    ]
    error = np.sqrt(np.sum(np.square(spread), axis=0))
    sky = _moved(stars, years)
    table = QTable(
        {
            "ra": sky[:, 0] * u.deg,
            "dec": sky[:, 1] * u.deg,
            "error": error * u.mas,
            "mag": stars["mag"],
        }
    )
    return table[error <= max_error_mas]


def _moved(stars: QTable, years: NDArray[np.float64]) -> NDArray[np.float64]:
    ra = stars["ra"].to_value(u.rad)
    place = unit_vectors(np.column_stack([stars[name].to_value(u.deg) for name in ("ra", "dec")]))
    east = np.column_stack([-np.sin(ra), np.cos(ra), np.zeros(len(ra))])
    north = np.cross(place, east)
    per_year = u.mas / u.yr
    moved = place + np.radians(years / _MAS_PER_DEG)[:, None] * (
        stars["pmra"].to_value(per_year)[:, None] * east
        + stars["pmdec"].to_value(per_year)[:, None] * north
    )
    return direction_of(moved)
