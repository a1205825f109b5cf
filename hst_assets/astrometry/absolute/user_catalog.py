"""An absolute catalogue of the user's own: ECSV, CSV or FITS, columns in any case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table
from numpy.typing import NDArray

from hst_assets.astrometry.absolute.stars import star_table
from hst_assets.failures import BadConfiguration

__all__ = ["read_user_catalog"]

_WHERE = "catalog.source"
_FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".fit": "fits"}
#: An epoch outside of these years is a mistake, such as an MJD.
_YEARS = (1800.0, 2200.0)

#: Our column: the user's names for it, in order, and the unit of a column that has none.
_COLUMNS: dict[str, tuple[tuple[str, ...], u.UnitBase]] = {
    "ra": (("ra",), u.deg),
    "dec": (("dec",), u.deg),
    "epoch": (("ref_epoch", "epoch"), u.yr),
    "pmra": (("pmra",), u.mas / u.yr),
    "pmdec": (("pmdec",), u.mas / u.yr),
    "ra_error": (("ra_error",), u.mas),
    "dec_error": (("dec_error",), u.mas),
    "pmra_error": (("pmra_error",), u.mas / u.yr),
    "pmdec_error": (("pmdec_error",), u.mas / u.yr),
    "parallax": (("parallax",), u.mas),
    "mag": (("mag", "phot_g_mean_mag"), u.mag),
}


def read_user_catalog(path: Path) -> QTable:
    """Read a table of stars.

    Parameters
    ----------
    path : `~pathlib.Path`
        ECSV, CSV or FITS by its ending. Columns in any case: ra and dec (ICRS; degrees unless the
        column has a unit); and, where they are known, ref_epoch or epoch (Julian years), pmra
        (times cos Dec) and pmdec (mas/yr), ra_error, dec_error, pmra_error, pmdec_error,
        parallax (mas), and mag.

    Returns
    -------
    QTable
        See `hst_assets.astrometry.absolute.stars.STAR_COLUMNS`.

    Raises
    ------
    BadConfiguration
        If it is not there, cannot be read, or lacks a column; the message names what.
    """
    table = _read(path)
    here = {name.lower(): name for name in table.colnames}
    found = {
        ours: next(here[name] for name in names if name in here)
        for ours, (names, _) in _COLUMNS.items()
        if any(name in here for name in names)
    }
    _refuse_incomplete(found, table.colnames, path)
    columns = {ours: _numbers(table[theirs], ours, path) for ours, theirs in found.items()}
    _refuse_impossible(columns, path)
    for error, axes in (("position", ("ra", "dec")), ("motion", ("pmra", "pmdec"))):
        known = [columns.pop(f"{axis}_error") for axis in axes if f"{axis}_error" in columns]
        if known:
            columns[f"{error}_error"] = np.fmax.reduce(known)
    return star_table(columns)


def _bad(what: str, path: Path) -> BadConfiguration:
    return BadConfiguration(
        f"{path.name}: {what}",
        where=_WHERE,
        next_step="It takes columns ra and dec in degrees, and may have ref_epoch (years), pmra, "
        "pmdec (mas/yr) and mag",
    )


def _read(path: Path) -> Table:
    name = path.name.lower().removesuffix(".gz")
    kind = next((kind for ending, kind in _FORMATS.items() if name.endswith(ending)), None)
    if kind is None:
        raise _bad(f"not a name that ends in {', '.join(_FORMATS)}", path)
    if not path.is_file():
        raise BadConfiguration("the catalogue does not exist", where=path)
    try:
        return Table.read(path, format=kind)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _bad(f"cannot be read: {error}", path) from error


def _refuse_incomplete(found: dict[str, str], colnames: list[str], path: Path) -> None:
    lacking = [name for name in ("ra", "dec") if name not in found]
    if lacking:
        raise _bad(f"no column {' or '.join(lacking)} (it has {', '.join(colnames)})", path)
    motions = {"pmra", "pmdec"} & set(found)
    if len(motions) == 1:
        raise _bad(f"{motions.pop()} without the other component of the proper motion", path)
    if motions and "epoch" not in found:
        raise _bad("proper motions without the epoch of the positions (ref_epoch)", path)


def _numbers(column: Any, ours: str, path: Path) -> NDArray[np.float64]:
    """The column in our unit; NaN where it is masked."""
    unit = _COLUMNS[ours][1]
    try:
        values: Any = np.ma.asarray(column, dtype=float).filled(np.nan)
        given = getattr(column, "unit", None)
        if given is None or given == unit:
            return np.asarray(values)
        return np.asarray(u.Quantity(values, given).to_value(unit))
    except (TypeError, ValueError, u.UnitConversionError) as error:
        what = f"column {column.info.name} is not numbers in {unit}: {error}"
        raise _bad(what, path) from error


def _refuse_impossible(columns: dict[str, NDArray[np.float64]], path: Path) -> None:
    """Refuse what must be another unit than it says."""

    def refuse(name: str, beyond: Callable[[NDArray[np.float64]], Any], meaning: str) -> None:
        values = columns.get(name)
        if values is not None and np.any(beyond(values[np.isfinite(values)])):
            raise _bad(f"{name} holds values that are not {meaning}", path)

    refuse("ra", lambda v: (v < 0) | (v > 360), "degrees from 0 to 360")
    refuse("dec", lambda v: np.abs(v) > 90, "degrees from -90 to 90")
    refuse("epoch", lambda v: (v < _YEARS[0]) | (v > _YEARS[1]), "years, such as 2016.0")
    motions = [columns[name] for name in ("pmra", "pmdec") if name in columns]
    if motions:
        moves = np.any([np.nan_to_num(values) != 0.0 for values in motions], axis=0)
        n_lost = int(np.sum(moves & ~np.isfinite(columns["epoch"])))
        if n_lost:
            of_all = f"{n_lost} of {len(moves)} stars"
            raise _bad(f"{of_all} have a proper motion but no epoch (ref_epoch)", path)
    if not np.any(np.isfinite(columns["ra"]) & np.isfinite(columns["dec"])):
        raise _bad("no star with a position", path)
