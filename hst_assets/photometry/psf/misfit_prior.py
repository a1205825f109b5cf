"""Which of the misfits about stars are structure, and which are noise: by all stars of a field.

What is left about a star, over what noise leaves, scatters by noise: in a sparse field it is 1 for
all, and measured as 0.5 to 1.7 within a fit radius. Errors that were enlarged wherever it is above
1 were too large by 10 % there. How the true ratios are distributed is learned from all stars of the
field (the most likely distribution on a grid; Kiefer & Wolfowitz 1956, Ann. Math. Stat. 27, 887);
of each star its mean is taken, given what was measured of it (Robbins 1956, empirical Bayes). That
a star is like none of them stays possible: a large ratio that only one has is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MisfitPrior", "MisfitRatios"]

Floats = NDArray[np.float64]

#: True ratios that may be: none is below that of noise.
_GRID = np.concatenate([[1.0], 1.0 + np.logspace(-1.5, 4.0, 56)])
#: So many stars of noise alone are added to those of a field: a few tell no distribution. Chosen,
#: with what else is above, on fields of seeds from 101 and from 311.
_STARS_OF_NOISE = 5.0
#: So many may be like none of them. Among stars of noise, a ratio of 18 and more is then what was
#: measured; errors of six such stars are 0.3 % larger by it, of 40 and more 0.1 %.
_STARS_UNLIKE = 0.25
#: How ratios are distributed of which no star tells: by one over them. Then the mean is what was
#: measured; were all alike, a star about which little was measured would have large ones.
_UNLIKE = 1.0 / _GRID / (1.0 / _GRID).sum()
#: More tell it no better.
_MOST_STARS = 3000
_STEPS = 200


@dataclass(frozen=True, eq=False)
class MisfitRatios:
    """What is left about n stars, within r radii, in b bands.

    Attributes
    ----------
    ratio : ndarray, shape (r, b, n)
        Mean square of filtered residuals, over that of noise.
    freedom : ndarray, shape (r, b, n)
        Independent squares that are in it; 0: nothing was measured, nor where a ratio is not
        finite.
    """

    ratio: Floats
    freedom: Floats

    def of(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> MisfitRatios:
        """Of some of the stars."""
        return MisfitRatios(self.ratio[:, :, rows], self.freedom[:, :, rows])


@dataclass(frozen=True, eq=False)
class MisfitPrior:
    """How the true ratios of a field are distributed.

    Attributes
    ----------
    weight : ndarray, shape (r, b, m)
        Share of the stars with each of m ratios, none of which is 0.
    """

    weight: Floats

    @classmethod
    def of(cls, field: MisfitRatios) -> MisfitPrior:
        """Learn it from the stars of a field."""
        shape = field.ratio.shape[:2]
        weight = np.zeros((*shape, len(_GRID)))
        for each in np.ndindex(shape):
            weight[each] = _distribution(field.ratio[each], field.freedom[each])
        return cls(weight)

    def ratios(self, measured: MisfitRatios) -> Floats:
        """Mean true ratios of stars by what was measured of them, shape (r, b, n); at least 1."""
        means = np.ones(measured.ratio.shape)
        for each in np.ndindex(measured.ratio.shape[:2]):
            known = _known(measured.ratio[each], measured.freedom[each])
            likely = _likelihood(measured.ratio[each][known], measured.freedom[each][known])
            likely *= self.weight[each]
            # Star by star: a product of matrices has other last digits with other rows.
            means[each][known] = (likely * _GRID).sum(axis=1) / likely.sum(axis=1)
        return means


def _known(ratio: Floats, freedom: Floats) -> NDArray[np.bool_]:
    return np.asarray((freedom > 0) & np.isfinite(ratio) & np.isfinite(freedom))


def _likelihood(ratio: Floats, freedom: Floats) -> Floats:
    """Of each true ratio: a mean of so many squares of Gaussian numbers, shape (n, m)."""
    log = -0.5 * freedom[:, None] * (np.log(_GRID) + ratio[:, None] / _GRID)
    # A share of the stars may vanish in the steps, but not of a star all shares.
    return np.asarray(np.exp(log - log.max(axis=1, keepdims=True)) + 1e-12)


def _distribution(ratio: Floats, freedom: Floats) -> Floats:
    known = np.flatnonzero(_known(ratio, freedom))
    taken = known[:: max(1, -(-len(known) // _MOST_STARS))]
    likely = _likelihood(ratio[taken], freedom[taken])
    weight = np.full(len(_GRID), 1.0 / len(_GRID))
    for _ in range(_STEPS):
        share = likely * weight
        share /= share.sum(axis=1, keepdims=True)
        weight = share.sum(axis=0)
        weight[0] += _STARS_OF_NOISE
        weight /= len(taken) + _STARS_OF_NOISE
    # The next star may have a ratio that none of those had.
    unlike = _STARS_UNLIKE / (len(taken) + _STARS_OF_NOISE + _STARS_UNLIKE)
    return np.asarray((1.0 - unlike) * weight + unlike * _UNLIKE)
