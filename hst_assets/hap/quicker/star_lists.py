"""Lists of the alignment's stars, kept without a table for each star.

``astrometric_utils.extract_sources`` of drizzlepac 3.11 looks for stars in one segment after the
other. Each time photutils makes two astropy tables; one row of the second is added to another
table, and that copies all its columns: a third of the time that the alignment of subarrays takes.
Here a segment's stars are plain arrays, and rows are joined to a table at the end. Only child
processes use this, through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

__all__ = ["Peaks", "Rows", "Stars", "without_tables"]


class Stars:
    """The stars of a segment: what ``extract_sources`` uses of a table.

    Parameters
    ----------
    catalog : _DAOStarFinderCatalog
        photutils' list.

    Attributes
    ----------
    colnames : list of str
        Names of the columns.
    """

    def __init__(self, catalog: Any) -> None:
        self.colnames = list(catalog.default_columns)
        self._values = {name: np.array(getattr(catalog, name)) for name in self.colnames}

    def __len__(self) -> int:
        return len(self._values[self.colnames[0]])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a row."""
        return np.dtype([(name, self._values[name].dtype) for name in self.colnames])

    def __getitem__(self, which: str | int) -> Any:
        """A column, or a row in the order of the columns."""
        if isinstance(which, str):
            return self._values[which]
        return tuple(self._values[name][which] for name in self.colnames)

    def __setitem__(self, name: str, values: NDArray[Any]) -> None:
        self._values[name] = values


class Peaks(dict[str, Any]):
    """The peaks of a segment: what photutils' list of stars uses of a table.

    Parameters
    ----------
    columns : sequence of array_like
        Values.
    names : sequence of str
        Of the columns.
    """

    def __init__(self, columns: Sequence[Any], names: Sequence[str]) -> None:
        super().__init__(zip(names, columns, strict=True))
        self.meta: dict[str, Any] = {}


class Rows(Table):  # type: ignore[misc]
    """A table to which rows are added when something other than their number is asked for."""

    @property
    def columns(self) -> Any:
        """The columns, with all rows."""
        waiting = self.__dict__.get("_waiting")
        if waiting:
            self.__dict__["_waiting"] = []
            self._add(waiting)
        return self.__dict__["_columns"]

    @columns.setter
    def columns(self, columns: Any) -> None:
        self.__dict__["_columns"] = columns

    def __len__(self) -> int:
        columns = self.__dict__["_columns"]
        own = len(columns[0]) if len(columns) else 0
        return own + len(self.__dict__.get("_waiting", ()))

    def add_row(self, vals: Sequence[Any]) -> None:
        """Add a row at the end.

        Parameters
        ----------
        vals : sequence
            A value for each column.
        """
        self.__dict__.setdefault("_waiting", []).append(vals)

    def _add(self, rows: list[Sequence[Any]]) -> None:
        old = self.__dict__["_columns"]
        whole = [
            np.concatenate([np.asarray(column), np.array(values, dtype=column.dtype)])
            for column, values in zip(old.values(), zip(*rows, strict=True), strict=True)
        ]
        Table.__init__(self, whole, names=list(old), copy=False)


def without_tables(
    method: Callable[..., tuple[Any, Any, Any]], module: Any, catalog: type, finder: Any
) -> Callable[..., tuple[Any, Any, Any]]:
    """An ``extract_sources`` that makes one table.

    Parameters
    ----------
    method : callable
        That of drizzlepac.
    module : module
        The module in which it finds ``Table``.
    catalog : type
        photutils' list of stars.
    finder : module
        photutils' module that finds peaks.
    """

    def extract_sources(*arguments: Any, **options: Any) -> tuple[Any, Any, Any]:
        with (
            _replaced(module, "Table", Rows),
            _replaced(catalog, "to_table", _listed),
            _replaced(finder, "QTable", Peaks),
        ):
            table, segments, flagged = method(*arguments, **options)
        return Table(table) if isinstance(table, Rows) else table, segments, flagged

    return extract_sources


def _listed(catalog: Any) -> Stars:
    """In place of the list's method ``to_table``; a class would not be bound."""
    return Stars(catalog)


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)
