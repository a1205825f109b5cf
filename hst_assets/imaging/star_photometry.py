"""Isolated bright stars of an image: where they are, how bright, and the same on another image."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from astropy.nddata import overlap_slices
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
#: Fewer pixels in the annulus give no background.
_FEWEST_AROUND = 20
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
    from photutils.centroids import centroid_com

    side = 2 * max(int(np.ceil(core)), 1) + 1
    window, _ = overlap_slices(rate.shape, (side, side), (y, x))
    values = np.where(usable[window], rate[window], 0.0)
    values = np.clip(values - np.median(values), 0.0, None)
    if not np.any(values > 0):
        return x, y
    right, up = centroid_com(values)
    return float(window[1].start + right), float(window[0].start + up)


def aperture_flux(
    data: Image, good: Mask, position: tuple[float, float], aperture: Aperture, scale: float
) -> float | None:
    """Background-subtracted sum in the aperture at (x, y), 0-based pixels of `scale` arcsec.

    None where its annulus leaves the image, or it holds a bad pixel.
    """
    from photutils.aperture import CircularAnnulus, CircularAperture

    annulus = CircularAnnulus(position, aperture.inner / scale, aperture.outer / scale)
    box = annulus.bbox
    n_rows, n_columns = data.shape
    if min(box.ixmin, box.iymin) < 0 or box.ixmax > n_columns or box.iymax > n_rows:
        return None
    circle = CircularAperture(position, aperture.radius / scale).to_mask("exact")
    if not np.all(circle.get_values(good) > 0):
        return None
    ring = annulus.to_mask("center")
    around = ring.get_values(data)[ring.get_values(good) > 0]
    if around.size < _FEWEST_AROUND:
        return None
    _, background, _ = sigma_clipped_stats(around, sigma=3.0, maxiters=5)
    return float(np.sum(circle.get_values(data)) - background * np.sum(circle.data))


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
