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

#: Of the full well: brighter pixels no longer count every photon.
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
        Its full well, and whether its exposures hold cosmic rays.
    saturated : ndarray (ny, nx) of bool, optional
        Where drops of pixels fell that an exposure flags as saturated.
    saturated_counts : bool, optional
        Whether such pixels were drizzled all the same. Where they were not, and another exposure
        has a value, the value is good.
    """
    flags = np.zeros(rate.shape, np.int16)
    empty = ~(np.isfinite(rate) & (reached.time_s > 0))
    # Native pixels of the longest exposure, were all of them as long. Rates of ramps (WFC3/IR) are
    # of the reads before a pixel was full: only the exposures' own flags tell there.
    electrons = rate * np.float32(model.gain_e * max(model.exptimes_s))
    full = (electrons > _FULL * detector.saturation_e * reached.area) & (reached.area > 0)
    full &= not detector.rate_units
    if saturated is not None:
        full |= saturated & (empty | saturated_counts)
    flags[empty] |= ProductFlag.NO_DATA
    flags[full] |= ProductFlag.SATURATED
    if detector.clean_cosmic_rays:
        flags[reached.alone] |= ProductFlag.ONE_EXPOSURE
    return flags
