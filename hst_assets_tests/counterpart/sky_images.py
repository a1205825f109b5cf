"""Small drizzled images with a WCS: stars of known places on a sky of known noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from hst_assets.imaging.frames import Frame

SCALE_ARCSEC = 0.04
FRAME = Frame(150.1, 2.2, SCALE_ARCSEC, 121, 121, 61, 61)
SIGMA_PIX = 1.0


def write_image(
    path: Path,
    stars: Sequence[tuple[float, float, float]],
    *,
    frame: Frame = FRAME,
    noise: float = 1.0,
    seed: int = 1,
) -> Path:
    """Write SCI, ERR and WHT; stars are offsets east and north (arcsec), and peaks."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(frame.shape)
    light = rng.normal(0, noise, frame.shape)
    for east, north, peak in stars:
        sky = (
            frame.ra_deg + east / 3600 / np.cos(np.radians(frame.dec_deg)),
            frame.dec_deg + north / 3600,
        )
        x, y = frame.wcs.all_world2pix(*sky, 0)
        light += peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * SIGMA_PIX**2))
    header = frame.wcs.to_header()
    planes = {"SCI": light, "ERR": np.full(frame.shape, noise), "WHT": np.ones(frame.shape)}
    hdus = [fits.PrimaryHDU()]
    hdus += [fits.ImageHDU(data.astype(np.float32), header, name) for name, data in planes.items()]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path
