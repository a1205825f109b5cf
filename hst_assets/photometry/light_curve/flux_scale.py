"""From counts per second to microjansky of all light, and from AB magnitudes to the others.

The zero point is that of the header: PHOTFLAM and PHOTPLAM hold for all of a star's light (ACS Data
Handbook, section 5.1.1). What leads from the pixels that were summed to all light is another's
business: of the embedded photometer, its aperture correction; of a stack, its own stars
(`hst_assets.photometry.light_curve.stack_aperture`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hst_assets.exposures.photometry import Photometry
from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.magnitudes import ab_zero_point
from hst_assets.photometry.catalog.vega import st_minus_ab, vega_band
from hst_assets.photometry.light_curve.points import AB_ZERO_POINT_UJY

__all__ = ["FluxScale", "flux_scale", "scale_of_header"]


@dataclass(frozen=True, kw_only=True)
class FluxScale:
    """What fluxes and magnitudes of one image are.

    Attributes
    ----------
    ujy_per_count_s : float
        Microjansky of one count per second; NaN if the zero point is not known.
    st_minus_ab_mag, vega_minus_ab_mag : float
        What leads from AB magnitudes to the others; NaN where it is not known.
    fault : str
        Why the zero point is not known; empty if it is.
    """

    ujy_per_count_s: float
    st_minus_ab_mag: float
    vega_minus_ab_mag: float
    fault: str = ""


def flux_scale(
    zero_point_ab_mag: float, *, detector: str, filter_name: str, pivot_angstrom: float
) -> FluxScale:
    """The scale of a zero point.

    Parameters
    ----------
    zero_point_ab_mag : float
        AB magnitude of one count per second of all light; NaN if it is not known.
    detector, filter_name : str
        For Vega's magnitude.
    pivot_angstrom : float
        PHOTPLAM; NaN if it is not known.
    """
    known = math.isfinite(zero_point_ab_mag)
    with_pivot = math.isfinite(pivot_angstrom) and pivot_angstrom > 0
    return FluxScale(
        ujy_per_count_s=10 ** (0.4 * (AB_ZERO_POINT_UJY - zero_point_ab_mag))
        if known
        else math.nan,
        st_minus_ab_mag=st_minus_ab(pivot_angstrom) if with_pivot else math.nan,
        vega_minus_ab_mag=_vega_minus_ab(detector, filter_name),
        fault="" if known else "its zero point is not known",
    )


def scale_of_header(photometry: Photometry, *, detector: str, filter_name: str) -> FluxScale:
    """The scale of a chip by its header.

    Parameters
    ----------
    photometry : Photometry
        The zero point that the header has.
    detector, filter_name : str
        For Vega's magnitude.
    """
    fault = photometry.fault
    zero_point = math.nan if fault else ab_zero_point(photometry.flam, photometry.plam)
    scale = flux_scale(
        zero_point, detector=detector, filter_name=filter_name, pivot_angstrom=photometry.plam
    )
    return FluxScale(
        ujy_per_count_s=scale.ujy_per_count_s,
        st_minus_ab_mag=scale.st_minus_ab_mag,
        vega_minus_ab_mag=scale.vega_minus_ab_mag,
        fault=f"its zero point is not known: {fault}" if fault else "",
    )


def _vega_minus_ab(detector: str, filter_name: str) -> float:
    try:
        return -vega_band(detector, filter_name).ab_mag()
    except UnusableInput:
        return math.nan
