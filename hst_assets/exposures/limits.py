"""What a header may say: moments of Hubble's life, places on the sky, a WCS of a known size.

Whatever lies beyond is no property of an exposure but damage, and would harm more than its own
file: one date in another millennium ends the stacks of a target, one polynomial of degree 5000
fills the memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hst_assets.failures import UnusableInput

__all__ = [
    "LARGEST_BYTES",
    "LAST_MJD",
    "LAUNCH_MJD",
    "LONGEST_EXPOSURE_S",
    "refuse_other_times",
    "refuse_size",
    "refuse_unbounded_wcs",
    "sky_position",
]

#: 1990-04-24, the launch of STS-31; first light was a month later.
LAUNCH_MJD = 48005.0
#: 2050-01-01. Hubble's orbit decays before, by every forecast.
LAST_MJD = 69807.0
#: An orbit takes 96 minutes; even in the continuous viewing zone no exposure lasts for a day.
LONGEST_EXPOSURE_S = 86400.0
#: The largest exposures of HST have 170 MB.
LARGEST_BYTES = 400_000_000

_SECONDS_PER_DAY = 86400.0
#: Those of HST's instruments have degrees up to 5; FITS readers allow up to 9 (Shupe et al. 2005).
_LARGEST_SIP_ORDER = 9
_SIP_ORDERS = ("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER")


def refuse_other_times(start_mjd: float, end_mjd: float, exptime_s: float) -> None:
    """Let times pass that an exposure of Hubble can have.

    Parameters
    ----------
    start_mjd, end_mjd : float
        Start and end of the exposure (MJD, UTC).
    exptime_s : float
        Exposure time, seconds.

    Raises
    ------
    UnusableInput
        If one lies outside Hubble's life, or the exposure lasts longer than a day.
    """
    for name, moment in (("starts", start_mjd), ("ends (EXPEND)", end_mjd)):
        if not LAUNCH_MJD <= moment <= LAST_MJD:
            raise UnusableInput(
                f"it {name} at MJD {moment:g}, outside Hubble's life "
                f"({LAUNCH_MJD:.0f} to {LAST_MJD:.0f})"
            )
    if exptime_s > LONGEST_EXPOSURE_S:
        raise UnusableInput(f"keyword EXPTIME is {exptime_s:g} s, longer than a day")
    if (end_mjd - start_mjd) * _SECONDS_PER_DAY > LONGEST_EXPOSURE_S:
        raise UnusableInput(
            f"it lasts {end_mjd - start_mjd:.2f} days (from MJD {start_mjd} to EXPEND {end_mjd})"
        )


def sky_position(ra_deg: float, dec_deg: float, keywords: tuple[str, str]) -> tuple[float, float]:
    """A position of a header, in degrees.

    Parameters
    ----------
    ra_deg, dec_deg : float
        As the header has them.
    keywords : tuple of str
        Their keywords, for the message.

    Raises
    ------
    UnusableInput
        If it is not on the sky.
    """
    if abs(ra_deg) <= 360.0 and abs(dec_deg) <= 90.0:
        return ra_deg, dec_deg
    raise UnusableInput(
        f"keywords {keywords[0]} and {keywords[1]} are not on the sky: {ra_deg:g}, {dec_deg:g}"
    )


def refuse_unbounded_wcs(header: Mapping[str, Any]) -> None:
    """Let a WCS pass whose description is of a known size, before anything is made of it.

    Parameters
    ----------
    header : mapping
        Of a chip.

    Raises
    ------
    UnusableInput
        If a SIP polynomial is of a degree that no detector has, or the WCS has more or less
        than two axes.
    """
    for keyword in _SIP_ORDERS:
        order = header.get(keyword)
        if order is not None and not _is_order(order):
            raise UnusableInput(
                f"keyword {keyword} is {order!r}: SIP polynomials have degrees up to "
                f"{_LARGEST_SIP_ORDER}"
            )
    for keyword, axes in header.items():
        if keyword.startswith("WCSAXES") and axes != 2:
            raise UnusableInput(f"keyword {keyword} is {axes!r}; the sky has 2 axes")


def _is_order(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 <= value <= _LARGEST_SIP_ORDER
    )


def refuse_size(n_bytes: int) -> None:
    """Let a file pass that is not larger than any exposure.

    Parameters
    ----------
    n_bytes : int
        Its size.

    Raises
    ------
    UnusableInput
        If it is.
    """
    if n_bytes > LARGEST_BYTES:
        raise UnusableInput(
            f"it has {n_bytes / 1e6:.0f} MB; no exposure of HST has more than "
            f"{LARGEST_BYTES / 1e6:.0f}"
        )
