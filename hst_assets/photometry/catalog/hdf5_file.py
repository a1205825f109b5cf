"""A catalogue with everything that is known of its run in one HDF5 file.

The layout is that of hst123, so that its readers find what they look for: the whole catalogue as
the compound dataset ``/photometry`` (gzip; astropy reads it with units and descriptions), JSON in
its attributes, and the files of the run as text in ``/metadata/raw``. From about 1,000 columns on,
which is some 70 images, a compound dataset is more than HDF5 can describe: ``/photometry/data`` is
a matrix then, with its ``column_names`` beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.io.misc.hdf5 import write_table_hdf5

from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.reading import beside
from hst_assets.photometry.catalog.run_info import RunInfo, parse_run_info
from hst_assets.photometry.catalog.run_records import (
    RECORD_FIGURES,
    ChipRecords,
    parse_run_records,
    parse_warnings,
)
from hst_assets.workdir import write_atomically

__all__ = ["FORMAT_VERSION", "write_hdf5"]

#: hst123's number of this layout.
FORMAT_VERSION = 1
_RAW = ("columns", "param", "info", "data", "warnings")
#: Names of the parts of a record in the merged metadata, by the kind of record.
_DATA_KEYS = {
    "wcs": "data_wcs",
    "alignment": "data_align",
    "cubic_alignment": "data_align",
    "psf": "data_psf",
    "aperture": "data_apcor",
}
#: HDF5 describes a compound type in at most 64 kB; a column takes its name and about this much.
_LARGEST_HEADER = 60_000
_BYTES_PER_COLUMN = 30
_ROWS_AT_A_TIME = 20_000
#: Older layouts keep attributes below 64 kB, which the columns of some dozen images exceed.
_LIBRARY_VERSIONS = ("v108", "latest")


def write_hdf5(catalog: Catalog, path: Path, *, base: Path | None = None) -> Path:
    """Write a catalogue as HDF5.

    Parameters
    ----------
    catalog : Catalog
        All of it is written, without any cut, and what was added to it.
    path : `~pathlib.Path`
        Where it goes; written in one step.
    base : `~pathlib.Path`, optional
        The catalogue in DOLPHOT's format, beside which the other files of the run are. What is not
        there is left out.

    Returns
    -------
    `~pathlib.Path`
        `path`.

    Raises
    ------
    UnusableInput
        If a file of the run is damaged.
    """
    texts = _texts(base)
    merged = _merged(texts)
    with write_atomically(path) as part, h5py.File(part, "w", libver=_LIBRARY_VERSIONS) as file:
        _write_photometry(catalog, file)
        attributes = file["photometry"].attrs
        attributes["hst123_dolphot_hdf5_format"] = FORMAT_VERSION
        attributes["dolphot_base"] = "" if base is None else base.name
        attributes["dolphot_column_json"] = json.dumps(_column_rows(catalog), indent=2)
        attributes["dolphot_merged_metadata_json"] = json.dumps(merged, indent=2)
        metadata = file.require_group("metadata")
        metadata.attrs["global_param_json"] = json.dumps(merged["global_param"], indent=2)
        metadata.attrs["merged_images_json"] = json.dumps(merged["images"], indent=2)
        raw = metadata.create_group("raw")
        for name, text in texts.items():
            _write_text(raw, name, text)
        if base is not None:
            _write_manifest(metadata, base.parent)
    return path


def _write_photometry(catalog: Catalog, file: h5py.File) -> None:
    """The table as astropy writes it; of more columns than HDF5 can describe, as one matrix."""
    names = list(catalog.described())
    if sum(len(name) + _BYTES_PER_COLUMN for name in names) < _LARGEST_HEADER:
        write_table_hdf5(
            catalog.to_table(), file, path="photometry", serialize_meta=True, compression=True
        )
        file["photometry"].attrs["hst123_dolphot_hdf5_layout"] = "compound"
        return
    group = file.create_group("photometry")
    data = group.create_dataset(
        "data", (len(catalog), len(names)), dtype=np.float64, compression="gzip", chunks=True
    )
    for start in range(0, len(catalog), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        data[rows] = np.stack([catalog[name][rows] for name in names], axis=1)
    group.create_dataset("column_names", data=names, dtype=h5py.string_dtype(encoding="utf-8"))
    group.attrs["hst123_dolphot_hdf5_layout"] = "matrix"
    group.attrs["n_sources"], group.attrs["n_columns"] = data.shape


def _texts(base: Path | None) -> dict[str, str]:
    """The files of the run that are there, by suffix."""
    if base is None:
        return {}
    files = {name: beside(base, f".{name}") for name in _RAW}
    return {
        name: file.read_text(errors="replace") for name, file in files.items() if file.is_file()
    }


def _column_rows(catalog: Catalog) -> list[dict[str, Any]]:
    return [
        {
            "index_1based": column.number,
            "description": column.line().partition(". ")[2],
            "hdf5_name": column.name,
            "unit": column.quantity.unit.to_string() if column.quantity.unit else "",
        }
        for column in catalog.columns
    ]


def _write_text(group: h5py.Group, name: str, text: str) -> None:
    dataset = group.create_dataset(name, (1,), dtype=h5py.string_dtype(encoding="utf-8"))
    dataset[0] = text


def _write_manifest(metadata: h5py.Group, folder: Path) -> None:
    """The files of the run's folder; the folder itself may move, so that it is not named."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name[0] != ".")
    rows = [{"relpath": file.name, "size": file.stat().st_size} for file in files]
    group = metadata.create_group("dolphot_directory")
    _write_text(group, "manifest_json", json.dumps(rows, indent=2))
    group.attrs["root"] = folder.name
    group.attrs["n_files"] = len(rows)
    group.attrs["text_embed"] = False


# --------------------------------------------------------------------------- merged metadata


def _merged(texts: Mapping[str, str]) -> dict[str, Any]:
    """What the files of the run say, image by image: ``img0001`` is the first one."""
    general, images = _parameters(texts.get("param", ""))
    info = parse_run_info(texts["info"], ".info") if texts.get("info") else None
    if info is not None:
        for number, image in enumerate(info.images, start=1):
            images.setdefault(_key(number), {})["mjd"] = image.mjd
        for number, line in (info.chips[0].image_lines if info.chips else {}).items():
            images.setdefault(_key(number), {})["info_filter_exptime"] = {
                "image_index": number,
                "filter": line.filter_label,
                "exptime": line.exptime_s,
            }
    _merge_records(images, parse_run_records(texts.get("data", ""), ".data"))
    general_warnings = []
    for warning in parse_warnings(texts.get("warnings", ""), ".warnings"):
        if warning.image is None:
            general_warnings.append(warning.text)
        else:
            entry = images.setdefault(_key(warning.image), {})
            entry.setdefault("warnings", []).append(warning.text)
    return {
        "images": images,
        "global_param": general,
        "info_parsed": {} if info is None else _info_rows(info),
        "warnings_global_lines": general_warnings,
    }


def _parameters(text: str) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Parameters of the run, and those of each image."""
    general: dict[str, str] = {}
    images: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name.startswith("#"):
            continue
        prefix, _, key = name.partition("_")
        if prefix.startswith("img") and prefix[3:].isdigit() and key:
            images.setdefault(_key(int(prefix[3:])), {"param": {}})["param"][key] = value
        else:
            general[name] = value
    return general, images


def _merge_records(images: dict[str, dict[str, Any]], chips: Iterable[ChipRecords]) -> None:
    for chip in chips:
        for record in chip.records:
            if record.image is None or record.kind not in _DATA_KEYS:
                continue
            figures = dict(zip(RECORD_FIGURES[record.kind], record.figures, strict=True))
            entry = images.setdefault(_key(record.image), {})
            # Of several chips of the reference the first is here, all are in the raw text.
            entry.setdefault(
                _DATA_KEYS[record.kind], {"image_index": record.image, **_without_nan(figures)}
            )


def _info_rows(info: RunInfo) -> dict[str, Any]:
    return {
        "paths_mjd": [{"path": image.path, "mjd": image.mjd} for image in info.images],
        "chips": [
            {
                "extension": chip.extension,
                "chip": chip.chip,
                "limits": list(chip.limits),
                "alignment": chip.alignment.tolist(),
                "aperture_corrections_mag": chip.aperture_corrections_mag.tolist(),
            }
            for chip in info.chips
        ],
    }


def _without_nan(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _key(number: int) -> str:
    return f"img{number:04d}"
