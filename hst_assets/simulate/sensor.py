"""What a detector does to the light: noise, cosmic rays, bad pixels, saturation.

Images are electrons over the whole exposure; data quality bits are those of the instruments'
data handbooks.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hst_assets.detectors import DETECTORS
from hst_assets.exposures.ramps import ramp_times_s, ramp_variance_e2
from hst_assets.simulate.geometry import ChipView

__all__ = ["RAMP", "SENSORS", "Readout", "Sensor", "bad_pixels", "read_out"]

FloatImage = NDArray[np.float64]
FlagImage = NDArray[np.int16]


@dataclass(frozen=True)
class Sensor:
    """Figures of one detector that only a simulation needs.

    Attributes
    ----------
    dark_e_per_s : float
        Dark current in a pixel.
    cosmic_rays_per_s : float
        Hits on a million pixels a second.
    flagged_fractions : tuple of (int, float)
        Share of pixels that carry a DQ bit because the reference files say so.
    bleeds : bool
        Whether charge above full well runs along the column.
    vignetted_pix : int
        Columns and rows at the low edges that see no light (pyramid of WFPC2).
    """

    dark_e_per_s: float
    cosmic_rays_per_s: float
    flagged_fractions: tuple[tuple[int, float], ...]
    bleeds: bool = False
    vignetted_pix: int = 0


#: SAMP_SEQ and NSAMP of WFC3/IR.
RAMP = ("SPARS25", 14)
BAD = 4
HOT = 16
VIGNETTED = 2
BLOB = 512
COSMIC_RAY_IN_RAMP = 8192

SENSORS: dict[str, Sensor] = {
    "wfc3_uvis": Sensor(
        0.002, 2.4, ((BAD, 0.002), (HOT, 0.010), (64, 0.004), (1024, 0.004)), bleeds=True
    ),
    "wfc3_ir": Sensor(0.05, 0.02, ((BAD, 0.003), (HOT, 0.004), (32, 0.006))),
    "acs_wfc": Sensor(0.004, 2.4, ((BAD, 0.001), (HOT, 0.008), (64, 0.004)), bleeds=True),
    "acs_hrc": Sensor(0.0033, 2.0, ((BAD, 0.0002), (HOT, 0.001)), bleeds=True),
    "wfpc2": Sensor(0.004, 1.8, ((256, 0.002), (1024, 0.006)), vignetted_pix=46),
}

_HIT_LENGTH_PIX = 5.0
_HIT_MEDIAN_E = 140.0
_HIT_SPREAD = 0.9
#: What the dark image leaves of a hot pixel; real WFC3/UVIS exposures of 200 s: 2 electrons
#: (docs/reference/detectors.md).
_HOT_RESIDUAL_E_PER_S = 0.01


@dataclass(frozen=True, eq=False)
class Readout:
    """One calibrated chip.

    Attributes
    ----------
    science, error : ndarray
        Electrons over the exposure, dark current subtracted, and its one-sigma error.
    quality : ndarray of int16
        DQ bits.
    cosmic_rays : ndarray of bool
        Pixels hit by cosmic rays.
    """

    science: FloatImage
    error: FloatImage
    quality: FlagImage
    cosmic_rays: NDArray[np.bool_]


def read_out(
    light_e: FloatImage,
    detector_key: str,
    view: ChipView,
    exptime_s: float,
    rng: np.random.Generator,
    *,
    noise: bool = True,
    cosmic_rays: bool = True,
    defects: bool = True,
) -> Readout:
    """Turn expected light into a calibrated chip.

    Cosmic rays on CCDs are in the image and in no DQ bit: calibration of a single exposure
    cannot tell them. Those on WFC3/IR were taken out of the ramp, and leave bit 8192.

    Parameters
    ----------
    light_e : ndarray, shape (ny, nx)
        Expected electrons from the sky over the exposure.
    detector_key : str
        Key of `hst_assets.detectors.DETECTORS`.
    view : ChipView
        The chip and the part of it that is read.
    exptime_s : float
        Exposure time.
    rng : numpy.random.Generator
        Where chance comes from.
    noise, cosmic_rays, defects : bool
        What to leave out, for measurements of everything else.
    """
    sensor = SENSORS[detector_key]
    quality = bad_pixels(detector_key, view) if defects else np.zeros(view.shape, np.int16)
    dark_e = sensor.dark_e_per_s * exptime_s
    expected = np.where((quality & VIGNETTED) > 0, 0.0, light_e) + dark_e
    image = expected.copy()
    read_noise = _read_noise_e(detector_key, float(np.median(expected)), exptime_s)
    if noise:
        image = rng.poisson(image) + rng.normal(0.0, read_noise, image.shape)
    hit = np.zeros(view.shape, dtype=bool)
    if cosmic_rays:
        hits_e = read_noise if noise else 0.0
        hit = _add_cosmic_rays(image, quality, detector_key, exptime_s, hits_e, rng)
    if defects:
        _add_defects(image, quality, expected, exptime_s, detector_key, rng)
    _saturate(image, quality, detector_key)
    error = np.sqrt(expected + read_noise**2)
    return Readout(image - dark_e, error, quality, hit)


def _read_noise_e(detector_key: str, light_e: float, exptime_s: float) -> float:
    """What reading adds to the noise of so much light: of WFC3/IR a line through a ramp's reads."""
    detector = DETECTORS[detector_key]
    if not detector.is_infrared:
        return detector.read_noise_e
    variance = ramp_variance_e2(
        ramp_times_s(*RAMP, exptime_s),
        rate_e_per_s=light_e / exptime_s,
        read_noise_e=detector.read_noise_e,
    )
    return float(np.sqrt(variance - light_e))


def bad_pixels(detector_key: str, view: ChipView) -> FlagImage:
    """DQ bits that belong to the detector: the same pixels in every exposure."""
    sensor = SENSORS[detector_key]
    ny, nx = DETECTORS[detector_key].full_shape
    rng = np.random.default_rng([crc32(detector_key.encode()), view.chip.ccdchip])
    flags = np.zeros((ny, nx), np.int16)
    for bit, fraction in sensor.flagged_fractions:
        count = int(ny * nx * fraction)
        flags[rng.integers(0, ny, count), rng.integers(0, nx, count)] |= bit
    if detector_key == "wfc3_ir":
        _add_disc(flags, 357.0, 55.0, 45.0, BAD)  # the 'death star'
        for _ in range(12):
            x, y, radius = rng.uniform(0, nx), rng.uniform(0, ny), rng.uniform(5, 10)
            _add_disc(flags, x, y, radius, BLOB)
    edge = sensor.vignetted_pix
    flags[:edge] |= VIGNETTED
    flags[:, :edge] |= VIGNETTED
    return flags[view.y0 : view.y0 + view.ny, view.x0 : view.x0 + view.nx].copy()


def _add_disc(flags: FlagImage, x: float, y: float, radius: float, bit: int) -> None:
    rows, columns = np.ogrid[: flags.shape[0], : flags.shape[1]]
    flags[(columns - x) ** 2 + (rows - y) ** 2 < radius**2] |= bit


def _add_cosmic_rays(
    image: FloatImage,
    quality: FlagImage,
    detector_key: str,
    exptime_s: float,
    read_noise_e: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Add hits to `image` in place; return which pixels they touch."""
    ny, nx = image.shape
    touched = np.zeros(image.shape, dtype=bool)
    n_hits = rng.poisson(SENSORS[detector_key].cosmic_rays_per_s * exptime_s * ny * nx / 1e6)
    if DETECTORS[detector_key].is_infrared:
        rows, columns = rng.integers(0, ny, n_hits), rng.integers(0, nx, n_hits)
        quality[rows, columns] |= COSMIC_RAY_IN_RAMP
        # The ramp was fitted without the reads around the hit: noisier, not brighter.
        image[rows, columns] += rng.normal(0.0, 2 * read_noise_e, n_hits)
        touched[rows, columns] = True
        return touched
    length = 1 + rng.exponential(_HIT_LENGTH_PIX, n_hits)
    angle = rng.uniform(0, np.pi, n_hits)
    charge = rng.lognormal(np.log(_HIT_MEDIAN_E), _HIT_SPREAD, n_hits)
    x_start, y_start = rng.uniform(0, nx, n_hits), rng.uniform(0, ny, n_hits)
    n_steps = np.ceil(2 * length).astype(int)
    hit = np.repeat(np.arange(n_hits), n_steps)
    step = 0.5 * (np.arange(n_steps.sum()) - np.repeat(np.cumsum(n_steps) - n_steps, n_steps))
    columns = np.floor(x_start[hit] + step * np.cos(angle[hit])).astype(int)
    rows = np.floor(y_start[hit] + step * np.sin(angle[hit])).astype(int)
    inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
    rows, columns = rows[inside], columns[inside]
    np.add.at(image, (rows, columns), charge[hit][inside])
    touched[rows, columns] = True
    return touched


def _add_defects(
    image: FloatImage,
    quality: FlagImage,
    expected: FloatImage,
    exptime_s: float,
    detector_key: str,
    rng: np.random.Generator,
) -> None:
    """Give flagged pixels the values that make calibration flag them, in place."""
    hot = (quality & HOT) > 0
    image[hot] += rng.exponential(_HOT_RESIDUAL_E_PER_S * exptime_s, int(hot.sum()))
    bad = (quality & BAD) > 0
    spread = 3 * float(np.median(expected)) + 50.0
    image[bad] = rng.normal(0.0, spread, int(bad.sum()))
    if SENSORS[detector_key].vignetted_pix:
        # Dividing by a flat field of almost nothing.
        dim = (quality & VIGNETTED) > 0
        image[dim] = rng.normal(0.0, 30.0, int(dim.sum()))


def _saturate(image: FloatImage, quality: FlagImage, detector_key: str) -> None:
    """Hold pixels at full well, let CCDs bleed, and flag both, in place."""
    detector = DETECTORS[detector_key]
    full_well = detector.saturation_e
    over = image > full_well
    if not over.any():
        return
    if SENSORS[detector_key].bleeds:
        for column in np.flatnonzero(over.any(axis=0)):
            _bleed(image[:, column], full_well)
        over = image >= full_well
    image[over] = full_well
    quality[over] |= detector.dq_saturated


def _bleed(column: FloatImage, full_well: float) -> None:
    """Move charge above full well to the nearest pixels below it, up and down alike."""
    for row in np.flatnonzero(column > full_well):
        excess = column[row] - full_well
        column[row] = full_well
        for direction in (-1, 1):
            _pour(column, int(row), direction, excess / 2, full_well)


def _pour(column: FloatImage, row: int, direction: int, charge: float, full_well: float) -> None:
    at = row + direction
    while charge > 0 and 0 <= at < len(column):
        room = full_well - column[at]
        if room > 0:
            moved = min(room, charge)
            column[at] += moved
            charge -= moved
        at += direction
