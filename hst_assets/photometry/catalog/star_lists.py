"""Lists of stars beside a catalogue: aperture stars, PSF stars, and stars to be measured again.

Each is a text table of numbers without a header. They are read into astropy tables, and written as
DOLPHOT writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.number_rows import read_numbers
from hst_assets.workdir import write_atomically

__all__ = [
    "read_aperture_stars",
    "read_psf_stars",
    "read_star_positions",
    "write_aperture_stars",
    "write_psf_stars",
    "write_star_positions",
]


@dataclass(frozen=True)
class _Field:
    """A column: its name, printf format, meaning and unit."""

    name: str
    form: str
    description: str
    unit: u.UnitBase | None = None

    @property
    def is_integer(self) -> bool:
        return self.form.endswith("d")


_PLACE = (
    _Field("extension", "%d", "FITS extension"),
    _Field("chip", "%d", "Plane of the extension"),
)
_X = "X on the reference: numpy index + 0.5, FITS pixel - 0.5"
_APERTURE: tuple[_Field, ...] = (
    _Field("image", "%2d", "Number of the image, from 1"),
    *_PLACE,
    _Field("x", "%7.2f", _X, u.pix),
    _Field("y", "%7.2f", _X.replace("X", "Y", 1), u.pix),
    _Field("mag", "%6.3f", "Magnitude under the PSF, of zero point 25 (or the one set)", u.mag),
    _Field("psf_to_small", "%6.3f", "From the PSF's counts to those of the small aperture", u.mag),
    _Field("psf_to_small_error", "%6.3f", "Its error", u.mag),
    _Field("small_to_large", "%6.3f", "From the small aperture to the large one", u.mag),
    _Field("small_to_large_error", "%6.3f", "Its error", u.mag),
    _Field("psf_outside", "%6.3f", "Light of the PSF model outside of the small aperture", u.mag),
    _Field("psf_outside_error", "%6.3f", "Its error", u.mag),
    _Field("weight", "%6.2f", "Weight: 1 / error, less where the sky is high"),
)
_PSF: tuple[_Field, ...] = (
    *_PLACE,
    _Field("x", "%6.2f", _X, u.pix),
    _Field("y", "%6.2f", _X.replace("X", "Y", 1), u.pix),
)
_POSITIONS: tuple[_Field, ...] = (
    *_PLACE,
    _Field("x", "%.2f", _X, u.pix),
    _Field("y", "%.2f", _X.replace("X", "Y", 1), u.pix),
    _Field(
        "object_type", "%d", "1 bright star, 2 faint star, 3 elongated, 4 hot pixel, 5 extended"
    ),
    _Field("snr", "%.1f", "Signal-to-noise ratio over all images"),
)


def read_aperture_stars(path: Path) -> QTable:
    """The stars of the aperture corrections (``.apcor``), one row an image and star.

    Raises
    ------
    MissingProduct
        If the file is not there.
    UnusableInput
        If it is damaged; the failure names the line.
    """
    return _read(path, _APERTURE)


def write_aperture_stars(table: QTable, path: Path) -> None:
    """Write them as DOLPHOT does."""
    _write(table, path, _APERTURE)


def read_psf_stars(path: Path, n_images: int) -> QTable:
    """The stars of the PSF (``.psfs``); ``image_1`` and so on say in which images each was used.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    n_images : int
        Images of the run.

    Raises
    ------
    MissingProduct
        If the file is not there.
    UnusableInput
        If it is damaged, or of another number of images; the failure names the line.
    """
    return _read(path, _psf_fields(n_images))


def write_psf_stars(table: QTable, path: Path) -> None:
    """Write them as DOLPHOT does."""
    _write(table, path, _psf_fields(len(table.colnames) - len(_PSF)))


def read_star_positions(path: Path) -> QTable:
    """A list of stars to be measured at fixed positions (``xytfile`` of DOLPHOT).

    Raises
    ------
    MissingProduct
        If the file is not there.
    UnusableInput
        If it is damaged; the failure names the line.
    """
    return _read(path, _POSITIONS)


def write_star_positions(table: QTable, path: Path) -> None:
    """Write a list of stars to be measured at fixed positions.

    Parameters
    ----------
    table : QTable
        With ``extension``, ``chip``, ``x``, ``y``, ``object_type`` and ``snr``, as
        `read_star_positions` gives it.
    path : `~pathlib.Path`
        Where it goes.
    """
    _write(table, path, _POSITIONS)


def _psf_fields(n_images: int) -> tuple[_Field, ...]:
    flags = (
        _Field(f"image_{number}", "%d", f"1: used for image {number}")
        for number in range(1, n_images + 1)
    )
    return (*_PSF, *flags)


def _read(path: Path, fields: Sequence[_Field]) -> QTable:
    rows = read_numbers(path, len(fields))
    table = QTable()
    for each, values in zip(fields, rows.T, strict=True):
        if each.is_integer:
            bad = ~np.isfinite(values) | (values != np.rint(values))
            if bad.any():
                row = int(np.argmax(bad))
                raise UnusableInput(
                    f"{each.name} is {values[row]:g}", where=f"{path}, line {row + 1}"
                )
            table[each.name] = Column(values.astype(np.int32), description=each.description)
        elif each.unit is None:
            table[each.name] = Column(values, description=each.description)
        else:
            table[each.name] = u.Quantity(values, each.unit)
            table[each.name].info.description = each.description
    return table


def _write(table: QTable, path: Path, fields: Sequence[_Field]) -> None:
    columns = [
        table[each.name] if each.unit is None else table[each.name].to_value(each.unit)
        for each in fields
    ]
    form = " ".join(each.form for each in fields) + "\n"
    rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    with write_atomically(path) as part, part.open("w", newline="\n") as file:
        file.writelines(form % row for row in rows)
