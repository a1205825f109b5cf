"""Chips as DOLPHOT reads them: flags and pixel areas put into the pixels, limits beside them.

DOLPHOT reads no data quality. A bad pixel has a value below the lower limit (BADPIX), a saturated
one a value above the upper one (SATURATE). The limits are those of DOLPHOT 2.0's mask programs: one
count beyond the least and the greatest good value (GOODMIN, GOODMAX), and half as far out again
after the multiplication with pixel areas. Arithmetic is in single precision where theirs is, so
that the same pixel areas give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.exposures.keywords import is_missing, number
from hst_assets.failures import UnusableInput
from hst_assets.photometry.dolphot.detector_rules import MaskRules

__all__ = ["MaskedImage", "mask_chip", "mask_drizzled"]

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: After pixel areas, limits are so much farther out: no good pixel crosses them.
_ROOM = 1.5
#: GOODMIN and GOODMAX are the least and the greatest value of unflagged pixels; if more of them
#: than this share are beyond, the cards are of other pixels (of the raw exposure, as in a real
#: ACS/HRC file of 2002 whose GOODMIN of 1123 would leave 9 % of the chip).
_STRANGE_SHARE = 0.1


@dataclass(frozen=True)
class MaskedImage:
    """An image with its limits.

    Attributes
    ----------
    data : ndarray (ny, nx) of float32
        Counts over the exposure time, electrons (WFPC2: DN).
    min_value, max_value : float
        BADPIX and SATURATE: pixels strictly between them are good.
    n_bad, n_saturated, n_cosmic_ray : int
        Pixels of each kind; a bad one is no cosmic ray, too.
    note : str
        What is to be said of the limits; may be empty.
    """

    data: Plane
    min_value: float
    max_value: float
    n_bad: int
    n_saturated: int
    n_cosmic_ray: int
    note: str = ""


def mask_chip(
    data: NDArray[np.floating],
    flags: NDArray[np.integer],
    areas: NDArray[np.floating],
    header: Mapping[str, Any],
    rules: MaskRules,
    *,
    struck: Mask | None = None,
    seconds: float = 1.0,
) -> MaskedImage:
    """Mask a chip of an exposure.

    Parameters
    ----------
    data : ndarray (ny, nx)
        Its SCI plane, in native units.
    flags : ndarray (ny, nx)
        Its data quality.
    areas : ndarray (ny, nx)
        Pixel areas.
    header : mapping
        With GOODMIN and GOODMAX (WFPC2: RSDPFILL and SATURATE of the primary header). Where there
        are none, or they are not of these pixels, they are measured on pixels without a flag.
    rules : MaskRules
        Of the detector.
    struck : ndarray (ny, nx) of bool, optional
        Pixels that hold cosmic rays, besides those that are flagged.
    seconds : float, optional
        What the pixels are multiplied by, where they are per second.

    Raises
    ------
    UnusableInput
        If no pixel is good, or there are no limits.
    """
    image = np.asarray(data, dtype=np.float32)
    quality = np.asarray(flags).astype(np.int32, copy=False)
    low, high, note = _limits(image, quality, header, rules)
    saturated = (quality & rules.saturated) != 0
    with np.errstate(invalid="ignore"):
        if rules.saturated_above is not None:
            saturated |= image > np.float32(rules.saturated_above)
        bad = ((quality & rules.bad) != 0) & ~saturated
        if rules.last_is_bad:
            bad[-1, :] = bad[:, -1] = True
            bad &= ~saturated
        flagged = (quality & rules.cosmic_ray) != 0
        cosmic = (flagged if struck is None else flagged | struck) & ~saturated & ~bad
        left = ~(saturated | bad | cosmic)
        # NaN is neither above nor below: it is bad.
        saturated |= left & (image >= high)
        bad |= left & ~(image > low) & ~(image >= high)
    if not (left & ~saturated & ~bad).any():
        raise UnusableInput("no pixel of the chip is good")
    scaled = _multiplied(image, np.asarray(areas, dtype=np.float32), rules.flux_scale)
    low, high = _farther(low, below=True), _farther(high, below=False)
    scaled[bad | cosmic] = low - np.float32(1)
    scaled[saturated] = high + np.float32(1)
    return _timed(
        MaskedImage(
            data=scaled,
            min_value=float(low),
            max_value=float(high),
            n_bad=int(bad.sum()),
            n_saturated=int(saturated.sum()),
            n_cosmic_ray=int(cosmic.sum()),
            note=note,
        ),
        seconds,
    )


def mask_drizzled(data: NDArray[np.floating], exposed: Mask, *, factor: float = 1.0) -> MaskedImage:
    """Mask a drizzled image: pixels that no exposure reached are bad.

    Parameters
    ----------
    data : ndarray (ny, nx)
        The image.
    exposed : ndarray (ny, nx) of bool
        Where it has weight.
    factor : float, optional
        What it is multiplied by: the exposure time of an image in counts per second, over the
        detector's flux scale.

    Returns
    -------
    MaskedImage
        Its limits are the least and the greatest finite value. Pixels of these values are bad and
        saturated thereby, as DOLPHOT has it.

    Raises
    ------
    UnusableInput
        If no pixel is exposed.
    """
    image = np.array(data, dtype=np.float32)
    finite = np.isfinite(image)
    good = exposed & finite
    if not good.any():
        raise UnusableInput("no pixel of the reference is exposed")
    low, high = image[finite].min(), image[finite].max()
    image[~good] = low - np.float32(1)
    masked = MaskedImage(
        data=image,
        min_value=float(low),
        max_value=float(high),
        n_bad=int((~(image > low)).sum()),
        n_saturated=int((image >= high).sum()),
        n_cosmic_ray=0,
    )
    return _timed(masked, factor)


def _limits(
    image: Plane, quality: NDArray[np.int32], header: Mapping[str, Any], rules: MaskRules
) -> tuple[np.float32, np.float32, str]:
    """The limits of good pixels, and what is to be said of them."""
    keys = ("RSDPFILL", "SATURATE") if rules.last_is_bad else ("GOODMIN", "GOODMAX")
    unflagged = image[(quality == 0) & np.isfinite(image)]
    note = ""
    known = not any(is_missing(header.get(key)) for key in keys)
    if known:
        low, high = (np.float32(number(header, key)) for key in keys)
        if not rules.last_is_bad and unflagged.size:
            beyond = float(np.mean((unflagged < low) | (unflagged > high)))
            known = beyond <= _STRANGE_SHARE
            if not known:
                note = (
                    f"GOODMIN {low:g} and GOODMAX {high:g} are not of these pixels "
                    f"({beyond:.0%} are beyond): limits were measured"
                )
    if not known:
        if unflagged.size == 0:
            raise UnusableInput(f"no {keys[0]} and {keys[1]}, and no pixel without a flag")
        low, high = unflagged.min(), unflagged.max()
    if not low < high:
        raise UnusableInput(f"the limits of good pixels are {low:g} and {high:g}")
    return low - np.float32(1), high + np.float32(1), note


def _farther(limit: np.float32, *, below: bool) -> np.float32:
    outward = limit < 0 if below else limit > 0
    return np.float32(_ROOM * float(limit)) if outward else np.float32(0)


def _multiplied(image: Plane, areas: Plane, flux_scale: float) -> Plane:
    """Pixels times areas, in double precision and rounded once."""
    product = areas.astype(np.float64)
    product /= flux_scale
    product *= image
    with np.errstate(over="ignore"):  # of pixels that are bad, and set below
        return product.astype(np.float32)


def _timed(masked: MaskedImage, factor: float) -> MaskedImage:
    if factor == 1.0:
        return masked
    return MaskedImage(
        data=(masked.data.astype(np.float64) * factor).astype(np.float32),
        min_value=float(np.float32(masked.min_value * factor)),
        max_value=float(np.float32(masked.max_value * factor)),
        n_bad=masked.n_bad,
        n_saturated=masked.n_saturated,
        n_cosmic_ray=masked.n_cosmic_ray,
        note=masked.note,
    )
