"""Vega in the AB and ST systems, for the filters of Hubble's imagers.

A magnitude of the Vega system becomes one of AB by adding the AB magnitude of Vega in that filter.
It depends on which spectrum of Vega is meant: CALSPEC's changed by up to 0.025 mag in the infrared
(Bohlin, Hubeny & Rauch 2020, AJ 160, 21), and zero points of the Vega system go with the one of
their time. Both are here.

The figures are synthetic photometry: ``alpha_lyr_stis_011`` and ``alpha_lyr_stis_005`` of CALSPEC
through total throughputs of synphot (telescope, filter, detector), as the packages pyphot 2.1 (ACS,
WFPC2) and LensPop (WFC3: its files are ``calcband wfc3,uvis1,...`` and ``wfc3,ir,...`` of 2013)
carry them: ``AB = -2.5 lg(int F_lambda T lambda dlambda / (c int T dlambda / lambda)) - 48.60``.
The throughputs of another package (sedpy 0.4.1: eight filters of ACS/WFC, fourteen of WFC3) give
the same within 0.0012 mag, but for F390W, whose curve has another edge (0.003). The loss of
sensitivity over the years is grey within a filter to that accuracy: the figures hold for any date.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

from hst_assets.failures import UnusableInput

__all__ = ["DEFAULT_SPECTRUM", "VEGA_SPECTRA", "VegaBand", "st_minus_ab", "vega_band", "vega_bands"]

VegaSpectrum = Literal["alpha_lyr_stis_005", "alpha_lyr_stis_011"]
VEGA_SPECTRA: tuple[VegaSpectrum, ...] = ("alpha_lyr_stis_005", "alpha_lyr_stis_011")
#: That of the zero points that DOLPHOT 2.0 has for WFC3, those of 2009 and 2010: their published
#: values in AB and Vega differ by what this spectrum gives, within 0.002 mag in the infrared.
DEFAULT_SPECTRUM: VegaSpectrum = "alpha_lyr_stis_005"

#: ST = AB + 5 lg(pivot / A) - this, which is 2.5 lg(c) - (48.60 - 21.10) with c in A/s.
_ST_CONSTANT = 18.6921

#: Detector, filter, pivot wavelength (A), AB magnitude of alpha_lyr_stis_011 and of ..._005.
_ROWS = """
wfc3_uvis F218W 2228.5 1.6634 1.6911
wfc3_uvis F225W 2372.7 1.6366 1.6606
wfc3_uvis F275W 2710.2 1.4801 1.4986
wfc3_uvis F300X 2822.3 1.4007 1.4207
wfc3_uvis F336W 3354.8 1.1635 1.1857
wfc3_uvis F373N 3730.2 0.8713 0.8949
wfc3_uvis F390W 3924.4 0.1973 0.2159
wfc3_uvis F438W 4326.5 -0.1653 -0.1521
wfc3_uvis F469N 4688.1 -0.1672 -0.1573
wfc3_uvis F475W 4773.7 -0.1063 -0.0972
wfc3_uvis F487N 4871.4 0.1777 0.1816
wfc3_uvis F475X 4941.4 -0.0581 -0.0494
wfc3_uvis F200LP 4968.6 0.4441 0.4512
wfc3_uvis F502N 5009.6 -0.0938 -0.0870
wfc3_uvis F555W 5308.1 -0.0291 -0.0245
wfc3_uvis F547M 5447.4 -0.0042 -0.0004
wfc3_uvis F350LP 5857.3 0.1522 0.1567
wfc3_uvis F606W 5887.4 0.0824 0.0829
wfc3_uvis F625W 6241.3 0.1506 0.1480
wfc3_uvis F656N 6561.4 0.5815 0.6158
wfc3_uvis FQ672N 6716.4 0.2359 0.2312
wfc3_uvis FQ674N 6730.7 0.2386 0.2336
wfc3_uvis F600LP 7450.5 0.3312 0.3240
wfc3_uvis F775W 7648.5 0.3909 0.3807
wfc3_uvis F814W 8029.5 0.4277 0.4182
wfc3_uvis F850LP 9168.8 0.5298 0.5207
wfc3_ir F098M 9864.7 0.5757 0.5615
wfc3_ir F105W 10551.0 0.6610 0.6452
wfc3_ir F110W 11534.5 0.7765 0.7594
wfc3_ir F125W 12486.1 0.9204 0.9010
wfc3_ir F126N 12584.9 0.9408 0.9211
wfc3_ir F127M 12740.3 0.9814 0.9611
wfc3_ir F128N 12831.8 1.0579 1.0370
wfc3_ir F130N 13005.7 0.9964 0.9761
wfc3_ir F132N 13187.7 1.0180 0.9973
wfc3_ir F139M 13837.6 1.1000 1.0786
wfc3_ir F140W 13922.9 1.0974 1.0763
wfc3_ir F153M 15322.1 1.2758 1.2536
wfc3_ir F160W 15369.2 1.2741 1.2514
wfc3_ir F164N 16403.5 1.4082 1.3845
wfc3_ir F167N 16641.6 1.3867 1.3618
acs_wfc F435W 4317.4 -0.1157 -0.1019
acs_wfc F475W 4744.4 -0.1075 -0.0980
acs_wfc F502N 5023.0 -0.0905 -0.0837
acs_wfc F555W 5359.6 -0.0105 -0.0065
acs_wfc F550M 5581.2 0.0223 0.0244
acs_wfc F606W 5917.7 0.0857 0.0861
acs_wfc F625W 6310.5 0.1662 0.1631
acs_wfc F658N 6583.9 0.3706 0.3758
acs_wfc F660N 6599.4 0.2854 0.2796
acs_wfc F775W 7693.0 0.3979 0.3878
acs_wfc F814W 8059.8 0.4330 0.4236
acs_wfc F892N 8914.9 0.5019 0.4891
acs_wfc F850LP 9054.8 0.5290 0.5205
acs_hrc F220W 2255.3 1.6561 1.6834
acs_hrc F250W 2715.8 1.4760 1.4956
acs_hrc F330W 3362.7 1.1604 1.1822
acs_hrc F344N 3433.6 1.1292 1.1511
acs_hrc F435W 4311.0 -0.1007 -0.0868
acs_hrc F475W 4775.8 -0.1031 -0.0940
acs_hrc F502N 5022.9 -0.0904 -0.0837
acs_hrc F555W 5356.0 -0.0111 -0.0071
acs_hrc F550M 5579.8 0.0221 0.0242
acs_hrc F606W 5888.0 0.0803 0.0809
acs_hrc F625W 6295.5 0.1632 0.1602
acs_hrc F658N 6583.6 0.3708 0.3760
acs_hrc F660N 6599.1 0.2856 0.2798
acs_hrc F775W 7665.1 0.3933 0.3834
acs_hrc F814W 8115.3 0.4350 0.4254
acs_hrc F892N 8916.5 0.5008 0.4877
acs_hrc F850LP 9145.2 0.5310 0.5215
wfpc2 F170W 1717.1 1.9069 1.9476
wfpc2 F218W 2205.1 1.6676 1.6963
wfpc2 F255W 2600.7 1.5464 1.5661
wfpc2 F300W 2994.3 1.3166 1.3366
wfpc2 F336W 3359.1 1.1614 1.1835
wfpc2 F439W 4311.6 -0.1591 -0.1456
wfpc2 F450W 4555.6 -0.0964 -0.0850
wfpc2 F555W 5439.0 -0.0051 -0.0015
wfpc2 F606W 5996.8 0.1004 0.1001
wfpc2 F622W 6186.3 0.1438 0.1413
wfpc2 F675W 6717.4 0.2452 0.2396
wfpc2 F791W 7880.6 0.4197 0.4107
wfpc2 F814W 8012.2 0.4263 0.4167
wfpc2 F850LP 9128.8 0.5274 0.5187
"""


@dataclass(frozen=True)
class VegaBand:
    """Vega in one filter of one detector.

    Attributes
    ----------
    detector : str
        Key of `hst_assets.detectors.DETECTORS`.
    filter_name : str
        Name of the filter.
    pivot_angstrom : float
        Pivot wavelength of the throughput.
    ab_mag_011, ab_mag_005 : float
        AB magnitude of Vega, by CALSPEC's ``alpha_lyr_stis_011`` and ``alpha_lyr_stis_005``.
    """

    detector: str
    filter_name: str
    pivot_angstrom: float
    ab_mag_011: float
    ab_mag_005: float

    def ab_mag(self, spectrum: VegaSpectrum = DEFAULT_SPECTRUM) -> float:
        """AB magnitude of Vega by one of `VEGA_SPECTRA`."""
        return self.ab_mag_011 if spectrum == "alpha_lyr_stis_011" else self.ab_mag_005

    def st_mag(self, spectrum: VegaSpectrum = DEFAULT_SPECTRUM) -> float:
        """ST magnitude of Vega by one of `VEGA_SPECTRA`."""
        return self.ab_mag(spectrum) + st_minus_ab(self.pivot_angstrom)


def st_minus_ab(pivot_angstrom: float) -> float:
    """ST magnitude minus AB magnitude of anything, mag, by the filter's pivot wavelength (A).

    ACS Data Handbook, section 5.1.1.
    """
    return 5.0 * math.log10(pivot_angstrom) - _ST_CONSTANT


@functools.cache
def vega_bands() -> dict[tuple[str, str], VegaBand]:
    """Every filter that is known, by detector and filter."""
    found = {}
    for row in _ROWS.strip().splitlines():
        detector, name, pivot, new, old = row.split()
        found[detector, name] = VegaBand(detector, name, float(pivot), float(new), float(old))
    return found


def vega_band(detector: str, filter_name: str) -> VegaBand:
    """Vega in a filter.

    Parameters
    ----------
    detector : str
        Key of `hst_assets.detectors.DETECTORS`.
    filter_name : str
        Name of the filter.

    Raises
    ------
    UnusableInput
        If the filter is not among those known.
    """
    band = vega_bands().get((detector, filter_name.upper()))
    if band is None:
        raise UnusableInput(
            f"the AB magnitude of Vega is not known in {filter_name} of {detector}",
            next_step="Use the magnitudes of the Vega system",
        )
    return band
