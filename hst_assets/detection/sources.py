"""Stars on the planes of exposures and of drizzled images.

Positions are 0-based pixels (the centre of the first pixel is 0, 0) of the plane named by
``extver``. A star is kept only if its core holds no bad, saturated or cosmic-ray pixel that would
pull its centroid.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table, vstack
from numpy.typing import NDArray

from hst_assets.detection.background import background_of
from hst_assets.detection.centroids import windowed_centroids
from hst_assets.detection.image_planes import Plane
from hst_assets.detection.star_or_cosmic_ray import aperture_sums, survives_cleaning
from hst_assets.detectors import Detector

__all__ = [
    "Prepared",
    "core_is_clean",
    "exposure_sources",
    "find_sources",
    "prepare",
    "significances",
]

logger = logging.getLogger(__name__)

#: DAOFIND's shape limits. Simulated stars of all five detectors lie at sharpness 0.5 to 1.05,
#: |roundness1| < 0.7 and |roundness2| < 0.5 (2nd to 98th percentile); cosmic rays scatter over
#: three times that.
_SHARPNESS = (0.45, 1.05)
_ROUNDNESS1 = 0.7
_ROUNDNESS2 = 0.5
#: A core is clean when no bad pixel lies within this many pixels of the centre.
_CORE_PIX = 1.5

#: Planes with more masked pixels than this are not searched.
_MAX_HIDDEN = 0.98
_EMPTY = Table(
    names=("x", "y", "flux", "snr", "extver"), dtype=(float, float, float, float, np.int64)
)


@dataclass(frozen=True)
class Prepared:
    """A plane after the work that no detection threshold changes.

    Attributes
    ----------
    flux : ndarray, shape (ny, nx)
        Sky-subtracted values in the plane's unit.
    struck : ndarray or None
        Pixel values with the sky, as float32, in which cosmic rays are looked for; None where
        there are none to look for.
    ignored : ndarray of bool, shape (ny, nx)
        Pixels that no cosmic ray is looked for in.
    detector : Detector or None
        Whose cosmic rays they are.
    noise : ndarray, shape (ny, nx)
        Standard deviation of the local sky.
    hidden, spoilt : ndarray of bool, shape (ny, nx)
        Pixels without a value; pixels that spoil a star whose core they are in.
    extver : int
        EXTVER of the plane.
    """

    flux: NDArray[np.float64]
    struck: NDArray[np.float32] | None
    ignored: NDArray[np.bool_]
    detector: Detector | None
    noise: NDArray[np.float64]
    hidden: NDArray[np.bool_]
    spoilt: NDArray[np.bool_]
    extver: int


def prepare(plane: Plane, *, fwhm_pix: float, detector: Detector | None = None) -> Prepared | None:
    """Subtract the sky and, for a CCD, keep what telling stars from cosmic rays takes.

    Parameters
    ----------
    plane : Plane
        What will be searched.
    fwhm_pix : float
        FWHM of a star in pixels of the plane.
    detector : Detector, optional
        Whose cosmic rays are looked for (L.A.Cosmic); None: none.

    Returns
    -------
    Prepared or None
        None if hardly a pixel of the plane can be used.
    """
    flagged = plane.cosmic & ~plane.bad
    hidden = plane.bad | ~np.isfinite(plane.data)
    if hidden.mean() > _MAX_HIDDEN:
        return None
    data = _filled(plane.data, hidden | flagged)
    try:
        sky, noise = background_of(data, hidden, fwhm_pix)
    except ValueError as error:  # no box of the map has pixels enough
        logger.info("no sky on EXTVER %d: %s", plane.extver, error)
        return None
    struck = None
    if detector is not None and detector.clean_cosmic_rays:
        struck = data.astype(np.float32)
    spoilt = _grown(plane.saturated, 2) | plane.bad | flagged
    data -= sky
    ignored = hidden | plane.saturated
    return Prepared(data, struck, ignored, detector, noise, hidden, spoilt, plane.extver)


def find_sources(
    plane: Prepared | None, *, fwhm_pix: float, threshold_sigma: float, brightest: int
) -> Table:
    """Find stars on one plane.

    Parameters
    ----------
    plane : Prepared or None
        Where to look; None gives an empty table.
    fwhm_pix : float
        FWHM of a star in pixels of the plane.
    threshold_sigma : float
        Least peak of the matched filter over the local sky's standard deviation.
    brightest : int
        At most so many, the brightest.

    Returns
    -------
    sources : `~astropy.table.Table`
        Columns x, y (0-based pixels), flux (the plane's unit), snr, extver; brightest first.
    """
    table, _ = _detected(plane, fwhm_pix=fwhm_pix, threshold_sigma=threshold_sigma)
    return table[np.argsort(-np.asarray(table["flux"]))[:brightest]]


def significances(
    planes: Sequence[Prepared | None], *, fwhm_pix: float, threshold_sigma: float
) -> NDArray[np.float64]:
    """Peak of the matched filter over the sky's standard deviation of each star, largest first.

    So many of them as exceed a higher threshold would be found with that threshold: one detection
    tells the counts of all above it.
    """
    found = [
        _detected(plane, fwhm_pix=fwhm_pix, threshold_sigma=threshold_sigma)[1] for plane in planes
    ]
    return -np.sort(-np.concatenate([np.zeros(0), *found]))


def _detected(
    plane: Prepared | None, *, fwhm_pix: float, threshold_sigma: float
) -> tuple[Table, NDArray[np.float64]]:
    """All stars above a threshold, and how significant each is; see `find_sources`."""
    from hst_assets.detection.star_finder import BorderlessStarFinder

    nothing = _EMPTY.copy(), np.zeros(0)
    if plane is None:
        return nothing
    finder = BorderlessStarFinder(
        threshold=threshold_sigma,
        fwhm=fwhm_pix,
        sharplo=_SHARPNESS[0],
        sharphi=_SHARPNESS[1],
        roundlo=-_ROUNDNESS1,
        roundhi=_ROUNDNESS1,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(No sources were found|Sources were found)")
        found = finder(np.where(plane.hidden, 0.0, plane.flux / plane.noise), mask=plane.hidden)
    if found is None:
        return nothing
    x, y = np.asarray(found["xcentroid"], float), np.asarray(found["ycentroid"], float)
    flux = aperture_sums(plane.flux, x, y, radius=fwhm_pix)
    kept = core_is_clean(x, y, plane.spoilt) & (flux > 0)
    kept &= np.abs(np.asarray(found["roundness2"], float)) < _ROUNDNESS2
    if plane.struck is not None and plane.detector is not None:
        kept[kept] = survives_cleaning(
            plane.struck, plane.ignored, plane.detector,
            x[kept], y[kept], flux[kept], radius=fwhm_pix,
        )  # fmt: skip
    centre = windowed_centroids(plane.flux, x[kept], y[kept], fwhm_pix=fwhm_pix)
    table = Table(
        {
            "x": centre[:, 0],
            "y": centre[:, 1],
            "flux": flux[kept],
            "snr": np.asarray(found["peak"], float)[kept],
            "extver": np.full(len(centre), plane.extver, dtype=np.int64),
        }
    )
    # DAOFIND's magnitude is that of the filtered peak over the threshold.
    over = 10 ** (-0.4 * np.asarray(found["daofind_mag"], float)[kept])
    return table, threshold_sigma * over


def exposure_sources(
    planes: Sequence[Prepared | None], *, fwhm_pix: float, threshold_sigma: float, brightest: int
) -> Table:
    """Stars of all planes of an exposure, the most significant of all; see `find_sources`."""
    tables = [
        find_sources(plane, fwhm_pix=fwhm_pix, threshold_sigma=threshold_sigma, brightest=brightest)
        for plane in planes
    ]
    stacked = vstack(tables, metadata_conflicts="silent")
    return stacked[np.argsort(-np.asarray(stacked["snr"]))[:brightest]]


def _filled(data: NDArray[np.float64], holes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`data` with the holes at the median of the rest: they must not ring in the filter."""
    out = data.copy()
    if holes.any():
        out[holes] = np.median(data[~holes]) if (~holes).any() else 0.0
    return out


def _grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, iterations=pixels)) if mask.any() else mask


def core_is_clean(
    x: NDArray[np.float64], y: NDArray[np.float64], spoilt: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether no spoilt pixel lies within `_CORE_PIX` of each position."""
    ok = np.ones(len(x), dtype=bool)
    ny, nx = spoilt.shape
    ix, iy = np.rint(x).astype(int), np.rint(y).astype(int)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near = np.hypot(ix + dx - x, iy + dy - y) <= _CORE_PIX
            px, py = np.clip(ix + dx, 0, nx - 1), np.clip(iy + dy, 0, ny - 1)
            ok &= ~(spoilt[py, px] & near)
    return ok
