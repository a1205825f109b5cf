"""Throughput and sky of the filters that can be simulated.

PHOTFLAM, PHOTPLAM and PHOTBW are those of real headers of the 2010s where the project had one,
else synphot's figures rounded to a per cent; the sky is the zodiacal light of an average field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hst_assets.failures import BadConfiguration

__all__ = ["BANDS", "Band", "band_of"]

#: Zero point of the ST system, and the constant that leads from ST to AB magnitudes:
#: AB = -2.5 log10(PHOTFLAM) - 21.10 - 5 log10(PHOTPLAM) + 18.6921 (ACS Data Handbook 5.1.1).
ST_ZERO_POINT = -21.10
AB_MINUS_ST = 18.6921


@dataclass(frozen=True)
class Band:
    """One filter on one detector.

    Attributes
    ----------
    photflam : float
        Flux density (erg/s/cm2/A) that gives one electron a second; for WFPC2 one DN a second.
    photplam, photbw : float
        Pivot wavelength and RMS width (A).
    sky_e_per_s : float
        Sky in a nominal pixel (electrons/s).
    """

    photflam: float
    photplam: float
    photbw: float
    sky_e_per_s: float

    @property
    def zero_point_ab(self) -> float:
        """AB magnitude of one count a second, in the unit of `photflam`."""
        st = -2.5 * np.log10(self.photflam) + ST_ZERO_POINT
        return float(st - 5.0 * np.log10(self.photplam) + AB_MINUS_ST)

    @property
    def photfnu(self) -> float:
        """PHOTFNU (Jy) of one count a second."""
        return 3.33564e4 * self.photflam * self.photplam**2


BANDS: dict[str, dict[str, Band]] = {
    "wfc3_uvis": {
        "F275W": Band(3.22e-18, 2709.7, 165.0, 0.0004),
        "F336W": Band(1.28e-18, 3354.5, 158.0, 0.002),
        "F350LP": Band(5.2078e-20, 5851.1, 1483.0, 0.085),
        "F438W": Band(6.60e-19, 4326.2, 197.3, 0.012),
        "F475W": Band(2.50e-19, 4773.1, 421.3, 0.026),
        "F555W": Band(1.8379e-19, 5307.9, 517.1, 0.034),
        "F606W": Band(1.1327e-19, 5889.2, 656.9, 0.040),
        "F814W": Band(1.4980e-19, 8039.1, 666.6, 0.026),
    },
    "wfc3_ir": {
        "F105W": Band(3.0386e-20, 10551.0, 845.6, 0.77),
        "F110W": Band(1.5274e-20, 11534.5, 1428.5, 1.30),
        "F125W": Band(2.2446e-20, 12486.1, 866.3, 0.90),
        "F140W": Band(1.4737e-20, 13922.9, 1132.4, 1.10),
        "F160W": Band(1.9276e-20, 15369.2, 826.3, 0.75),
    },
    "acs_wfc": {
        "F435W": Band(3.11e-19, 4329.9, 293.5, 0.030),
        "F475W": Band(1.81e-19, 4746.9, 420.1, 0.055),
        "F555W": Band(1.96e-19, 5361.0, 359.9, 0.054),
        "F606W": Band(7.862e-20, 5921.9, 672.3, 0.105),
        "F775W": Band(1.00e-19, 7692.4, 434.8, 0.077),
        "F814W": Band(7.033e-20, 8045.5, 652.0, 0.085),
    },
    "acs_hrc": {
        "F435W": Band(5.40e-19, 4311.0, 310.0, 0.005),
        "F555W": Band(3.00e-19, 5355.7, 357.0, 0.010),
        "F606W": Band(1.2781e-19, 5887.9, 664.9, 0.018),
        "F814W": Band(1.31e-19, 8115.4, 703.2, 0.012),
    },
    "wfpc2": {
        "F450W": Band(9.04e-18, 4556.2, 404.2, 0.008),
        "F555W": Band(3.4829e-18, 5442.9, 522.2, 0.014),
        "F606W": Band(1.900e-18, 5996.8, 638.4, 0.025),
        "F814W": Band(2.508e-18, 8012.2, 647.6, 0.018),
    },
}


def band_of(detector_key: str, filter_name: str) -> Band:
    """The figures of a filter on a detector.

    Raises
    ------
    BadConfiguration
        If the detector is unknown or the filter cannot be simulated on it.
    """
    bands = BANDS.get(detector_key)
    if bands is None:
        raise BadConfiguration(
            f"no detector {detector_key!r} to simulate", next_step=f"Known: {', '.join(BANDS)}"
        )
    try:
        return bands[filter_name]
    except KeyError:
        raise BadConfiguration(
            f"{filter_name} cannot be simulated on {detector_key}",
            next_step=f"Known: {', '.join(bands)}",
        ) from None
