"""Stacks as the drizzling leaves them, made of arrays: a sky of known noise with sources on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.imaging.drizzle_index import DRIZZLE_COLUMNS
from hst_assets.imaging.frames import Frame
from hst_assets.imaging.noise import error_plane, exposed, noise_model
from hst_assets.imaging.plan import STAGE
from hst_assets.imaging.product_flags import product_flags
from hst_assets.products.columns import build_table, no_numbers, write_table
from hst_assets.provenance import Recipe, Result, make
from hst_assets.workdir import WorkDir

UVIS = DETECTORS["wfc3_uvis"]
BAND = "wfc3_uvis.f606w"
FRAME = Frame(150.1, 2.2, 0.03962, 220, 200, 110, 100)
SKY_PER_S, READ_NOISE_E, DARK_E_PER_S = 0.05, 3.0, 0.002
EXPTIME_S = 400.0
#: Variance of an empty pixel of one exposure, electrons squared.
BACKGROUND_E2 = (SKY_PER_S + DARK_E_PER_S) * EXPTIME_S + READ_NOISE_E**2
#: Constant stars: east and north of the tangent point in pixels, counts per second.
STARS = [(x, y, 60.0) for x in (-70, -35, 0, 35, 70) for y in (-60, 0, 60)]


def primary_header(n_exposures: int = 2, **cards: object) -> fits.Header:
    """What of a stack's header tells its noise and calibration."""
    header = fits.Header()
    header.update(
        {
            "INSTRUME": "WFC3",
            "DETECTOR": "UVIS",
            "FILTER": "F606W",
            "TARGNAME": "SN",
            "EXPTIME": n_exposures * EXPTIME_S,
            "NINPUT": n_exposures,
            "MJD-AVG": 57000.0,
            "DATE-OBS": "2014-12-09",
            "PHOTFLAM": 1.1e-19,
            "IMPHTTAB": "iref$51c1638pi_imp.fits",
            "PHOTPLAM": 5889.0,
            "ZPAB": 26.1,
            "BUNIT": "ELECTRONS/S",
            "GAIN": 1.0,
            "RDNOISE": READ_NOISE_E,
            "DARKCUR": DARK_E_PER_S,
            "POSTFLSH": 0.0,
            "SKYMEAN": SKY_PER_S,
            "D_SCALE": FRAME.scale_arcsec,
            "D_PIXFRC": 1.0,
            "D_KERNEL": "point",
            "D_WTTYPE": "EXP",
            "D_UNITS": "cps",
            "WCSNAME": "TWEAK",
            "SATRATE": UVIS.saturation_e / EXPTIME_S,
        }
    )
    for number in range(1, n_exposures + 1):
        header[f"D{number:03d}DATA"] = f"iaaa01{number:02d}q[sci,1]"
        header[f"D{number:03d}DEXP"] = EXPTIME_S
        header[f"D{number:03d}ISCL"] = FRAME.scale_arcsec
        header[f"D{number:03d}BVAR"] = BACKGROUND_E2
    header.update(cards)
    return header


def planes(
    header: fits.Header,
    *,
    frame: Frame = FRAME,
    stars: Sequence[tuple[float, float, float]] = STARS,
    sky_left: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """SCI, WHT and CTX, with ERR and DQ: every pixel saw all exposures, and shares none."""
    rng = np.random.default_rng(seed)
    exptime, number = float(header["EXPTIME"]), int(header["NINPUT"])
    rows, columns = np.indices(frame.shape)
    light = np.zeros(frame.shape)
    for east, north, rate in stars:
        x, y = frame.crpix1 - 1 + east, frame.crpix2 - 1 + north
        radius2 = (columns - x) ** 2 + (rows - y) ** 2
        light += rate / (2 * np.pi * 1.1**2) * np.exp(-radius2 / (2 * 1.1**2))
    background = SKY_PER_S + DARK_E_PER_S
    electrons = rng.poisson((light + background) * exptime).astype(float)
    electrons += rng.normal(0.0, READ_NOISE_E * np.sqrt(number), frame.shape)
    sci = electrons / exptime - background + sky_left
    return with_errors(
        header,
        {
            "SCI": sci.astype(np.float32),
            "WHT": np.full(frame.shape, exptime, np.float32),
            "CTX": np.full(frame.shape, 2**number - 1, np.int32),
        },
    )


def with_errors(
    header: fits.Header, made: dict[str, Any], detector: Detector = UVIS
) -> dict[str, Any]:
    """The planes with the ERR and DQ that the drizzling would give them."""
    model = noise_model(header)
    seconds = np.float32(1.0 if model.rate else model.exptime_s)
    reached = exposed(model, made["WHT"], made["CTX"])
    rate = made["SCI"] / seconds
    error = error_plane(rate, reached, model) * seconds
    return {**made, "ERR": error, "DQ": product_flags(rate, reached, model, detector)}


def write_stack(
    workdir: WorkDir,
    epoch: int,
    *,
    band: str = BAND,
    header: fits.Header | None = None,
    frame: Frame = FRAME,
    content: str = "1",
    **options: Any,
) -> dict[str, Any]:
    """Write one epoch's stack with its record; return its row for `write_stacks`."""
    header = primary_header() if header is None else header
    header["MJD-AVG"] = 57000.0 + 10.0 * epoch
    path = workdir.epoch_stack(band, f"1412{epoch:02d}", epoch)
    hdus = [fits.PrimaryHDU(header=header)]
    for name, data in planes(header, frame=frame, seed=epoch, **options).items():
        hdus.append(fits.ImageHDU(data, name=name))
    recipe = Recipe(STAGE, content, {"exposures": f"{band} {epoch}"})

    def run() -> Result:
        path.parent.mkdir(parents=True, exist_ok=True)
        fits.HDUList(hdus).writeto(path, overwrite=True)
        return Result((path,), frame.as_json())

    make(recipe, path, workdir, run, redo=True)
    return {
        **no_numbers(DRIZZLE_COLUMNS),
        "file": workdir.relative(path),
        "band": band,
        "epoch": epoch,
        "status": "OK",
        "reason": "",
        "problems": "",
        "not_checked": "",
        "same_as": "",
        "digest": recipe.digest,
        "log": "",
        "n_exposures": int(header["NINPUT"]),
        "exptime_s": float(header["EXPTIME"]),
        "mjd_start": 57000.0 + 10.0 * epoch,
    }


def write_stacks(workdir: WorkDir, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the index of stacks."""
    write_table(build_table(DRIZZLE_COLUMNS, rows), workdir.stack_products)
    return workdir.stack_products
