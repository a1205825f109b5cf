"""Artificial stars: what was put in (``.fakelist``), and what was measured of it (``.fake``).

DOLPHOT leaves out stars that are on no image, without a word: the completeness is counted against
the list that was put in, not against the rows that came out (`ArtificialStars.found_of`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.columns import CatalogColumns
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.number_rows import read_numbers
from hst_assets.photometry.catalog.quantities import NOT_RECOVERED
from hst_assets.photometry.catalog.reading import catalog_columns, catalog_of
from hst_assets.photometry.catalog.writing import catalog_lines
from hst_assets.workdir import write_atomically

__all__ = [
    "ArtificialStars",
    "StarsPutIn",
    "read_artificial_stars",
    "read_stars_put_in",
    "write_artificial_stars",
    "write_stars_put_in",
]

_N_PLACE = 4
#: Positions of the list and of the result agree as far as both print them.
_SAME_PIX = 0.0051
_LARGE_COUNTS = 999999.5


@dataclass(frozen=True, eq=False)
class StarsPutIn:
    """A list of artificial stars.

    Attributes
    ----------
    extension, chip : ndarray, shape (n,)
        As in the catalogue.
    x, y : ndarray, shape (n,)
        Position on the reference, as in the catalogue: numpy index + 0.5.
    brightness : ndarray, shape (n, k)
        Vega magnitude in each filter; of instruments that DOLPHOT does not know, counts in each
        image.
    labels : tuple of str
        The k filters, in the order WFPC2, ACS, WFC3 and of the program's own list; or images.
    """

    extension: NDArray[np.int32]
    chip: NDArray[np.int32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    brightness: NDArray[np.float64]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class ArtificialStars:
    """What was measured of artificial stars, in the order of the list that was put in.

    Attributes
    ----------
    extension, chip, x, y : ndarray, shape (n,)
        Where each was put in.
    counts, magnitudes : ndarray, shape (n, n_images)
        What was put into each image.
    measured : Catalog
        What was measured; the rows of stars that were not recovered hold no measurement.
    """

    extension: NDArray[np.int32]
    chip: NDArray[np.int32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    counts: NDArray[np.float64]
    magnitudes: NDArray[np.float64]
    measured: Catalog

    def __len__(self) -> int:
        return len(self.x)

    @property
    def recovered(self) -> NDArray[np.bool_]:
        """Which stars were found at all, whatever a cut makes of them: shape (n,)."""
        flags = [
            self.measured.values("flag", image=image.number)
            for image in self.measured.columns.images
        ]
        lost: NDArray[np.bool_] = np.all(np.stack(flags) == NOT_RECOVERED, axis=0)
        return ~lost

    def found_of(self, put_in: StarsPutIn) -> NDArray[np.int64]:
        """The row of each star of the list here; -1 where DOLPHOT left it out.

        Parameters
        ----------
        put_in : StarsPutIn
            The list; DOLPHOT keeps its order within each chip.

        Returns
        -------
        ndarray, shape (len(put_in),)
            Indices of rows.

        Raises
        ------
        UnusableInput
            If there is a star here that is not in the list.
        """
        waiting: dict[tuple[int, int], list[int]] = defaultdict(list)
        places = zip(put_in.extension.tolist(), put_in.chip.tolist(), strict=True)
        for row, place in enumerate(places):
            waiting[place].append(row)
        found = np.full(len(put_in), -1, dtype=np.int64)
        next_of: dict[tuple[int, int], int] = defaultdict(int)
        for row in range(len(self)):
            place = int(self.extension[row]), int(self.chip[row])
            at = next_of[place]
            while at < len(waiting[place]) and not self._is(row, put_in, waiting[place][at]):
                at += 1
            if at == len(waiting[place]):
                raise UnusableInput(
                    f"the artificial star of row {row + 1} is not in the list",
                    next_step="Use the list with which the stars were put in",
                )
            found[waiting[place][at]] = row
            next_of[place] = at + 1
        return found

    def _is(self, row: int, put_in: StarsPutIn, listed: int) -> bool:
        dx, dy = self.x[row] - put_in.x[listed], self.y[row] - put_in.y[listed]
        return bool(abs(dx) < _SAME_PIX and abs(dy) < _SAME_PIX)


def read_stars_put_in(path: Path, labels: Sequence[str]) -> StarsPutIn:
    """Read a list of artificial stars.

    Parameters
    ----------
    path : `~pathlib.Path`
        The ``.fakelist``.
    labels : sequence of str
        Its filters in their order, or its images.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If it is damaged; the failure names the line.
    """
    rows = read_numbers(path, _N_PLACE + len(labels))
    extension, chip, x, y = _places(rows, path)
    return StarsPutIn(extension, chip, x, y, rows[:, _N_PLACE:], tuple(labels))


def write_stars_put_in(stars: StarsPutIn, path: Path) -> None:
    """Write a list of artificial stars as DOLPHOT's ``fakelist`` does."""
    form = "%d %d %7.2f %7.2f" + " %6.3f" * len(stars.labels) + "\n"
    with write_atomically(path) as part, part.open("w", newline="\n") as file:
        for row in range(len(stars)):
            place = stars.extension[row], stars.chip[row], stars.x[row], stars.y[row]
            file.write(form % (*place, *stars.brightness[row].tolist()))


def read_artificial_stars(path: Path, *, columns: CatalogColumns | None = None) -> ArtificialStars:
    """Read what was measured of artificial stars.

    Parameters
    ----------
    path : `~pathlib.Path`
        The ``.fake`` file.
    columns : CatalogColumns, optional
        Those of the catalogue; otherwise read from the files beside it.

    Raises
    ------
    MissingProduct
        If it or the list of columns is not there.
    UnusableInput
        If it is damaged; the failure names the line.
    """
    columns = columns or catalog_columns(path.with_suffix(""))
    n_images = len(columns.images)
    first = _N_PLACE + 2 * n_images
    rows = read_numbers(path, first + len(columns))
    extension, chip, x, y = _places(rows, path)
    measured = Catalog(columns, catalog_of(rows[:, first:], columns, where=path))
    given = rows[:, _N_PLACE:first]
    return ArtificialStars(extension, chip, x, y, given[:, ::2], given[:, 1::2], measured)


def write_artificial_stars(stars: ArtificialStars, path: Path) -> None:
    """Write what was measured of artificial stars as DOLPHOT does."""
    with write_atomically(path) as part, part.open("w", newline="\n") as file:
        row = 0
        for lines in catalog_lines(stars.measured):
            for line in lines:
                file.write(f"{_given(stars, row)} {line}")
                row += 1


def _given(stars: ArtificialStars, row: int) -> str:
    words = [
        f"{stars.extension[row]:d} {stars.chip[row]:d} {stars.x[row]:7.2f} {stars.y[row]:7.2f}"
    ]
    for counts, magnitude in zip(stars.counts[row], stars.magnitudes[row], strict=True):
        form = "%8.1f" if counts < _LARGE_COUNTS else "%8.2e"
        words.append(f"{form % counts} {magnitude:6.3f}")
    return " ".join(words)


def _places(
    rows: NDArray[np.float64], path: Path
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    place = rows[:, :_N_PLACE]
    bad = ~np.isfinite(place).all(axis=1) | (place[:, :2] != np.rint(place[:, :2])).any(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise UnusableInput("no extension, chip and position", where=f"{path}, line {row + 1}")
    extension, chip = (place[:, at].astype(np.int32) for at in (0, 1))
    return extension, chip, place[:, 2], place[:, 3]
