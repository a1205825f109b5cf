"""Catalogues of the University of Washington's pipeline (PHAT, ANGST and its followers).

They are DOLPHOT's, cut and reduced: binary FITS tables with a few columns of each filter, and text
tables of artificial stars (``.matchfake``). They lack what a `Catalog` needs (counts, object type,
images), so that they are read as tables, with the flat names of a catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Column, QTable

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.catalog.number_rows import read_numbers
from hst_assets.photometry.catalog.quantities import HST_BLOCK, PER_OBJECT

__all__ = ["read_matched_artificial_stars", "read_pipeline_table"]

#: Endings of the columns of a filter, and the quantities that they hold.
_ENDINGS = {
    "RATE": "rate",
    "RATERR": "rate_error",
    "VEGA": "vega_mag",
    "STD": "ubvri_mag",
    "ERR": "mag_error",
    "CHI": "chi",
    "SNR": "snr",
    "SHARP": "sharpness",
    "ROUND": "roundness",
    "CROWD": "crowding",
    "FLAG": "flag",
}
_OF_FILTER = re.compile(rf"(\w+)_({'|'.join(_ENDINGS)})")
_OF_OBJECT = {"X": "x", "Y": "y", "RA": "ra", "DEC": "dec"}
_QUANTITIES = {quantity.key: quantity for quantity in (*PER_OBJECT, *HST_BLOCK)}
#: The flag of a filter in which an object was not good: its other columns hold 99.999, but for its
#: rates.
_BLANKED = 99
_NEVER_BLANKED = ("rate", "rate_error")


def read_pipeline_table(path: Path) -> QTable:
    """Read a ``.st.fits`` or ``.gst.fits`` table.

    Parameters
    ----------
    path : `~pathlib.Path`
        The table.

    Returns
    -------
    QTable
        Columns by flat names (``f555w_vega_mag``), with units. What was blanked, and magnitudes of
        99.999, are NaN; a blanked filter's flag is 99, and its rates are still there.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If it is not such a table.
    """
    try:
        rows = fits.getdata(path, 1)
    except FileNotFoundError as error:
        raise MissingProduct("the table is missing", where=path) from error
    except (OSError, IndexError, TypeError) as error:
        raise UnusableInput(f"the table cannot be read: {error}", where=path) from error
    names = {str(name).strip(): str(name) for name in rows.dtype.names or ()}
    filters = sorted({match[1] for name in names if (match := _OF_FILTER.fullmatch(name))})
    if not {"X", "Y"} <= names.keys() or any(f"{name}_FLAG" not in names for name in filters):
        raise UnusableInput("it has no positions, or a filter without flags", where=path)
    table = QTable()
    for name, as_stored in names.items():
        values = np.array(rows[as_stored])
        match = _OF_FILTER.fullmatch(name)
        if match is None:
            key = _OF_OBJECT.get(name, name.lower())
            table[key] = values * u.deg if key in {"ra", "dec"} else values
            continue
        filter_name, quantity = match[1], _QUANTITIES[_ENDINGS[match[2]]]
        flat = f"{filter_name.lower()}_{quantity.key}"
        if quantity.is_integer:
            table[flat] = Column(values.astype(np.int32), description=quantity.description)
            continue
        blank = np.array(rows[names[f"{filter_name}_FLAG"]]) == _BLANKED
        if quantity.key in _NEVER_BLANKED:
            blank = np.zeros(len(values), dtype=bool)
        elif quantity.unit == u.mag and quantity.key.endswith("mag"):
            blank = blank | (values > 99.0)
        column = np.where(blank, np.nan, values.astype(np.float64))
        table[flat] = column if quantity.unit is None else column * quantity.unit
        table[flat].info.description = quantity.description
    return table


def read_matched_artificial_stars(path: Path, filters: Sequence[str]) -> QTable:
    """Read a ``.matchfake`` table.

    Parameters
    ----------
    path : `~pathlib.Path`
        The table: magnitudes that were put in, then how much fainter each was put in than measured.
    filters : sequence of str
        Its filters in their order.

    Returns
    -------
    QTable
        ``f555w_mag_in`` and ``f555w_difference_mag`` (in - measured) of each filter; a difference
        of a star that was not recovered is NaN.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If it is damaged; the failure names the line.
    """
    rows = read_numbers(path, 2 * len(filters))
    table = QTable()
    for at, name in enumerate(filters):
        difference = rows[:, len(filters) + at]
        # Not recovered: 99.99, or the magnitude put in minus 99.999.
        lost = np.abs(difference) > 50.0
        table[f"{name.lower()}_mag_in"] = rows[:, at] * u.mag
        table[f"{name.lower()}_difference_mag"] = np.where(lost, np.nan, difference) * u.mag
    return table
