"""Exposures made on the headers of real ones, by nothing of `hst_assets`.

The second opinion beside `hst_assets.simulate`: the WCS is the real header's, with its look-up
tables, through `astropy.wcs`; stars are Moffat profiles, integrated over pixels; sky, dark current
and post-flash are drawn from Poisson's law and their mean subtracted as calibration does; read
noise is the header's. WFC3/IR's are ramps, read by read, through which a line is laid as calwf3
does. What `hst_assets` believes of noise, geometry or headers is used nowhere, so
that a mistake made twice does not pass.

The real exposures lie beside a developer's checkout; where they are not, tests skip.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "real"

_KEPT = {"PRIMARY", "SCI", "ERR", "DQ", "WCSDVARR", "D2IMARR"}
_ALTERNATE_WCS = re.compile(r"(WCSNAME|WCSAXES|CRPIX\d|CRVAL\d|CTYPE\d|CUNIT\d|CD\d_\d)[A-Z]")
_STAMP_PIX = 14
_OVERSAMPLING = 7
#: Flags that an exposure gets, not its detector: full well and cosmic rays.
_NOT_THE_DETECTORS = 256 + 4096 + 8192
_MOFFAT_BETA = 4.0
_STEP_S = 50.0
#: Signal over noise, and the power of a read's distance from the middle that weights it.
_POWERS = ((100, 10.0), (50, 6.0), (20, 3.0), (10, 1.0), (5, 0.4))


@dataclass(frozen=True)
class Camera:
    """A detector: whose header, how wide its stars are, what noise it has.

    Attributes
    ----------
    template : str
        The real exposure, relative to `REAL`.
    side : int
        Pixels of the square that is kept of it.
    fwhm_pix : float
        Of a star.
    read_noise_e : float
        Of one read of a pixel: READNSE of its header; of WFC3/IR, where that is for a pair of
        reads, over the square root of 2. Two real exposures, each the last read less the zeroth,
        scatter by 20.3.
    subtracted_unit_e : float
        Electrons in the unit of MEANDARK and MEANFLSH: the gain, where calibration subtracts DN.
    """

    template: str
    side: int
    fwhm_pix: float
    read_noise_e: float
    rate: bool = False
    cosmic_rays: bool = True
    subtracted_unit_e: float = 1.0


CAMERAS = {
    "wfc3_uvis": Camera(
        "wfc3_uvis_2013fy27/idsj02axq_flc.fits", 400, 1.9, 3.08, subtracted_unit_e=1.56
    ),
    "wfc3_ir": Camera(
        "wfc3_ir_gj1214/ibxy01z8q_flt.fits",
        256,
        1.3,
        14.3,
        rate=True,
        cosmic_rays=False,
        subtracted_unit_e=2.35,
    ),
    "acs_hrc": Camera("acs_hrc_47tuc/j8bt06nyq_flt.fits", 400, 2.4, 4.71, subtracted_unit_e=2.216),
}


@dataclass(frozen=True)
class Shot:
    """One exposure.

    Attributes
    ----------
    rootname : str
        IPPPSSOOT.
    exptime_s, mjd : float
        Exposure time, and start.
    offset_arcsec : tuple of float
        East and north of the field's centre.
    turn_deg : float
        Rotation of the field against the template's.
    sky_e_per_s, dark_e_per_s, flash_e : float
        Of a native pixel. The sky stays in the image; the others are subtracted.
    hits_per_s : float
        Cosmic rays on a square of 1200 pixels.
    double : tuple of float, optional
        Share of each star's light that fell elsewhere while guiding failed, and where (pixels).
    """

    rootname: str
    exptime_s: float
    mjd: float
    offset_arcsec: tuple[float, float] = (0.0, 0.0)
    turn_deg: float = 0.0
    sky_e_per_s: float = 0.05
    dark_e_per_s: float = 0.002
    flash_e: float = 0.0
    hits_per_s: float = 1.0
    double: tuple[float, float, float] | None = None


Star = tuple[float, float, float]
"""East and north of the field's centre (arcsec), electrons per second."""


def expose(
    camera: Camera,
    shot: Shot,
    stars: Sequence[Star],
    folder: Path,
    *,
    centre_deg: tuple[float, float],
    seed: int,
) -> Path:
    """Take an exposure and write it."""
    rng = np.random.default_rng(seed)
    with fits.open(REAL / camera.template, memmap=False) as real:
        hdus = fits.HDUList([hdu.copy() for hdu in real if hdu.name in _KEPT])
    _cut(hdus, camera.side)
    _point(hdus, shot, centre_deg)
    _tell(hdus, shot, camera)
    light = _starlight(hdus, stars, shot, camera, centre_deg)
    dark, flash = shot.dark_e_per_s * shot.exptime_s, shot.flash_e
    expected = (light + shot.sky_e_per_s) * shot.exptime_s + dark + flash
    if camera.rate:
        electrons = _ramp(expected, shot.exptime_s, camera.read_noise_e, rng)
    else:
        electrons = rng.poisson(expected) + rng.normal(0.0, camera.read_noise_e, expected.shape)
    if camera.cosmic_rays:
        _strike(electrons, shot.exptime_s * shot.hits_per_s, rng)
    image = electrons - dark - flash
    error = np.sqrt(expected + camera.read_noise_e**2)
    scale = 1.0 / shot.exptime_s if camera.rate else 1.0
    hdus["SCI"].data = (image * scale).astype(np.float32)
    hdus["ERR"].data = (error * scale).astype(np.float32)
    hdus["DQ"].data = hdus["DQ"].data & ~np.int16(_NOT_THE_DETECTORS)
    path = folder / f"{shot.rootname}_{camera.template.rpartition('_')[2]}"
    hdus.writeto(path, output_verify="silentfix")
    return path


def _ramp(
    expected: np.ndarray, exptime_s: float, read_noise_e: float, rng: np.random.Generator
) -> np.ndarray:
    """The slope of a SPARS50 ramp, times the exposure time, with calwf3's weights (cridcalc.c)."""
    n_reads = _samples(exptime_s) - 1
    times = exptime_s - _STEP_S * np.arange(n_reads)[::-1]
    counts, reads = np.zeros(expected.shape), []
    for seconds in np.diff(times, prepend=0.0):
        counts = counts + rng.poisson(expected / exptime_s * seconds)
        reads.append(counts + rng.normal(0.0, read_noise_e, expected.shape))
    signal = reads[-1] - reads[0]
    certain = signal / np.sqrt(np.maximum(reads[-1], 0.0) + 2.0 * read_noise_e**2)
    power = np.select([certain > least for least, _ in _POWERS], [power for _, power in _POWERS])
    place = np.abs(np.linspace(-1.0, 1.0, n_reads))
    weights = place[:, None, None] ** power
    apart = times[:, None, None] - np.average(
        np.broadcast_to(times[:, None, None], weights.shape), weights=weights, axis=0
    )
    slope = np.sum(weights * apart * np.array(reads), axis=0) / np.sum(weights * apart**2, axis=0)
    return slope * exptime_s


def _samples(exptime_s: float) -> int:
    """NSAMP of SPARS50: the zeroth read, one at once, then one each 50 s."""
    return 2 + int(exptime_s // _STEP_S)


def _cut(hdus: fits.HDUList, side: int) -> None:
    """Keep the middle of the planes."""
    ny, nx = hdus["SCI"].data.shape
    x0, y0 = (nx - side) // 2, (ny - side) // 2
    for name in ("SCI", "ERR", "DQ"):
        hdu = hdus[name]
        hdu.data = hdu.data[y0 : y0 + side, x0 : x0 + side].copy()
        for key, start in (("CRPIX1", x0), ("CRPIX2", y0), ("LTV1", x0), ("LTV2", y0)):
            if key in hdu.header:
                hdu.header[key] -= start


def _point(hdus: fits.HDUList, shot: Shot, centre_deg: tuple[float, float]) -> None:
    """Turn the linear part and move the tangent point; distortion stays with the pixels."""
    header = hdus["SCI"].header
    for key in [key for key in header if _ALTERNATE_WCS.fullmatch(key)]:
        del header[key]
    angle = np.radians(shot.turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    keys = (("CD1_1", "CD1_2"), ("CD2_1", "CD2_2"))
    turned = turn @ np.array([[header[key] for key in row] for row in keys])
    for names, values in zip(keys, turned, strict=True):
        header.update(dict(zip(names, map(float, values), strict=True)))
    ra, dec = centre_deg
    header["CRVAL1"] = ra + shot.offset_arcsec[0] / 3600.0 / np.cos(np.radians(dec))
    header["CRVAL2"] = dec + shot.offset_arcsec[1] / 3600.0
    # The tangent point's pixel is far off the middle of a subarray: put the middle there.
    middle = hdus["SCI"].data.shape[0] / 2.0
    there = WCS(header, hdus).all_pix2world(middle, middle, 1)
    header["CRVAL1"] += header["CRVAL1"] - float(there[0])
    header["CRVAL2"] += header["CRVAL2"] - float(there[1])


def _tell(hdus: fits.HDUList, shot: Shot, camera: Camera) -> None:
    start = Time(shot.mjd, format="mjd").isot
    hdus[0].header.update(
        {
            "ROOTNAME": shot.rootname,
            "EXPTIME": shot.exptime_s,
            "EXPSTART": shot.mjd,
            "EXPEND": shot.mjd + shot.exptime_s / 86400.0,
            "DATE-OBS": start[:10],
            "TIME-OBS": start[11:19],
            "FLASHDUR": 1.0 if shot.flash_e else 0.0,
            "FLASHLVL": round(shot.flash_e),
            "FLSHCORR": "COMPLETE" if shot.flash_e else "OMIT",
        }
    )
    if camera.rate:
        hdus[0].header.update({"SAMP_SEQ": "SPARS50", "NSAMP": _samples(shot.exptime_s)})
    hdus["SCI"].header["MEANFLSH"] = shot.flash_e / camera.subtracted_unit_e
    dark_e = shot.dark_e_per_s * shot.exptime_s
    hdus["SCI"].header["MEANDARK"] = dark_e / camera.subtracted_unit_e


def _starlight(
    hdus: fits.HDUList,
    stars: Sequence[Star],
    shot: Shot,
    camera: Camera,
    centre_deg: tuple[float, float],
) -> np.ndarray:
    """Expected electrons per second; a flat field makes large pixels count like others."""
    wcs = WCS(hdus["SCI"].header, hdus)
    image = np.zeros(hdus["SCI"].data.shape)
    nominal = hdus["SCI"].header["IDCSCALE"] ** 2
    east, north, rate = (np.array(values) for values in zip(*stars, strict=True))
    dec = centre_deg[1] + north / 3600.0
    ra = centre_deg[0] + east / 3600.0 / np.cos(np.radians(dec))
    parts = [(0.0, 0.0, 1.0)]
    if shot.double is not None:
        share, dx, dy = shot.double
        parts = [(0.0, 0.0, 1.0 - share), (dx, dy, share)]
    for x, y, light in zip(*wcs.all_world2pix(ra, dec, 0, quiet=True), rate, strict=True):
        area = _area_arcsec2(wcs, x, y) / nominal
        for dx, dy, share in parts:
            _add_moffat(image, x + dx, y + dy, light * share / area, camera.fwhm_pix)
    return image


def _area_arcsec2(wcs: WCS, x: float, y: float) -> float:
    """Area of a pixel, by where its neighbours are."""
    ra, dec = wcs.all_pix2world([x, x + 1, x], [y, y, y + 1], 0)
    east = (ra[1:] - ra[0]) * np.cos(np.radians(dec[0])) * 3600.0
    north = (dec[1:] - dec[0]) * 3600.0
    return float(abs(east[0] * north[1] - east[1] * north[0]))


def _add_moffat(image: np.ndarray, x: float, y: float, rate: float, fwhm_pix: float) -> None:
    ny, nx = image.shape
    left, bottom = round(x) - _STAMP_PIX, round(y) - _STAMP_PIX
    side = 2 * _STAMP_PIX + 1
    columns = slice(max(left, 0), max(min(left + side, nx), 0))
    rows = slice(max(bottom, 0), max(min(bottom + side, ny), 0))
    if columns.stop <= columns.start or rows.stop <= rows.start:
        return
    step = (np.arange(_OVERSAMPLING) + 0.5) / _OVERSAMPLING - 0.5
    fine_x = (np.arange(columns.start, columns.stop)[:, None] + step).ravel() - x
    fine_y = (np.arange(rows.start, rows.stop)[:, None] + step).ravel() - y
    alpha2 = fwhm_pix**2 / (4.0 * (2.0 ** (1.0 / _MOFFAT_BETA) - 1.0))
    radius2 = fine_y[:, None] ** 2 + fine_x[None, :] ** 2
    density = (1.0 + radius2 / alpha2) ** -_MOFFAT_BETA * (_MOFFAT_BETA - 1.0) / (np.pi * alpha2)
    n_y, n_x = rows.stop - rows.start, columns.stop - columns.start
    blocks = density.reshape(n_y, _OVERSAMPLING, n_x, _OVERSAMPLING)
    image[rows, columns] += rate * blocks.mean(axis=(1, 3))


def _strike(electrons: np.ndarray, hits: float, rng: np.random.Generator) -> None:
    """Cosmic rays: so many hits on a square of 1200 pixels, straight, of some length."""
    ny, nx = electrons.shape
    for _ in range(rng.poisson(hits * ny * nx / 1200**2)):
        length, angle = 1.0 + rng.exponential(4.0), rng.uniform(0, np.pi)
        along = np.arange(0.0, length, 0.5)
        x = (rng.uniform(0, nx) + along * np.cos(angle)).astype(int)
        y = (rng.uniform(0, ny) + along * np.sin(angle)).astype(int)
        on = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
        np.add.at(electrons, (y[on], x[on]), rng.lognormal(np.log(300.0), 1.0))
