"""A target whose catalogue is written from fluxes that are known: four exposures in two epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable

from hst_assets.digests import digest_of
from hst_assets.exposures.columns import EXPOSURE_COLUMNS
from hst_assets.photometry.catalog.vega import vega_band
from hst_assets.photometry.psf.catalog_files import catalog_of_stars, run_info, write_files
from hst_assets.products.columns import build_table, write_table
from hst_assets.provenance import Recipe, Result, make
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.dolphot import small_field
from hst_assets_tests.photometry.psf.measured_stars import cataloged_image, measured_stars

#: Position of the field's middle, where the first star is.
RA, DEC = 150.0, 2.0
MIDDLE_PIX = small_field.SIDE / 2 - 1
PIXEL_ARCSEC = 0.04
EXPTIME_S = 500.0
GAIN = 1.5
ZERO_POINT_AB = 25.0
FILTERS = ("F606W", "F606W", "F814W", "F606W")
EPOCHS = (1, 1, 3, 2)
MJD = (58000.0, 58000.1, 58000.2, 58030.0)
ROOTNAMES = ("iaaa01a1q", "iaaa01a2q", "iaaa01a3q", "iaaa02a1q")
PLACE = f"[target]\nra_deg = {RA}\ndec_deg = {DEC}\n"


def electrons(flux_ujy: Any) -> np.ndarray:
    """Of a whole exposure: by the zero point of one count per second, 25.0 in AB."""
    return np.asarray(flux_ujy) * 10 ** (0.4 * (ZERO_POINT_AB - 23.9)) * EXPTIME_S * GAIN


@dataclass
class Stars:
    """What is written: fluxes and errors (microjansky) of shape (4, n), places in pixels."""

    flux_ujy: Any
    error_ujy: Any
    x: Sequence[float] = (MIDDLE_PIX,)
    y: Sequence[float] = (MIDDLE_PIX,)
    object_type: Sequence[int] = (1,)
    more: dict[str, Any] = field(default_factory=dict)


def measured_target(root: Path, stars: Stars, settings: str = PLACE) -> WorkDir:
    """A work directory with the catalogue of these stars and all that a light curve reads."""
    workdir = WorkDir(root, "sn").create()
    workdir.settings_file.write_text(settings)
    folder = workdir.dolphot / "inputs"
    folder.mkdir(parents=True)
    rows = [_input(folder, number, stars) for number in range(len(ROOTNAMES) + 1)]
    small_field.write_inputs(workdir, rows)
    _write_exposures(workdir)
    _write_catalog(workdir, stars)
    return workdir


def _input(folder: Path, number: int, stars: Stars) -> dict[str, Any]:
    name = f"{ROOTNAMES[number - 1]}_flc.chip1" if number else "sn.ref"
    header = small_field.header((0.0, 0.0))
    header["GAIN"] = GAIN
    fits.writeto(folder / f"{name}.fits", np.zeros((4, 4), np.float32), header)
    return {
        "role": "exposure" if number else "reference",
        "exposure": ROOTNAMES[number - 1] if number else "sn.ref",
        "visit": ROOTNAMES[number - 1][:6] if number else "",
        "chip": min(number, 1),
        "file": f"inputs/{name}.fits",
        "sky_file": "",
        "instrument": "WFC3",
        "detector": "UVIS",
        "filter": FILTERS[number - 1] if number else "F606W",
        "exptime_s": EXPTIME_S,
        "mjd": MJD[number - 1],
        **dict.fromkeys(("x", "y"), MIDDLE_PIX),
        "contains_target": True,
        "used": True,
        "reason": "",
        "note": "",
        **dict.fromkeys(("n_bad", "n_saturated", "n_cosmic_ray"), 0),
        **dict.fromkeys(("sky_median", "min_value", "max_value", "read_noise_e"), 0.0),
        "gain": GAIN,
    }


def _write_exposures(workdir: WorkDir) -> None:
    nothing = {"float64": None, "int64": 0, "bool": False, "str": ""}
    rows = []
    for name, filter_name, epoch, mjd in zip(ROOTNAMES, FILTERS, EPOCHS, MJD, strict=True):
        half_day = EXPTIME_S / 86400 / 2
        rows.append(
            {spec.key or spec.name: nothing[spec.dtype] for spec in EXPOSURE_COLUMNS}
            | {"rootname": name, "filter": filter_name, "epoch": epoch, "exptime": EXPTIME_S}
            | {"mjd_start": mjd - half_day, "mjd_mid": mjd, "mjd_end": mjd + half_day}
            | {"detector_key": "wfc3_uvis", "used": True, "visit": name[:6]}
        )
    table = build_table(EXPOSURE_COLUMNS, rows)
    recorded(workdir, workdir.target_exposures, "target_exposures", table)


def _write_catalog(workdir: WorkDir, stars: Stars) -> None:
    flux = np.array(stars.flux_ujy, float).reshape(len(ROOTNAMES), -1)
    error = np.broadcast_to(np.array(stars.error_ujy, float), flux.shape)
    measured = measured_stars(
        electrons(flux),
        electrons(error),
        x=np.array(stars.x, float),
        y=np.array(stars.y, float),
        object_type=np.array(stars.object_type, np.int32),
        **stars.more,
    )
    images = [
        cataloged_image(
            name,
            filter_name,
            exptime_s=EXPTIME_S,
            mjd=mjd,
            gain=GAIN,
            zero_point_mag=ZERO_POINT_AB - vega_band("wfc3_uvis", filter_name).ab_mag(),
        )
        for name, filter_name, mjd in zip(ROOTNAMES, FILTERS, MJD, strict=True)
    ]
    path = workdir.dolphot_catalog("dp")
    catalog = catalog_of_stars(measured, images, flag_mask=7)
    info = run_info(measured, images, shape=(small_field.SIDE, small_field.SIDE))
    recipe = Recipe(stage="embedded_catalog", inputs={"stars": digest_of([flux.tolist()])})
    make(
        recipe,
        path,
        workdir,
        lambda: Result(write_files(catalog, info, path, parameters=""), {"n_stars": flux.shape[1]}),
    )
    recorded(workdir, workdir.star_catalog, "star_catalog", QTable({"n": [1]}))


def write_alignment(workdir: WorkDir, *, rms_mas: float, n_matches: int, fwhm_pix: float) -> None:
    """The table of the alignment of all exposures, the same of each."""
    n = len(ROOTNAMES)
    table = QTable(
        {
            "rootname": ROOTNAMES,
            "n_matches": [n_matches] * n,
            **{name: np.full(n, rms_mas) * u.mas for name in ("rms_ra", "rms_dec")},
            **{f"held_out_offset_{axis}": np.zeros(n) * u.pix for axis in "xy"},
            "fwhm": np.full(n, fwhm_pix) * u.pix,
        }
    )
    table.write(workdir.target_alignment, path="exposures", format="hdf5", serialize_meta=True)


def recorded(workdir: WorkDir, path: Path, stage: str, table: QTable) -> None:
    """Write a table as the product of a stage."""

    def written() -> Result:
        write_table(table, path)
        return Result((path,), {})

    recipe = Recipe(stage=stage, inputs={"made": digest_of([str(table)])})
    make(recipe, path, workdir, written)
