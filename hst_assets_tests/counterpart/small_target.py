"""A target of two epochs with all that a counterpart is made from, without a pipeline's run.

The stars are those of `hst_assets_tests.photometry.dolphot.small_field`; a photometer that knows
their places measured them. Epoch 1 is the early one, epoch 2 the later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable

from hst_assets.astrometry.alignment_table import ALIGNMENT_COLUMNS, alignment_table
from hst_assets.detection.image_planes import read_wcs
from hst_assets.exposures.columns import EXPOSURE_COLUMNS
from hst_assets.imaging.differences.batch import DIFFERENCE_COLUMNS
from hst_assets.imaging.drizzle_index import DRIZZLE_COLUMNS
from hst_assets.imaging.frames import Frame
from hst_assets.photometry.star_catalog import make_star_catalog
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.provenance import Recipe, Result, make
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.counterpart.sky_images import write_image
from hst_assets_tests.photometry.dolphot import small_field as field
from hst_assets_tests.photometry.psf.embedded_field import embedded_field

BAND = "wfc3_uvis.f814w"
ROOTNAMES = ("iaaa01a1q", "iaaa01a2q")
MJD = (56000.0, 57000.0)
SCATTER_MAS = 2.0
_FRAME = Frame(150.0, 2.0, 0.04, 150, 150, 75, 75)


def star_place(number: int) -> tuple[float, float]:
    """RA and Dec of a star of the field."""
    x, y, _ = field.truth()
    wcs = read_wcs(field.header((0.0, 0.0)), fits.HDUList())
    ra, dec = wcs.all_pix2world(x[number], y[number], 0)
    return float(ra), float(dec)


def isolated_star() -> int:
    """The bright star that is farthest from any other."""
    x, y, counts = field.truth()
    apart = np.hypot(x[:, None] - x, y[:, None] - y) + 1e3 * np.eye(len(x))
    inside = (np.minimum(x, y) > 40) & (np.maximum(x, y) < field.SIDE - 40)
    return int(np.argmax(apart.min(axis=1) * (counts > np.median(counts)) * inside))


def small_target(root: Path) -> WorkDir:
    """The target; the photometer must be one that knows (`KnowingEngine`)."""
    workdir = embedded_field(root)
    make_star_catalog(workdir, load_settings(workdir))
    rows = [
        {
            **_nothing(EXPOSURE_COLUMNS),
            "file": f"{name}_flc.fits",
            "rootname": name,
            "visit": name[:6],
            "epoch": number,
            "used": True,
            "detector_key": "wfc3_uvis",
            "filter": "F814W",
            "exptime": 120.0,
            "mjd_start": mjd,
        }
        for number, (name, mjd) in enumerate(zip(ROOTNAMES, MJD, strict=True), 1)
    ]
    exposures = build_table(EXPOSURE_COLUMNS, rows)
    _recorded(workdir, workdir.target_exposures, lambda path: write_table(exposures, path))
    for name in ROOTNAMES:
        path = workdir.raw / f"{name}_flc.fits"
        fits.PrimaryHDU(header=fits.Header({"PROPOSID": 13364, "CAL_VER": "3.7"})).writeto(path)
    _recorded(workdir, workdir.target_alignment, lambda path: _alignment(path))
    _recorded(workdir, workdir.stack_products, lambda path: _stacks(workdir, path))
    _recorded(
        workdir,
        workdir.difference_products,
        lambda path: write_table(build_table(DIFFERENCE_COLUMNS, []), path),
    )
    return workdir


def _nothing(specs: tuple[ColumnSpec, ...]) -> dict[str, Any]:
    values = {"str": "", "bool": False, "int64": 0, "float64": np.nan}
    return {spec.key or spec.name: values[spec.dtype] for spec in specs}


def _recorded(workdir: WorkDir, path: Path, write: Any) -> None:
    def run() -> Result:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
        return Result((path,))

    make(Recipe(stage="made", code_version="0", inputs={"a": path.name}), path, workdir, run)


def _alignment(path: Path) -> None:
    """Thirty stars of each exposure's fit, whose residuals scatter by `SCATTER_MAS`."""
    rng = np.random.default_rng(1)
    east, north = rng.uniform(-3, 3, (2, 30)) / 3600
    rows = [
        {
            **_nothing(ALIGNMENT_COLUMNS),
            "rootname": name,
            "file": f"{name}_flc.fits",
            "status": "PASS",
            "method": "tweakreg",
            "used": True,
            "n_matches": 30,
        }
        for name in ROOTNAMES
    ]
    residual = rng.normal(0, SCATTER_MAS, (2, len(ROOTNAMES), 30))
    residual -= residual.mean(axis=-1, keepdims=True)
    matches = QTable(
        {
            "rootname": np.repeat(ROOTNAMES, 30),
            "ra": np.tile(150.0 + east, 2),
            "dec": np.tile(2.0 + north, 2),
            "dra": residual[0].ravel(),
            "ddec": residual[1].ravel(),
        },
        units={"ra": "deg", "dec": "deg", "dra": "mas", "ddec": "mas"},
    )
    for name, table in (("exposures", alignment_table(rows)), ("matches", matches)):
        table.write(path, path=name, format="hdf5", serialize_meta=True, append=True)


def _stacks(workdir: WorkDir, path: Path) -> None:
    """Both epochs show the isolated star; of the later one's stack its centre is to be found."""
    ra, dec = star_place(isolated_star())
    east, north = (ra - 150.0) * np.cos(np.radians(2.0)) * 3600, (dec - 2.0) * 3600
    rows = []
    for number, mjd in enumerate(MJD, 1):
        stack = workdir.epoch_stack(BAND, f"0{number}0101", number)
        write_image(stack, [(east, north, 80.0)], frame=_FRAME, seed=number)
        with fits.open(stack, mode="update") as hdus:
            hdus[0].header["ZPAB"] = 25.1
        recipe = Recipe(stage="made", code_version="0", tools=("drizzlepac", "stwcs", "photutils"))
        make(recipe, stack, workdir, lambda stack=stack: Result((stack,)))
        rows.append(
            {
                **_nothing(DRIZZLE_COLUMNS),
                "file": workdir.relative(stack),
                "band": BAND,
                "epoch": number,
                "status": "OK",
                "mjd_start": mjd,
            }
        )
    write_table(build_table(DRIZZLE_COLUMNS, rows), path)
