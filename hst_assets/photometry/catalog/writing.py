"""Writing a catalogue in DOLPHOT's format, byte for byte as DOLPHOT 2.0 writes it.

A number has the width of its column, and a large one fewer decimals, as the C program chooses them.
What is read and written again is the same file, with two exceptions of DOLPHOT's own: a rate that
it rounded up to ``9.90e-01`` comes back as ``0.990000``, and ``-nan`` as ``nan``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.catalog.columns import CatalogColumn
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.workdir import write_atomically

__all__ = ["catalog_lines", "write_catalog"]

_ROWS_AT_A_TIME = 20_000
_PER_OBJECT = {
    "extension": "%d",
    "chip": " %d",
    "x": " %7.2f",
    "y": " %7.2f",
    "chi": " %6.2f",
    "snr": " %7.1f",
    "sharpness": " %6.3f",
    "roundness": " %6.3f",
    "position_angle": " %3d",
    "crowding": " %5.3f",
    "object_type": " %d",
}
_IN_BLOCK = {
    "vega_mag": " %6.3f",
    "ubvri_mag": " %6.3f",
    "instrumental_mag": " %6.3f",
    "mag_error": " %5.3f",
    "chi": " %6.2f",
    "snr": " %7.1f",
    "sharpness": " %6.3f",
    "roundness": " %6.3f",
    "crowding": " %5.3f",
    "psf_fwhm": " %6.3f",
    "psf_eccentricity": " %6.3f",
    "psf_a": " %6.3f",
    "psf_b": " %6.3f",
    "psf_c": " %6.3f",
    "flag": " %2d",
}
_RATE = (
    (0.0, 0.99, 9.999995, 99.99995, 999.9995, 9999.995, 99999.95, 999999.5),
    (" %8.1e", " %8.2e", " %8.6f", " %8.5f", " %8.4f", " %8.3f", " %8.2f", " %8.1f", " %8.1e"),
)
#: Formats that depend on the value: that of a number below the first limit, the second and so on.
_BY_SIZE: dict[str, tuple[tuple[float, ...], tuple[str, ...]]] = {
    "counts": ((999999.5,), ("  %8.1f", "  %8.2e")),
    "sky": ((99999.95, 999999.5), (" %8.2f", " %8.1f", " %8.1e")),
    "rate": _RATE,
    "rate_error": _RATE,
}


def write_catalog(catalog: Catalog, path: Path) -> tuple[Path, Path]:
    """Write a catalogue and the list of its columns, each in one step.

    Parameters
    ----------
    catalog : Catalog
        What was added to it (sky positions, other magnitudes) is not written.
    path : `~pathlib.Path`
        The catalogue; its columns go beside it.

    Returns
    -------
    tuple of `~pathlib.Path`
        Both files.
    """
    columns = path.with_name(f"{path.name}.columns")
    with write_atomically(columns) as part:
        part.write_text(catalog.columns.text())
    with write_atomically(path) as part, part.open("w", newline="\n") as file:
        _write_lines(catalog, file)
    return path, columns


def _write_lines(catalog: Catalog, file: IO[str]) -> None:
    for lines in catalog_lines(catalog):
        file.writelines(lines)


def catalog_lines(catalog: Catalog) -> Iterator[list[str]]:
    """The lines of the catalogue, each with its end, some thousand at a time."""
    columns = catalog.columns.all
    for start in range(0, len(catalog), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        arrays = [catalog.data[each.name][part] for each in columns]
        patterns, which = _patterns(columns, arrays)
        rows = zip(*(array.tolist() for array in arrays), strict=True)
        yield [patterns[kind] % row for kind, row in zip(which, rows, strict=True)]


def _patterns(
    columns: tuple[CatalogColumn, ...], arrays: list[NDArray[np.float64]]
) -> tuple[list[str], list[int]]:
    """The formats of a row that occur, and which of them each row has."""
    sizes = [
        np.searchsorted(_BY_SIZE[column.quantity.key][0], array, side="right")
        for column, array in zip(columns, arrays, strict=True)
        if _depends_on_size(column)
    ]
    if not sizes:
        return ["".join(_format(each, 0) for each in columns) + "\n"], [0] * len(arrays[0])
    kinds, which = np.unique(np.stack(sizes, axis=1), axis=0, return_inverse=True)
    patterns = []
    for kind in kinds.tolist():
        size_of = iter(kind)
        formats = (
            _format(each, next(size_of) if _depends_on_size(each) else 0) for each in columns
        )
        patterns.append("".join(formats) + "\n")
    return patterns, which.ravel().tolist()


def _depends_on_size(column: CatalogColumn) -> bool:
    return column.quantity.key in _BY_SIZE


def _format(column: CatalogColumn, size: int) -> str:
    key = column.quantity.key
    if column.filter is None and column.image is None:
        return _PER_OBJECT[key]
    return _BY_SIZE[key][1][size] if key in _BY_SIZE else _IN_BLOCK[key]
