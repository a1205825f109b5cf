"""Isolated bright stars of an image: where they are, how bright, and the same on another image."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from astropy.stats import sigma_clipped_stats
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.medians import median_error

__all__ = [
    "FEWEST_STARS",
    "MAX_STARS",
    "Aperture",
    "StarComparison",
    "aperture_flux",
    "compare_stars",
    "isolated_stars",
]

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

#: The aperture's radius in widths (FWHM) of a star, so that drizzling's blur stays inside, and in
#: native pixels how far from it the annulus begins and ends that the background is taken from.
_APERTURE_FWHM = 3.0
_ANNULUS_PIX = (2.0, 6.0)
#: Peaks this much above the sky's noise are stars bright enough for a ratio to 1 %.
_STAR_SIGMA = 30.0
_NEIGHBOUR_SIGMA = 8.0
#: A neighbour brighter than this share of the star makes it crowded.
_NEIGHBOUR_SHARE = 0.1
_MAX_PEAKS = 2000
MAX_STARS = 60
FEWEST_STARS = 3


@dataclass(frozen=True)
class Aperture:
    """Radii on the sky (arcsec), so that product and exposures are measured alike."""

    radius: float
    inner: float
    outer: float

    @classmethod
    def for_stars(cls, detector: Detector) -> Aperture:
        """Three widths of a star of this detector, and the annulus about it."""
        native = detector.pixel_scale_arcsec
        radius = _APERTURE_FWHM * detector.fwhm_pix * native
        return cls(radius, *(radius + step * native for step in _ANNULUS_PIX))


def isolated_stars(
    rate: Image, usable: Mask, aperture: Aperture, scale_arcsec: float
) -> list[tuple[float, float]]:
    """Bright peaks without a bright neighbour, brightest first (0-based pixels)."""
    from photutils.detection import find_peaks
    from photutils.utils.exceptions import NoDetectionsWarning

    if np.count_nonzero(usable) < 100:
        return []
    _, sky, noise = sigma_clipped_stats(rate[usable][::7], sigma=3.0, maxiters=5)
    if not noise > 0:
        return []
    core = aperture.radius / _APERTURE_FWHM / scale_arcsec  # a star's width in pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        peaks = find_peaks(
            np.where(usable, rate, sky),
            sky + _NEIGHBOUR_SIGMA * noise,
            box_size=2 * int(np.ceil(core)) + 1,
            npeaks=_MAX_PEAKS,
        )
    if peaks is None:
        return []
    peaks.sort("peak_value", reverse=True)
    x, y = np.array(peaks["x_peak"], float), np.array(peaks["y_peak"], float)
    height = np.array(peaks["peak_value"], float) - sky
    reach = aperture.inner / scale_arcsec
    stars = []
    for index in np.flatnonzero(height > _STAR_SIGMA * noise):
        near = np.hypot(x - x[index], y - y[index]) < reach
        near[index] = False
        if not np.any(height[near] > _NEIGHBOUR_SHARE * height[index]):
            stars.append(_centroid(rate, usable, x[index], y[index], core))
    return stars


def _centroid(rate: Image, usable: Mask, x: float, y: float, core: float) -> tuple[float, float]:
    """Centre of light within a star's width of its peak; the peak itself where there is none."""
    half = max(int(np.ceil(core)), 1)
    ix, iy = int(x), int(y)
    bottom, left = max(iy - half, 0), max(ix - half, 0)
    window = np.s_[bottom : iy + half + 1, left : ix + half + 1]
    values = np.where(usable[window], rate[window], 0.0)
    values = np.clip(values - np.median(values), 0.0, None)
    rows, columns = np.indices(values.shape) + np.array([bottom, left])[:, None, None]
    total = values.sum()
    if total <= 0:
        return x, y
    return float((columns * values).sum() / total), float((rows * values).sum() / total)


def aperture_flux(
    data: Image, good: Mask, position: tuple[float, float], aperture: Aperture, scale: float
) -> float | None:
    """Background-subtracted sum in the aperture at (x, y), 0-based pixels of `scale` arcsec.

    None where it leaves the image or holds a bad pixel.
    """
    from photutils.aperture import CircularAperture

    x, y = position
    inner, outer = aperture.inner / scale, aperture.outer / scale
    left, bottom = int(np.floor(x - outer)), int(np.floor(y - outer))
    right, top = int(np.ceil(x + outer)) + 1, int(np.ceil(y + outer)) + 1
    if left < 0 or bottom < 0 or right > data.shape[1] or top > data.shape[0]:
        return None
    window = np.s_[bottom:top, left:right]
    cut, cut_good = data[window], good[window]
    weights = CircularAperture((x - left, y - bottom), aperture.radius / scale).to_mask("exact")
    overlap = weights.to_image(cut.shape)
    if overlap is None or np.any((overlap > 0) & ~cut_good):
        return None
    rows, columns = np.mgrid[window]
    distance = np.hypot(columns - x, rows - y)
    ring = (distance >= inner) & (distance <= outer) & cut_good
    if np.count_nonzero(ring) < 20:
        return None
    _, background, _ = sigma_clipped_stats(cut[ring], sigma=3.0, maxiters=5)
    inside = overlap > 0
    return float(np.sum(overlap[inside] * (cut[inside] - background)))


@dataclass(frozen=True)
class StarComparison:
    """Stars of one image against the same stars of another on the same pixels.

    Attributes
    ----------
    offset_pix : tuple of float or None
        Median displacement (x, y) of the second against the first; None with fewer than 3 stars.
    offset_error_pix : float or None
        Its standard error on one axis, from the scatter.
    flux_ratio : float or None
        Median of the second's fluxes over the first's.
    flux_scatter : float or None
        Robust standard deviation of the stars' ratios.
    n_stars : int
        Stars compared.
    """

    offset_pix: tuple[float, float] | None
    offset_error_pix: float | None
    flux_ratio: float | None
    flux_scatter: float | None
    n_stars: int


def compare_stars(
    first: Image, second: Image, usable: Mask, *, scale_arcsec: float, detector: Detector
) -> StarComparison:
    """Where the isolated bright stars of one image are on another, and how bright.

    Parameters
    ----------
    first, second : ndarray (ny, nx)
        Rates on the same pixels. Stars are found on the lower of both, where neither cosmic rays
        nor what came or went is; a few that vary do not matter to the medians.
    usable : ndarray (ny, nx) of bool
        Pixels with a value in both.
    scale_arcsec : float
        Side of a pixel.
    detector : Detector
        Gives the width of a star.
    """
    aperture = Aperture.for_stars(detector)
    core = aperture.radius / _APERTURE_FWHM / scale_arcsec
    offsets, ratios = [], []
    lower = np.fmin(first, second)
    for x, y in isolated_stars(lower, usable, aperture, scale_arcsec)[:MAX_STARS]:
        fluxes = [
            aperture_flux(image, usable, (x, y), aperture, scale_arcsec)
            for image in (first, second)
        ]
        if fluxes[0] is None or fluxes[1] is None or not fluxes[0] > 0:
            continue
        start = round(x), round(y)
        here, there = (_centroid(image, usable, *start, core) for image in (first, second))
        offsets.append((there[0] - here[0], there[1] - here[1]))
        ratios.append(fluxes[1] / fluxes[0])
    if len(ratios) < FEWEST_STARS:
        return StarComparison(None, None, None, None, len(ratios))
    moved, scatter = _median_and_scatter(np.array(offsets))
    ratio, spread = _median_and_scatter(np.array(ratios)[:, None])
    return StarComparison(
        offset_pix=(float(moved[0]), float(moved[1])),
        offset_error_pix=median_error(float(np.max(scatter)), len(ratios)),
        flux_ratio=float(ratio[0]),
        flux_scatter=float(spread[0]),
        n_stars=len(ratios),
    )


def _median_and_scatter(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and robust standard deviation of each column."""
    median = np.median(values, axis=0)
    return median, 1.4826 * np.median(np.abs(values - median), axis=0)
