"""A target from Python: its tables, light curve and images, without Dagster.

Nothing is made here: what was not made is named, with the command that makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.table import QTable
from astropy.timeseries import BinnedTimeSeries

from hst_assets.detection.image_planes import read_wcs
from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.lineage import Lineage, lineage_of
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.reading import beside, read_catalog
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.light_curve.table import time_series
from hst_assets.photometry.quality_cuts import cuts_of, tally
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.settings import Settings, load_settings
from hst_assets.workdir import WorkDir, default_root

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TargetView", "as_frame", "open_target"]

#: How images write their units.
_UNITS = {
    "ELECTRONS/S": u.electron / u.s,
    "ELECTRONS": u.electron,
    "COUNTS/S": u.adu / u.s,
    "COUNTS": u.adu,
    "DN/S": u.adu / u.s,
    "DN": u.adu,
}


def open_target(name: str, root: str | Path | None = None) -> TargetView:
    """Open a target's work directory for reading.

    Parameters
    ----------
    name : str
        The target's.
    root : str or `~pathlib.Path`, optional
        Folder of work directories; by default ``$HST_ASSETS_ROOT``, or ``data/``.

    Raises
    ------
    BadConfiguration
        If there is no such target, or its settings are not valid.

    Examples
    --------
    >>> import hst_assets
    >>> target = hst_assets.open_target("ngc104")  # doctest: +SKIP
    >>> target.light_curve(method="forced")  # doctest: +SKIP
    """
    folder = default_root() if root is None else Path(root)
    workdir = WorkDir(folder, name).existing()
    return TargetView(workdir, load_settings(workdir))


def as_frame(table: QTable) -> pd.DataFrame:
    """A table as a pandas frame, each number in the unit of its column.

    Units are in ``frame.attrs["units"]``, by column.
    """
    plain = table.copy(copy_data=False)
    units = {name: str(plain[name].unit) for name in plain.colnames if _has_unit(plain[name])}
    for name in units:
        plain[name] = plain[name].value if isinstance(plain[name], u.Quantity) else plain[name]
    frame: pd.DataFrame = plain.to_pandas()
    frame.attrs["units"] = units
    return frame


def _has_unit(column: Any) -> bool:
    return getattr(column, "unit", None) is not None


@dataclass(frozen=True)
class TargetView:
    """What was made of a target.

    Attributes
    ----------
    workdir : WorkDir
        Where it is.
    settings : Settings
        In force for it.
    """

    workdir: WorkDir
    settings: Settings

    @property
    def position(self) -> SkyCoord | None:
        """Of the target (ICRS); None where it has none."""
        target = self.settings.target
        if target.ra_deg is None or target.dec_deg is None:
            return None
        return SkyCoord(target.ra_deg, target.dec_deg, unit="deg")

    # ---------------------------------------------------------------------------- tables

    def exposures(self, *, used: bool = False) -> QTable:
        """The exposures, one row each; with `used` only those that are.

        Raises
        ------
        MissingProduct
            If the table was not made, or cannot be read.
        """
        table = self._table(self.workdir.target_exposures, "target_exposures")
        return table[np.asarray(table["used"], dtype=bool)] if used else table

    def alignment(self) -> QTable:
        """How well each exposure is aligned, one row each.

        Raises
        ------
        MissingProduct
            If the alignment was not gathered, or cannot be read.
        """
        path = self._made(self.workdir.target_alignment, "target_alignment")
        return _read_hdf5(path, "exposures")

    def star_residuals(self) -> QTable:
        """The stars behind the alignment, one row a star of an exposure's fit.

        Raises
        ------
        MissingProduct
            If the alignment was not gathered, or cannot be read.
        """
        path = self._made(self.workdir.target_alignment, "target_alignment")
        return _read_hdf5(path, "matches")

    def stacks(self) -> QTable:
        """The drizzled images of epochs and filters, one row each.

        Raises
        ------
        MissingProduct
            If they were not made, or the index cannot be read.
        """
        return self._table(self.workdir.stack_products, "drizzled_stacks")

    def differences(self) -> QTable:
        """The differences between epochs, one row each.

        Raises
        ------
        MissingProduct
            If they were not made, or the index cannot be read.
        """
        return self._table(self.workdir.difference_products, "epoch_differences")

    def catalogue(self, *, cuts: bool = False) -> QTable:
        """The photometer's catalogue with positions, one row a star.

        Parameters
        ----------
        cuts : bool, optional
            Only stars that pass the cuts of the settings (``quality_cuts``).

        Raises
        ------
        MissingProduct
            If no stars were measured, or a file of the catalogue is gone.
        UnusableInput
            If it is damaged.
        """
        catalog = self.star_catalogue()
        if cuts:
            limits, path = cuts_of(self.settings.quality_cuts), self._catalogue_file()
            detectors = detectors_of_bands(catalog.columns, read_run_info(beside(path, ".info")))
            catalog = catalog.select(tally(catalog, limits, detectors).kept)
        return catalog.to_table()

    def star_catalogue(self) -> Catalog:
        """The same as an object that knows its columns by quantity, filter and image.

        Raises
        ------
        MissingProduct
            If no stars were measured, or a file of the catalogue is gone.
        UnusableInput
            If it is damaged.
        """
        catalog = read_catalog(self._catalogue_file())
        reference, *_ = read_input_images(self.workdir)
        with fits.open(reference.path) as hdus:
            return catalog.with_positions(read_wcs(hdus[0].header, hdus))

    def completeness(self) -> QTable:
        """Completeness, bias and scatter against magnitude, from artificial stars.

        Raises
        ------
        MissingProduct
            If none were measured, or the table cannot be read.
        """
        return self._table(self.workdir.completeness, "artificial_stars", by_name=True)

    def light_curve_table(self) -> QTable:
        """Every flux at the target's place and others, of all methods and levels.

        Raises
        ------
        MissingProduct
            If it was not made, or cannot be read.
        """
        return self._table(self.workdir.light_curve, "light_curve", by_name=True)

    def light_curve(
        self,
        *,
        method: str = "forced",
        level: str = "epoch",
        band: tuple[str, str] | None = None,
        source: int = 0,
    ) -> BinnedTimeSeries:
        """A light curve in the order of time, a bin a point.

        Parameters
        ----------
        method : {"catalog", "forced", "difference"}, optional
            What measured it.
        level : {"exposure", "epoch"}, optional
            What a point is of.
        band : tuple of str, optional
            Key of the detector and filter, such as ``("wfc3_uvis", "F814W")``; by default all.
        source : int, optional
            Number of the place; 0 is the target's.

        Raises
        ------
        MissingProduct
            If it was not made, or cannot be read.
        BadConfiguration
            If it has no such point.
        """
        table = self.light_curve_table()
        chosen = np.asarray(table["source"]) == source
        chosen &= (np.asarray(table["method"]) == method) & (np.asarray(table["level"]) == level)
        if band is not None:
            chosen &= np.asarray(table["detector"]) == band[0]
            chosen &= np.asarray(table["filter_name"]) == band[1].upper()
        if not chosen.any():
            raise BadConfiguration(
                f"the light curve has no point of method {method!r}, level {level!r}, place "
                f"{source}{'' if band is None else f', band {band[0]} {band[1]}'}",
                where=self.workdir.light_curve,
                next_step="light_curve_table() has all there are",
            )
        return time_series(table[chosen])

    def counterpart(self) -> QTable:
        """The candidates for the counterpart, one row each.

        Raises
        ------
        MissingProduct
            If they were not looked for, or the table cannot be read.
        """
        return self._table(self.workdir.counterpart, "counterpart", by_name=True)

    # ---------------------------------------------------------------------------- images

    def image(self, band: str, epoch: int = 0) -> CCDData:
        """A drizzled image with its WCS, errors, and True in the mask where nothing was exposed.

        Parameters
        ----------
        band : str
            Detector and filter as `stacks` has them, such as ``wfc3_uvis.f814w``.
        epoch : int, optional
            Its number; 0: all epochs.

        Raises
        ------
        MissingProduct
            If the stacks were not made, this one failed, or its file is gone.
        BadConfiguration
            If there is no such stack.
        """
        index = self.stacks()
        known = [f"{row['band']} epoch {row['epoch']}" for row in index]
        for row in index:
            if (str(row["band"]), int(row["epoch"])) == (band, epoch):
                return self._image(str(row["file"]), str(row["reason"]))
        raise BadConfiguration(
            f"no stack of {band} epoch {epoch}", next_step=f"There are: {', '.join(known)}"
        )

    def difference(self, band: str, epoch: int) -> CCDData:
        """An epoch minus the template, as `image` gives it.

        Parameters
        ----------
        band : str
            Detector and filter as `differences` has them.
        epoch : int
            The epoch that is not the template.

        Raises
        ------
        MissingProduct
            If the differences were not made, this one failed, or its file is gone.
        BadConfiguration
            If there is no such difference.
        """
        index = self.differences()
        known = [f"{row['band']} epoch {row['epoch']}" for row in index]
        for row in index:
            if (str(row["band"]), int(row["epoch"])) == (band, epoch):
                return self._image(str(row["file"]), str(row["reason"]))
        raise BadConfiguration(
            f"no difference of {band} epoch {epoch}",
            next_step=f"There are: {', '.join(known) or 'none'}",
        )

    def explain(self, file: str | Path) -> Lineage:
        """What a product was made from, down to the raw exposures.

        Parameters
        ----------
        file : str or `~pathlib.Path`
            Relative to the work directory.

        Raises
        ------
        BadConfiguration
            If no record names it.
        """
        return lineage_of(self.workdir.base / file)

    # --------------------------------------------------------------------------- reading

    def _catalogue_file(self) -> Path:
        index = self._table(self.workdir.star_catalog, "dolphot_catalog", by_name=True)
        return self.workdir.absolute(str(index["file"][0]))

    def _image(self, file: str, reason: str) -> CCDData:
        if not file:
            raise MissingProduct(f"this image was not made: {reason}", where=self.workdir.target)
        path = self.workdir.absolute(file)
        if not path.is_file():
            raise MissingProduct(
                "the file is gone", where=path, next_step=self._command("drizzled_stacks")
            )
        return _read_image(path)

    def _table(self, path: Path, asset: str, *, by_name: bool = False) -> QTable:
        return read_table(self._made(path, asset, by_name=by_name))

    def _made(self, path: Path, asset: str, *, by_name: bool = False) -> Path:
        if path.is_file() and read_record(path) is not None:
            return path
        raise MissingProduct(
            f"{asset} is not made" if not path.is_file() else f"{asset} was not finished",
            where=self.workdir.target,
            next_step=self._command(asset if by_name else ""),
        )

    def _command(self, asset: str) -> str:
        chosen = f" --select {asset}" if asset else ""
        return f"Run 'hst-assets materialize {self.workdir.target}{chosen}'"


def _read_hdf5(path: Path, name: str) -> QTable:
    try:
        return QTable.read(path, format="hdf5", path=name)
    except (OSError, KeyError, ValueError) as error:
        raise MissingProduct(f"the table cannot be read: {error}", where=path) from error


def _read_image(path: Path) -> CCDData:
    try:
        with fits.open(path) as hdus:
            science = hdus["SCI"]
            data = np.array(science.data, dtype=np.float32)
            unit = _unit(str(science.header.get("BUNIT", "")), path)
            wcs = read_wcs(science.header, hdus)
            errors = np.array(hdus["ERR"].data) if "ERR" in hdus else None
            mask = ~np.isfinite(data)
            if "WHT" in hdus:
                mask |= ~(np.asarray(hdus["WHT"].data) > 0)
            meta = fits.Header(hdus[0].header, copy=True)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise MissingProduct(f"the image cannot be read: {error}", where=path) from error
    uncertainty = None if errors is None else StdDevUncertainty(errors)
    return CCDData(data, unit=unit, wcs=wcs, mask=mask, uncertainty=uncertainty, meta=meta)


def _unit(text: str, path: Path) -> u.UnitBase:
    try:
        return _UNITS[text.strip().upper()]
    except KeyError:
        raise UnusableInput(f"the unit {text!r} of the image is not known", where=path) from None
