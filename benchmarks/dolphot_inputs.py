"""Mask and sky of a full WFC3/UVIS chip, CPU seconds: `python benchmarks/dolphot_inputs.py`.

What is compiled is compiled before. With `--calcsky PROGRAM` (and `--quick` for its blocks) the sky
of DOLPHOT's program is measured on the same pixels, and compared. Exits with an error if the mask
takes 2 s or more, or the sky 8 s or more and a third of the program's time or more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.photometry.dolphot.detector_rules import RULES
from hst_assets.photometry.dolphot.masks import MaskedImage, mask_chip
from hst_assets.photometry.dolphot.pixel_area import pixel_areas
from hst_assets.photometry.dolphot.sky import SkyParameters, sky_map

SHAPE = (2051, 4096)
MASK_LIMIT_S, SKY_LIMIT_S = 2.0, 8.0


def field() -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Sky with a slope, 20,000 stars, and 1 % of the pixels flagged; some are NaN."""
    rng = np.random.default_rng(11)
    data = rng.normal(60.0, 9.0, SHAPE).astype(np.float32)
    data += np.linspace(0, 30, SHAPE[1], dtype=np.float32)
    rows, columns = rng.integers(8, SHAPE[0] - 8, 20_000), rng.integers(8, SHAPE[1] - 8, 20_000)
    fluxes = 10 ** rng.uniform(2, 5.5, rows.size)
    for dy in range(-6, 7):
        for dx in range(-6, 7):
            light = fluxes * np.exp(-(dy * dy + dx * dx) / 3.0) / 9.4
            np.add.at(data, (rows + dy, columns + dx), light.astype(np.float32))
    chance = rng.random(SHAPE)
    flags = np.where(chance < 0.01, 16, 0).astype(np.int16)
    flags[data > 60_000] = 256
    data[(chance > 0.01) & (chance < 0.0101)] = np.nan
    return data, flags


def sip() -> dict[str, float]:
    """SIP polynomials about as strong as UVIS's."""
    cards: dict[str, float] = {"A_ORDER": 4, "B_ORDER": 4}
    for order, size in ((2, 3e-6), (3, 3e-11), (4, 1e-15)):
        for p in range(order + 1):
            cards[f"A_{p}_{order - p}"] = size * (1 if p % 2 else -1)
            cards[f"B_{p}_{order - p}"] = size * (-1 if p % 3 else 1)
    return cards


def masked_chip(data: NDArray[np.float32], flags: NDArray[np.int16]) -> MaskedImage:
    header = {
        "CRPIX1": 2048.0,
        "CRPIX2": 1026.0,
        "CD1_1": 1.1e-5,
        "CD2_2": 1.1e-5,
        "GOODMIN": -60.0,
        "GOODMAX": 60_000.0,
        **sip(),
    }
    areas = pixel_areas(header, SHAPE, unit_arcsec=0.03962)
    return mask_chip(data, flags, areas, header, RULES["wfc3_uvis"])


def by_program(program: str, chip: MaskedImage, how: SkyParameters) -> tuple[NDArray, float]:
    with tempfile.TemporaryDirectory() as folder:
        hdu = fits.PrimaryHDU(chip.data)
        hdu.header["BADPIX"], hdu.header["SATURATE"] = chip.min_value, chip.max_value
        hdu.writeto(Path(folder) / "chip.fits")
        before = os.times()
        command = [program, "chip", *how.arguments]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        sky = fits.getdata(Path(folder) / "chip.sky.fits").astype(np.float32)
    return sky, after.children_user - before.children_user


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calcsky", help="DOLPHOT's program")
    parser.add_argument("--quick", action="store_true", help="blocks of 32 pixels")
    options = parser.parse_args()
    how = SkyParameters(15, 35, -32 if options.quick else 4, 2.25, 2.0)
    data, flags = field()
    sky_map(data[:80, :80], how, min_value=-60, max_value=6e4)  # compiles
    started = time.process_time()
    chip = masked_chip(data, flags)
    mask_s = time.process_time() - started
    started = time.process_time()
    sky = sky_map(chip.data, how, min_value=chip.min_value, max_value=chip.max_value)
    sky_s = time.process_time() - started
    print(f"mask with pixel areas {mask_s:.2f} s, sky {sky_s:.2f} s")
    slow = sky_s >= SKY_LIMIT_S
    if options.calcsky:
        other, other_s = by_program(options.calcsky, chip, how)
        off = np.abs(sky - other)
        print(
            f"calcsky {other_s:.2f} s: {other_s / sky_s:.1f} times as long; largest difference "
            f"{off.max():.1e}, {np.count_nonzero(off)} of {off.size} pixels differ"
        )
        slow = slow and sky_s >= other_s / 3
    return int(mask_s >= MASK_LIMIT_S or slow)


if __name__ == "__main__":
    sys.exit(main())
