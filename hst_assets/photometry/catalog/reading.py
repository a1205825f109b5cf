"""Reading a catalogue in DOLPHOT's format: whole, or some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.columns import CatalogColumns, read_columns
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.number_rows import (
    CHUNK_ROWS,
    blocks_of_numbers,
    count_rows,
)
from hst_assets.photometry.catalog.quantities import OBJECT_TYPES
from hst_assets.photometry.catalog.run_info import read_run_info

__all__ = ["beside", "catalog_columns", "catalog_of", "parts_of_catalog", "read_catalog"]


def read_catalog(path: Path, *, columns: CatalogColumns | None = None) -> Catalog:
    """Read a catalogue.

    Parameters
    ----------
    path : `~pathlib.Path`
        The catalogue itself, ``dp0000``; it may be packed (``dp0000.gz``).
    columns : CatalogColumns, optional
        Its columns; otherwise those of ``dp0000.columns`` beside it, with the instruments of
        ``dp0000.info`` if that is there.

    Returns
    -------
    Catalog
        Every row, none left out; memory is 8 bytes a number.

    Raises
    ------
    MissingProduct
        If it or its list of columns is not there.
    UnusableInput
        If a file is damaged, or the catalogue has other columns than the list; the failure names
        file and line.
    """
    columns = columns or catalog_columns(path)
    rows = count_rows(path)
    whole = {each.name: np.empty(rows, each.quantity.dtype) for each in columns}
    at = 0
    for part in parts_of_catalog(path, columns=columns):
        for name, values in part.data.items():
            whole[name][at : at + len(part)] = values
        at += len(part)
    if at != rows:
        raise UnusableInput("the catalogue changed while it was read", where=path)
    return Catalog(columns, whole)


def parts_of_catalog(
    path: Path, *, columns: CatalogColumns | None = None, chunk_rows: int = CHUNK_ROWS
) -> Iterator[Catalog]:
    """The same, `chunk_rows` stars at a time: no more than those are in memory.

    Raises
    ------
    MissingProduct
        If it or its list of columns is not there.
    UnusableInput
        If a file is damaged; the failure names file and line.
    """
    columns = columns or catalog_columns(path)
    first = 1
    for block in blocks_of_numbers(path, len(columns), chunk_rows=chunk_rows):
        yield Catalog(columns, catalog_of(block, columns, where=path, first_line=first))
        first += len(block)


def catalog_columns(path: Path) -> CatalogColumns:
    """The columns of the catalogue `path`, from the files beside it.

    Raises
    ------
    MissingProduct
        If the list of columns is not there.
    UnusableInput
        If a file is damaged, or the files beside the catalogue are of different runs.
    """
    columns = read_columns(beside(path, ".columns"))
    info_path = beside(path, ".info")
    if not info_path.is_file():
        return columns
    info = read_run_info(info_path)
    if [image.path for image in info.images] != [image.path for image in columns.images]:
        raise UnusableInput(
            "its images are not those of the list of columns",
            where=info_path,
            next_step="Make the catalogue again",
        )
    return columns.named_by(info.instruments) if info.instruments else columns


def beside(path: Path, suffix: str) -> Path:
    """A file of the same run: ``dp0000.info`` of ``dp0000`` or ``dp0000.gz``."""
    return path.with_name(path.name.removesuffix(".gz") + suffix)


def catalog_of(
    block: NDArray[np.float64], columns: CatalogColumns, *, where: object, first_line: int = 1
) -> Mapping[str, NDArray[Any]]:
    """Columns by their flat names, checked, from rows of numbers.

    Parameters
    ----------
    block : ndarray, shape (n, n_columns)
        The rows.
    columns : CatalogColumns
        What they are.
    where : object
        The file, for failures.
    first_line : int, optional
        Its line in which the block begins.

    Raises
    ------
    UnusableInput
        If a whole number is none, a position is no number, or an object has no known type.
    """
    data: dict[str, NDArray[Any]] = {}
    for each, values in zip(columns, block.T, strict=True):
        if each.quantity.is_integer:
            bad = ~np.isfinite(values) | (values != np.rint(values)) | (np.abs(values) > 2**31 - 1)
        elif each.name in {"x", "y"}:
            bad = ~np.isfinite(values)
        else:
            data[each.name] = np.ascontiguousarray(values)
            continue
        if not bad.any() and each.name == "object_type":
            bad = ~np.isin(values, list(OBJECT_TYPES))
        if bad.any():
            row = int(np.argmax(bad))
            raise UnusableInput(
                f"the {each.quantity.key} (column {each.number}) is {values[row]:g}",
                where=f"{where}, line {first_line + row}",
                next_step="Make the catalogue again",
            )
        data[each.name] = values.astype(each.quantity.dtype)
    return data
