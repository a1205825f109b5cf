"""What a simulated detector adds to the light: hot pixels, cosmic rays, full wells that bleed."""

from __future__ import annotations

import numpy as np

from hst_assets.compiling import compiled_in_order
from hst_assets_tests.field_chips import FieldChip
from hst_assets_tests.star_scenes import Camera, Scene

__all__ = ["filled", "hot_pixels", "struck_by_rays"]

_TRACK_STEP_PIX = 0.25


def hot_pixels(scene: Scene, chip: FieldChip, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Electrons of hot pixels, which are those of all shots of a chip; and the known ones."""
    rng = np.random.default_rng([seed, *chip.camera.band.encode(), chip.first[1]])
    ny, nx = chip.shape
    electrons, known = np.zeros(chip.shape), np.zeros(chip.shape, dtype=bool)
    j, i = rng.integers(0, ny, scene.hot_pixels), rng.integers(0, nx, scene.hot_pixels)
    nominal = 10 ** rng.uniform(2.5, 4, scene.hot_pixels)
    electrons[j, i] = nominal * chip.shot.exptime_s / scene.nominal_s
    known[j[::4], i[::4]] = True
    return electrons, known


def struck_by_rays(chip: FieldChip, n: int, rng: np.random.Generator) -> np.ndarray:
    """Electrons of cosmic rays: straight tracks, some pixels long, of some 1000 electrons."""
    ny, nx = chip.shape
    electrons = np.zeros(chip.shape)
    x, y = rng.uniform(0, nx, n), rng.uniform(0, ny, n)
    angle, length = rng.uniform(0, 2 * np.pi, n), 1.0 + rng.exponential(3.0, n)
    charge = rng.lognormal(np.log(1000.0), 0.9, n)
    for k in range(n):
        along = np.arange(0.0, length[k], _TRACK_STEP_PIX)
        i = np.floor(x[k] + along * np.cos(angle[k])).astype(int)
        j = np.floor(y[k] + along * np.sin(angle[k])).astype(int)
        on = (i >= 0) & (j >= 0) & (i < nx) & (j < ny)
        np.add.at(electrons, (j[on], i[on]), charge[k] / len(along))
    return electrons


def filled(electrons: np.ndarray, camera: Camera) -> np.ndarray:
    """Cut at the full well; of CCDs, what is beyond runs up and down the column."""
    if camera.bleeds:
        _bleed(electrons, camera.full_well_e)
    np.minimum(electrons, camera.full_well_e, out=electrons)
    return electrons >= 0.999 * camera.full_well_e


@compiled_in_order
def _bleed(image, well):  # pragma: no cover (compiled)
    ny, nx = image.shape
    for i in range(nx):
        for j in range(ny):
            excess = image[j, i] - well
            if excess <= 0:
                continue
            image[j, i] = well
            for step in (-1, 1):
                left = excess / 2
                k = j + step
                while left > 0 and 0 <= k < ny:
                    room = well - image[k, i]
                    if room > 0:
                        moved = min(room, left)
                        image[k, i] += moved
                        left -= moved
                    k += step
