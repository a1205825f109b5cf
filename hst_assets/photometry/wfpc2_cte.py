"""What WFPC2's charge transfer costs a star: the correction of Dolphin (2009, PASP 121, 655).

The farther a star is from the amplifier, the fewer counts and the less sky it has, and the later
the exposure, the larger a share of it is left behind on the way. With N the electrons of the star,
B those of the sky in a pixel and t = (MJD - 49461.854754) / 365.25 years::

    N' = sqrt(N**2 + 1)       B' = sqrt(B**2 + 1)       lbg = ln(B') - 1
    XCTE = 0.007730 exp(-0.504911 lbg) (1 + 0.099582 t) X / 800
    lct = ln(N') - 7 + 0.921034 XCTE
    c1 = max(1 - 0.200904 lbg + 0.039005 lbg lct + 0.002108 lct, 0.153099)
    c2 = 0.957704 (t - 0.025474 t**2) exp(-0.449956 lct)
    YCTE = 2.412981 ln((1 + c2) exp(0.022389 c1 Y / 800) - c2)

XCTE + YCTE magnitudes are lost. It holds for all four chips at -88 C, that is after April 1994. The
warm camera before is not covered.

Equations and figures are as DOLPHOT's module for WFPC2 has them ("correction in magnitudes from
Dolphin (2009)"; a public copy of its source): the paper (arXiv:0906.3557) was not at hand. The
correction of 2004 that it replaced (``wfpc2cte`` of STScI's wfpc2tools) gives the same within 0.03
mag for stars of 300 electrons and more at the middle of a chip until 2002; see the tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FIRST_MJD", "NOMINAL_E_PER_DN", "wfpc2_cte_mag"]

Floats = NDArray[np.float64]

#: Electrons per DN by ATODGAIN, as the formula was fitted with: round figures, not the chips' own.
NOMINAL_E_PER_DN: dict[float, float] = {7.0: 7.0, 15.0: 14.0}
#: Time from which the formula counts its years; there is none for the warm camera before.
FIRST_MJD = 49461.854754
_PIXELS = 800.0
#: Of a relative change that is a small number of magnitudes: ln(10) / 2.5.
_PER_MAG = 0.92103404


def wfpc2_cte_mag(
    counts_e: ArrayLike, sky_e: ArrayLike, *, x: ArrayLike, y: ArrayLike, mjd: ArrayLike
) -> Floats:
    """Magnitudes to be added to those measured: 0 or below.

    Arguments are broadcast against each other.

    Parameters
    ----------
    counts_e : array_like
        Electrons of the star in one exposure: DN times `NOMINAL_E_PER_DN`.
    sky_e : array_like
        Sky under it, electrons a pixel. Negative sky counts as none.
    x, y : array_like
        Its place on the chip, pixels; the amplifier is at (0, 0). Y beyond the chip counts as its
        edge.
    mjd : array_like
        Time of the exposure.

    Returns
    -------
    ndarray
        -(XCTE + YCTE), see the module. NaN for stars without counts and before `FIRST_MJD`.
    """
    counts, sky, at_x, at_y, time = (
        np.asarray(value, dtype=float) for value in (counts_e, sky_e, x, y, mjd)
    )
    years = (time - FIRST_MJD) / 365.25
    lbg = 0.5 * np.log1p(np.maximum(sky, 0.0) ** 2) - 1.0
    across = 0.007730 * np.exp(-0.504911 * lbg) * (1.0 + 0.099582 * years) * at_x / _PIXELS
    lct = 0.5 * np.log1p(np.maximum(counts, 0.0) ** 2) - 7.0 + _PER_MAG * across
    c1 = np.maximum(1.0 - 0.200904 * lbg + (0.039005 * lbg + 0.002108) * lct, 0.153099)
    c2 = 0.957704 * (years - 0.025474 * years**2) * np.exp(-0.449956 * lct)
    # ln((1 + c2) exp(u) - c2) = ln(1 + (1 + c2) (exp(u) - 1)), exact for small losses.
    gained = np.expm1(0.022389 * c1 * np.clip(at_y, 0.0, _PIXELS) / _PIXELS)
    known = (counts > 0) & (years >= 0)
    along = 2.412981 * np.log1p(np.where(known, (1.0 + c2) * gained, 0.0))
    return np.where(known, -(across + along), np.nan)
