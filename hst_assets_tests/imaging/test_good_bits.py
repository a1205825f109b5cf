"""The flags that are drizzled all the same, against what flagged pixels of real exposures hold.

Eight WFC3/UVIS exposures of 200 s: pixels that carry one flag alone, above the local sky, over the
scatter of pixels without a flag. Other detectors have too few real exposures to measure on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std
from scipy.ndimage import median_filter

from hst_assets.detectors import DETECTORS
from hst_assets_tests.independent_exposures import REAL

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no real exposures in {REAL}"),
]

UVIS = DETECTORS["wfc3_uvis"]
COSMIC_RAYS = 4096 + 8192
HOT, UNSTABLE, TRAP = 16, 32, 1024


@pytest.fixture(scope="module")
def flagged() -> Callable[[int], np.ndarray]:
    """Pixels with this flag alone, in the scatter of those without any."""
    values, flags = [], []
    for path in sorted(REAL.glob("wfc3_uvis_2013fy27/*_flc.fits")):
        with fits.open(path) as hdus:
            sci, dq = hdus["SCI"].data.astype(float), hdus["DQ"].data.astype(int)
        dq &= ~COSMIC_RAYS
        without = np.where(dq == 0, sci, np.median(sci))
        height = sci - median_filter(without, 9)
        values.append(height / mad_std(height[dq == 0]))
        flags.append(dq)
    height, dq = np.array(values), np.array(flags)

    def of(bit: int) -> np.ndarray:
        return height[dq == bit]

    return of


@pytest.mark.parametrize("bit", [HOT, UNSTABLE])
def test_pixels_that_are_drizzled_are_as_good_as_others(
    flagged: Callable[[int], np.ndarray], bit: int
) -> None:
    """Their noise is up to 10 % more (8 % of hot pixels), and their level is the sky's."""
    assert UVIS.drizzle_good_bits & bit
    pixels = flagged(bit)
    assert len(pixels) > 5000
    assert mad_std(pixels) < 1.10
    assert abs(np.median(pixels)) < 0.1
    assert np.mean(np.abs(pixels) > 3) < np.mean(np.abs(flagged(0)) > 3) + 0.01


def test_hot_pixels_are_too_many_to_lose(flagged: Callable[[int], np.ndarray]) -> None:
    assert len(flagged(HOT)) > 0.03 * len(flagged(0))


def test_charge_traps_hold_too_little(flagged: Callable[[int], np.ndarray]) -> None:
    """A fifth of a standard deviation and more in all of them: they are refused."""
    assert not UVIS.drizzle_good_bits & TRAP
    assert np.median(flagged(TRAP)) < -0.2
