"""Text files of numbers, one row a line, as DOLPHOT writes them: read fast, and never in part.

What is damaged is told with its line: a row with too few or too many numbers, anything that is not
a number, and a last line without its end, which is how a file looks that was cut off.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import MissingProduct, UnusableInput

__all__ = ["CHUNK_ROWS", "blocks_of_numbers", "count_rows", "read_numbers"]

#: Rows that are read at a time: 60 MB of 76 columns.
CHUNK_ROWS = 100_000

_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?nan|[+-]?inf")
#: Bytes that end a line, or a number, for some readers and not for others.
_STRANGE = re.compile(rb"[\0\r\v\f\x1c-\x1f]")
_BUFFER = 1 << 24


def read_numbers(path: Path, n_columns: int) -> NDArray[np.float64]:
    """All rows of a file.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file; one that ends in ``.gz`` is unpacked on the way.
    n_columns : int
        Numbers in each row.

    Returns
    -------
    ndarray, shape (n, n_columns)
        The numbers.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If it is damaged; the failure names the line.
    """
    blocks = list(blocks_of_numbers(path, n_columns))
    return np.concatenate(blocks) if blocks else np.empty((0, n_columns))


def blocks_of_numbers(
    path: Path, n_columns: int, *, chunk_rows: int = CHUNK_ROWS
) -> Iterator[NDArray[np.float64]]:
    """The same, `chunk_rows` rows at a time, so that no more than those are in memory.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If it is damaged; the failure names the line.
    """
    if not count_rows(path):
        return
    import pandas as pd  # 0.3 s, which a look at records does not need

    try:
        with _opened(path) as file:
            for frame in pd.read_csv(
                file,
                sep=r"\s+",
                header=None,
                dtype=np.float64,
                quoting=csv.QUOTE_NONE,
                # Only what C calls nan is one: a number that is missing is an error.
                keep_default_na=False,
                na_values=["nan", "-nan"],
                skip_blank_lines=False,
                chunksize=chunk_rows,
            ):
                block = frame.to_numpy()
                if block.shape[1] != n_columns:
                    _raise_first_fault(path, n_columns)
                yield block
    except (ValueError, pd.errors.ParserError) as error:
        _raise_first_fault(path, n_columns)
        raise UnusableInput(f"the rows cannot be read: {error}", where=path) from error


def count_rows(path: Path) -> int:
    """Number of rows of a file, all of them complete; 0 of an empty one.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If the last line has no end, or the file holds anything but text.
    """
    rows, last = 0, b"\n"
    try:
        with _opened(path) as file:
            while block := file.read(_BUFFER):
                if strange := _STRANGE.search(block):
                    line = rows + block[: strange.start()].count(b"\n") + 1
                    raise UnusableInput(
                        f"a byte {strange[0]!r} that no table of numbers has",
                        where=f"{path}, line {line}",
                    )
                rows += block.count(b"\n")
                last = block[-1:]
    except FileNotFoundError as error:
        raise MissingProduct("the file is missing", where=path) from error
    except (OSError, EOFError) as error:
        raise UnusableInput(f"the file cannot be read: {error}", where=path) from error
    if last != b"\n":
        raise UnusableInput(
            "the last line is cut off",
            where=f"{path}, line {rows + 1}",
            next_step="Make the file again",
        )
    return rows


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _raise_first_fault(path: Path, n_columns: int) -> None:
    """Raise the failure that says what is wrong in the first wrong line, if any is."""
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}, line {number}"
            words = line.split()
            if len(words) != n_columns:
                raise UnusableInput(
                    f"{len(words)} numbers instead of {n_columns}",
                    where=where,
                    next_step="Make the file again",
                )
            for position, word in enumerate(words, start=1):
                if not _NUMBER.fullmatch(word):
                    text = word[:40].decode(errors="replace")
                    raise UnusableInput(f"number {position} is {text!r}", where=where)
