"""The places whose light curves are wanted."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.utils.exceptions import AstropyWarning

from hst_assets.failures import BadConfiguration
from hst_assets.photometry.light_curve.points import Place
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, set_position_step

__all__ = ["read_positions", "target_place", "wanted_places"]

_SETTING = "light_curve.positions"


def target_place(workdir: WorkDir, settings: Settings) -> Place:
    """The place of the target's light curve.

    Raises
    ------
    BadConfiguration
        If none is known.
    """
    if settings.place is None:
        raise BadConfiguration(
            "the place of the light curve is not known",
            where=workdir.target,
            next_step=f"Run 'hst-assets lightcurve {workdir.target} RA DEC', or give the target a"
            f" position. {set_position_step(workdir)}",
        )
    ra_deg, dec_deg = settings.place
    return Place(source=0, name=workdir.target, ra_deg=ra_deg, dec_deg=dec_deg)


def wanted_places(workdir: WorkDir, settings: Settings) -> list[Place]:
    """The target's place, and those of the user's table.

    Raises
    ------
    BadConfiguration
        If the target's place is not known, or the table cannot be read.
    """
    table = settings.light_curve.positions
    others = read_positions(workdir.base / table) if table else []
    return [target_place(workdir, settings), *others]


def read_positions(path: Path) -> list[Place]:
    """Places of a table with the columns ra and dec (degrees, ICRS) and, optional, name.

    Parameters
    ----------
    path : `~pathlib.Path`
        ECSV, by its suffix, or CSV.

    Returns
    -------
    list of Place
        Numbered from 1 in the order of the rows.

    Raises
    ------
    BadConfiguration
        If it is not there, lacks a column, or a position is none.
    """
    try:
        form = "ascii.ecsv" if path.suffix == ".ecsv" else "ascii.csv"
        with warnings.catch_warnings():
            # A number that is too large for any is read as a word, with a warning about columns.
            warnings.simplefilter("ignore", AstropyWarning)
            table = QTable.read(path, format=form)
    except (OSError, ValueError) as error:
        raise BadConfiguration(
            f"the table of {_SETTING} cannot be read: {error}", where=path
        ) from error
    names = {name.lower(): name for name in table.colnames}
    if missing := [name for name in ("ra", "dec") if name not in names]:
        raise BadConfiguration(
            f"the table of {_SETTING} has no column {' and '.join(missing)}",
            where=path,
            next_step="Give ra and dec in degrees (ICRS)",
        )
    places = []
    for number, row in enumerate(table, 1):
        ra, dec = (_degrees(row[names[key]]) for key in ("ra", "dec"))
        if not (0 <= ra < 360 and -90 <= dec <= 90):
            raise BadConfiguration(
                f"row {number} is no position: {row[names['ra']]} {row[names['dec']]}",
                where=path,
                next_step="Give ra and dec in degrees (ICRS)",
            )
        name = str(row[names["name"]]) if "name" in names else f"place {number}"
        places.append(Place(source=number, name=name, ra_deg=ra, dec_deg=dec))
    return places


def _degrees(value: Any) -> float:
    """A coordinate; NaN of what is missing or no number."""
    if np.any(getattr(value, "mask", False)):
        return float(np.nan)
    try:
        return float(value.to_value(u.deg) if isinstance(value, u.Quantity) else value)
    except (TypeError, ValueError):
        return float(np.nan)
