"""How certain a median is."""

from __future__ import annotations

import math

__all__ = ["MEDIAN_OVER_MEAN", "median_error"]

#: Standard error of the median of many normally distributed values over that of their mean: the
#: square root of pi/2, for the variance of a median of n values is 1 / (4 n f**2), with f the
#: density at it (Laplace).
MEDIAN_OVER_MEAN = 1.2533


def median_error(scatter: float, n_values: int) -> float:
    """Standard error of the median of `n_values` independent values.

    Parameters
    ----------
    scatter : float
        Their standard deviation.
    n_values : int
        How many they are; at least 1.

    Notes
    -----
    Neither numpy nor astropy has it, and scipy only from the values themselves
    (``scipy.stats.mstats.mjci``, Maritz and Jarrett 1978), which callers no longer have.
    """
    return MEDIAN_OVER_MEAN * scatter / math.sqrt(n_values)
