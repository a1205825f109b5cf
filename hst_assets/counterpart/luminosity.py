"""Absolute magnitudes: extinction by a law at the pivot wavelength, and distance, with errors.

The law is that of Cardelli, Clayton & Mathis (1989, ApJ 345, 245), equations 1 to 4, for 0.125 to
3.3 micrometres. A filter's extinction depends on the spectrum of the source too, which a law at one
wavelength leaves out. What tables say of a filter and spectrum (such as Schlafly & Finkbeiner 2011,
ApJ 737, 103, table 6) goes in as ``counterpart.extinction_mag``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hst_assets.failures import BadConfiguration
from hst_assets.settings.counterpart import CounterpartSettings

__all__ = ["Extinction", "absolute_mag", "extinction_of", "relative_extinction"]

#: Coefficients of a(x) and b(x) between 1.1 and 3.3 per micrometre, in powers of x - 1.82 (eq. 3).
_OPTICAL_A = (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
_OPTICAL_B = (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)
_ANGSTROM_PER_MICROMETRE = 1e4


@dataclass(frozen=True)
class Extinction:
    """Extinction in one band, magnitudes, and where it is from."""

    mag: float
    error_mag: float
    source: str


def relative_extinction(wavelength_angstrom: float, r_v: float = 3.1) -> float:
    """Extinction over that in V, A(lambda) / A(V), by Cardelli, Clayton & Mathis (1989).

    Parameters
    ----------
    wavelength_angstrom : float
        From 1250 to 33,333.
    r_v : float, optional
        A(V) / E(B-V).

    Raises
    ------
    BadConfiguration
        If the law does not reach this wavelength.
    """
    x = _ANGSTROM_PER_MICROMETRE / wavelength_angstrom
    if 0.3 <= x < 1.1:
        a, b = 0.574 * x**1.61, -0.527 * x**1.61
    elif 1.1 <= x < 3.3:
        y = x - 1.82
        a, b = (float(np.polynomial.polynomial.polyval(y, c)) for c in (_OPTICAL_A, _OPTICAL_B))
    elif 3.3 <= x <= 8.0:
        above = max(x - 5.9, 0.0)
        a = 1.752 - 0.316 * x - 0.104 / ((x - 4.67) ** 2 + 0.341)
        a += -0.04473 * above**2 - 0.009779 * above**3
        b = -3.090 + 1.825 * x + 1.206 / ((x - 4.62) ** 2 + 0.263)
        b += 0.2130 * above**2 + 0.1207 * above**3
    else:
        raise BadConfiguration(
            f"the extinction law does not reach {wavelength_angstrom:g} Angstrom",
            next_step="Give the band's extinction in counterpart.extinction_mag",
        )
    return float(a + b / r_v)


def extinction_of(
    band: str, pivot_angstrom: float | None, settings: CounterpartSettings
) -> Extinction | None:
    """Extinction in a band by the settings; None if it is unknown.

    Parameters
    ----------
    band : str
        Detector and filter, such as ``wfc3_uvis.f814w``.
    pivot_angstrom : float or None
        Pivot wavelength of the band; None: not known.
    settings : CounterpartSettings
        The band's own figure, or E(B-V).
    """
    if band in settings.extinction_mag:
        error = settings.extinction_error_mag.get(band, 0.0)
        return Extinction(settings.extinction_mag[band], error, "given")
    if pivot_angstrom is None:
        return Extinction(0.0, 0.0, "none") if settings.ebv_mag == 0 else None
    per_ebv = settings.r_v * relative_extinction(pivot_angstrom, settings.r_v)
    return Extinction(
        per_ebv * settings.ebv_mag,
        per_ebv * settings.ebv_error_mag,
        f"{per_ebv:.3f} E(B-V), Cardelli et al. (1989) at {pivot_angstrom:.0f} Angstrom, "
        f"R(V) = {settings.r_v:g}",
    )


def absolute_mag(
    mag: float, error_mag: float, extinction: Extinction | None, settings: CounterpartSettings
) -> tuple[float, float]:
    """Absolute magnitude and its error; NaN without a distance or an extinction.

    The errors of extinction and distance are common to all magnitudes of a target.
    """
    if extinction is None or settings.distance_modulus_mag is None:
        return math.nan, math.nan
    absolute = mag - extinction.mag - settings.distance_modulus_mag
    errors = (error_mag, extinction.error_mag, settings.distance_modulus_error_mag)
    return absolute, math.hypot(*errors)
