"""A catalogue of stars: its columns as arrays, addressed by quantity and filter or image.

Whoever measured it, DOLPHOT or this package, the columns and their meanings are the same. Positions
are those of DOLPHOT: numpy index + 0.5, or FITS pixel - 0.5, on the reference image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.columns import CatalogColumn, CatalogColumns
from hst_assets.photometry.catalog.quantities import MISSING_MAG

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AddedColumn", "Catalog", "wcs_origin_pixels"]

#: X and Y of a catalogue are the 0-based numpy index plus this: the centre of the first pixel is
#: (0.5, 0.5).
_PIXEL_OFFSET = 0.5
#: Positions are computed for so many stars at a time, which bounds the memory of the distortion.
_POSITIONS_AT_A_TIME = 200_000


@dataclass(frozen=True)
class AddedColumn:
    """A column that was computed from the catalogue.

    Attributes
    ----------
    values : ndarray, shape (n,)
        Its values; NaN where there is none.
    description : str
        What it means.
    unit : unit or None
        Its unit.
    """

    values: NDArray[Any]
    description: str
    unit: u.UnitBase | None = None


@dataclass(frozen=True, eq=False)
class Catalog:
    """Stars and their measurements.

    Parameters
    ----------
    columns : CatalogColumns
        What there is.
    data : mapping
        Values by the flat name of each column, arrays of shape (n,).
    added : mapping
        Columns computed from them, by their flat names (sky positions, other magnitudes).
    meta : mapping
        Texts and numbers about the catalogue as a whole; they go where the tables go.
    """

    columns: CatalogColumns
    data: Mapping[str, NDArray[Any]]
    added: Mapping[str, AddedColumn] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [each.name for each in self.columns if each.name not in self.data]
        if missing:
            raise UnusableInput(f"the catalogue lacks the columns {', '.join(missing[:5])}")
        if len({len(values) for values in self.data.values()}) > 1:
            raise UnusableInput("the columns of the catalogue have different lengths")

    def __len__(self) -> int:
        return len(self.data["x"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The values of a column by its flat name."""
        return self.added[name].values if name in self.added else self.data[name]

    def values(
        self, quantity: str, *, filter_name: str | None = None, image: str | int | None = None
    ) -> NDArray[Any]:
        """The values of a quantity of the object, of a filter or of an image.

        Parameters
        ----------
        quantity : str
            Its key, such as ``rate``.
        filter_name : str, optional
            Name of the filter: ``F814W`` or ``WFC3_F814W``.
        image : str or int, optional
            Its file's name, or its number from 1.

        Returns
        -------
        ndarray, shape (n,)
            In the unit of the quantity.

        Raises
        ------
        BadConfiguration
            If there is no such column, or the name fits more than one.
        """
        return self.data[self.columns.find(quantity, filter_name=filter_name, image=image).name]

    def measured(self, *, filter_name: str | None = None, image: str | int | None = None) -> Any:
        """Which stars have a magnitude in a filter or an image: bool, shape (n,)."""
        column = self._magnitude(filter_name, image)
        values = self.data[column.name]
        return np.isfinite(values) & (values < MISSING_MAG - 0.5)

    def _magnitude(self, filter_name: str | None, image: str | int | None) -> CatalogColumn:
        known = None if image is None else self.columns.image(image)
        analytic = known is not None and not known.filter_label
        key = "instrumental_mag" if analytic else "vega_mag"
        return self.columns.find(key, filter_name=filter_name, image=image)

    def select(self, rows: ArrayLike) -> Catalog:
        """Some of the stars.

        Parameters
        ----------
        rows : array_like
            Booleans of shape (n,), or indices.
        """
        chosen = np.asarray(rows)
        data = {name: values[chosen] for name, values in self.data.items()}
        added = {
            name: AddedColumn(each.values[chosen], each.description, each.unit)
            for name, each in self.added.items()
        }
        return Catalog(self.columns, data, added, self.meta)

    def with_added(self, added: Mapping[str, AddedColumn], **meta: Any) -> Catalog:
        """The catalogue with more columns, and more said of it.

        Raises
        ------
        UnusableInput
            If a column has another length, or the name of one that was measured.
        """
        for name, column in added.items():
            if name in self.data or len(column.values) != len(self):
                raise UnusableInput(f"the column {name} cannot be added: name or length are wrong")
        return Catalog(self.columns, self.data, {**self.added, **added}, {**self.meta, **meta})

    # ------------------------------------------------------------------ positions

    def with_positions(self, wcs: WCS) -> Catalog:
        """The catalogue with the columns ``ra`` and ``dec``, by the WCS of the reference.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS`
            Of the image on which X and Y were measured.

        Raises
        ------
        UnusableInput
            If the WCS has no sky.
        """
        if not wcs.has_celestial:
            raise UnusableInput("the WCS of the reference has no sky")
        ra, dec = np.empty(len(self)), np.empty(len(self))
        x, y = wcs_origin_pixels(self)
        for start in range(0, len(self), _POSITIONS_AT_A_TIME):
            part = slice(start, start + _POSITIONS_AT_A_TIME)
            ra[part], dec[part] = wcs.all_pix2world(x[part], y[part], 0)
        frame = (wcs.wcs.radesys or "ICRS").strip()
        return self.with_added(
            {
                "ra": AddedColumn(ra % 360.0, f"Right ascension ({frame})", u.deg),
                "dec": AddedColumn(dec, f"Declination ({frame})", u.deg),
            }
        )

    # --------------------------------------------------------------------- tables

    def described(self) -> dict[str, tuple[NDArray[Any], str, u.UnitBase | None]]:
        """Values, description and unit of every column, by its flat name; added ones come last."""
        found: dict[str, tuple[NDArray[Any], str, u.UnitBase | None]] = {
            each.name: (self.data[each.name], each.description, each.quantity.unit)
            for each in self.columns
        }
        for name, added in self.added.items():
            found[name] = (added.values, added.description, added.unit)
        return found

    def to_table(self) -> QTable:
        """The catalogue as a table with units and descriptions."""
        table = QTable(meta=dict(self.meta))
        for name, (values, description, unit) in self.described().items():
            if unit is None:
                table[name] = Column(values, description=description)
            else:
                # A whole number with a unit stays one: Quantity would make it a float.
                table[name] = u.Quantity(values, unit, dtype=values.dtype, copy=False)
                table[name].info.description = description
        return table

    def to_pandas(self) -> pd.DataFrame:
        """The catalogue as a frame, with flat names.

        Returns
        -------
        DataFrame
            ``attrs`` has the dictionaries ``units`` and ``descriptions`` by column (a plain number
            has no unit), and ``meta``. They are kept by Parquet.
        """
        import pandas as pd

        described = self.described()
        frame = pd.DataFrame({name: values for name, (values, _, _) in described.items()})
        frame.attrs["units"] = {
            name: unit.to_string() for name, (_, _, unit) in described.items() if unit is not None
        }
        frame.attrs["descriptions"] = {name: text for name, (_, text, _) in described.items()}
        frame.attrs["meta"] = dict(self.meta)
        return frame


def wcs_origin_pixels(catalog: Catalog) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """X and Y of the stars as numpy counts them: 0 is the middle of the first pixel."""
    return catalog.data["x"] - _PIXEL_OFFSET, catalog.data["y"] - _PIXEL_OFFSET
