"""Isolated bright stars of an image: where they are, how bright, and the same on another image."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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
    "SumError",
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
#: So many stars tell how much more they scatter than their errors.
_FEWEST_FOR_FLOOR = 8


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
    flux_floor : float or None
        What the ratios scatter by beyond the errors of their pixels, relative to the flux: drops at
        other sub-pixel positions change an undersampled star. None with fewer than 8 stars.
    """

    offset_pix: tuple[float, float] | None
    offset_error_pix: float | None
    flux_ratio: float | None
    flux_scatter: float | None
    n_stars: int
    flux_floor: float | None = None


@dataclass(frozen=True)
class SumError:
    """Error of the difference of two sums over a circle.

    Attributes
    ----------
    of_pixels : ndarray (ny, nx)
        One-sigma errors that add up in quadrature.
    factor : callable
        What their sum over a circle is multiplied by, from its radius in pixels.
    """

    of_pixels: Image
    factor: Callable[[float], float | None]

    def at(self, position: tuple[float, float], radius_pix: float) -> float:
        """Over a circle about (x, y), 0-based pixels."""
        from photutils.aperture import CircularAperture

        circle = CircularAperture(position, radius_pix).to_mask("exact")
        variance = float(np.sum(circle.get_values(self.of_pixels**2)))
        return math.sqrt(variance) * (self.factor(radius_pix) or 1.0)


def compare_stars(
    first: Image,
    second: Image,
    usable: Mask,
    *,
    scale_arcsec: float,
    detector: Detector,
    error: SumError | None = None,
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
    error : SumError, optional
        Of second minus first; without it no floor is measured.
    """
    aperture = Aperture.for_stars(detector)
    core = aperture.radius / _APERTURE_FWHM / scale_arcsec
    offsets, ratios, places = [], [], []
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
        places.append((x, y))
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
        flux_floor=None
        if error is None
        else _flux_floor(first, second, usable, places, aperture, scale_arcsec, error),
    )


def _flux_floor(
    first: Image,
    second: Image,
    usable: Mask,
    places: Sequence[tuple[float, float]],
    aperture: Aperture,
    scale: float,
    error: SumError,
) -> float | None:
    """The larger of the floors in the aperture of the comparison, and in one of half its radius."""
    floors = []
    for radius in (aperture.radius, aperture.radius / 2.0):
        smaller = replace(aperture, radius=radius)
        ratios, errors = [], []
        for place in places:
            before, after = (
                aperture_flux(image, usable, place, smaller, scale) for image in (first, second)
            )
            if before is not None and after is not None and before > 0:
                ratios.append(after / before)
                errors.append(error.at(place, radius / scale) / before)
        if len(ratios) >= _FEWEST_FOR_FLOOR:
            floors.append(_excess(np.array(ratios), np.array(errors)))
    return max(floors) if floors else None


def _excess(ratios: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """What, added to the errors in quadrature, makes the ratios scatter as the errors say."""
    off = np.abs(ratios - np.median(ratios))

    def scatter(floor: float) -> float:
        return 1.4826 * float(np.median(off / np.hypot(errors, floor)))

    low, high = 0.0, 10.0 * float(np.max(off)) + 1e-9
    if scatter(low) <= 1.0:
        return 0.0
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if scatter(middle) > 1.0 else (low, middle)
    return high


def _median_and_scatter(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and robust standard deviation of each column."""
    median = np.median(values, axis=0)
    return median, 1.4826 * np.median(np.abs(values - median), axis=0)
