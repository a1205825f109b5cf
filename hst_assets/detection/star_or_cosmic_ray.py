"""Stars told from cosmic rays by the share of their flux that L.A.Cosmic leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.detection.lacosmic import lacosmic
from hst_assets.detectors import Detector

__all__ = ["LEAST_FWHM_PIX", "aperture_sums", "survives_cleaning"]

#: A star narrower than this is sought, and its flux summed, as if it were so wide: less is a pixel.
LEAST_FWHM_PIX = 1.5
#: A source is a star if more than this share of its flux survives L.A.Cosmic, which takes cosmic
#: rays whole. Positions are measured uncleaned: cleaning may nibble at a star.
_SURVIVING_FLUX = 0.5
#: So far beyond a source's aperture L.A.Cosmic sees its surroundings. On simulated full frames of
#: WFC3/UVIS it then decides otherwise about 4 sources of 3200 than on the whole plane.
_CLEANING_MARGIN_PIX = 6
#: Rounds of L.A.Cosmic.
_CLEANING_ROUNDS = 4


def survives_cleaning(
    struck: NDArray[np.float32],
    ignored: NDArray[np.bool_],
    detector: Detector,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    flux: NDArray[np.float64],
    *,
    radius: float,
) -> NDArray[np.bool_]:
    """Whether more than `_SURVIVING_FLUX` of each source's flux is left by L.A.Cosmic.

    One round finds nearly all that it finds. The others are left out where it took the source
    already, or nothing of its window: what is found later lies by what was found before. Of 11775
    sources on simulated full frames of WFC3/UVIS this decides none otherwise than all rounds do.

    Parameters
    ----------
    struck : ndarray, shape (ny, nx)
        The image with its sky.
    ignored : ndarray of bool, shape (ny, nx)
        Pixels that no cosmic ray is looked for in.
    detector : Detector
        Whose cosmic rays they are.
    x, y, flux : ndarray, shape (n,)
        The sources: 0-based pixels, and flux without sky.
    radius : float
        Of the aperture that the flux is from, pixels.
    """
    if len(x) == 0:
        return np.ones(len(x), dtype=bool)
    lost, doubtful = _lost_flux(struck, ignored, detector, x, y, radius=radius, rounds=1)
    survives = flux - lost > _SURVIVING_FLUX * flux
    again = np.flatnonzero(survives & doubtful)
    if len(again):
        lost, _ = _lost_flux(
            struck, ignored, detector, x[again], y[again], radius=radius, rounds=_CLEANING_ROUNDS
        )
        survives[again] = flux[again] - lost > _SURVIVING_FLUX * flux[again]
    return np.asarray(survives)


def _lost_flux(
    struck: NDArray[np.float32],
    ignored: NDArray[np.bool_],
    detector: Detector,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    radius: float,
    rounds: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The flux that L.A.Cosmic takes of each source, and whether more rounds might take more.

    It looks at a pixel's neighbourhood only, so that windows about the sources, side by side in
    one image, give its answer for a fraction of the time that the whole plane takes. Where they
    would be no smaller, the plane itself is cleaned, in all rounds.
    """
    half = math.ceil(max(radius, LEAST_FWHM_PIX)) + _CLEANING_MARGIN_PIX
    windows = _Windows.about(x, y, half, struck.shape)
    if windows is None:
        cleaned = _without_cosmic_rays(struck, ignored, detector, _CLEANING_ROUNDS)
        lost = aperture_sums(struck - cleaned, x, y, radius=radius)
        return lost, np.zeros(len(x), dtype=bool)
    cut = windows.cut(struck)
    taken = cut - _without_cosmic_rays(cut, windows.cut(ignored), detector, rounds)
    lost = aperture_sums(taken, *windows.inside(x, y), radius=radius)
    return lost, windows.any_in(taken != 0)


@dataclass(frozen=True)
class _Windows:
    """Square windows of a plane laid side by side: lower left corners, side, and how many a row."""

    x: NDArray[np.intp]
    y: NDArray[np.intp]
    side: int
    in_row: int

    @classmethod
    def about(
        cls, x: NDArray[np.float64], y: NDArray[np.float64], half: int, shape: tuple[int, ...]
    ) -> _Windows | None:
        """Windows about positions, inside the plane; None if they are no smaller than it."""
        side, in_row = 2 * half + 1, math.ceil(math.sqrt(len(x)))
        ny, nx = shape
        if min(shape) < side or (in_row * side) ** 2 >= nx * ny:
            return None
        left = np.clip(np.rint(x).astype(np.intp) - half, 0, nx - side)
        bottom = np.clip(np.rint(y).astype(np.intp) - half, 0, ny - side)
        return cls(left, bottom, side, in_row)

    def cut(self, plane: NDArray[Any]) -> NDArray[Any]:
        """The windows of `plane` as one image; places left over repeat the last one."""
        rows = -(-len(self.x) // self.in_row)
        of_place = np.minimum(np.arange(rows * self.in_row), len(self.x) - 1)
        views = np.lib.stride_tricks.sliding_window_view(plane, (self.side, self.side))
        stack = views[self.y[of_place], self.x[of_place]]
        stack = stack.reshape(rows, self.in_row, self.side, self.side).swapaxes(1, 2)
        return stack.reshape(rows * self.side, self.in_row * self.side)

    def inside(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the positions that the windows are about lie in the image of `cut`."""
        place = np.arange(len(x))
        return (
            x - self.x + (place % self.in_row) * self.side,
            y - self.y + (place // self.in_row) * self.side,
        )

    def any_in(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each window of a mask, laid out as `cut` does, holds a pixel of it."""
        tiles = mask.reshape(-1, self.side, self.in_row, self.side).any(axis=(1, 3))
        return np.asarray(tiles.ravel()[: len(self.x)])


def _without_cosmic_rays(
    data: NDArray[np.float32], ignored: NDArray[np.bool_], detector: Detector, rounds: int
) -> NDArray[np.float64]:
    """A copy of an image after L.A.Cosmic (van Dokkum 2001, PASP 113, 1420)."""
    _, cleaned = lacosmic(data, ignored, detector, rounds=rounds)
    return np.asarray(cleaned, dtype=np.float64)


def aperture_sums(
    data: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], *, radius: float
) -> NDArray[np.float64]:
    """Sums in circles of a radius, no less than `LEAST_FWHM_PIX`, about positions."""
    from photutils.aperture import CircularAperture

    if len(x) == 0:
        return np.zeros(0)
    apertures = CircularAperture(np.column_stack([x, y]), r=max(radius, LEAST_FWHM_PIX))
    sums, _ = apertures.do_photometry(data)
    return np.asarray(sums, float)
