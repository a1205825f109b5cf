"""Star fields with their truth, for the embedded photometer, by nothing of `hst_assets.simulate`.

A scene is a list of shots of one patch of sky; each becomes the `ChipImage` of one chip (or of two
with a gap between them), with what the photometer would be given: electrons times pixel area,
masks, a first estimate of the sky, a tabulated map from the reference. The light itself never goes
through these: stars are placed by the analytic map, the PSF is a table of 20 steps a pixel made
from its formula, the sky falls by the analytic pixel area. All random numbers are of one seed.

Fluxes are electrons a second; a scene's `nominal_s` is the exposure time in which a star's flux in
electrons is that of the luminosity function. The figures of the cameras are round ones of the size
of the real detectors', from memory; no test may take them for the detectors' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numba
import numpy as np
from astropy.io import fits
from scipy.ndimage import convolve1d, gaussian_filter, map_coordinates, zoom
from scipy.special import j1

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.pixel_map import KNOT_STEP_PIX, PixelMap
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf, spline_psf

__all__ = [
    "CAMERAS",
    "Camera",
    "Scene",
    "Shot",
    "StarField",
    "Truth",
    "camera_of",
    "make_field",
    "read_study",
    "shots",
]

#: Steps of a PSF's table a pixel, and its reach in pixels.
STEPS = 20
REACH_PIX = 45
#: Pixels that stars have light on, by their electrons in the exposure (as the study's simulator).
_RADII = ((5000.0, REACH_PIX - 1), (500.0, 30), (-np.inf, 18))
#: Dithers of a study whose DOLPHOT runs are at hand (the first four), and four more; pixels.
DITHERS = (
    (0.0, 0.0),
    (3.33, 2.67),
    (-5.25, 4.52),
    (2.61, -6.41),
    (-2.27, -3.38),
    (6.46, -1.82),
    (-6.71, -5.14),
    (1.19, 7.55),
)
_SPACING_PIX = 32
_TRACK_STEP_PIX = 0.25


@dataclass(frozen=True)
class Camera:
    """A detector and filter.

    Attributes
    ----------
    band : str
        As of `ChipImage`.
    fwhm_pix : float
        Of the PSF before the pixel.
    pixel_arcsec : float
    read_noise_e, full_well_e : float
    bleeds : bool
        Charge beyond the full well runs along columns (CCDs); else it is lost.
    skew : float
        Linear distortion: X changes by so much of Y.
    """

    band: str
    fwhm_pix: float
    pixel_arcsec: float
    read_noise_e: float
    full_well_e: float
    bleeds: bool = True
    skew: float = 0.0


CAMERAS = {
    "wfc3_uvis": Camera("wfc3_uvis F814W", 1.80, 0.04, 3.1, 70_000.0, skew=0.06),
    "wfc3_uvis_blue": Camera("wfc3_uvis F606W", 1.70, 0.04, 3.1, 70_000.0, skew=0.06),
    "acs_wfc": Camera("acs_wfc F814W", 1.90, 0.05, 4.0, 80_000.0, skew=0.08),
    "acs_hrc": Camera("acs_hrc F606W", 2.40, 0.026, 4.7, 140_000.0, skew=0.1),
    "wfc3_ir": Camera("wfc3_ir F160W", 1.15, 0.128, 14.0, 75_000.0, bleeds=False, skew=0.0),
    "wfpc2": Camera("wfpc2 F555W", 1.50, 0.10, 5.5, 55_000.0),
}


@dataclass(frozen=True)
class Shot:
    """One exposure.

    Attributes
    ----------
    camera : str
        Key of `CAMERAS`.
    exptime_s, mjd : float
    dither : tuple of float
        Added to X and Y on the chip, pixels.
    turn_deg : float
        Rotation about the middle.
    """

    camera: str = "wfc3_uvis"
    exptime_s: float = 500.0
    mjd: float = 58000.0
    dither: tuple[float, float] = (0.0, 0.0)
    turn_deg: float = 0.0


def shots(
    n: int, camera: str = "wfc3_uvis", *, exptime_s: float = 500.0, turn_deg: float = 0.0
) -> tuple[Shot, ...]:
    """So many dithered exposures; each is turned by so much against the one before it."""
    return tuple(
        Shot(camera, exptime_s, 58000.0 + 0.01 * k, DITHERS[k], turn_deg * k) for k in range(n)
    )


@dataclass(frozen=True)
class Scene:
    """What is on the sky and how it is exposed.

    Attributes
    ----------
    n_stars : int
        On the reference.
    shots : sequence of Shot
    shape : tuple of int
        (ny, nx) of the reference; chips are as large on the sky.
    reference : str
        Camera whose pixels the reference has.
    nominal_s : float
        Exposure time of the luminosity function.
    faintest_e, brightest_e, slope : float
        Power law: the number of stars goes as 10**(slope mag).
    colour_scatter_mag : float
        Gaussian scatter of the colour between bands.
    sky_e : float
        A pixel in the nominal time.
    family : str
        Of the PSF: `moffat` (a mixture of three) or `airy` (rings of an obscured aperture).
    varying : bool
        Over the chip, FWHM grows by 10 % along X and ellipticity along Y.
    distorted : bool
        Skew, quadratic (6e-6 a pixel) and cubic terms; pixel areas follow.
    cosmic_rays : float
        Hits of an exposure over stars on it.
    hot_pixels : int
        Of each detector; one in four is in the mask.
    galaxies : int
    nebula : float
        Peak of the nebulosity over the sky.
    gap_pix : int
        If positive, a camera has two chips with such a gap between them.
    moving : float
        Share of the stars that moves.
    motion_pix_yr : float
        How fast these do.
    """

    n_stars: int
    shots: Sequence[Shot] = field(default_factory=lambda: shots(4))
    shape: tuple[int, int] = (1024, 1025)
    reference: str = "wfc3_uvis"
    nominal_s: float = 500.0
    faintest_e: float = 60.0
    brightest_e: float = 2e5
    slope: float = 0.30
    colour_scatter_mag: float = 0.3
    sky_e: float = 60.0
    family: str = "moffat"
    varying: bool = False
    distorted: bool = False
    cosmic_rays: float = 0.0
    hot_pixels: int = 0
    galaxies: int = 0
    nebula: float = 0.0
    gap_pix: int = 0
    moving: float = 0.0
    motion_pix_yr: float = 0.0


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
                _sky_estimate(data, good),
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


def camera_of(band: str) -> Camera:
    """The camera of a band."""
    return next(camera for camera in CAMERAS.values() if camera.band == band)


@lru_cache(maxsize=4)
def psf_tables(family: str, fwhm_pix: float, *, varying: bool = False) -> np.ndarray:
    """Light in a pixel by its distance from the star: one table, or those of four corners.

    Returns
    -------
    ndarray of float32, shape (1 or 4, n, n)
        Corners in the order of `corner_weights`; n = 2 `REACH_PIX` `STEPS` + 1.
    """
    corners = [(1.0, 1.03)]
    if varying:
        corners = [(0.95, 1.0), (1.05, 1.0), (0.95, 1.06), (1.05, 1.06)]
    return np.array([_table(family, fwhm_pix * width, stretch) for width, stretch in corners])


def corner_weights(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Weights of the corners' tables at shares u, v of the chip's width and height."""
    u, v = np.clip(u, 0, 1), np.clip(v, 0, 1)
    return np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], axis=-1)


def _table(family: str, fwhm_pix: float, stretch: float) -> np.ndarray:
    half = (REACH_PIX + 1) * STEPS
    side = np.arange(-half, half + 1) / STEPS
    dx, dy = np.meshgrid(side, side)
    made = _moffats if family == "moffat" else _airy
    light = made(dx, dy, fwhm_pix, stretch)
    box = np.full(STEPS + 1, 1.0 / STEPS)
    box[[0, -1]] /= 2
    pixels = convolve1d(convolve1d(light, box, axis=0), box, axis=1)
    return pixels[STEPS:-STEPS, STEPS:-STEPS].astype(np.float32)


def _moffats(dx: np.ndarray, dy: np.ndarray, fwhm: float, stretch: float) -> np.ndarray:
    """Core, skirt and halo; only the core is elliptical."""
    core = (dx * stretch) ** 2 + (dy / stretch) ** 2
    round_ = dx**2 + dy**2
    wide = fwhm / 1.8
    return (
        0.82 * _moffat(core, fwhm, 3.5)
        + 0.15 * _moffat(round_, 4.5 * wide, 2.6)
        + 0.03 * _moffat(round_, 16.0 * wide, 3.0)
    )


def _moffat(r2: np.ndarray, fwhm: float, beta: float) -> np.ndarray:
    a2 = fwhm**2 / 4 / (2 ** (1 / beta) - 1)
    return (beta - 1) / (np.pi * a2) * (1 + r2 / a2) ** -beta


def _airy(dx: np.ndarray, dy: np.ndarray, fwhm: float, stretch: float) -> np.ndarray:
    """An annular aperture, a third of it obscured, and a charge diffusion of 0.3 pixel.

    The pattern is ((2 J1(v)/v - e^2 2 J1(ev)/(ev)) / (1 - e^2))^2, v = pi r D / lambda, and its
    integral over the plane 4 / (pi (1 - e^2)) (lambda/D)^2 (Born & Wolf, section 8.6.2).
    """
    obscured = 0.33
    resolution = fwhm / 1.0
    v = np.pi * np.hypot(dx * stretch, dy / stretch) / resolution
    v[v == 0] = 1e-9
    amplitude = 2 * j1(v) / v - obscured**2 * 2 * j1(obscured * v) / (obscured * v)
    peak = np.pi * (1 - obscured**2) / 4 / resolution**2
    pattern = peak * (amplitude / (1 - obscured**2)) ** 2
    return gaussian_filter(pattern, 0.3 * STEPS)


@dataclass(frozen=True)
class _Chip:
    """The analytic geometry of one chip of one shot."""

    camera: Camera
    shot: Shot
    scale: float
    middle_reference: tuple[float, float]
    middle: tuple[float, float]
    first: tuple[int, int]
    shape: tuple[int, int]
    distorted: bool
    name: str

    def place(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """On the chip, of places on the reference."""
        turn = np.radians(self.shot.turn_deg)
        a = (x - self.middle_reference[0]) * self.scale
        b = (y - self.middle_reference[1]) * self.scale
        u = a * np.cos(turn) - b * np.sin(turn) + self.shot.dither[0]
        v = a * np.sin(turn) + b * np.cos(turn) + self.shot.dither[1]
        if self.distorted:
            u, v = _distorted(u, v, self.camera.skew)
        return u + self.middle[0] - self.first[0], v + self.middle[1] - self.first[1]

    def back(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """On the reference, of places on the chip: Newton's iteration."""
        u = (x + self.first[0] - self.middle[0]) / self.scale + self.middle_reference[0]
        v = (y + self.first[1] - self.middle[1]) / self.scale + self.middle_reference[1]
        for _ in range(8):
            there = self.place(u, v)
            rx, ry = x - there[0], y - there[1]
            (a, b), (c, d) = self._slopes(u, v)
            det = a * d - b * c
            u, v = u + (d * rx - b * ry) / det, v + (a * ry - c * rx) / det
        return u, v

    def area(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Area of the pixel at a place of the reference, 1 where nothing is distorted."""
        (a, b), (c, d) = self._slopes(u, v)
        return self.scale**2 / np.abs(a * d - b * c)

    def _slopes(self, u: np.ndarray, v: np.ndarray):
        right, left = self.place(u + 0.5, v), self.place(u - 0.5, v)
        up, down = self.place(u, v + 0.5), self.place(u, v - 0.5)
        return (right[0] - left[0], up[0] - down[0]), (right[1] - left[1], up[1] - down[1])


def _distorted(u: np.ndarray, v: np.ndarray, skew: float) -> tuple[np.ndarray, np.ndarray]:
    q, c = 6e-6, 1e-10
    return (
        u + skew * v + q * (0.8 * u * u - 0.5 * u * v + 0.3 * v * v) + c * u * (u * u + v * v),
        v + q * (-0.4 * u * u + 0.9 * u * v + 0.2 * v * v) + c * v * (u * u - 0.5 * v * v),
    )


def make_field(scene: Scene, seed: int) -> StarField:
    """Put the stars on the sky and expose them."""
    rng = np.random.default_rng(seed)
    truth = _stars(scene, rng)
    galaxies = _galaxies(scene, rng)
    truth.galaxies[:] = galaxies[:, :2]
    clouds = _clouds(scene, rng)
    images, struck = [], []
    for number, shot in enumerate(scene.shots):
        for chip in _chips(scene, shot, number):
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


def _chips(scene: Scene, shot: Shot, number: int) -> list[_Chip]:
    camera = CAMERAS[shot.camera]
    scale = CAMERAS[scene.reference].pixel_arcsec / camera.pixel_arcsec
    ny, nx = (round(side * scale) for side in scene.shape)
    pieces = [(0, ny)]
    if scene.gap_pix:
        edge = (ny - scene.gap_pix) // 2
        pieces = [(0, edge), (edge + scene.gap_pix, ny)]
    middle = ((scene.shape[1] - 1) / 2, (scene.shape[0] - 1) / 2)
    # Of equal pixels the middles agree, so that an exposure without a dither is the reference.
    return [
        _Chip(
            camera,
            shot,
            scale,
            middle,
            ((nx - 1) / 2, (ny - 1) / 2),
            (0, first),
            (last - first, nx),
            scene.distorted,
            f"field{number + 1}.chip{piece + 1}",
        )
        for piece, (first, last) in enumerate(pieces)
    ]


def _expose(
    scene: Scene,
    chip: _Chip,
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
    defects, known = _hot(scene, chip, hot_seed)
    electrons += defects
    hits = _strike(chip, round(scene.cosmic_rays * scene.n_stars), rng)
    electrons += hits
    saturated = _fill(electrons, camera)
    electrons += rng.normal(0.0, camera.read_noise_e, chip.shape)
    good = ~(saturated | known)
    image = ChipImage(
        chip.name,
        camera.band,
        electrons.astype(np.float32),
        good,
        saturated,
        _sky_estimate(electrons, good),
        area.astype(np.float32),
        camera.read_noise_e,
        shot.exptime_s,
        shot.mjd,
        _tabulated(chip, scene.shape),
    )
    return image, hits > 0


def _spread(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Values on a lattice from the first to the last pixel, at all pixels."""
    j = np.linspace(0, coarse.shape[0] - 1, shape[0])
    i = np.linspace(0, coarse.shape[1] - 1, shape[1])
    return map_coordinates(coarse, np.meshgrid(j, i, indexing="ij"), order=1)


def _tabulated(chip: _Chip, shape: tuple[int, int]) -> PixelMap:
    # Turned chips reach beyond the reference.
    rim = max(4 * KNOT_STEP_PIX, 0.25 * max(shape) * (chip.shot.turn_deg != 0))
    x = np.arange(-rim, shape[1] + rim, KNOT_STEP_PIX)
    y = np.arange(-rim, shape[0] + rim, KNOT_STEP_PIX)
    knots = np.stack(chip.place(*np.meshgrid(x, y)), axis=-1)
    return PixelMap(float(x[0]), float(y[0]), KNOT_STEP_PIX, knots)


def _add_stars_of(scene: Scene, chip: _Chip, truth: Truth, light: np.ndarray) -> None:
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


@numba.njit(cache=True)
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


def _add_galaxies(chip: _Chip, galaxies: np.ndarray, light: np.ndarray) -> None:
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


def _hot(scene: Scene, chip: _Chip, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Electrons of hot pixels, which are those of all shots of a chip; and the known ones."""
    rng = np.random.default_rng([seed, *chip.camera.band.encode(), chip.first[1]])
    ny, nx = chip.shape
    electrons, known = np.zeros(chip.shape), np.zeros(chip.shape, dtype=bool)
    j, i = rng.integers(0, ny, scene.hot_pixels), rng.integers(0, nx, scene.hot_pixels)
    nominal = 10 ** rng.uniform(2.5, 4, scene.hot_pixels)
    electrons[j, i] = nominal * chip.shot.exptime_s / scene.nominal_s
    known[j[::4], i[::4]] = True
    return electrons, known


def _strike(chip: _Chip, n: int, rng: np.random.Generator) -> np.ndarray:
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


def _fill(electrons: np.ndarray, camera: Camera) -> np.ndarray:
    """Cut at the full well; of CCDs, what is beyond runs up and down the column."""
    if camera.bleeds:
        _bleed(electrons, camera.full_well_e)
    np.minimum(electrons, camera.full_well_e, out=electrons)
    return electrons >= 0.999 * camera.full_well_e


@numba.njit(cache=True)
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


def _sky_estimate(electrons: np.ndarray, good: np.ndarray, box: int = 64) -> np.ndarray:
    """Clipped medians of boxes, interpolated: crude, as a first estimate is."""
    ny, nx = electrons.shape
    rows, columns = max(1, ny // box), max(1, nx // box)
    coarse = np.zeros((rows, columns))
    for j in range(rows):
        for i in range(columns):
            where = np.s_[
                j * ny // rows : (j + 1) * ny // rows, i * nx // columns : (i + 1) * nx // columns
            ]
            values = electrons[where][good[where]]
            for _ in range(5):
                middle = np.median(values)
                spread = 1.4826 * np.median(np.abs(values - middle))
                values = values[np.abs(values - middle) <= 2.25 * spread]
            coarse[j, i] = values.mean()
    factor = (ny / rows, nx / columns)
    smooth = zoom(coarse, factor, order=1, mode="nearest", grid_mode=True)
    return smooth.astype(np.float32)
