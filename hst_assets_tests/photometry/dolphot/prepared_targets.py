"""Work directories as they stand before DOLPHOT: aligned exposures, their tables, a reference."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

from hst_assets.detectors import detector_for
from hst_assets.exposures.dq_files import quality_file
from hst_assets.products.columns import write_table
from hst_assets.provenance import Recipe, Result, make, sha256_of_file
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.reference_note import note_reference

#: The target of the simulated campaigns.
RA, DEC = 150.1, 2.2


def prepare_target(
    workdir: WorkDir, exposures: Sequence[Path], *, failed: Mapping[str, str] | None = None
) -> WorkDir:
    """Take exposures for aligned, and those that `failed` names with a reason for not."""
    workdir.create()
    for path in exposures:
        for each in dict.fromkeys((path, quality_file(path))):
            shutil.copyfile(each, workdir.aligned(each.name))
    tell_alignment(workdir, failed or {})
    write_reference(workdir)
    return workdir


def tell_alignment(workdir: WorkDir, failed: Mapping[str, str]) -> None:
    """Write the tables of all exposures in workspace/."""
    rows = []
    for path in sorted(workdir.workspace.glob("*_fl?.fits")) + sorted(
        workdir.workspace.glob("*_c0m.fits")
    ):
        header = fits.getheader(path)
        detector = detector_for(header["INSTRUME"], header.get("DETECTOR"))
        rows.append(
            {
                "rootname": path.name[:9],
                "file": path.name,
                "detector_key": detector.key,
                "filter": str(header.get("FILTER", "F606W")),
                "exptime": header["EXPTIME"] * u.s,
                "mjd_start": header["EXPSTART"] * u.day,
                "used": True,
            }
        )
    write_table(QTable(rows), workdir.target_exposures)
    alignment = QTable(
        {
            "rootname": [row["rootname"] for row in rows],
            "used": [row["rootname"] not in failed for row in rows],
            "status": ["FAIL" if row["rootname"] in failed else "PASS" for row in rows],
            "reason": [failed.get(row["rootname"], "") for row in rows],
            "digest": [sha256_of_file(workdir.aligned(row["file"])) for row in rows],
        }
    )
    path = workdir.target_alignment
    path.unlink(missing_ok=True)
    alignment.write(path, path="exposures", format="hdf5", serialize_meta=True)
    make(Recipe("target_alignment"), path, workdir, lambda: Result((path,)), redo=True)


def write_reference(workdir: WorkDir, *, unit: str = "ELECTRONS/S", scale: float = 1.0) -> Path:
    """A drizzled image of 400 by 300 pixels, the left columns of which nothing was exposed on."""
    rng = np.random.default_rng(9)
    data = (scale * rng.normal(0.0, 0.01, (300, 400))).astype(np.float32)
    weight = np.full((300, 400), 600.0, dtype=np.float32)
    weight[:, :20] = 0
    data[:, :20] = np.nan
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [RA, DEC], [200.5, 150.5]
    wcs.wcs.cdelt = [-0.04 / 3600, 0.04 / 3600]
    primary = fits.Header({"INSTRUME": "WFC3", "DETECTOR": "UVIS", "FILTER": "F606W"})
    primary.update({"EXPTIME": 600.0, "EXPSTART": 57210.0, "EXPEND": 57210.1, "NCOMBINE": 2})
    primary.update({"CCDAMP": "ABCD", **{f"READNSE{each}": 3.0 for each in "ABCD"}})
    science = wcs.to_header()
    if unit:
        science["BUNIT"] = unit
    path = workdir.reference_image("wfc3_uvis.f606w", 1)
    fits.HDUList(
        [
            fits.PrimaryHDU(header=primary),
            fits.ImageHDU(data, science, name="SCI"),
            fits.ImageHDU(weight, wcs.to_header(), name="WHT"),
        ]
    ).writeto(path, overwrite=True)
    write_table(QTable({"ra": [RA], "dec": [DEC]}), workdir.reference_catalog)
    note_reference(workdir, path)
    recipe = Recipe("reference_image", inputs={"image": sha256_of_file(path)})
    make(recipe, path, workdir, lambda: Result((path,)), redo=True)
    return path
