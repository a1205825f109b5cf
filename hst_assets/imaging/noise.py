"""The noise of a drizzled image, pixel by pixel, from its header, weights and context.

A product's pixel holds the mean rate of the native pixels dropped on it. An exposure ``i`` of
``t_i`` seconds leaves in an empty native pixel the variance ``v_i`` in electrons squared: its sky,
dark current, subtracted post-flash and read noise squared (`background_variance_e2`). With source
``S`` in electrons per second and product pixel, and ``a`` the area of a product's pixel over that
of a native one, the variance of the pixel in (electrons per second) squared is ::

    ERR**2 = S / t + a * (sum of v_i / sum of t_i) / t

where the sums are over the exposures whose bits are set in ``CTX``, and ``t`` is the exposure time
that reached the pixel. With ``EXP`` weights that is ``WHT / a``; with others the sum of ``t_i``.

This is the error that adds up in quadrature: neighbouring pixels share native pixels, so that their
scatter is smaller than ``ERR`` (`hst_assets.imaging.correlated_noise`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.imaging.correlated_noise import drop_ratio

__all__ = [
    "Exposed",
    "NoiseModel",
    "background_variance_e2",
    "error_plane",
    "exposed",
    "noise_model",
]

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: A pixel this many times above the noise of the background tells its own photons; fainter ones
#: are taken from the mean of 3 x 3, which hardly follows the noise.
_SOURCE_SIGMA = 3.0
#: So much of the background's variance is there even where its light seems to be missing.
_LEAST_OF_BACKGROUND = 0.5
#: Bits of a plane of the context.
_BITS = 32
#: So many make one number of a table of what they stand for.
_BITS_AT_A_TIME = 8
#: An exposure counts from so much of its pixel's weight on, and its weight can be told from the
#: longest one's if its time is so large a share.
_HALF_A_PIXEL = 0.5
_LEAST_SHARE = 0.15


@dataclass(frozen=True)
class NoiseModel:
    """What of a product's header decides its noise.

    Attributes
    ----------
    gain_e : float
        Electrons in one count of SCI.
    read_noise_e, dark_e_per_s, post_flash_e : float
        Means over the exposures: read noise of one, dark current and subtracted post-flash of a
        native pixel.
    sky_per_s : float
        Sky that was subtracted, in counts per second and native pixel, over all the time.
    scale_arcsec, pixfrac : float
        The product's pixel, and the drop over the native pixel.
    kernel, weight_type : str
        As in `DrizzleSettings`.
    exposures : tuple of str
        Rootname behind each bit of CTX: chips of one exposure have the same.
    exptimes_s, native_scales_arcsec, variances_e2 : tuple of float
        Of the chip behind each bit of CTX; the last is `background_variance_e2`.
    saturation_e_per_s : float
        Rate in a native pixel, electrons per second, at which the first of the exposures saturates.
    exptime_s : float
        Of all exposures together.
    rate : bool
        Whether SCI is per second, or counts of the whole exposure time.
    """

    gain_e: float
    read_noise_e: float
    dark_e_per_s: float
    post_flash_e: float
    sky_per_s: float
    scale_arcsec: float
    pixfrac: float
    kernel: str
    weight_type: str
    exposures: tuple[str, ...]
    exptimes_s: tuple[float, ...]
    native_scales_arcsec: tuple[float, ...]
    variances_e2: tuple[float, ...]
    saturation_e_per_s: float
    exptime_s: float
    rate: bool

    @property
    def native_scale_arcsec(self) -> float:
        """Typical native pixel: the median over chips."""
        return float(np.median(self.native_scales_arcsec))

    @property
    def drop_ratio(self) -> float:
        """Side of the drop over that of the product's pixel."""
        return drop_ratio(self.pixfrac, self.scale_arcsec, self.native_scale_arcsec)


def background_variance_e2(
    *, sky_e: float, dark_e: float, post_flash_e: float, read_noise_e: float
) -> float:
    """Variance of an empty native pixel of one exposure, in electrons squared.

    Parameters
    ----------
    sky_e, dark_e, post_flash_e : float
        Electrons of the whole exposure; what calibration subtracted leaves its noise.
    read_noise_e : float
        Of one read of the pixel.
    """
    light_e = max(sky_e, 0.0) + max(dark_e, 0.0) + max(post_flash_e, 0.0)
    return light_e + read_noise_e**2


def noise_model(primary: fits.Header, *, where: Path | None = None) -> NoiseModel:
    """Read the model from the primary header of a drizzled product.

    Raises
    ------
    UnusableInput
        If a card is missing.
    """
    try:
        n_bits = sum(1 for key in primary if key.startswith("D") and key.endswith("DEXP"))
        bits = range(1, n_bits + 1)
        return NoiseModel(
            gain_e=float(primary["GAIN"]),
            read_noise_e=float(primary["RDNOISE"]),
            dark_e_per_s=float(primary["DARKCUR"]),
            post_flash_e=float(primary["POSTFLSH"]),
            sky_per_s=float(primary["SKYMEAN"]),
            scale_arcsec=float(primary["D_SCALE"]),
            pixfrac=float(primary["D_PIXFRC"]),
            kernel=str(primary["D_KERNEL"]),
            weight_type=str(primary["D_WTTYPE"]),
            exposures=tuple(str(primary[f"D{bit:03d}DATA"]).partition("[")[0] for bit in bits),
            exptimes_s=tuple(float(primary[f"D{bit:03d}DEXP"]) for bit in bits),
            native_scales_arcsec=tuple(float(primary[f"D{bit:03d}ISCL"]) for bit in bits),
            variances_e2=tuple(float(primary[f"D{bit:03d}BVAR"]) for bit in bits),
            saturation_e_per_s=float(primary["SATRATE"]),
            exptime_s=float(primary["EXPTIME"]),
            rate=str(primary["D_UNITS"]) == "cps",
        )
    except KeyError as error:
        raise UnusableInput(
            f"its header does not give the noise: {error}",
            where=where,
            next_step="Drizzle it again",
        ) from error


# ------------------------------------------------------------------------ what reached a pixel


@dataclass(frozen=True)
class Exposed:
    """What reached each pixel of a product; all arrays are (ny, nx), 0 where nothing did.

    Attributes
    ----------
    time_s : ndarray
        Effective exposure time.
    number : ndarray
        Exposures that reached it, with one chip or with several.
    variance_e2_per_s : ndarray
        Background variance of their native pixels over their exposure time.
    area : ndarray
        Area of the product's pixel over that of the native pixels that fell on it.
    alone : ndarray of bool
        Where one exposure alone counts: no other reached, or with less than half of a pixel.
    """

    time_s: Image
    number: Image
    variance_e2_per_s: Image
    area: Image
    alone: Mask


def exposed(model: NoiseModel, wht: Image, ctx: NDArray[np.int32]) -> Exposed:
    """Exposure time and reads of each pixel.

    Parameters
    ----------
    model : NoiseModel
        Of the product.
    wht : ndarray (ny, nx)
        Weights.
    ctx : ndarray (ny, nx) or (n, ny, nx)
        Context: one bit a chip, 32 chips a plane.
    """
    found = _sums(model, ctx if ctx.ndim == 3 else ctx[None])
    reached = (found.number > 0) & (wht > 0)
    native = found.scales / np.maximum(found.number, np.float32(1.0))
    area: Image = np.zeros(native.shape, np.float32)
    np.divide(np.float32(model.scale_arcsec), native, out=area, where=reached)
    area *= area
    effective = np.where(reached, found.time, np.float32(0.0))
    if model.weight_type == "EXP":
        np.divide(wht, area, out=effective, where=reached)
    variance: Image = np.zeros(native.shape, np.float32)
    np.divide(found.variance, found.time, out=variance, where=reached)
    return Exposed(
        time_s=effective,
        number=np.where(reached, found.number, np.float32(0.0)),
        variance_e2_per_s=variance,
        area=area,
        alone=reached & _is_alone(found, effective),
    )


@dataclass(frozen=True)
class _Sums:
    """Over the exposures that reached each pixel: sums, and the two longest exposure times.

    Where two chips of an exposure reached a pixel, at the gap between them, its scale and variance
    are their mean.
    """

    time: Image
    number: Image
    scales: Image
    variance: Image
    longest: Image
    second: Image


def _sums(model: NoiseModel, planes: NDArray[np.int32]) -> _Sums:
    """The sums over the bits of the context, by tables: whole exposures, up to eight chips."""
    shape = planes.shape[-2:]
    sums = _Sums(*(np.zeros(shape, np.float32) for _ in range(6)))
    for chips in _whole_exposures(model.exposures, _BITS * len(planes)):
        bits = _bits(planes, chips)
        seen = _Seen(model, chips)
        for total, table in (
            (sums.time, seen.sums(model.exptimes_s)),
            (sums.number, seen.sums((1.0,) * len(model.exposures))),
            (sums.scales, seen.sums(model.native_scales_arcsec)),
            (sums.variance, seen.sums(model.variances_e2)),
        ):
            np.add(total, table[bits], out=total)
        longest, second = (table[bits] for table in seen.two_largest(model.exptimes_s))
        lesser = np.minimum(sums.longest, longest)
        np.maximum(sums.longest, longest, out=sums.longest)
        for each in (second, lesser):
            np.maximum(sums.second, each, out=sums.second)
    return sums


def _whole_exposures(exposures: Sequence[str], most: int) -> Iterator[range]:
    """Bits in turn, up to eight at a time, none of which parts the chips of an exposure."""
    first = last = 0
    for _, chips in groupby(exposures[:most]):
        n_chips = len(list(chips))
        if last + n_chips - first > _BITS_AT_A_TIME:
            yield range(first, last)
            first = last
        last += n_chips
    if last > first:
        yield range(first, last)


def _bits(planes: NDArray[np.int32], chips: range) -> NDArray[np.uint8]:
    """The bits of these chips as one number; they may go on in the next plane."""
    plane, bit = divmod(chips.start, _BITS)
    # Bit 32 is the sign of a 32-bit integer.
    found = planes[plane].view(np.uint32) >> np.uint32(bit)
    if bit + len(chips) > _BITS:
        found = found | (planes[plane + 1].view(np.uint32) << np.uint32(_BITS - bit))
    numbers: NDArray[np.uint8] = (found & np.uint32(2 ** len(chips) - 1)).astype(np.uint8)
    return numbers


class _Seen:
    """Tables for each number that up to eight bits make: of the exposures whose bits are set."""

    def __init__(self, model: NoiseModel, chips: range) -> None:
        numbers = np.arange(2 ** len(chips))
        self._set = (numbers[:, None] >> np.arange(len(chips)) & 1).astype(np.float64)
        names = model.exposures[chips.start : chips.stop]
        self._chips = chips
        self._members = [
            np.array(list(members))
            for _, members in groupby(range(len(chips)), key=lambda place: names[place])
        ]

    def _of_exposures(self, values: Sequence[float]) -> NDArray[np.float64]:
        """The mean over the chips of each exposure (columns); 0 where it is not there."""
        own = np.array(values[self._chips.start : self._chips.stop])
        number = np.stack([self._set[:, each].sum(axis=1) for each in self._members], axis=1)
        total = np.stack([self._set[:, each] @ own[each] for each in self._members], axis=1)
        means: NDArray[np.float64] = total / np.maximum(number, 1.0)
        return means

    def sums(self, values: Sequence[float]) -> NDArray[np.float32]:
        """Of the values of chips, over the exposures."""
        table: NDArray[np.float32] = self._of_exposures(values).sum(axis=1).astype(np.float32)
        return table

    def two_largest(self, values: Sequence[float]) -> tuple[NDArray[np.float32], ...]:
        """Of the exposures' values, the largest and the next; 0 where there are fewer."""
        ordered = np.sort(self._of_exposures(values), axis=1).astype(np.float32)
        return ordered[:, -1], ordered[:, -2] if ordered.shape[1] > 1 else 0.0 * ordered[:, -1]


def _is_alone(found: _Sums, effective: Image) -> Mask:
    """Whether the longest exposure has hardly another one beside it, judged by the weight.

    At the border of an exposure, and beside its bad pixels, its drops only touch a pixel: their bit
    is set, but no cosmic ray of the other exposure is seen by comparison with so little. Times too
    unequal cannot be told apart by a weight that distortion changes by some per cent; there the
    bits decide.
    """
    told_apart = found.second > _LEAST_SHARE * found.longest
    touched = effective < found.longest + _HALF_A_PIXEL * found.second
    alone: Mask = (found.number == 1) | (told_apart & touched)
    return alone


def error_plane(rate: Image, reached: Exposed, model: NoiseModel) -> Image:
    """One-sigma errors of a product's pixels, in counts per second, NaN where nothing reached.

    Parameters
    ----------
    rate : ndarray (ny, nx)
        SCI in counts per second.
    reached : Exposed
        What reached its pixels.
    model : NoiseModel
        Of the product.
    """
    covered = reached.time_s > 0
    seconds = np.where(covered, reached.time_s, np.float32(1.0))
    background = reached.area * reached.variance_e2_per_s
    quiet = np.sqrt(background / seconds)
    electrons = _source_e_per_s(rate * np.float32(model.gain_e), quiet, covered)
    # Below zero by chance as often as above; but no light takes the noise of the reads away.
    least = np.float32(_LEAST_OF_BACKGROUND) * background
    variance = np.maximum(electrons + background, least)
    error = np.sqrt(variance / seconds) / np.float32(model.gain_e)
    return np.where(covered, error, np.nan).astype(np.float32)


def _source_e_per_s(electrons: Image, quiet: Image, covered: Mask) -> Image:
    """Light above the subtracted sky, without following the noise where there is little."""
    usable = covered & np.isfinite(electrons)
    filled = np.where(usable, electrons, np.float32(0.0))
    number = _sums_of_nine(usable.astype(np.float32))
    smooth = _sums_of_nine(filled)
    np.divide(smooth, number, out=smooth, where=number > 0)
    chosen: Image = np.where(filled > np.float32(_SOURCE_SIGMA) * quiet, filled, smooth)
    return chosen


def _sums_of_nine(image: Image) -> Image:
    """Over 3 x 3 pixels, as far as they are on the image."""
    rows = image.copy()
    rows[1:] += image[:-1]
    rows[:-1] += image[1:]
    both = rows.copy()
    both[:, 1:] += rows[:, :-1]
    both[:, :-1] += rows[:, 1:]
    return both
