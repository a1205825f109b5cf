"""Nine stars on a grid, for the checks that measure stars."""

from __future__ import annotations

import numpy as np

from hst_assets.imaging.frames import Frame

FRAME = Frame(150.0, 2.0, 0.04, 220, 200, 110, 100)
INSIDE = np.ones(FRAME.shape, bool)


def stars(scale: float = 1.0, noise: float = 0.01) -> np.ndarray:
    """Nine round stars of 2 pixels FWHM, 50 pixels apart, on a noisy sky."""
    rows, columns = np.mgrid[: FRAME.ny, : FRAME.nx]
    image = np.random.default_rng(1).normal(0.3, noise, FRAME.shape)
    for x in (50, 100, 150):
        for y in (50, 100, 150):
            image += scale * 5.0 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 1.45)
    return image.astype(np.float32)
