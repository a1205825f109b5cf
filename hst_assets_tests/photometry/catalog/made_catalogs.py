"""Catalogues made of random numbers, with everything that a real one may hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.catalog.columns import CatalogColumns, CatalogFilter, CatalogImage
from hst_assets.photometry.catalog.model import Catalog

#: Some numbers of each quantity, of all sizes that have a format of their own.
_CHOICES: dict[str, Sequence[float]] = {
    "counts": (0.0, -12.5, 1234.5, 999999.4, 1.25e6),
    "sky": (0.0, 95.25, 99999.9, 123456.0, 2.5e6),
    "rate": (-8.0e-11, 0.0, 1.25e-9, 1.5, 12.5, 123.5, 1234.5, 12345.5, 123456.5, 1.5e6),
    "rate_error": (1.25e-11, 9999.0),
    "vega_mag": (18.25, 27.5, 99.999),
    "ubvri_mag": (18.5, 99.999),
    "mag_error": (0.005, 9.999),
    "snr": (-2.5, 4.5, 344.5),
    "flag": (0, 1, 2, 4, 9),
}


def made_columns(filters: Sequence[str] = ("F606W", "F814W"), prefix: str = "") -> CatalogColumns:
    """Two images in each filter, in folders that need not exist."""
    labels = [f"{prefix}{name}" for name in filters]
    instrument = prefix.rstrip("_")
    images = [
        CatalogImage(2 * at + n, f"/gone/iaaa{at}{n}q_flc.chip1", label, 500.0, instrument)
        for at, label in enumerate(labels)
        for n in (1, 2)
    ]
    return CatalogColumns(
        tuple(CatalogFilter(label, instrument) for label in labels), tuple(images)
    )


def made_catalog(
    n: int = 50, columns: CatalogColumns | None = None, seed: int = 1, **meta: Any
) -> Catalog:
    """Stars of random numbers, rounded as a file has them."""
    columns = columns or made_columns()
    rng = np.random.default_rng(seed)
    data: dict[str, NDArray[Any]] = {}
    for column in columns:
        key = column.quantity.key
        if key in {"x", "y"}:
            values = rng.uniform(0, 5000, n).round(2)
        elif key == "object_type":
            values = rng.integers(1, 6, n)
        elif key in _CHOICES:
            values = rng.choice(_CHOICES[key], n)
        elif column.quantity.is_integer:
            values = rng.integers(0, 3, n)
        else:
            values = rng.normal(0, 1, n).round(2)
        data[column.name] = np.asarray(values).astype(column.quantity.dtype)
    return Catalog(columns, data, meta=meta)
