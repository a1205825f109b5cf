"""Star fields with their truth, for the embedded photometer, by nothing of `hst_assets.simulate`.

A scene is a list of shots of one patch of sky; each becomes the `ChipImage` of one chip (or of two
with a gap between them), with what the photometer would be given: electrons times pixel area,
masks, a first estimate of the sky, a tabulated map from the reference. The light itself never goes
through these: stars are placed by the analytic map, the PSF is a table of 20 steps a pixel made
from its formula, the sky falls by the analytic pixel area. All random numbers are of one seed.

Fluxes are electrons a second; a scene's `nominal_s` is the exposure time in which a star's flux in
electrons is that of the luminosity function. Scenes and cameras are in
`hst_assets_tests.star_scenes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates

from hst_assets.compiling import compiled_in_order
from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf, spline_psf
from hst_assets_tests.field_chips import FieldChip, chips_of, tabulated
from hst_assets_tests.field_defects import filled, hot_pixels, struck_by_rays
from hst_assets_tests.field_psfs import REACH_PIX, STEPS, corner_weights, psf_tables
from hst_assets_tests.field_sky import sky_estimate
from hst_assets_tests.star_scenes import CAMERAS, Scene, camera_of

__all__ = ["StarField", "Truth", "make_field"]

#: Pixels that stars have light on, by their electrons in the exposure (as the study's simulator).
_RADII = ((5000.0, REACH_PIX - 1), (500.0, 30), (-np.inf, 18))
_SPACING_PIX = 32


@dataclass(frozen=True, eq=False)
class Truth:
    """The stars.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        On the reference, 0-based pixels, at the mean of the exposures' dates.
    rates : dict of ndarray, shape (n,)
        Electrons a second by band, light to infinity.
    motion_x, motion_y : ndarray, shape (n,)
        Pixels of the reference a year.
    galaxies : ndarray, shape (m, 2)
        X and Y of those on the reference.
    """

    x: np.ndarray
    y: np.ndarray
    rates: dict[str, np.ndarray]
    motion_x: np.ndarray
    motion_y: np.ndarray
    galaxies: np.ndarray


@dataclass(frozen=True, eq=False)
class StarField:
    """Images and truth.

    Attributes
    ----------
    scene : Scene
    images : list of ChipImage
        Cosmic rays are in `data_e`, and their pixels are good.
    struck : list of ndarray of bool
        Pixels of each image that a cosmic ray hit.
    truth : Truth
    """

    scene: Scene
    images: list[ChipImage]
    struck: list[np.ndarray]
    truth: Truth

    def masked(self) -> list[ChipImage]:
        """The images with all cosmic rays in their masks: what a perfect finder would give."""
        return [
            replace(image, good=image.good & ~struck)
            for image, struck in zip(self.images, self.struck, strict=True)
        ]

    def psf(self, band: str, *, radius_pix: int = 12, wider: float = 1.0) -> SplinePsf:
        """The true PSF; or one that is wrong: wider by this factor, of Moffats, constant."""
        camera = camera_of(band)
        scene = self.scene if wider == 1.0 else replace(self.scene, varying=False, family="moffat")
        tables = psf_tables(scene.family, camera.fwhm_pix * wider, varying=scene.varying)
        half = (radius_pix + 2) * OVERSAMPLING
        lattice = STEPS // OVERSAMPLING * np.arange(-half, half + 1) + REACH_PIX * STEPS
        values = tables[:, lattice[:, None], lattice].astype(float)
        if len(tables) == 1:
            return spline_psf(values[0], radius_pix=radius_pix)
        ny, nx = self.images[0].shape
        cells = (np.arange(8) + 0.5) / 8
        weights = corner_weights(*np.meshgrid(cells, cells))
        varying = np.einsum("jik,kab->jiab", weights, values)
        return spline_psf(varying, radius_pix=radius_pix, cell_pix=(nx / 8, ny / 8))

    def enclosed(self, band: str, radius_pix: float) -> float:
        """Share of a star's light in a round aperture of pixels about it, mean of the chip."""
        scene = self.scene
        tables = psf_tables(scene.family, camera_of(band).fwhm_pix, varying=scene.varying)
        side = np.arange(-REACH_PIX * STEPS, REACH_PIX * STEPS + 1) / STEPS
        inside = np.hypot(side, side[:, None]) <= radius_pix
        return float(np.mean([table[inside].sum(dtype=float) for table in tables]) / STEPS**2)


def make_field(scene: Scene, seed: int) -> StarField:
    """Put the stars on the sky and expose them."""
    rng = np.random.default_rng(seed)
    truth = _stars(scene, rng)
    galaxies = _galaxies(scene, rng)
    truth.galaxies[:] = galaxies[:, :2]
    clouds = _clouds(scene, rng)
    images, struck = [], []
    for number, shot in enumerate(scene.shots):
        for chip in chips_of(scene, shot, number):
            image, hits = _expose(scene, chip, truth, galaxies, clouds, rng, seed)
            images.append(image)
            struck.append(hits)
    return StarField(scene, images, struck, truth)


def _stars(scene: Scene, rng: np.random.Generator) -> Truth:
    ny, nx = scene.shape
    # Beyond the reference by more than any dither, so that no image has an empty rim.
    rim = 30.0 if all(shot.turn_deg == 0 for shot in scene.shots) else 0.1 * max(ny, nx)
    n = round(scene.n_stars * (nx + 2 * rim) * (ny + 2 * rim) / (nx * ny))
    x, y = rng.uniform(-rim, nx - 1 + rim, n), rng.uniform(-rim, ny - 1 + rim, n)
    growth = scene.slope * np.log(10)
    first, last = -2.5 * np.log10(scene.brightest_e), -2.5 * np.log10(scene.faintest_e)
    low, high = np.exp(growth * first), np.exp(growth * last)
    electrons = 10 ** (-0.4 * np.log(low + rng.random(n) * (high - low)) / growth)
    rates = {CAMERAS[scene.reference].band: electrons / scene.nominal_s}
    for shot in scene.shots:
        band = CAMERAS[shot.camera].band
        if band not in rates:
            colour = rng.normal(0.0, scene.colour_scatter_mag, n)
            rates[band] = electrons / scene.nominal_s * 10 ** (0.4 * colour)
    angle = rng.uniform(0, 2 * np.pi, n)
    speed = scene.motion_pix_yr * (rng.random(n) < scene.moving)
    return Truth(
        x, y, rates, speed * np.cos(angle), speed * np.sin(angle), np.zeros((scene.galaxies, 2))
    )


def _galaxies(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """X, Y, rate, size (pixels of the reference), axis ratio, angle."""
    ny, nx = scene.shape
    n = scene.galaxies
    return np.column_stack(
        [
            rng.uniform(0, nx - 1, n),
            rng.uniform(0, ny - 1, n),
            10 ** rng.uniform(3, 4.5, n) / scene.nominal_s,
            rng.uniform(1.5, 5.0, n),
            rng.uniform(0.3, 1.0, n),
            rng.uniform(0, np.pi, n),
        ]
    )


def _clouds(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """X, Y, size, height over the sky."""
    ny, nx = scene.shape
    n = 16 if scene.nebula else 0
    return np.column_stack(
        [
            rng.uniform(0, nx - 1, n),
            rng.uniform(0, ny - 1, n),
            rng.uniform(0.03, 0.15, n) * min(nx, ny),
            scene.nebula * rng.uniform(0.1, 1.0, n),
        ]
    )


def _expose(
    scene: Scene,
    chip: FieldChip,
    truth: Truth,
    galaxies: np.ndarray,
    clouds: np.ndarray,
    rng: np.random.Generator,
    hot_seed: int,
) -> tuple[ChipImage, np.ndarray]:
    camera, shot = chip.camera, chip.shot
    # Coarse places of the chip on the reference: area and nebulosity are smooth.
    ny, nx = chip.shape
    gx, gy = np.meshgrid(
        np.linspace(0, nx - 1, nx // _SPACING_PIX + 2),
        np.linspace(0, ny - 1, ny // _SPACING_PIX + 2),
    )
    u, v = chip.back(gx, gy)
    area = _spread(chip.area(u, v), chip.shape)
    over = np.ones_like(gx)
    for x, y, size, height in clouds:
        over += height * np.exp(-((u - x) ** 2 + (v - y) ** 2) / 2 / size**2)
    # The sky of the nominal time is that of a pixel of the reference.
    nominal = scene.sky_e * shot.exptime_s / scene.nominal_s / chip.scale**2
    light = nominal * _spread(over, chip.shape) * area
    _add_stars_of(scene, chip, truth, light)
    _add_galaxies(chip, galaxies, light)
    electrons = rng.poisson(light).astype(float)
    defects, known = hot_pixels(scene, chip, hot_seed)
    electrons += defects
    hits = struck_by_rays(chip, round(scene.cosmic_rays * scene.n_stars), rng)
    electrons += hits
    saturated = filled(electrons, camera)
    electrons += rng.normal(0.0, camera.read_noise_e, chip.shape)
    good = ~(saturated | known)
    image = ChipImage(
        chip.name,
        camera.band,
        electrons.astype(np.float32),
        good,
        saturated,
        sky_estimate(electrons, good),
        area.astype(np.float32),
        camera.read_noise_e,
        shot.exptime_s,
        shot.mjd,
        tabulated(chip, scene.shape),
    )
    return image, hits > 0


def _spread(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Values on a lattice from the first to the last pixel, at all pixels."""
    j = np.linspace(0, coarse.shape[0] - 1, shape[0])
    i = np.linspace(0, coarse.shape[1] - 1, shape[1])
    return map_coordinates(coarse, np.meshgrid(j, i, indexing="ij"), order=1)


def _add_stars_of(scene: Scene, chip: FieldChip, truth: Truth, light: np.ndarray) -> None:
    shot = chip.shot
    years = (shot.mjd - np.mean([each.mjd for each in scene.shots])) / 365.25
    x, y = chip.place(truth.x + truth.motion_x * years, truth.y + truth.motion_y * years)
    electrons = truth.rates[chip.camera.band] * shot.exptime_s
    radius = np.select([electrons > least for least, _ in _RADII], [r for _, r in _RADII])
    tables = psf_tables(scene.family, chip.camera.fwhm_pix, varying=scene.varying)
    ny, nx = chip.shape
    weights = np.ones((len(x), 1))
    if scene.varying:
        weights = corner_weights(x / nx, y / ny)
    _add_stars(light, x, y, electrons, weights, radius.astype(np.int64), tables)


@compiled_in_order
def _add_stars(image, x, y, flux, weights, radius, tables):  # pragma: no cover (compiled)
    ny, nx = image.shape
    n_tables, n, _ = tables.shape
    middle = n // 2
    for k in range(x.size):
        r = radius[k]
        ix, iy = int(np.round(x[k])), int(np.round(y[k]))
        for j in range(max(0, iy - r), min(ny, iy + r + 1)):
            v = (j - y[k]) * STEPS + middle
            jv = int(np.floor(v))
            fv = v - jv
            for i in range(max(0, ix - r), min(nx, ix + r + 1)):
                u = (i - x[k]) * STEPS + middle
                iu = int(np.floor(u))
                fu = u - iu
                if jv < 0 or iu < 0 or jv >= n - 1 or iu >= n - 1:
                    continue
                share = 0.0
                for t in range(n_tables):
                    low = (1 - fu) * tables[t, jv, iu] + fu * tables[t, jv, iu + 1]
                    high = (1 - fu) * tables[t, jv + 1, iu] + fu * tables[t, jv + 1, iu + 1]
                    share += weights[k, t] * ((1 - fv) * low + fv * high)
                image[j, i] += flux[k] * share


def _add_galaxies(chip: FieldChip, galaxies: np.ndarray, light: np.ndarray) -> None:
    """Two Gaussians each, 1 and 2.5 times the size, widened by the PSF's core."""
    ny, nx = light.shape
    seen = (chip.camera.fwhm_pix / 2.355) ** 2 + 1 / 12
    for x, y, rate, size, ratio, angle in galaxies:
        cx, cy = (float(value) for value in chip.place(np.array(x), np.array(y)))
        reach = int(10 * size * chip.scale) + 5
        i0, i1 = max(0, int(cx) - reach), min(nx, int(cx) + reach + 1)
        j0, j1 = max(0, int(cy) - reach), min(ny, int(cy) + reach + 1)
        if i0 >= i1 or j0 >= j1:
            continue
        dx, dy = np.meshgrid(np.arange(i0, i1) - cx, np.arange(j0, j1) - cy)
        turn = angle + np.radians(chip.shot.turn_deg)
        along = dx * np.cos(turn) + dy * np.sin(turn)
        across = -dx * np.sin(turn) + dy * np.cos(turn)
        for share, factor in ((0.7, 1.0), (0.3, 2.5)):
            major = (size * factor * chip.scale) ** 2 + seen
            minor = (size * factor * chip.scale * ratio) ** 2 + seen
            shape = np.exp(-(along**2) / 2 / major - across**2 / 2 / minor)
            total = 2 * np.pi * np.sqrt(major * minor)
            light[j0:j1, i0:i1] += share * rate * chip.shot.exptime_s * shape / total
