"""Why an exposure could not be aligned, as far as its pixels and its header tell."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.astrometry.exposure_field import Field

__all__ = ["likely_cause"]

#: A larger share of pixels that are bad, or saturated, is worth a word. Of an exposure as the
#: archive has it, a few per cent are flagged bad and less than one saturated.
_NOTABLE_BAD, _NOTABLE_SATURATED = 0.3, 0.02


def likely_cause(field: Field) -> str:
    """What stands out about an exposure that failed, in words; empty if nothing does.

    Parameters
    ----------
    field : Field
        The exposure and the reference stars about it.
    """
    found = []
    if len(field.reference_sky) == 0:
        found.append("no reference star within the search radius: no overlap, or a wrong WCS")
    bad = _share([plane.bad for plane in field.planes])
    if bad > _NOTABLE_BAD:
        found.append(f"{bad:.0%} of its pixels are bad or have no value")
    saturated = _share([plane.saturated for plane in field.planes])
    if saturated > _NOTABLE_SATURATED:
        found.append(f"{saturated:.0%} of its pixels are saturated")
    usable = [plane.data[~plane.bad] for plane in field.planes if not plane.bad.all()]
    if usable and all(np.ptp(values) == 0 for values in usable):
        found.append("all its pixels have the same value")
    if str(fits.getheader(field.copy.science, 0).get("MTFLAG", "")).strip() in ("T", "True", "1"):
        found.append("a moving target was followed (MTFLAG), which trails the stars")
    return "; ".join(found)


def _share(masks: list[NDArray[np.bool_]]) -> float:
    return float(np.mean(np.concatenate([mask.ravel() for mask in masks])))
