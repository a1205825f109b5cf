"""Exposures of one galaxy on a sky that is known, and products of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.astrodrizzle.run import DrizzleRequest
from hst_assets.imaging.frames import covering_frame
from hst_assets.settings import DrizzleSettings

CENTRE = (150.1, 2.2)
READ_NOISE_E = 3.0


def filled(
    templates: Sequence[Path],
    folder: Path,
    *,
    skies: Sequence[float],
    central: float,
    scale_arcsec: float,
) -> list[Path]:
    """Exposures with the headers of `templates`, of nothing but sky and an exponential galaxy.

    Parameters
    ----------
    templates : sequence of `~pathlib.Path`
        Simulated exposures of counts.
    folder : `~pathlib.Path`
        Where the new ones are written, under the same names.
    skies : sequence of float
        Electrons per second and pixel, of each.
    central : float
        The galaxy's at its centre, in the same unit.
    scale_arcsec : float
        Its scale length.
    """
    folder.mkdir()
    made = []
    for number, (template, sky) in enumerate(zip(templates, skies, strict=True)):
        rng = np.random.default_rng(number)
        with fits.open(template, memmap=False) as hdus:
            seconds = hdus[0].header["EXPTIME"]
            for hdu in [hdu for hdu in hdus if hdu.name == "SCI"]:
                rows, columns = np.indices(hdu.data.shape)
                ra, dec = WCS(hdu.header, hdus).all_pix2world(columns, rows, 0)
                east = (ra - CENTRE[0]) * np.cos(np.radians(CENTRE[1]))
                radius = np.hypot(east, dec - CENTRE[1]) * 3600.0
                rate = sky + central * np.exp(-radius / scale_arcsec)
                noise = rng.normal(0.0, READ_NOISE_E, rate.shape)
                hdu.data = (rng.poisson(rate * seconds) + noise).astype(np.float32)
                hdus["DQ", hdu.ver].data[...] = 0
            hdus.writeto(folder / template.name)
        made.append(folder / template.name)
    return made


def request_of(
    exposures: Sequence[Path], key: str, name: str, settings: Mapping[str, Any]
) -> DrizzleRequest:
    """A product of exposures of one detector beside them."""
    detector = DETECTORS[key]
    frame = covering_frame(
        exposures,
        ra_deg=CENTRE[0],
        dec_deg=CENTRE[1],
        scale_arcsec=detector.drizzle_scale_arcsec,
    )
    output = exposures[0].parent / f"{name}.fits"
    return DrizzleRequest(
        exposures, output, detector, frame, DrizzleSettings(**settings), f"sky.{name}"
    )
