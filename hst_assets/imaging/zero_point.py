"""Products rescaled to a zero point of the user's own (``drizzle.fix_zero_point``).

Only the unit of SCI changes: magnitudes, signal to noise and what the weights mean stay. The cards
that refer to the unit change with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput

__all__ = ["rescale"]

#: Cards that tell the flux of one unit of SCI: the brighter the unit's zero point, the less.
_PER_UNIT = ("PHOTFLAM", "PHOTFNU", "GAIN")


def rescale(
    planes: Mapping[str, NDArray[Any]],
    headers: Mapping[str, fits.Header],
    *,
    zero_point: float,
    weight_type: str,
) -> dict[str, NDArray[Any]]:
    """Scale a product so that one unit of SCI has this AB magnitude.

    Parameters
    ----------
    planes : mapping
        SCI, WHT and CTX.
    headers : mapping
        Of PRIMARY and the planes; PRIMARY, SCI and the unit of ERR are changed: ZPAB, ZPST,
        PHOTFLAM, PHOTFNU, GAIN, SKYMEAN and BUNIT follow the scale, FIXZPT and FIXSCALE tell it.
    zero_point : float
        AB magnitude of one unit of SCI.
    weight_type : str
        EXP weights are times and stay; ERR and IVM are inverse variances of SCI, and go with it.

    Returns
    -------
    dict
        The planes, scaled.

    Raises
    ------
    UnusableInput
        If the product's own zero point is not known.
    """
    own = headers["PRIMARY"].get("ZPAB")
    if own is None:
        raise UnusableInput(
            "its zero point is not known: its exposures have no PHOTFLAM or PHOTPLAM",
            next_step="Unset drizzle.fix_zero_point",
        )
    scale = 10.0 ** (0.4 * (zero_point - own))
    per_second = str(headers["SCI"]["BUNIT"]).endswith("/S")
    for header in (headers["PRIMARY"], headers["SCI"]):
        for key in _PER_UNIT:
            if isinstance(header.get(key), int | float):
                header[key] = header[key] / scale
        if "SKYMEAN" in header:
            header["SKYMEAN"] = header["SKYMEAN"] * scale
        header["ZPST"] = round(header["ZPST"] + zero_point - own, 5)
        header["ZPAB"] = zero_point
        header["FIXZPT"] = (zero_point, "AB zero point that SCI was scaled to")
        header["FIXSCALE"] = (scale, "SCI over what was drizzled")
        header["BUNIT"] = ("COUNTS/S" if per_second else "COUNTS", "see FIXZPT")
    if "ERR" in headers:
        headers["ERR"]["BUNIT"] = headers["SCI"]["BUNIT"]
    scaled = {**planes, "SCI": (planes["SCI"] * scale).astype(np.float32)}
    if weight_type != "EXP":
        scaled["WHT"] = (planes["WHT"] / scale**2).astype(np.float32)
    if not (math.isfinite(scale) and np.isfinite(scaled["SCI"]).any()):
        raise UnusableInput(f"its values cannot be rescaled to a zero point of {zero_point}")
    return scaled
