"""The tables of this project: registries of their columns, and how they are written and read.

Each kind of table has one registry, a tuple of `ColumnSpec`. From it comes the table itself, with
types, units and descriptions, and its description in the reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable

from hst_assets.failures import MissingProduct
from hst_assets.workdir import fresh_stamp, write_atomically

__all__ = ["ColumnSpec", "build_table", "no_numbers", "read_table", "write_table"]

#: Of tables up to this size, one that is read again as it was is copied: most of the time goes into
#: the description of the columns (50 ms for that of exposures), and a comparison reads it often.
_COPIED_BYTES = 500_000
_N_COPIED = 16


@dataclass(frozen=True)
class ColumnSpec:
    """One column.

    Attributes
    ----------
    name : str
        Its name.
    dtype : str
        Its numpy type.
    description : str
        What it means.
    unit : unit or None
        None: a plain number or text.
    key : str
        Its name in a row; if empty, that of the column (``exptime_s`` goes to ``exptime``).
    """

    name: str
    dtype: str
    description: str
    unit: u.UnitBase | None = None
    key: str = ""

    def value_in(self, row: Mapping[str, Any]) -> Any:
        """The column's value in a row; None is NaN in a column of floating-point numbers.

        Raises
        ------
        KeyError
            If the row lacks it.
        ValueError
            If it is None in a column of texts, flags or integers: they have none that is no value.
        """
        value = row[self.key or self.name]
        if value is not None:
            return value
        if self.dtype != "float64":
            raise ValueError(f"no value for the column {self.name!r} of {self.dtype}")
        return math.nan


def no_numbers(specs: Sequence[ColumnSpec]) -> dict[str, None]:
    """The part of a row in which nothing was measured: None for each floating-point number."""
    return {spec.key or spec.name: None for spec in specs if spec.dtype == "float64"}


def build_table(
    specs: Sequence[ColumnSpec],
    rows: Sequence[Mapping[str, Any]],
    meta: Mapping[str, Any] | None = None,
) -> QTable:
    """A table of exactly these columns, typed, with units and descriptions.

    Parameters
    ----------
    specs : sequence of ColumnSpec
        The columns in their order.
    rows : sequence of mapping
        What else a row holds is left out. Without rows, the table still describes its columns.
    meta : mapping, optional
        The table's metadata.
    """
    table = QTable(meta=dict(meta or {}))
    for spec in specs:
        values = np.array([spec.value_in(row) for row in rows], dtype=spec.dtype)
        if spec.unit is None:
            table[spec.name] = Column(values, description=spec.description)
        else:
            # A whole number with a unit stays one: Quantity would make it a float.
            table[spec.name] = u.Quantity(values, spec.unit, dtype=values.dtype)
            table[spec.name].info.description = spec.description
    return table


def write_table(table: QTable, path: Path) -> None:
    """Write a table as ECSV, in one step."""
    with write_atomically(path) as part:
        table.write(part, format="ascii.ecsv", overwrite=True)


def read_table(path: Path) -> QTable:
    """Read a table that this package wrote.

    Raises
    ------
    MissingProduct
        If it is not there or cannot be read.
    """
    try:
        stamp = fresh_stamp(path)
        if stamp[-1] > _COPIED_BYTES:
            return _read(path)
        return _read_once(path, stamp).copy()
    except (OSError, ValueError, KeyError) as error:
        raise MissingProduct(
            f"the table cannot be read: {error}",
            where=path,
            next_step="Rerun 'hst-assets materialize', which remakes it",
        ) from error


@lru_cache(maxsize=_N_COPIED)
def _read_once(path: Path, stamp: tuple[int, int, int]) -> QTable:
    del stamp  # it tells one state of the file from another
    return _read(path)


def _read(path: Path) -> QTable:
    table: QTable = QTable.read(path, format="ascii.ecsv")
    for name in table.colnames:
        column = table[name]
        if hasattr(column, "filled") and column.dtype.kind in "US":
            # ECSV does not tell an empty text from a missing one; here it is always empty.
            description = column.info.description
            table[name] = column.filled("")
            table[name].info.description = description
    return table
