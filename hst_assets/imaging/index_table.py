"""The form of the tables that list products: texts, counts and numbers with units, as ECSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, QTable
from astropy.units import UnitBase

from hst_assets.workdir import write_atomically

__all__ = ["IndexColumns"]


@dataclass(frozen=True)
class IndexColumns:
    """The columns of one kind of index, in the order in which they are written.

    Attributes
    ----------
    names, texts : tuple of (str, str)
        Name and meaning of columns of text: those in front, and those at the end.
    counts : tuple of (str, str)
        Name and meaning of columns of integers.
    numbers : tuple of (str, str, unit or None, str)
        Key in a row, name, unit and meaning of columns of numbers; what a row lacks is NaN.
    """

    names: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, str], ...]
    numbers: tuple[tuple[str, str, UnitBase | None, str], ...]
    texts: tuple[tuple[str, str], ...]

    def write(self, rows: Sequence[Mapping[str, Any]], path: Path, meta: Mapping[str, Any]) -> None:
        """Write the rows as ECSV; without rows, a table that describes its columns."""
        table = QTable(meta=dict(meta))
        for name, description in self.names:
            table[name] = _texts(rows, name, description)
        for name, description in self.counts:
            values = [row[name] for row in rows]
            table[name] = Column(values, dtype=np.int64, description=description)
        for key, name, unit, description in self.numbers:
            given = [row.get(key) for row in rows]
            numbers = np.array([np.nan if each is None else each for each in given], dtype=float)
            table[name] = Column(numbers) if unit is None else numbers * unit
            table[name].info.description = description
        for name, description in self.texts:
            table[name] = _texts(rows, name, description)
        with write_atomically(path) as part:
            table.write(part, format="ascii.ecsv", overwrite=True)


def _texts(rows: Sequence[Mapping[str, Any]], name: str, description: str) -> Column:
    return Column([row[name] for row in rows], dtype=str, description=description)
