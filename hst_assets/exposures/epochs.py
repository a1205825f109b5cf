"""Epochs: exposures of one detector and filter that follow each other closely in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["NO_EPOCH", "number_epochs"]

#: Epoch of an exposure that is not used, or not yet numbered.
NO_EPOCH = -1


def number_epochs(
    detector_keys: Sequence[str] | ArrayLike,
    filters: Sequence[str] | ArrayLike,
    mjd_start: ArrayLike,
    *,
    max_gap_days: float,
) -> NDArray[np.int64]:
    """Number the epochs of a set of exposures, from 1.

    Exposures of one detector and filter whose starts follow each other by less than
    `max_gap_days` are chained into one epoch. Numbers are global and grow with the time of each
    epoch's first exposure; among equal times with detector and filter, alphabetically.

    Parameters
    ----------
    detector_keys, filters : sequence of str, length n
        What must be equal within an epoch.
    mjd_start : array_like, shape (n,)
        Start of each exposure, MJD.
    max_gap_days : float
        Largest gap within an epoch, in days, itself excluded.

    Returns
    -------
    ndarray of int, shape (n,)
        The epoch of each exposure, in the order given.

    Notes
    -----
    Two sorts and no loop over exposures: O(n log n).
    """
    start = np.asarray(mjd_start, dtype=float)
    if start.size == 0:
        return np.zeros(0, dtype=np.int64)
    _, detector = np.unique(np.asarray(detector_keys, dtype=str), return_inverse=True)
    _, filter_ = np.unique(np.asarray(filters, dtype=str), return_inverse=True)
    order = np.lexsort((start, filter_, detector))
    same = (np.diff(detector[order]) == 0) & (np.diff(filter_[order]) == 0)
    follows = same & (np.diff(start[order]) < max_gap_days)
    group_in_order = np.concatenate(([0], np.cumsum(~follows)))
    first = np.concatenate(([0], np.flatnonzero(~follows) + 1))
    members = order[first]
    rank = np.lexsort((filter_[members], detector[members], start[members]))
    number = np.empty(first.size, dtype=np.int64)
    number[rank] = np.arange(1, first.size + 1)
    epoch = np.empty(start.size, dtype=np.int64)
    epoch[order] = number[group_in_order]
    return epoch
