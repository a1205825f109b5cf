"""Catalogues in formats that other programs read: Parquet, ECSV, VOTable, FITS, DS9 regions, HDF5.

All of them hold the whole catalogue under its flat names, with units and descriptions, and what was
added to it; a cut is made before, by `Catalog.select`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from astropy.table import QTable

from hst_assets.failures import BadConfiguration, MissingTool
from hst_assets.photometry.catalog.hdf5_file import write_hdf5
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.quantities import OBJECT_TYPES
from hst_assets.workdir import write_atomically

__all__ = ["EXPORTS", "export_catalog", "write_regions"]

#: DS9's colours of the object types.
_COLOURS = MappingProxyType({1: "green", 2: "cyan", 3: "magenta", 4: "red", 5: "yellow"})
_REGION_RADIUS_ARCSEC = 0.1
_REGIONS_AT_A_TIME = 20_000
#: Largest TFIELDS of the FITS standard 4.0, section 7.3.1.
_MAX_FITS_COLUMNS = 999


def export_catalog(catalog: Catalog, path: Path, *, base: Path | None = None) -> Path:
    """Write a catalogue in the format that the file's suffix names.

    Parameters
    ----------
    catalog : Catalog
        What is written.
    path : `~pathlib.Path`
        Where it goes, with a suffix of `EXPORTS`; written in one step.
    base : `~pathlib.Path`, optional
        For HDF5, the catalogue in DOLPHOT's format beside which the files of the run are.

    Returns
    -------
    `~pathlib.Path`
        `path`.

    Raises
    ------
    BadConfiguration
        If the suffix is of no known format, positions are missing for regions, or there are too
        many columns for FITS.
    MissingTool
        If a format needs a package that is not installed.
    """
    if path.suffix in {".h5", ".hdf5"}:
        return write_hdf5(catalog, path, base=base)
    if path.suffix not in EXPORTS:
        known = ", ".join((*EXPORTS, ".hdf5"))
        raise BadConfiguration(
            f"no format has the suffix {path.suffix!r}", next_step=f"Use {known}"
        )
    EXPORTS[path.suffix](catalog, path)
    return path


def _write_parquet(catalog: Catalog, path: Path) -> None:
    frame = catalog.to_pandas()
    with write_atomically(path) as part:
        try:
            frame.to_parquet(part, engine="pyarrow", index=False)
        except ImportError as error:
            raise MissingTool(
                "Parquet needs pyarrow, which is not installed",
                where=path,
                next_step="Install it: pip install 'hst_assets[parquet]'",
            ) from error


def _write_ecsv(catalog: Catalog, path: Path) -> None:
    with write_atomically(path) as part:
        catalog.to_table().write(part, format="ascii.ecsv", overwrite=True)


def _write_votable(catalog: Catalog, path: Path) -> None:
    # Text cells of more than 256 bytes a row are cut by some writers; binary cells have no width.
    with write_atomically(path) as part:
        _without_meta(catalog).write(
            part, format="votable", tabledata_format="binary2", overwrite=True
        )


def _write_fits(catalog: Catalog, path: Path) -> None:
    table = _without_meta(catalog)
    if len(table.colnames) > _MAX_FITS_COLUMNS:
        raise BadConfiguration(
            f"the catalogue has {len(table.colnames)} columns, a FITS table at most "
            f"{_MAX_FITS_COLUMNS}",
            where=path,
            next_step="Use .hdf5 or .parquet",
        )
    if catalog.meta:
        table.meta["comments"] = [f"hst_assets: {json.dumps(dict(catalog.meta), sort_keys=True)}"]
    with write_atomically(path) as part:
        table.write(part, format="fits", overwrite=True)


def _without_meta(catalog: Catalog) -> QTable:
    """The table alone: FITS and VOTable have no place for nested metadata."""
    table = catalog.to_table()
    table.meta.clear()
    return table


def write_regions(
    catalog: Catalog, path: Path, *, radius_arcsec: float = _REGION_RADIUS_ARCSEC
) -> None:
    """Write the stars as circles for DS9, a colour for each object type.

    Parameters
    ----------
    catalog : Catalog
        With positions (`Catalog.with_positions`).
    path : `~pathlib.Path`
        Where it goes; written in one step.
    radius_arcsec : float, optional
        Of the circles.

    Raises
    ------
    BadConfiguration
        If the catalogue has no positions.
    """
    if "ra" not in catalog.added or "dec" not in catalog.added:
        raise BadConfiguration(
            "the catalogue has no positions on the sky",
            where=path,
            next_step="Add them by the WCS of the reference: Catalog.with_positions",
        )
    types = {kind: f"color={_COLOURS[kind]} tag={{{name}}}" for kind, name in OBJECT_TYPES.items()}
    # The package regions needs 2 ms a star, which is half an hour for a million of them.
    form = f'circle(%.8f,%.8f,{radius_arcsec:g}") # %s\n'
    with write_atomically(path) as part, part.open("w", newline="\n") as file:
        file.write("# Region file format: DS9 version 4.1\nicrs\n")
        for start in range(0, len(catalog), _REGIONS_AT_A_TIME):
            rows = slice(start, start + _REGIONS_AT_A_TIME)
            columns = (catalog[name][rows].tolist() for name in ("ra", "dec", "object_type"))
            file.writelines(
                form % (ra, dec, types[kind]) for ra, dec, kind in zip(*columns, strict=True)
            )


#: How a catalogue is written, by the suffix of the file; HDF5 besides (`hdf5_file.write_hdf5`).
EXPORTS: Mapping[str, Callable[[Catalog, Path], None]] = MappingProxyType(
    {
        ".parquet": _write_parquet,
        ".ecsv": _write_ecsv,
        ".vot": _write_votable,
        ".fits": _write_fits,
        ".reg": write_regions,
    }
)
