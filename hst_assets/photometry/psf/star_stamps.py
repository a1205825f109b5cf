"""Stamps of stars, whose sky and neighbours are subtracted: what an effective PSF is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["StarStamps", "joined_stamps"]

Floats = NDArray[np.float64]
Reals = NDArray[np.float64] | NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class StarStamps:
    """Stamps of m stars of a band on a chip, from any number of exposures.

    Attributes
    ----------
    values_e : ndarray (m, 2r+1, 2r+1)
        Electrons, sky and neighbours taken off.
    variance_e2 : ndarray, same shape
        Of everything: sky, read noise, the star, its neighbours; of a model rather than of the
        data, which would favour pixels that are low by chance.
    good : ndarray of bool, same shape
        Pixels that count.
    x, y : ndarray (m,)
        The star's place on the whole chip, 0-based pixels.
    x_first, y_first : ndarray of int (m,)
        The chip's pixel at ``values_e[:, 0, 0]``.
    flux_e : ndarray (m,)
        A first estimate of the star's electrons, those beyond the stamp included.
    star : ndarray of int (m,), optional
        Which star of the sky it is: one that is in several exposures is one in counts of stars
        and in cross-validation. By default each stamp is another star.
    """

    values_e: Reals
    variance_e2: Reals
    good: Mask
    x: Floats
    y: Floats
    x_first: NDArray[np.int64]
    y_first: NDArray[np.int64]
    flux_e: Floats
    star: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def stars(self) -> NDArray[np.int64]:
        """Which star each stamp is of."""
        return np.arange(len(self)) if self.star is None else np.asarray(self.star)

    def of(self, chosen: Mask | NDArray[np.int64]) -> StarStamps:
        """Some of the stamps."""
        return StarStamps(
            self.values_e[chosen],
            self.variance_e2[chosen],
            self.good[chosen],
            np.asarray(self.x[chosen], dtype=float),
            np.asarray(self.y[chosen], dtype=float),
            self.x_first[chosen],
            self.y_first[chosen],
            np.asarray(self.flux_e[chosen], dtype=float),
            self.stars[chosen],
        )

    def without_pixels(self) -> StarStamps:
        """The same stars, with stamps of no pixel."""
        none = np.s_[:, :0, :0]
        return replace(
            self,
            values_e=self.values_e[none],
            variance_e2=self.variance_e2[none],
            good=self.good[none],
        )


def joined_stamps(parts: Sequence[StarStamps]) -> StarStamps:
    """The stamps of all parts, one after the other; they have one size."""

    def whole(name: str) -> Any:
        return np.concatenate([getattr(each, name) for each in parts])

    return StarStamps(
        *(
            whole(name)
            for name in (
                "values_e", "variance_e2", "good", "x", "y", "x_first", "y_first", "flux_e",
                "stars",
            )
        )
    )  # fmt: skip
