"""A light curve of two epochs of a simulated transient, and its truth, from tables made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from astropy.table import Table

from hst_assets.exposures.columns import EXPOSURE_COLUMNS
from hst_assets.imaging.differences.batch import DIFFERENCE_COLUMNS
from hst_assets.photometry.light_curve.points import AB_ZERO_POINT_UJY, Place, Point
from hst_assets.photometry.light_curve.table import PointLimits, light_curve_table
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.workdir import WorkDir

RADIUS_ARCSEC = 0.4
#: By rootname: epoch, exposure time, whether it is used, and the true flux, microjansky.
EXPOSURES = {
    "iaaa01a1q": (1, 100.0, True, 4.0),
    "iaaa01a2q": (1, 300.0, True, 8.0),
    "iaaa01a3q": (1, 300.0, False, 90.0),
    "iaaa02a1q": (2, 200.0, True, 20.0),
    # Before it explodes: the truth has no row of it.
    "iaaa03a1q": (3, 200.0, True, 0.0),
}
#: Of each epoch; means are by exposure time.
TRUE_UJY = {1: 7.0, 2: 20.0, 3: 0.0}


def truth() -> Any:
    """What the scoring reads of a campaign's truth."""
    rows = [
        (name, AB_ZERO_POINT_UJY - 2.5 * np.log10(flux))
        for name, (_, _, _, flux) in EXPOSURES.items()
        if flux > 0
    ]
    return SimpleNamespace(transient=Table(rows=rows, names=("rootname", "magnitude")))


def epoch_point(epoch: int, flux_ujy: float, error_ujy: float = 0.1, **others: Any) -> Point:
    """What a method measured of an epoch."""
    values: dict[str, Any] = {
        "source": 0,
        "method": "forced",
        "level": "epoch",
        "detector": "wfc3_uvis",
        "filter_name": "F606W",
        "images": ("a",),
        "mjd": 56000.0,
        "mjd_first": 55999.9,
        "mjd_last": 56000.1,
        "exptime_s": 100.0,
        "n_images": 1,
    }
    return Point(**{**values, **others}, epoch=epoch, flux_ujy=flux_ujy, flux_error_ujy=error_ujy)


def measured_workdir(
    root: Path, points: Sequence[Point], templates: Mapping[int, int] | None = None
) -> WorkDir:
    """A work directory with this light curve, and differences of epochs from their templates."""
    workdir = WorkDir(root, "sn").create()
    places = [Place(source=at, name=f"p{at}", ra_deg=150.0, dec_deg=2.0) for at in (0, 1)]
    workdir.light_curve.parent.mkdir(parents=True)
    table = light_curve_table(points, places, [PointLimits()] * len(points))
    write_table(table, workdir.light_curve)
    rows = [
        {
            **_nothing(EXPOSURE_COLUMNS),
            "rootname": name,
            "epoch": epoch,
            "exptime": exptime_s,
            "used": used,
        }
        for name, (epoch, exptime_s, used, _) in EXPOSURES.items()
    ]
    write_table(build_table(EXPOSURE_COLUMNS, rows), workdir.target_exposures)
    if templates is not None:
        of_band = {**_nothing(DIFFERENCE_COLUMNS), "band": "wfc3_uvis.f606w"}
        pairs = [
            {**of_band, "epoch": epoch, "template": template}
            for epoch, template in templates.items()
        ]
        write_table(build_table(DIFFERENCE_COLUMNS, pairs), workdir.difference_products)
    return workdir


def _nothing(specs: tuple[ColumnSpec, ...]) -> dict[str, Any]:
    values = {"str": "", "bool": False, "int64": 0, "float64": np.nan}
    return {spec.key or spec.name: values[spec.dtype] for spec in specs}
