"""Which of the sources of an exposure are its stars: those of one size and one shape.

All stars have the width of the point spread function and its shape, whatever it is: round, trailed,
or double. Galaxies have all sizes, and each its own direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Locus", "star_locus"]

#: Stars of one exposure agree in size within this (natural logarithm of the variance), and no
#: smaller share of what is alone than this does.
_AGREE, _SHARE = 0.25, 0.4
#: Ellipticities (a^2 - b^2) / (a^2 + b^2), as vectors of twice the angle, differ from their median
#: by no more than this, on the median. Real stars: 0.03 to 0.04 on ACS/HRC, 0.11 on WFPC2 (the
#: undersampled core of omega Cen); simulated ones of all detectors: 0.02 to 0.08. Simulated
#: galaxies of axis ratios 0.25 to 1 and one observed size, 1.5 times the width of stars: 0.15 to
#: 0.29; of 1.2 times, 0.07 to 0.22.
_OF_ONE_SHAPE = 0.13
#: Sizes differ from their median by this share of `_AGREE` at most, on the median, where stars are
#: looked for beside what may be galaxies: real stars by 0.25 to 0.4, any sizes by 0.5.
_PEAKED = 0.4

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Locus:
    """The stars among some sources.

    Attributes
    ----------
    chosen : ndarray of int
        Which they are, or the most that were found where they are too few.
    reason : str
        Why they cannot be told; empty where they can.
    """

    chosen: NDArray[np.intp]
    reason: str = ""


def star_locus(
    moments: Floats, of_chips: Floats, *, narrowest: float, widest: float, fewest: int
) -> Locus:
    """Find the stars among sources by their second moments.

    Stars are what has the commonest size, if it has a shape in common. If it has none, those may be
    galaxies: stars are then the smallest sources that have both in common, within the widths that
    stars have. Galaxies that are hardly wider than stars are not told from them.

    Parameters
    ----------
    moments : ndarray, shape (n, 2, 2)
        Central second moments on the sky, finite.
    of_chips : ndarray, shape (n, 2, 2)
        The same, turned into the axes of each source's chip: what the electronics of a chip do to
        stars is alike in these.
    narrowest, widest : float
        Variances along one axis that stars have at least and at most, in the same unit. The
        commonest sources may be wider: out of focus.
    fewest : int
        Fewer are not taken for a locus.
    """
    if len(moments) < fewest:
        reason = f"{len(moments)} stars stand alone, {fewest} needed"
        return Locus(np.arange(len(moments)), reason)
    size = 0.5 * np.log(np.linalg.det(moments))
    middle = _commonest(size)
    commonest = _within(size, middle)
    enough = len(commonest) >= max(fewest, _SHARE * len(moments))
    if enough and _are_of_one_shape(moments[commonest], of_chips[commonest]):
        return Locus(commonest)
    smaller = [
        some
        for at in _smaller_sizes(size, middle, fewest)
        if math.log(narrowest) <= at <= math.log(widest)
        and len(some := _within(size, at)) >= fewest
        and np.median(np.abs(size[some] - at)) <= _PEAKED * _AGREE
        and _are_of_one_shape(moments[some], of_chips[some])
    ]
    if smaller:
        return Locus(smaller[-1])
    if not enough:
        text = f"no more than {len(commonest)} have the same size"
        return Locus(commonest, f"of {len(moments)} sources that stand alone, {text}")
    text = "each is elongated in its own direction"
    return Locus(commonest, f"{len(commonest)} sources of one size may be galaxies: {text}")


def _smaller_sizes(size: Floats, middle: float, fewest: int) -> Iterator[float]:
    """The commonest size below `middle`, that below it, and so on."""
    while np.count_nonzero(size < middle - _AGREE) >= fewest:
        middle = _commonest(size[size < middle - _AGREE])
        yield middle


def _commonest(size: Floats) -> float:
    """The size about which there are most."""
    ordered = np.sort(size)
    many = np.searchsorted(ordered, ordered + 2 * _AGREE, side="right") - np.arange(len(ordered))
    start = int(np.argmax(many))
    return float(np.median(ordered[start : start + many[start]]))


def _within(size: Floats, middle: float) -> NDArray[np.intp]:
    return np.flatnonzero(np.abs(size - middle) <= _AGREE)


def _are_of_one_shape(*frames: Floats) -> bool:
    """Whether sources are alike in one frame, or have more of a shape in common than of their own.

    Of stars that are trailed or double, more than these pixels and neighbours differ: but the
    median of random directions is zero within 0.4 of a component's scatter even for ten of them.
    """
    return any(own <= max(_OF_ONE_SHAPE, common) for own, common in map(_ellipticities, frames))


def _ellipticities(moments: Floats) -> tuple[float, float]:
    """Median distance of ellipticities from their median, and how large that is."""
    xx, xy, yy = moments[:, 0, 0], moments[:, 0, 1], moments[:, 1, 1]
    shape = np.column_stack([xx - yy, 2 * xy]) / (xx + yy)[:, None]
    common = np.median(shape, axis=0)
    return float(np.median(np.hypot(*(shape - common).T))), float(np.hypot(*common))
