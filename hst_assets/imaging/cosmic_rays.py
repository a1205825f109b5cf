"""Cosmic rays of one or two exposures, found with the help of others of the same detector.

With three exposures and more, comparing them with their median finds the cosmic rays. One or two
are looked at by themselves: what L.A.Cosmic (van Dokkum 2001, PASP 113, 1420) takes for a cosmic
ray is one, if it also stands out against what other exposures of the same piece of sky show there.
These may be in other filters: a star is there in them too, whatever its colour, and a cosmic ray
is not. So neither the sharp cores of stars, which L.A.Cosmic alone takes for cosmic rays, nor
stars of unusual colour are lost.

Pixels are 0-based; fluxes are above the local background and per second, in native units.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.stats import mad_std
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from hst_assets.detection.lacosmic import lacosmic
from hst_assets.detectors import Detector
from hst_assets.exposures.dq_files import quality_file
from hst_assets.failures import UnusableInput
from hst_assets.imaging.frames import Frame, opened

__all__ = [
    "FLAG",
    "MOST_HELPED",
    "MOST_OTHERS",
    "Chip",
    "cosmic_rays",
    "flag_cosmic_rays",
    "model_frame",
    "opened_to_flag",
    "read_chips",
    "science_and_quality",
]

#: DQ bit set where a cosmic ray is found: one that AstroDrizzle does not take back, among no
#: detector's good bits.
FLAG = 8192

#: Products of more exposures find their cosmic rays by themselves; on two, comparing them alone
#: finds 90 % of the pixels, with others 98 %.
MOST_HELPED = 2
#: More others cost time and tell no more.
MOST_OTHERS = 6

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: How much brighter than its counterpart in the other exposures a pixel of a star may be, beyond
#: the usual ratio of the two filters: stars' colours differ by 1 mag, and the peak of an
#: undersampled star changes by a factor of 2 with its place on the pixel.
_FACTOR = 5.0
#: Fainter than this above the noise, nothing is there in another exposure.
_NOISE_SIGMA = 3.0
#: How often L.A.Cosmic searches, its own number.
_ROUNDS = 4
#: So far from what L.A.Cosmic found, fainter pixels of the same hit are looked for.
_GROWN_PIX = 2
#: Stars that the usual ratio is measured on stand this far above the noise; fewest and most.
_STAR_SIGMA = 20.0
_STARS = (5, 2000)
#: Exact positions are computed on a mesh this fine and interpolated: distortion bends by less
#: than 1e-2 pixel in between.
_MESH_PIX = 32
#: The local background is the median of every second pixel in a box of this half side.
_BACKGROUND_HALF_PIX = 8
#: Pixels looked at in one go, to bound the memory.
_CHUNK = 50_000


def model_frame(frame: Frame, detector: Detector) -> Frame:
    """Pixels of the model of the sky, a median of exposures, that tells cosmic rays from stars.

    On pixels coarser than the detector's, the model's stars are wider than the exposures', whose
    middles are then taken for cosmic rays: so the model has a frame of its own.

    Parameters
    ----------
    frame : Frame
        Pixels of the product.
    detector : Detector
        Registry row of the exposures' detector.
    """
    return frame.no_coarser_than(detector.drizzle_scale_arcsec)


@dataclass(frozen=True)
class Chip:
    """One chip of an exposure.

    Attributes
    ----------
    rate : ndarray (ny, nx)
        Native units per second.
    good : ndarray (ny, nx) of bool
        Pixels that hold light of the sky.
    saturated : ndarray (ny, nx) of bool
        Saturated pixels.
    wcs : `~astropy.wcs.WCS`
        With distortion.
    exptime_s : float
        Exposure time.
    noise : float
        Robust standard deviation of the rate, of the sky alone where stars are few.
    """

    rate: Image
    good: Mask
    saturated: Mask
    wcs: WCS
    exptime_s: float
    noise: float


def read_chips(
    hdus: fits.HDUList, flags: Sequence[NDArray[np.integer]], detector: Detector
) -> list[Chip]:
    """The chips of an exposure.

    Parameters
    ----------
    hdus : HDUList
        The exposure; its SCI extensions are read.
    flags : sequence of ndarray
        Data quality of each of them.
    detector : Detector
        Says which flags are good, and which mean saturation.
    """
    exptime = float(hdus[0].header["EXPTIME"])
    science = [hdu for hdu in hdus if hdu.name == "SCI"]
    chips = []
    for sci, dq in zip(science, flags, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(sci.header, fobj=hdus, naxis=2)
        rate = np.asarray(sci.data, np.float32) / np.float32(
            1.0 if detector.rate_units else exptime
        )
        good = (dq & ~np.int64(detector.drizzle_good_bits)) == 0
        good &= np.isfinite(rate)
        sample = rate[::3, ::3][good[::3, ::3]]
        chips.append(
            Chip(
                rate=rate,
                good=good,
                saturated=(dq & detector.dq_saturated) > 0,
                wcs=wcs,
                exptime_s=exptime,
                noise=float(mad_std(sample)) if sample.size else np.inf,
            )
        )
    return chips


def science_and_quality(
    hdus: fits.HDUList, quality: fits.HDUList, *, where: Path | None = None
) -> Iterator[tuple[Any, Any]]:
    """(SCI, DQ) of each chip; WFPC2's DQ planes, in a file of their own, are called SDQ or SCI.

    Raises
    ------
    UnusableInput
        If a chip has no data quality.
    """
    names = {"DQ"} if quality is hdus else {"DQ", "SDQ", "SCI"}
    flags = {hdu.ver: hdu for hdu in quality if hdu.name in names}
    for hdu in hdus:
        if hdu.name == "SCI":
            if hdu.ver not in flags:
                raise UnusableInput(
                    f"there is no data-quality plane for SCI,{hdu.ver}", where=where
                )
            yield hdu, flags[hdu.ver]


@contextmanager
def opened_to_flag(path: Path) -> Iterator[tuple[fits.HDUList, fits.HDUList]]:
    """An exposure, and what holds its data quality: the latter is written back."""
    quality = quality_file(path)
    with ExitStack() as stack:
        flags = stack.enter_context(fits.open(quality, mode="update", memmap=False))
        hdus = flags
        if quality != path:
            hdus = stack.enter_context(fits.open(path, memmap=False))
        yield hdus, flags


def flag_cosmic_rays(
    copies: Sequence[Path], others: Sequence[Sequence[str]], detector: Detector
) -> list[str]:
    """Set `FLAG` in the data quality of scratch copies where `cosmic_rays` finds one.

    Parameters
    ----------
    copies : sequence of `~pathlib.Path`
        Exposures that may be changed (WFPC2: the c0m; the c1m beside each is changed).
    others : sequence of (str, str)
        The other exposures, and the files of their data quality; they are only read.
    detector : Detector
        Of all of them.

    Returns
    -------
    list of str
        Which of the others could not be used, in words.
    """
    shown, complaints = [], []
    for science, quality in others:
        try:
            with opened(Path(science)) as hdus, opened(Path(quality)) as flags:
                shown.append(_read(hdus, hdus if quality == science else flags, detector))
        except (UnusableInput, KeyError, ValueError, TypeError, IndexError) as error:
            complaints.append(
                f"{Path(science).name} could not be used to reject cosmic rays: {error}"
            )
    for path in copies:
        with opened_to_flag(path) as (hdus, flags):
            planes = [dq for _, dq in science_and_quality(hdus, flags)]
            for chip, plane in zip(_read(hdus, flags, detector), planes, strict=True):
                struck = cosmic_rays(chip, shown, detector)
                plane.data[struck] |= plane.data.dtype.type(FLAG)
    return complaints


def _read(hdus: fits.HDUList, quality: fits.HDUList, detector: Detector) -> list[Chip]:
    flags = [np.asarray(dq.data) for _, dq in science_and_quality(hdus, quality)]
    return read_chips(hdus, flags, detector)


def cosmic_rays(chip: Chip, others: Sequence[Sequence[Chip]], detector: Detector) -> Mask:
    """Pixels of a chip that hold a cosmic ray.

    Parameters
    ----------
    chip : Chip
        Where they are looked for.
    others : sequence of sequence of Chip
        The chips of each of the other exposures.
    detector : Detector
        Has the parameters of L.A.Cosmic.

    Returns
    -------
    ndarray (ny, nx) of bool
        Nothing is found where no other exposure shows the same piece of sky.
    """
    from scipy.ndimage import binary_dilation

    suspected = _suspected(chip, detector)
    struck = np.zeros_like(suspected)
    if not others:
        return struck
    stars_y, stars_x = _star_peaks(chip, suspected)
    counterparts = [_Counterpart(chip, other, (stars_x, stars_y)) for other in others]
    asked = np.zeros_like(suspected)
    due = suspected & chip.good
    for _ in range(1 + _GROWN_PIX):
        _strike(struck, due, chip, counterparts)
        asked |= due
        due = binary_dilation(struck, np.ones((3, 3), bool)) & chip.good & ~asked
    return struck


def _strike(struck: Mask, due: Mask, chip: Chip, counterparts: Sequence[_Counterpart]) -> None:
    """Set those of the pixels due that stand out against what the other exposures show."""
    ys, xs = np.nonzero(due)
    for start in range(0, len(xs), _CHUNK):
        x, y = xs[start : start + _CHUNK], ys[start : start + _CHUNK]
        expected = _lower_median([other.expected(x, y) for other in counterparts])
        height = chip.rate[y, x] - _background(chip, x, y)
        with np.errstate(invalid="ignore"):  # where no other exposure reaches
            found = height > _NOISE_SIGMA * chip.noise + _FACTOR * expected
        struck[y[found], x[found]] = True


def _suspected(chip: Chip, detector: Detector) -> Mask:
    """What L.A.Cosmic takes for cosmic rays."""
    seconds = 1.0 if detector.rate_units else chip.exptime_s
    fill = np.float32(np.median(chip.rate[chip.good])) if chip.good.any() else np.float32(0)
    ignored = ~chip.good | chip.saturated
    data = np.where(chip.good, chip.rate, fill) * np.float32(seconds)
    found, _ = lacosmic(data, ignored, detector, rounds=_ROUNDS)
    return np.asarray(found, dtype=bool)


def _star_peaks(chip: Chip, suspected: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The brightest peaks that nobody takes for cosmic rays: y and x."""
    from scipy.ndimage import maximum_filter

    usable = np.where(chip.good & ~chip.saturated, chip.rate, -np.inf)
    sky = float(np.median(chip.rate[chip.good])) if chip.good.any() else 0.0
    peaks = (usable == maximum_filter(usable, 5)) & ~maximum_filter(suspected, 3)
    peaks &= usable > sky + _STAR_SIGMA * chip.noise
    y, x = np.nonzero(peaks)
    brightest = np.argsort(-usable[y, x])[: _STARS[1]]
    return y[brightest], x[brightest]


class _Counterpart:
    """What one other exposure shows at the pixels of a chip."""

    def __init__(
        self,
        chip: Chip,
        other: Sequence[Chip],
        stars: tuple[NDArray[np.intp], NDArray[np.intp]],
    ) -> None:
        self._meshes = [(each, _Mesh(chip, each)) for each in other]
        self._ratio = 1.0
        x, y = stars
        shown, noise = self._peak(x, y)
        height = chip.rate[y, x] - _background(chip, x, y)
        with np.errstate(invalid="ignore"):
            clear = shown > 2 * _NOISE_SIGMA * noise
        if np.count_nonzero(clear) >= _STARS[0]:
            self._ratio = float(np.median(height[clear] / shown[clear]))

    def expected(self, x: NDArray[np.intp], y: NDArray[np.intp]) -> NDArray[np.float64]:
        """What a star of usual colour would have on these pixels; NaN where nothing is seen."""
        shown, noise = self._peak(x, y)
        significant: NDArray[np.float64] = np.where(
            np.isnan(shown), np.nan, np.where(shown > _NOISE_SIGMA * noise, shown, 0.0)
        )
        return self._ratio * significant

    def _peak(
        self, x: NDArray[np.intp], y: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Highest of the 3 x 3 pixels around each position, and the noise there."""
        peak, noise = np.full(len(x), np.nan), np.full(len(x), np.inf)
        for chip, mesh in self._meshes:
            there_x, there_y = mesh.at(x, y)
            ny, nx = chip.rate.shape
            inside = (there_x > 0.5) & (there_x < nx - 1.5) & (there_y > 0.5) & (there_y < ny - 1.5)
            ix, iy = np.rint(there_x[inside]).astype(int), np.rint(there_y[inside]).astype(int)
            values = _around(chip, ix, iy, 1, 1)
            seen = np.isfinite(values).sum(axis=1) > values.shape[1] // 2
            highest = np.max(np.where(np.isfinite(values), values, -np.inf), axis=1)
            height = np.where(seen, highest - _background(chip, ix, iy), np.nan)
            index = np.flatnonzero(inside)
            peak[index], noise[index] = height, chip.noise
        return peak, noise


class _Mesh:
    """Positions on one chip of the pixels of another."""

    def __init__(self, chip: Chip, other: Chip) -> None:
        ny, nx = chip.rate.shape
        self._step = np.array([(n - 1) / max(-(-(n - 1) // _MESH_PIX), 1) for n in (ny, nx)])
        rows, columns = (
            np.arange(0, n - 0.5, s) for n, s in zip((ny, nx), self._step, strict=True)
        )
        x, y = np.meshgrid(columns, rows)
        ra, dec = chip.wcs.all_pix2world(x.ravel(), y.ravel(), 0)
        with np.errstate(all="ignore"):
            there = other.wcs.all_world2pix(ra, dec, 0, quiet=True)
        self._x, self._y = (np.asarray(axis, float).reshape(x.shape) for axis in there)

    def at(
        self, x: NDArray[np.intp], y: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        from scipy.ndimage import map_coordinates

        where = np.array([y / self._step[0], x / self._step[1]])
        return (
            map_coordinates(self._x, where, order=1, mode="nearest"),
            map_coordinates(self._y, where, order=1, mode="nearest"),
        )


def _around(
    chip: Chip, x: NDArray[np.intp], y: NDArray[np.intp], half: int, step: int
) -> NDArray[np.float32]:
    """(n, m): the pixels of the box around each position, NaN where bad or outside."""
    offsets = np.arange(-half, half + 1, step)
    ny, nx = chip.rate.shape
    rows = (y[:, None, None] + offsets[None, :, None]) + np.zeros_like(offsets)[None, None, :]
    columns = (x[:, None, None] + offsets[None, None, :]) + np.zeros_like(offsets)[None, :, None]
    there = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    rows, columns = np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)
    values = np.where(there & chip.good[rows, columns], chip.rate[rows, columns], np.nan)
    return values.reshape(len(x), len(offsets) ** 2)


def _background(chip: Chip, x: NDArray[np.intp], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """Median around each position."""
    parts = [np.zeros(0)]
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        values = _around(chip, x[part], y[part], _BACKGROUND_HALF_PIX, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # none is good: NaN
            parts.append(np.asarray(np.nanmedian(values, axis=1), float))
    return np.concatenate(parts)


def _lower_median(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Median over exposures, of an even number the lower one; NaN where none has a value."""
    stacked = np.sort(np.stack(values), axis=0)  # NaN last
    number = np.isfinite(stacked).sum(axis=0)
    middle = np.maximum(number - 1, 0) // 2
    chosen: NDArray[np.float64] = np.take_along_axis(stacked, middle[None], axis=0)[0]
    return chosen
