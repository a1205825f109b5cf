"""The loops that measure how well stars fit, compiled with numba.

`hst_assets.photometry.psf.star_quality` says what is measured, and where its definitions are from.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hst_assets.compiling import compiled
from hst_assets.photometry.psf.spline_loops import psf_stamp

__all__ = ["FIT_COLUMNS", "LARGEST", "PROFILES", "measure_stars"]

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Width of the profile of a hot pixel, pixels (DOLPHOT's `photsearch`).
NARROW_FWHM_PIX = 0.1
#: Width of the profile of an extended object, pixels: DOLPHOT's RBig, which for HST's cameras is
#: MaxS + 1 with MaxS = 15 (`initcirc`, wfc3phot.c).
BROAD_FWHM_PIX = 16.0
#: Half a pixel, less what a circle loses at the corners: a pixel counts fully within the radius
#: less 0.535 and not at all beyond the radius plus this (`initcirc`).
_HALF_PIX = 0.465
#: Shapes are within this, of either sign.
LARGEST = 9.999
#: A flag's share of the 3 x 3 pixels about the star, in sixteenths (4 the middle, 2 a side, 1 a
#: corner): from here the core is saturated or bad; from here nothing can be measured.
_CORE, _EXTREME = 4, 8
_OFF_IMAGE = 9
_ON_CHIP_EDGE, _BAD, _SATURATED, _WORTHLESS = 1, 2, 4, 8
#: Profiles that are fitted, and what is kept of each fit.
_STAR, _NARROW, _BROAD = 0, 1, 2
FIT_COLUMNS = 3
PROFILES = (_STAR, _NARROW, _BROAD)


@compiled
def _profile_stamp(fwhm: float, dx0: float, dy0: float, half: int, out: Floats) -> None:
    """A round profile, Gaussian plus Lorentzian, at the middles of pixels (DOLPHOT's FPSF G+L).

    dx0, dy0 is the star's place from the middle pixel. It has no particular sum.
    """
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            q = 4.0 * ((dx - dx0) ** 2 + (dy - dy0) ** 2) / (fwhm * fwhm)
            out[dy + half, dx + half] = math.exp(-math.log(2.0) * q) + 1.0 / (1.0 + q)


@compiled
def _aperture(radius: float, dx0: float, dy0: float, half: int, out: Floats) -> None:
    """Shares of pixels within a circle about the star, which is at dx0, dy0."""
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            share = radius + _HALF_PIX - math.sqrt((dx - dx0) ** 2 + (dy - dy0) ** 2)
            out[dy + half, dx + half] = min(max(share, 0.0), 1.0)


@compiled
def _is_good(good: Mask, row: int, column: int) -> bool:
    on_chip = 0 <= row < good.shape[0] and 0 <= column < good.shape[1]
    return on_chip and bool(good[row, column])


@compiled
def _core_flag(good: Mask, saturated: Mask, ix: int, iy: int) -> int:
    """What the 3 x 3 pixels about the star say; pixels beyond the edge say nothing."""
    n_saturated, n_bad = 0, 0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            row, column = iy + dy, ix + dx
            if not (0 <= row < good.shape[0] and 0 <= column < good.shape[1]):
                continue
            weight = (2 - abs(dx)) * (2 - abs(dy))
            if saturated[row, column]:
                n_saturated += weight
            elif not good[row, column]:
                n_bad += weight
    flag = _WORTHLESS if n_saturated + n_bad >= _EXTREME else 0
    if n_saturated >= _CORE:
        flag |= _SATURATED | (_BAD if n_bad >= _CORE else 0)
    elif n_saturated + n_bad >= _CORE:
        flag |= _BAD
    return flag


@compiled
def _quality_flag(
    good: Mask, saturated: Mask, ix: int, iy: int, reach: int, aperture: Floats
) -> int:
    ny, nx = good.shape
    if not (0 <= ix < nx and 0 <= iy < ny):
        return _OFF_IMAGE
    flag = 0
    if ix < reach or ix >= nx - reach or iy < reach or iy >= ny - reach:
        flag |= _ON_CHIP_EDGE
    core = _core_flag(good, saturated, ix, iy)
    if core & (_BAD | _SATURATED):
        return flag | core
    flag |= core
    n, n_bad = 0, 0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if aperture[dy + reach, dx + reach] > 0.0:
                n += 1
                n_bad += 0 if _is_good(good, iy + dy, ix + dx) else 1
    flag |= _WORTHLESS if 2 * n_bad >= n else 0
    flag |= _BAD if 3 * n_bad >= n else 0
    return flag


@compiled
def _ring_level(
    residual: Image, good: Mask, ix: int, iy: int, inner: float, half: int, values: Floats
) -> float:
    """Mean of the residuals between two radii, without those 2.5 standard deviations off it."""
    count = 0
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            r2 = dx * dx + dy * dy
            if inner * inner < r2 <= half * half and _is_good(good, iy + dy, ix + dx):
                values[count] = residual[iy + dy, ix + dx]
                count += 1
    mean = math.nan
    while count > 0:
        total, squares = 0.0, 0.0
        for k in range(count):
            total += values[k]
            squares += values[k] * values[k]
        mean = total / count
        spread = max(squares - total * mean, 0.0) / (count - 1) if count > 1 else 0.0
        limit = 2.5 * math.sqrt(spread)
        kept = 0
        for k in range(count):
            if abs(values[k] - mean) <= limit:
                values[kept] = values[k]
                kept += 1
        if kept == count:
            break
        count = kept
    return mean


@compiled
def _first_known(wanted: float, measured: float) -> float:
    if wanted == wanted:  # not NaN
        return wanted
    return measured if measured == measured else 0.0


@compiled
def _cut(
    residual: Image,
    variance: Image,
    model: Image,
    good: Mask,
    place: tuple[int, int, float],
    stamps: tuple[Floats, Floats, Floats, Floats, Floats],
) -> None:
    """Stamps of the images about a pixel; the apertures are 0 where pixels are not good."""
    ix, iy, level = place
    left, noise, light, aperture, inner = stamps
    half = left.shape[0] // 2
    for j in range(left.shape[0]):
        for i in range(left.shape[1]):
            row, column = iy + j - half, ix + i - half
            left[j, i], noise[j, i], light[j, i] = 0.0, 1.0, 0.0
            if _is_good(good, row, column):
                left[j, i] = residual[row, column] - level
                noise[j, i] = variance[row, column]
                light[j, i] = model[row, column]
            else:
                aperture[j, i], inner[j, i] = 0.0, 0.0
            if aperture[j, i] <= 0.0:
                inner[j, i] = 0.0


@compiled
def _share(light: Floats, noise: Floats, profile: Floats, aperture: Floats) -> tuple[float, float]:
    """Flux of the profile that is in the light, weighted by the profile, and its error."""
    flux, norm, squares = 0.0, 0.0, 0.0
    for j in range(light.shape[0]):
        for i in range(light.shape[1]):
            w = aperture[j, i] * profile[j, i] / noise[j, i]
            flux += light[j, i] * w
            norm += profile[j, i] * w
            squares += w * w * noise[j, i]
    if norm <= 0.0:
        return math.nan, math.nan
    return flux / norm, math.sqrt(squares) / norm


@compiled
def _chi(
    light: Floats, noise: Floats, profile: Floats, flux: float, inner: Floats, noise_mult: float
) -> tuple[float, float]:
    """Chi and its degrees of freedom: weights of pixels less the largest, which the flux takes."""
    total, weight, largest = 0.0, 0.0, 0.0
    for j in range(light.shape[0]):
        for i in range(light.shape[1]):
            model = profile[j, i] * flux
            error = max(model, 0.0) * noise_mult
            left = light[j, i] - model
            total += left * left / (noise[j, i] + error * error) * inner[j, i]
            weight += inner[j, i]
            largest = max(largest, inner[j, i])
    if weight <= largest:
        return 1.0, 0.0
    return math.sqrt(total / (weight - largest)), weight - largest


@compiled
def _sharpness(
    left: Floats, noise: Floats, profile: Floats, flux: float, aperture: Floats
) -> float:
    """Of the residuals, the part that goes with the profile's height above its mean."""
    mean, weight, n = 0.0, 0.0, 0
    for j in range(left.shape[0]):
        for i in range(left.shape[1]):
            w = aperture[j, i] * profile[j, i] / noise[j, i]
            mean += profile[j, i] * w
            weight += w
            n += 1 if aperture[j, i] > 0.0 else 0
    if n < 2 or weight <= 0.0:
        return -LARGEST
    mean /= weight
    above, norm = 0.0, 0.0
    for j in range(left.shape[0]):
        for i in range(left.shape[1]):
            w = (profile[j, i] - mean) * aperture[j, i] / math.sqrt(noise[j, i])
            above += left[j, i] * w
            norm += (profile[j, i] - mean) * flux * w
    if norm <= 0.0:
        return -LARGEST
    return min(max(above / norm, -LARGEST), LARGEST)


@compiled
def _elongation(
    residual: Image, good: Mask, stamp: Floats, place: tuple[int, int, float], flux: float
) -> tuple[float, float]:
    """Residuals times cos(2 t) and sin(2 t) at angle t, a share of the light; without the middle.

    A pixel that is not good has the value of the one opposite.
    """
    ix, iy, level = place
    half = stamp.shape[0] // 2
    cosine, sine, model, more = 0.0, 0.0, 0.0, 0.0
    limit = (half + _HALF_PIX) ** 2
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            r2 = float(dx * dx + dy * dy)
            if r2 == 0.0 or r2 >= limit:
                continue
            side = 1 if _is_good(good, iy + dy, ix + dx) else -1
            row, column = iy + side * dy, ix + side * dx
            profile = stamp[half + side * dy, half + side * dx]
            if profile <= 0.0 or not _is_good(good, row, column):
                continue
            value = residual[row, column] - level
            model += profile
            more += value
            cosine += value * ((dx * dx - dy * dy) / r2)
            sine += value * (2 * dx * dy / r2)
    largest = max(model * flux, model * flux + more)
    if flux <= 0.0 or largest <= 0.0:
        return 0.0, 0.0
    return cosine / largest, sine / largest


@compiled
def _crowding(flux: float, neighbours: float) -> float:
    """Magnitudes by which the neighbours' light under the profile would brighten the star."""
    if flux <= 0.0:
        return LARGEST if flux + neighbours > 0.0 else 0.0
    ratio = (flux + neighbours) / flux
    return min(max(2.5 * math.log10(ratio), 0.0), LARGEST) if ratio > 0.0 else 0.0


@compiled
def _add(light: Floats, profile: Floats, flux: float, left: Floats) -> None:
    """`light` becomes what is left and the profile's light."""
    for j in range(light.shape[0]):
        for i in range(light.shape[1]):
            light[j, i] = left[j, i] + profile[j, i] * flux


@compiled
def _middle(whole: Floats, out: Floats) -> None:
    """The middle of a stamp; what is negative becomes 0 in both."""
    for j in range(whole.shape[0]):
        for i in range(whole.shape[1]):
            whole[j, i] = max(whole[j, i], 0.0)
    edge = (whole.shape[0] - out.shape[0]) // 2
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[j, i] = whole[j + edge, i + edge]


@compiled
def _cell(coefficients: NDArray[np.float64], x: float, y: float) -> Floats:
    row = min(max(int(y), 0), coefficients.shape[0] - 1)
    column = min(max(int(x), 0), coefficients.shape[1] - 1)
    return coefficients[row, column]  # type: ignore[no-any-return]


@compiled
def measure_stars(
    residual: Image,
    variance: Image,
    model: Image,
    good: Mask,
    saturated: Mask,
    coefficients: NDArray[np.float64],
    cell_pix: tuple[float, float],
    radius: int,
    origin: tuple[float, float],
    x: Floats,
    y: Floats,
    flux: Floats,
    level: Floats,
    figures: tuple[float, float, float],
    values: Floats,
    fits: Floats,
    flags: NDArray[np.int32],
) -> None:
    """Measure each star: `values` are those of `StarQuality`, `fits` flux, error and chi."""
    aperture_pix, chi_pix, noise_mult = figures
    reach = math.ceil(aperture_pix)
    side = 2 * reach + 1
    whole = np.empty((2 * radius + 1, 2 * radius + 1))
    ring = np.empty((2 * radius + 1) * (2 * radius + 1))
    left, noise, light = np.empty((side, side)), np.empty((side, side)), np.empty((side, side))
    aperture, inner = np.empty((side, side)), np.empty((side, side))
    star, profile = np.empty((side, side)), np.empty((side, side))
    for k in range(x.size):
        if not (math.isfinite(x[k]) and math.isfinite(y[k])):
            flags[k] = _OFF_IMAGE
            continue
        ix, iy = math.floor(x[k] + 0.5), math.floor(y[k] + 0.5)
        dx0, dy0 = x[k] - ix, y[k] - iy
        _aperture(aperture_pix, dx0, dy0, reach, aperture)
        _aperture(chi_pix, dx0, dy0, reach, inner)
        flags[k] = _quality_flag(good, saturated, ix, iy, reach, aperture)
        around = _ring_level(residual, good, ix, iy, aperture_pix + 1.0, radius, ring)
        place = ix, iy, _first_known(level[k], around)
        _cut(residual, variance, model, good, place, (left, noise, light, aperture, inner))
        at = (x[k] + origin[0]) / cell_pix[0], (y[k] + origin[1]) / cell_pix[1]
        psf_stamp(_cell(coefficients, at[0], at[1]), radius, x[k], y[k], ix, iy, radius, whole)
        _middle(whole, star)
        neighbours, error = _share(light, noise, star, aperture)
        if not error > 0.0:
            continue
        _add(light, star, flux[k], left)
        values[k, 0], values[k, 1] = _chi(light, noise, star, flux[k], inner, noise_mult)
        values[k, 2] = _sharpness(left, noise, star, flux[k], aperture)
        values[k, 3], values[k, 4] = _elongation(residual, good, whole, place, flux[k])
        values[k, 5] = _crowding(flux[k], neighbours - flux[k])
        values[k, 6] = around
        for which in range(3):
            if which == _STAR:
                _middle(whole, profile)
            else:
                fwhm = NARROW_FWHM_PIX if which == _NARROW else BROAD_FWHM_PIX
                _profile_stamp(fwhm, dx0, dy0, reach, profile)
            scale, error = _share(light, noise, profile, aperture)
            chi, _ = _chi(light, noise, profile, scale, inner, noise_mult)
            fits[k, which, 0], fits[k, which, 1], fits[k, which, 2] = scale, error, chi
