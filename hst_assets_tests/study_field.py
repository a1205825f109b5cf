"""A star field that others simulated, on which DOLPHOT's own result is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.pixel_map import KNOT_STEP_PIX, PixelMap
from hst_assets_tests.field_sky import sky_estimate
from hst_assets_tests.star_fields import StarField, Truth
from hst_assets_tests.star_scenes import CAMERAS, Scene, shots

__all__ = ["read_study"]


def read_study(folder: Path) -> StarField:
    """Four exposures that others simulated, and their truth, as FITS files of a folder.

    The PSF is that of `wfc3_uvis` here, undistorted; offsets are in CRPIX, fluxes in electrons an
    exposure of 500 s.
    """
    images: list[ChipImage] = []
    first = np.zeros(2)
    for path in sorted(folder.glob("sim?_flc.fits*")):
        with fits.open(path) as hdus:
            data = hdus["SCI"].data.astype(np.float32)
            good = hdus["DQ"].data == 0
            cards = hdus["SCI"].header
            primary = hdus[0].header
        shift = np.array([cards["CRPIX1"], cards["CRPIX2"]])
        first = first if images else shift
        dx, dy = (float(each) for each in shift - first)
        shape = data.shape
        images.append(
            ChipImage(
                path.name.partition(".")[0],
                CAMERAS["wfc3_uvis"].band,
                data,
                good,
                np.zeros(shape, dtype=bool),
                sky_estimate(data, good),
                np.ones(shape, dtype=np.float32),
                float(primary["READNSEA"]),
                float(primary["EXPTIME"]),
                (primary["EXPSTART"] + primary["EXPEND"]) / 2,
                _shifted(shape, dx, dy),
            )
        )
    stored = np.load(folder / "truth_sim.npz")
    still = np.zeros(len(stored["x"]))
    rates = {CAMERAS["wfc3_uvis"].band: stored["f"] / float(stored["exp"])}
    truth = Truth(stored["x"], stored["y"], rates, still, still, np.zeros((0, 2)))
    scene = Scene(len(still), shape=images[0].shape, shots=shots(len(images)))
    return StarField(scene, images, [~image.good for image in images], truth)


def _shifted(shape: tuple[int, int], dx: float, dy: float) -> PixelMap:
    x = np.arange(-64.0, shape[1] + 80, KNOT_STEP_PIX)
    y = np.arange(-64.0, shape[0] + 80, KNOT_STEP_PIX)
    knots = np.stack(np.meshgrid(x + dx, y + dy), axis=-1)
    return PixelMap(-64.0, -64.0, KNOT_STEP_PIX, knots)
