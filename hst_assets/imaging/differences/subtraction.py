"""One drizzled epoch minus another: the difference, its errors and flags, and how far to trust it.

Both images are cut from one grid, so that they are laid on each other by whole pixels; nothing is
resampled, and no PSF is matched. Pixels in the cores of stars where a constant star may leave more
light than noise are flagged. Arrays in, arrays and numbers out:
`hst_assets.imaging.differences.batch` has the files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntFlag
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.stats import mad_std, sigma_clip
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.exposures.photometry import calibration_of, of_other_units
from hst_assets.failures import NoOverlap, UnusableInput
from hst_assets.imaging.correlated_noise import circular_aperture_factor, correlation_ratio
from hst_assets.imaging.frames import Frame, opened
from hst_assets.imaging.noise import NoiseModel, noise_model
from hst_assets.imaging.product_flags import ProductFlag
from hst_assets.imaging.star_photometry import StarComparison, SumError, compare_stars
from hst_assets.medians import median_error

__all__ = ["FLAGS", "Difference", "Figures", "Flag", "Stack", "read_stack", "subtract"]

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Flag(IntFlag):
    """Bits of the DQ plane of a difference."""

    NO_EPOCH = 1
    NO_TEMPLATE = 2
    SATURATED = ProductFlag.SATURATED
    STAR_CORE = 8
    ONE_EXPOSURE = ProductFlag.ONE_EXPOSURE


#: What the bits mean.
FLAGS: dict[Flag, str] = {
    Flag.NO_EPOCH: "no weight in the epoch; SCI and ERR are NaN",
    Flag.NO_TEMPLATE: "no weight in the template; SCI and ERR are NaN",
    Flag.SATURATED: "saturated in either image, or without weight beside it",
    Flag.STAR_CORE: "a star may leave more light than noise here",
    Flag.ONE_EXPOSURE: "one exposure alone counts in either: cosmic rays may stay",
}

#: Pixels are empty sky where both images are below so many errors.
_QUIET_SIGMA = 3.0
#: Drizzling spreads what a saturated pixel lost over so many pixels.
_BLEEDING_PIX = 3
#: Registration assumed where there are too few stars to measure it, and the least there is: drops
#: at other sub-pixel positions change an undersampled star as if it had moved so far (simulated
#: stars, docs/guide/differences.md).
_UNKNOWN_OFFSET_PIX = 0.1
_LEAST_OFFSET_PIX = 0.07


@dataclass(frozen=True, eq=False)
class Stack:
    """A drizzled image with the errors of its pixels.

    Attributes
    ----------
    rate, error : ndarray (ny, nx)
        Counts per second and their one-sigma errors; NaN where nothing reached.
    saturated : ndarray (ny, nx) of bool
        Where an exposure was saturated, or a single one came near to full well.
    alone : ndarray (ny, nx) of bool
        Where one exposure alone counts, whose cosmic rays nothing tells from sources.
    frame : Frame
        Its pixels.
    model : NoiseModel
        Behind its errors.
    primary : `~astropy.io.fits.Header`
        Its primary header.
    detector : Detector
        Whose it is.
    """

    rate: Image
    error: Image
    saturated: Mask
    alone: Mask
    frame: Frame
    model: NoiseModel
    primary: fits.Header
    detector: Detector

    @property
    def covered(self) -> Mask:
        """Where there is a value with an error."""
        usable: Mask = np.isfinite(self.rate) & np.isfinite(self.error)
        return usable


@dataclass(frozen=True)
class Figures:
    """How far a difference can be trusted.

    Attributes
    ----------
    n_pixels : int
        Pixels covered by both images.
    scale : float
        Factor that brought the epoch onto the template's zero point (ratio of PHOTFLAM); 1 where
        their PHOTFLAM cannot be compared.
    residual_sky, residual_sky_error : float or None
        Median difference of empty pixels, which was subtracted, and its error (counts/s).
    noise_ratio : float or None
        Scatter of single empty pixels over what their errors predict; None without a formula for
        the kernel.
    correlation : float or None
        What ERR is divided by to give the scatter of single pixels.
    drop_ratio : float
        Side of the drop over that of the pixel, from which the correlation is.
    stars : StarComparison
        Offset and flux ratio of constant stars.
    median_error : float
        Of empty pixels (counts/s).
    flagged_fraction : float
        Share of the covered pixels that are flagged.
    not_scaled : str
        Why the epoch could not be brought onto the template's zero point; empty if it was.
    """

    n_pixels: int
    scale: float
    residual_sky: float | None
    residual_sky_error: float | None
    noise_ratio: float | None
    correlation: float | None
    drop_ratio: float
    stars: StarComparison
    median_error: float
    flagged_fraction: float
    not_scaled: str = ""


@dataclass(frozen=True, eq=False)
class Difference:
    """Epoch minus template, (ny, nx) on `frame`, in counts per second at the template's zero point.

    `error` adds up in quadrature over apertures; `flags` holds `Flag` bits.
    """

    data: Image
    error: Image
    flags: NDArray[np.int16]
    frame: Frame
    figures: Figures


def read_stack(path: Path, frame: Frame, detector: Detector) -> Stack:
    """Read a drizzled image with its errors and flags.

    Raises
    ------
    UnusableInput
        If a plane cannot be read or is not of that frame, or its header does not tell noise and
        time.
    """
    with opened(path) as hdus:
        primary = hdus[0].header.copy()
        if "MJD-AVG" not in primary:
            raise UnusableInput("its header lacks MJD-AVG", where=path)
        try:
            sci = np.array(hdus["SCI"].data, dtype=np.float32)
            error = np.array(hdus["ERR"].data, dtype=np.float32)
            flags = np.array(hdus["DQ"].data)
        except (KeyError, TypeError, ValueError) as failure:
            raise UnusableInput(f"a plane cannot be read: {failure}", where=path) from failure
    if sci.shape != frame.shape:
        raise UnusableInput(f"it has the shape {sci.shape}, not {frame.shape}", where=path)
    model = noise_model(primary, where=path)
    seconds = np.float32(1.0 if model.rate else model.exptime_s)
    return Stack(
        rate=sci / seconds,
        error=error / seconds,
        saturated=(flags & ProductFlag.SATURATED) > 0,
        alone=(flags & ProductFlag.ONE_EXPOSURE) > 0,
        frame=frame,
        model=model,
        primary=primary,
        detector=detector,
    )


def subtract(epoch: Stack, template: Stack) -> Difference:
    """Subtract a template from an epoch, where both have pixels.

    Raises
    ------
    BadConfiguration
        If they are not on one grid.
    NoOverlap
        If they have no covered pixel in common.
    """
    epoch, template = _overlap(epoch, template)
    both = epoch.covered & template.covered
    scale, not_scaled = _scale(epoch.primary, template.primary)
    data = epoch.rate * np.float32(scale) - template.rate
    error = np.hypot(epoch.error * np.float32(scale), template.error)
    quiet = _empty(epoch, template) & both
    correlation = correlation_ratio(template.model.drop_ratio, template.model.kernel)
    sky, sky_error = _residual_sky(_sampled(data[quiet]), correlation or 1.0)
    data = np.where(both, data - np.float32(sky or 0.0), np.nan).astype(np.float32)
    error = np.where(both, error, np.nan).astype(np.float32)
    stars = compare_stars(
        template.rate,
        epoch.rate * np.float32(scale),
        both,
        scale_arcsec=template.frame.scale_arcsec,
        detector=template.detector,
        error=SumError(
            error,
            partial(
                circular_aperture_factor,
                template.model.drop_ratio,
                kernel=template.model.kernel,
            ),
        ),
    )
    flags = _flags(epoch, template, error, stars)
    pulls = _sampled(data[quiet] / error[quiet])
    enough = pulls.size >= _FEWEST_EMPTY
    figures = Figures(
        n_pixels=int(np.count_nonzero(both)),
        scale=scale,
        residual_sky=sky,
        residual_sky_error=sky_error,
        noise_ratio=float(mad_std(pulls)) * correlation if enough and correlation else None,
        correlation=correlation,
        drop_ratio=template.model.drop_ratio,
        stars=stars,
        median_error=float(np.median(error[quiet if enough else both])),
        flagged_fraction=float(np.count_nonzero((flags > 0) & both) / np.count_nonzero(both)),
        not_scaled=not_scaled,
    )
    return Difference(data, error, flags, template.frame, figures)


#: Fewer empty pixels give no figure; more than so many make none better.
_FEWEST_EMPTY = 100
_MOST_EMPTY = 2_000_000


def _sampled(values: Image) -> Image:
    """Evenly chosen values, at most `_MOST_EMPTY`."""
    return values[:: max(1, -(-values.size // _MOST_EMPTY))]


def _overlap(epoch: Stack, template: Stack) -> tuple[Stack, Stack]:
    """Both images cut to the smallest rectangle with all pixels that both cover."""
    dx, dy = epoch.frame.shift_to(template.frame)
    left, bottom = max(0, -dx), max(0, -dy)
    right = min(epoch.frame.nx, template.frame.nx - dx)
    top = min(epoch.frame.ny, template.frame.ny - dy)
    if right > left and top > bottom:
        one = _cut(epoch, left, bottom, right, top)
        other = _cut(template, left + dx, bottom + dy, right + dx, top + dy)
        both = one.covered & other.covered
        if both.any():
            rows, columns = np.flatnonzero(both.any(axis=1)), np.flatnonzero(both.any(axis=0))
            box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
            return _cut(one, *box), _cut(other, *box)
    raise NoOverlap("the epoch and the template have no pixel in common")


def _cut(stack: Stack, left: int, bottom: int, right: int, top: int) -> Stack:
    """Columns left to right - 1 and rows bottom to top - 1 (0-based)."""
    window = np.s_[bottom:top, left:right]
    frame = replace(
        stack.frame,
        nx=right - left,
        ny=top - bottom,
        crpix1=stack.frame.crpix1 - left,
        crpix2=stack.frame.crpix2 - bottom,
    )
    return replace(
        stack,
        rate=stack.rate[window],
        error=stack.error[window],
        saturated=stack.saturated[window],
        alone=stack.alone[window],
        frame=frame,
    )


#: PHOTFLAM nearer to each other are rounding.
_SAME_PHOTFLAM = 1e-5


def _scale(epoch: fits.Header, template: fits.Header) -> tuple[float, str]:
    """What brings the epoch onto the template's zero point, or 1 and why nothing does.

    A ratio of PHOTFLAM tells how the sensitivity changed only where both come from one table:
    tables differ by their absolute calibration too.
    """
    flams = {"epoch": _photflam(epoch), "template": _photflam(template)}
    without = [f"the {what}" for what, flam in flams.items() if flam is None]
    if flams["epoch"] is None or flams["template"] is None:
        return 1.0, f"not scaled to one zero point: {' and '.join(without)} has none"
    ratio = flams["epoch"] / flams["template"]
    one, other = calibration_of(epoch), calibration_of(template)
    if abs(ratio - 1.0) > _SAME_PHOTFLAM and not one.agrees_with(other):
        tables = f"the epoch's is of {one}, the template's {other}"
        if of_other_units(flams["epoch"], flams["template"]):
            return ratio, f"scaled to one zero point to some per cent only: {tables}"
        return 1.0, f"not scaled to one zero point: {tables}"
    return ratio, ""


def _photflam(primary: fits.Header) -> float | None:
    value = primary.get("PHOTFLAM")
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _empty(epoch: Stack, template: Stack) -> Mask:
    """Pixels without a source in either image; their own noise must not choose them."""
    from scipy.ndimage import binary_dilation

    bright = np.zeros(epoch.rate.shape, dtype=bool)
    for stack in (epoch, template):
        with np.errstate(invalid="ignore"):
            bright |= stack.rate > _QUIET_SIGMA * stack.error
    empty: Mask = ~binary_dilation(bright, np.ones((3, 3), bool), iterations=2)
    return empty


def _residual_sky(values: Image, correlation: float) -> tuple[float | None, float | None]:
    """Median of empty pixels and its error; None where there are too few.

    Neighbours share native pixels, so that the median is less certain than their scatter says.
    """
    if values.size < _FEWEST_EMPTY:
        return None, None
    kept = np.ma.compressed(sigma_clip(values, sigma=4.0, maxiters=5, cenfunc="median"))
    return float(np.median(kept)), median_error(correlation * float(np.std(kept)), kept.size)


def _flags(epoch: Stack, template: Stack, error: Image, stars: StarComparison) -> NDArray[np.int16]:
    from scipy.ndimage import binary_dilation

    flags = np.zeros(error.shape, np.int16)
    flags[~epoch.covered] |= Flag.NO_EPOCH
    flags[~template.covered] |= Flag.NO_TEMPLATE
    full = epoch.saturated | template.saturated
    beside = binary_dilation(full, np.ones((3, 3), bool), iterations=_BLEEDING_PIX)
    flags[full | (beside & (flags > 0))] |= Flag.SATURATED
    moved = max(_LEAST_OFFSET_PIX, _offset_pix(stars))
    with np.errstate(invalid="ignore"):
        steep = np.fmax(_steepness(template.rate), _steepness(epoch.rate)) * moved > error
    flags[steep] |= Flag.STAR_CORE
    flags[(epoch.alone | template.alone) & np.isfinite(error)] |= Flag.ONE_EXPOSURE
    return flags


def _offset_pix(stars: StarComparison) -> float:
    if stars.offset_pix is None:
        return _UNKNOWN_OFFSET_PIX
    return math.hypot(*stars.offset_pix)


def _steepness(rate: Image) -> Image:
    """Length of the gradient, counts per second and pixel."""
    if min(rate.shape) < 2:
        return np.zeros_like(rate)
    down, across = np.gradient(rate)
    steep: Image = np.hypot(down, across)
    return steep
