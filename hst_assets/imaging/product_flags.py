"""Bits of the DQ plane of a drizzled image."""

from __future__ import annotations

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.imaging.noise import Exposed, NoiseModel

__all__ = ["PRODUCT_FLAGS", "ProductFlag", "product_flags"]


class ProductFlag(IntFlag):
    """Bits of the DQ plane of a drizzled image; those of a difference have the same values."""

    NO_DATA = 1
    SATURATED = 4
    ONE_EXPOSURE = 16


#: What the bits mean.
PRODUCT_FLAGS: dict[ProductFlag, str] = {
    ProductFlag.NO_DATA: "no weight; SCI and ERR are NaN",
    ProductFlag.SATURATED: "saturated: light is clipped, or lost without weight",
    ProductFlag.ONE_EXPOSURE: "one exposure alone counts: cosmic rays may stay",
}

#: Of the full well, or of what the converter counts: brighter pixels no longer count every
#: photon. Of WFPC2 it is 3440 DN (Data Handbook, table 3.4: above 3500 DN likely saturated).
_FULL = 0.9


def product_flags(
    rate: NDArray[np.float32],
    reached: Exposed,
    model: NoiseModel,
    detector: Detector,
    *,
    saturated: NDArray[np.bool_] | None = None,
    saturated_counts: bool = False,
) -> NDArray[np.int16]:
    """The flags of a product's pixels.

    Parameters
    ----------
    rate : ndarray (ny, nx)
        SCI in counts per second.
    reached : Exposed
        What reached its pixels.
    model : NoiseModel
        Of the product.
    detector : Detector
        Whether its exposures are rates of ramps, and whether they hold cosmic rays.
    saturated : ndarray (ny, nx) of bool, optional
        Where drops of pixels fell that an exposure flags as saturated.
    saturated_counts : bool, optional
        Whether such pixels were drizzled all the same. Where they were not, and another exposure
        has a value, the value is good.
    """
    flags = np.zeros(rate.shape, np.int16)
    empty = ~(np.isfinite(rate) & (reached.time_s > 0))
    # Native pixels of the exposure that is full first, were all of them such. Rates of ramps
    # (WFC3/IR) are of the reads before a pixel was full: only the exposures' own flags tell there.
    electrons_per_s = rate * np.float32(model.gain_e)
    full = (electrons_per_s > np.float32(_FULL * model.saturation_e_per_s) * reached.area) & (
        reached.area > 0
    )
    full &= not detector.rate_units
    if saturated is not None:
        full |= saturated & (empty | saturated_counts)
    flags[empty] |= ProductFlag.NO_DATA
    flags[full] |= ProductFlag.SATURATED
    if detector.clean_cosmic_rays:
        flags[reached.alone] |= ProductFlag.ONE_EXPOSURE
    return flags
