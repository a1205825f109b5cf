"""Stars while they are fitted, and how they are found and fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FitParameters", "Stars"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FitParameters:
    """How stars are found and fitted.

    Attributes
    ----------
    first_snr, final_snr : float
        Least signal-to-noise ratio of stars in the first pass, and in the others and at the end.
    n_passes : int
        Searches, the first included.
    fit_radius_pix : int
        Pixels within so many of a star are fitted.
    least_share : float
        A star found beside others must have so much of their light at its place.
    least_distance_pix : float
        Stars nearer to each other than this (pixels of the detector) are one.
    n_sweeps : int
        Sweeps over the stars after each search.
    """

    first_snr: float = 5.0
    final_snr: float = 3.5
    n_passes: int = 3
    fit_radius_pix: int = 4
    least_share: float = 0.12
    least_distance_pix: float = 0.6
    n_sweeps: int = 8


@dataclass(eq=False)
class Stars:
    """Stars while they are fitted.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        On the reference, 0-based pixels.
    rate, rate_variance : ndarray, shape (bands, n)
        Electrons a second, by the PSF, and their variance.
    place_covariance : ndarray, shape (n, 3)
        Variance of x, of y and covariance, pixels squared.
    wide : ndarray of bool, shape (n,)
        Saturated somewhere: fitted to all pixels that the PSF reaches.
    motion : ndarray, shape (n, 2)
        Along X and Y, pixels of the reference a day; 0 of stars at rest.
    """

    x: Floats
    y: Floats
    rate: Floats
    rate_variance: Floats
    place_covariance: Floats
    wide: NDArray[np.bool_]
    motion: Floats

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def at(cls, x: Floats, y: Floats, rate: Floats, *, wide: bool = False) -> Stars:
        """Stars that are not fitted yet."""
        infinite = np.full((len(x), 3), np.inf)
        return cls(
            np.array(x, dtype=float),
            np.array(y, dtype=float),
            np.array(rate, dtype=float),
            np.full(rate.shape, np.inf),
            infinite,
            np.full(len(x), wide),
            np.zeros((len(x), 2)),
        )

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Stars:
        """Some of them."""
        return Stars(
            self.x[rows],
            self.y[rows],
            np.ascontiguousarray(self.rate[:, rows]),
            np.ascontiguousarray(self.rate_variance[:, rows]),
            self.place_covariance[rows],
            self.wide[rows],
            self.motion[rows],
        )

    def joined(self, others: Stars) -> Stars:
        """These and others."""
        return Stars(
            np.concatenate([self.x, others.x]),
            np.concatenate([self.y, others.y]),
            np.concatenate([self.rate, others.rate], axis=1),
            np.concatenate([self.rate_variance, others.rate_variance], axis=1),
            np.concatenate([self.place_covariance, others.place_covariance]),
            np.concatenate([self.wide, others.wide]),
            np.concatenate([self.motion, others.motion]),
        )

    @property
    def snr(self) -> Floats:
        """Signal-to-noise ratio of all bands together, as `Matched.together` has it."""
        each = self.rate / np.sqrt(self.rate_variance)
        best: Floats = each.max(axis=0, initial=-np.inf)
        together: Floats = np.maximum(best, each.sum(axis=0) / np.sqrt(len(each)))
        return together
