"""Whether a drizzled product is what it should be: weights, coverage, conservation of flux.

These functions take arrays and return numbers; what is wrong comes as sentences, so that a
product that is merely poor is kept and shown as such.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.stats import sigma_clipped_stats
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.imaging.frames import Frame, Outline
from hst_assets.medians import median_error
from hst_assets.settings import DrizzleSettings

__all__ = [
    "Chip",
    "Flux",
    "StarComparison",
    "bad_fraction",
    "compare_stars",
    "flux_ratio",
    "footprint_mask",
    "judge",
    "lost_star_problems",
    "weight_problems",
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
_MAX_STARS = 60
_FEWEST_STARS = 3
#: With so many stars on the exposures, a product that has too few to compare has lost them.
_MANY_STARS = 10
#: Peaks of so many chips, so many of each, are looked at for these stars; two exposures show a
#: star alike to this factor, and a cosmic ray does not come back.
_MAX_CHIPS, _PEAKS_A_CHIP = 8, 100
_ALIKE = 1.5
#: Drizzle's weights are exposure time times the overlap, which rounding and distortion change.
_WEIGHT_TOLERANCE = 1.15


@dataclass(frozen=True)
class Chip:
    """One chip of one exposure, for comparison with the product.

    Attributes
    ----------
    rate : ndarray (ny, nx)
        Native units per second and native pixel.
    good : ndarray (ny, nx) of bool
        Pixels that are not flagged by the calibration.
    wcs : `~astropy.wcs.WCS`
        With distortion.
    nominal_area_arcsec2 : float
        Area of the pixel that the flat field's photometric scale refers to (IDCSCALE squared).
    """

    rate: Image
    good: Mask
    wcs: WCS
    nominal_area_arcsec2: float


@dataclass(frozen=True)
class Flux:
    """Comparison of star fluxes on a product with those on its exposures.

    Attributes
    ----------
    ratio : float or None
        Median over stars; None with fewer than 3.
    scatter : float or None
        Robust standard deviation of the stars' ratios.
    n_stars : int
        Stars compared.
    """

    ratio: float | None
    scatter: float | None
    n_stars: int


def judge(bad: float, ratio: float | None, settings: DrizzleSettings) -> list[str]:
    """Which of a product's figures are beyond the limits in the settings, in words.

    Parameters
    ----------
    bad : float
        Share of the footprint without weight or value.
    ratio : float or None
        Star fluxes on the product over those on the exposures.
    settings : DrizzleSettings
        Has the limits.
    """
    problems = []
    if bad > settings.max_bad_fraction:
        problems.append(f"{bad:.1%} of the footprint has no weight")
    if ratio is not None and abs(ratio - 1.0) > settings.max_flux_error:
        problems.append(f"stars have {ratio:.3f} times their flux on the exposures")
    return problems


def footprint_mask(frame: Frame, outlines: Sequence[Outline]) -> Mask:
    """Pixels of the frame (ny, nx) whose centres lie inside any of the outlines."""
    from PIL import Image as PillowImage
    from PIL import ImageDraw

    canvas = PillowImage.new("1", (frame.nx, frame.ny))
    draw = ImageDraw.Draw(canvas)
    for outline in outlines:
        x, y = frame.wcs.wcs_world2pix(outline[:, 0], outline[:, 1], 0)
        if np.all(np.isfinite([x, y])):
            draw.polygon(list(zip(x.tolist(), y.tolist(), strict=True)), fill=1)
    return np.array(canvas, dtype=bool)


def bad_fraction(sci: Image, wht: Image, inside: Mask) -> float:
    """Share of the pixels `inside` that have no weight or no finite value; 1 if there are none."""
    total = int(np.count_nonzero(inside))
    if total == 0:
        return 1.0
    usable = (wht > 0) & np.isfinite(sci)
    return 1.0 - float(np.count_nonzero(usable & inside)) / total


def weight_problems(
    wht: Image,
    inside: Mask,
    *,
    exptime_s: float,
    area_ratio: float,
    pixfrac: float,
    weight_type: str,
    kernel: str = "square",
) -> list[str]:
    """What is wrong with a weight map.

    Parameters
    ----------
    wht : ndarray (ny, nx)
        Weight map.
    inside : ndarray (ny, nx) of bool
        The exposures' footprint.
    exptime_s : float
        Total exposure time: the limit of EXP weights, on average.
    area_ratio : float
        Area of a product's pixel over that of a native pixel.
    pixfrac : float
        Side of the drop in native pixels: smaller drops pile weight up between gaps.
    weight_type : str
        EXP, ERR or IVM; only EXP has a known upper limit.
    kernel : str, optional
        The drop's shape; lanczos3 reaches three native pixels far and overshoots.
    """
    problems = []
    if not np.all(np.isfinite(wht)):
        problems.append("the weight map has values that are not finite")
    if np.any(wht < 0):
        problems.append("the weight map has negative values")
    if weight_type == "EXP":
        limit = exptime_s * max(area_ratio, 1.0) * _WEIGHT_TOLERANCE
        # Beside pixels that are left out its lobes add up to anything.
        sharpest = np.inf if kernel == "lanczos3" else limit / pixfrac**2
        for what, value, most in (
            ("are", float(np.mean(wht[inside])) if inside.any() else 0.0, limit),
            ("reach", float(np.nanmax(wht, initial=0.0)), sharpest),
        ):
            if value > most:
                problems.append(f"weights {what} {value:.0f} s, exposed were {exptime_s:.0f} s")
    reach_pix = 3
    if kernel == "lanczos3":
        reach_pix += int(np.ceil(3.0 * np.sqrt(2.0 / area_ratio)))
    near = _grown(inside, reach_pix)
    if np.any(wht[~near] > 0):
        problems.append("there is weight outside the exposures' footprints")
    return problems


def _grown(mask: Mask, by_pix: int) -> Mask:
    from scipy.ndimage import binary_dilation

    grown: Mask = binary_dilation(mask, np.ones((3, 3), bool), iterations=by_pix)
    return grown


@dataclass(frozen=True)
class _Aperture:
    """Radii on the sky (arcsec), so that product and exposures are measured alike."""

    radius: float
    inner: float
    outer: float

    @classmethod
    def for_stars(cls, detector: Detector) -> _Aperture:
        native = detector.pixel_scale_arcsec
        radius = _APERTURE_FWHM * detector.fwhm_pix * native
        return cls(radius, *(radius + step * native for step in _ANNULUS_PIX))


def flux_ratio(
    rate: Image, wht: Image, frame: Frame, chips: Sequence[Chip], *, detector: Detector
) -> Flux:
    """Star fluxes on the product over those on the exposures.

    Each star is measured in the same aperture on the product and, through the WCS, on every
    exposure where its aperture holds no bad pixel; counts on an exposure are multiplied by the
    true area of the pixel (the pixel area map), since flat fields conserve surface brightness.
    Pixels that AstroDrizzle took for cosmic rays count as good, or stars whose cores it rejected
    would not be missed; real cosmic rays do not matter to the lower median over exposures.

    Parameters
    ----------
    rate, wht : ndarray (ny, nx)
        Product in native units per second, and its weights.
    frame : Frame
        The product's pixels.
    chips : sequence of Chip
        All chips of all exposures that went in.
    detector : Detector
        Gives the width of a star.
    """
    aperture = _Aperture.for_stars(detector)
    usable = (wht > 0) & np.isfinite(rate)
    ratios = []
    for x, y in _isolated_stars(rate, usable, aperture, frame.scale_arcsec)[:_MAX_STARS]:
        on_product = _aperture_flux(rate, usable, (x, y), aperture, frame.scale_arcsec)
        ra, dec = frame.wcs.wcs_pix2world(x, y, 0)
        on_exposures = [
            flux
            for chip in chips
            if (flux := _flux_on_chip(chip, float(ra), float(dec), aperture)) and flux > 0
        ]
        if on_product is not None and on_exposures:
            ratios.append(on_product / sorted(on_exposures)[(len(on_exposures) - 1) // 2])
    if len(ratios) < _FEWEST_STARS:
        return Flux(None, None, len(ratios))
    median = float(np.median(ratios))
    scatter = 1.4826 * float(np.median(np.abs(np.array(ratios) - median)))
    return Flux(median, scatter, len(ratios))


def lost_star_problems(
    flux: Flux, wht: Image, frame: Frame, chips: Sequence[Chip], *, detector: Detector
) -> list[str]:
    """What is wrong with a product that has too few stars for `flux_ratio`.

    Fields without stars are no fault. A star is known by two exposures that show it alike, for
    most of the isolated peaks of one are cosmic rays; a single exposure tells nothing.

    Parameters
    ----------
    flux : Flux
        What `flux_ratio` found.
    wht, frame, chips, detector
        As for `flux_ratio`.
    """
    if flux.ratio is not None:
        return []
    n_stars = 0
    for chip in chips[:_MAX_CHIPS]:
        n_stars = max(n_stars, _confirmed_stars(chip, wht, frame, chips, detector))
        if n_stars >= _MANY_STARS:
            few = f"{flux.n_stars} stars can be compared with those on the exposures"
            return [f"{few}, which show {n_stars} or more"]
    return []


def _confirmed_stars(
    chip: Chip, wht: Image, frame: Frame, chips: Sequence[Chip], detector: Detector
) -> int:
    """Stars of a chip that another one shows too, where the product has weight; counted to 10."""
    aperture = _Aperture.for_stars(detector)
    scale = float(np.sqrt(chip.nominal_area_arcsec2))
    good = chip.good & np.isfinite(chip.rate)
    peaks = _isolated_stars(chip.rate, good, aperture, scale)[:_PEAKS_A_CHIP]
    n_stars = 0
    for x, y in peaks:
        ra, dec = (float(value) for value in chip.wcs.all_pix2world(x, y, 0))
        if not _has_weight(wht, frame, ra, dec, aperture):
            continue
        here = _flux_on_chip(chip, ra, dec, aperture)
        others = (_flux_on_chip(each, ra, dec, aperture) for each in chips if each is not chip)
        n_stars += here is not None and any(
            there and here < _ALIKE * there < _ALIKE**2 * here for there in others
        )
        if n_stars == _MANY_STARS:
            break
    return n_stars


def _has_weight(wht: Image, frame: Frame, ra: float, dec: float, aperture: _Aperture) -> bool:
    """Whether most of the surroundings of a place have weight on the product."""
    x, y = (float(value) for value in frame.wcs.wcs_world2pix(ra, dec, 0))
    reach = aperture.outer / frame.scale_arcsec
    if not (reach < x < frame.nx - reach and reach < y < frame.ny - reach):  # False where NaN
        return False
    window = np.s_[int(y - reach) : int(y + reach) + 1, int(x - reach) : int(x + reach) + 1]
    return bool(np.mean(wht[window] > 0) > 0.5)


def _isolated_stars(
    rate: Image, usable: Mask, aperture: _Aperture, scale_arcsec: float
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


def _aperture_flux(
    data: Image, good: Mask, position: tuple[float, float], aperture: _Aperture, scale: float
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


def _flux_on_chip(chip: Chip, ra: float, dec: float, aperture: _Aperture) -> float | None:
    """Flux of a star on one chip, per second, corrected for the pixel's area."""
    ny, nx = chip.rate.shape
    x, y = chip.wcs.wcs_world2pix(ra, dec, 0)  # near enough to tell whether it is on the chip
    if not (-100 < x < nx + 100 and -100 < y < ny + 100):
        return None
    x, y = (float(value) for value in chip.wcs.all_world2pix(ra, dec, 0, quiet=True))
    if not (0 < x < nx and 0 < y < ny):
        return None
    area = _pixel_area_arcsec2(chip.wcs, x, y)
    flux = _aperture_flux(chip.rate, chip.good, (x, y), aperture, float(np.sqrt(area)))
    return None if flux is None else flux * area / chip.nominal_area_arcsec2


def _pixel_area_arcsec2(wcs: WCS, x: float, y: float) -> float:
    """True area of the pixel at (x, y) from the WCS's derivatives over two pixels."""
    ra, dec = wcs.all_pix2world([x - 1, x + 1, x, x], [y, y, y - 1, y + 1], 0)
    cosine = np.cos(np.radians(np.mean(dec)))
    dra = (np.array([ra[1] - ra[0], ra[3] - ra[2]]) + 180.0) % 360.0 - 180.0
    ddec = np.array([dec[1] - dec[0], dec[3] - dec[2]])
    return float(abs(dra[0] * ddec[1] - dra[1] * ddec[0]) * cosine / 4.0 * 3600.0**2)


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
    aperture = _Aperture.for_stars(detector)
    core = aperture.radius / _APERTURE_FWHM / scale_arcsec
    offsets, ratios = [], []
    lower = np.fmin(first, second)
    for x, y in _isolated_stars(lower, usable, aperture, scale_arcsec)[:_MAX_STARS]:
        fluxes = [
            _aperture_flux(image, usable, (x, y), aperture, scale_arcsec)
            for image in (first, second)
        ]
        if fluxes[0] is None or fluxes[1] is None or not fluxes[0] > 0:
            continue
        start = round(x), round(y)
        here, there = (_centroid(image, usable, *start, core) for image in (first, second))
        offsets.append((there[0] - here[0], there[1] - here[1]))
        ratios.append(fluxes[1] / fluxes[0])
    if len(ratios) < _FEWEST_STARS:
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
