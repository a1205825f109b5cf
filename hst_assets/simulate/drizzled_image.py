"""A drizzled image, opened and measured with none of the tools that the pipeline itself uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput

__all__ = [
    "APERTURES",
    "Aperture",
    "DrizzledImage",
    "aperture_sum",
    "centre",
    "is_covered",
    "read_drizzled",
]

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Aperture:
    """Where the light of a star is taken.

    Attributes
    ----------
    radius : float
        Of the aperture, arcsec.
    annulus : tuple of float
        Inner and outer radius of the sky's annulus, arcsec.
    window_sigma : float
        Of the window in which a star is centred, arcsec.
    """

    radius: float
    annulus: tuple[float, float]
    window_sigma: float


#: By detector.
APERTURES = {
    "wfc3_uvis": Aperture(0.40, (1.1, 1.7), 0.040),
    "wfc3_ir": Aperture(0.60, (1.2, 1.8), 0.080),
    "acs_wfc": Aperture(0.40, (1.1, 1.7), 0.050),
    "acs_hrc": Aperture(0.35, (1.0, 1.5), 0.030),
    "wfpc2": Aperture(0.60, (1.2, 1.8), 0.080),
}
_SEARCH_ARCSEC = 0.6
_SUBPIXELS = 10
_EDGE_ARCSEC = 2.0


@dataclass(frozen=True, eq=False)
class DrizzledImage:
    """A drizzled image.

    Attributes
    ----------
    path : `~pathlib.Path`
        Its file.
    rate : ndarray, shape (ny, nx)
        Electrons or DN per second.
    weight : ndarray, shape (ny, nx), or None
        0 where nothing was exposed; None where the file has no weights.
    wcs : `~astropy.wcs.WCS`
        Of its pixels.
    scale_arcsec : float
        Side of a pixel.
    electrons : bool
        Whether its rate is in electrons.
    """

    path: Path
    rate: Image
    weight: Image | None
    wcs: WCS
    scale_arcsec: float
    electrons: bool


def read_drizzled(path: Path) -> DrizzledImage:
    """Open a drizzled image, its SCI plane in the primary or an extension.

    Raises
    ------
    UnusableInput
        If there is no image in the file.
    """
    with fits.open(path) as hdus:
        science = hdus["SCI"] if "SCI" in hdus else hdus[0]
        if science.data is None:
            raise UnusableInput("no image in this file", where=path)
        rate = np.array(science.data, dtype=float)
        weight = np.array(hdus["WHT"].data, dtype=float) if "WHT" in hdus else None
        units = str(science.header.get("BUNIT") or hdus[0].header.get("BUNIT", "")).upper()
        # AstroDrizzle leaves 'counts' on WFPC2 images that it divided by the exposure time.
        per_second = units.endswith("/S") or hdus[0].header.get("D001OUUN") == "cps"
        if not per_second:
            rate /= float(hdus[0].header["EXPTIME"])
        wcs = WCS(science.header)
    # Not by `hst_assets.sky_geometry`, on which what is judged here stands.
    scale = 3600.0 * float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
    return DrizzledImage(path, rate, weight, wcs, scale, units.startswith("ELECTRON"))


def is_covered(drizzled: DrizzledImage, x: float, y: float) -> bool:
    """Whether the surroundings of a place (0-based pixels) are on the image and exposed."""
    half = int(np.ceil(_EDGE_ARCSEC / drizzled.scale_arcsec))
    if not (np.isfinite(x) and np.isfinite(y)):
        return False
    column, row = round(float(x)), round(float(y))
    ny, nx = drizzled.rate.shape
    if min(column, row) < half or column >= nx - half or row >= ny - half:
        return False
    box = (slice(row - half, row + half + 1), slice(column - half, column + half + 1))
    if not np.isfinite(drizzled.rate[box]).all():
        return False
    return drizzled.weight is None or bool((drizzled.weight[box] > 0).all())


def centre(drizzled: DrizzledImage, x: float, y: float, sigma_arcsec: float) -> tuple[float, float]:
    """Centre of the brightest star near (x, y): first moments under a Gaussian window.

    Iterated as in SExtractor's XWIN_IMAGE, which is unbiased for symmetric profiles.

    Parameters
    ----------
    drizzled : DrizzledImage
        The image.
    x, y : float
        0-based pixels; `is_covered` there.
    sigma_arcsec : float
        Of the window.

    Returns
    -------
    x, y : float
        0-based pixels; NaN where the moments lead nowhere.
    """
    image, scale = drizzled.rate, drizzled.scale_arcsec
    reach = int(np.ceil(_SEARCH_ARCSEC / scale))
    column, row = round(float(x)), round(float(y))
    box = image[row - reach : row + reach + 1, column - reach : column + reach + 1]
    peak_row, peak_column = np.unravel_index(int(np.argmax(box)), box.shape)
    x, y = float(column - reach + peak_column), float(row - reach + peak_row)
    sigma = max(sigma_arcsec / scale, 0.9)
    half = int(np.ceil(4 * sigma))
    row, column = round(y), round(x)
    rows = np.arange(row - half, row + half + 1)
    columns = np.arange(column - half, column + half + 1)
    rows, columns = rows.clip(0, image.shape[0] - 1), columns.clip(0, image.shape[1] - 1)
    cut = image[np.ix_(rows, columns)]
    cut = cut - np.median(image[row - reach : row + reach, column - reach : column + reach])
    for _ in range(30):
        dx, dy = columns[None, :] - x, rows[:, None] - y
        weight = cut * np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
        total = weight.sum()
        if total <= 0:
            return float("nan"), float("nan")
        step_x, step_y = 2 * (weight * dx).sum() / total, 2 * (weight * dy).sum() / total
        x, y = x + float(step_x), y + float(step_y)
        if not abs(step_x) + abs(step_y) < half:
            return float("nan"), float("nan")
        if np.hypot(step_x, step_y) < 1e-4:
            break
    return x, y


def aperture_sum(drizzled: DrizzledImage, x: float, y: float, aperture: Aperture) -> float:
    """Light in the aperture at (x, y) above the median of the annulus, counts per second.

    Parameters
    ----------
    drizzled : DrizzledImage
        The image.
    x, y : float
        0-based pixels; `is_covered` there.
    aperture : Aperture
        Radii of both.
    """
    scale = drizzled.scale_arcsec
    half = int(np.ceil(aperture.annulus[1] / scale)) + 1
    column, row = round(float(x)), round(float(y))
    cut = drizzled.rate[row - half : row + half + 1, column - half : column + half + 1]
    dx = np.arange(column - half, column + half + 1) - x
    dy = np.arange(row - half, row + half + 1) - y
    dx, dy = dx[: cut.shape[1]], dy[: cut.shape[0]]
    distance = np.hypot(dx[None, :], dy[:, None]) * scale
    ring = (distance >= aperture.annulus[0]) & (distance <= aperture.annulus[1])
    sky = float(np.median(cut[ring]))
    fine = (np.arange(_SUBPIXELS) + 0.5) / _SUBPIXELS - 0.5
    fine_x = (dx[:, None] + fine).ravel()
    fine_y = (dy[:, None] + fine).ravel()
    inside = np.hypot(fine_x[None, :], fine_y[:, None]) * scale <= aperture.radius
    shape = (len(dy), _SUBPIXELS, len(dx), _SUBPIXELS)
    share = inside.reshape(shape).mean(axis=(1, 3))
    return float(((cut - sky) * share).sum())
