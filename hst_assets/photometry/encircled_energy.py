"""Encircled energy: the share of a star's light within a radius, as published for each detector.

Zero points belong to a radius. PHOTFLAM of ACS, WFC3 and WFPC2 is for all of the light ("infinite
aperture"); the zero points of Holtzman et al. (1995, PASP 107, 1065) and of Dolphin (2000, PASP
112, 1397) for WFPC2 are for a radius of 0.5 arcsec. `to_infinity_mag` leads from a radius to all of
the light. What is not published is not known: NaN, and whoever asks says "not converted".

Sources:

acs_wfc, acs_hrc
    Bohlin 2016, AJ 152, 60, tables 8 and 9 (hot stars; the files ``bohlin2016_wfc_ee-1.txt`` and
    ``bohlin2016_hrc_ee-1.txt`` of STScI's page "ACS aperture corrections"), in pixels of 0.05 and
    0.025 arcsec; all of the light is within 5.5 arcsec. Red stars have less beyond 800 nm
    (Sirianni et al. 2005, PASP 117, 1049).
wfc3_uvis
    ``wfc3uvis2_aper_007_syn.csv`` of STScI's page "UVIS encircled energy", which recommends the
    table of UVIS2 but for a corner of UVIS1; UVIS1 differs by up to 0.005 at 0.4 arcsec. All of the
    light is within 6 arcsec. Left out are F475X, whose row falls by 0.03 between 0.40 and 0.44
    arcsec, and radii below 0.2 arcsec: at 0.12 arcsec F275W and F814W are 0.07 and more below their
    neighbours.
wfc3_ir
    WFC3 Instrument Handbook, section 7.6 (model of ISR WFC3 2009-37), by wavelength; here at the
    filter's pivot. Two transcriptions of that table agree but for 0.854 or 0.852 at 1.5 micron
    within 0.5 arcsec: the first is kept. It ends at 2 arcsec; all of the light
    is taken to be within 6 arcsec, as of UVIS.
wfpc2
    WFPC2 Data Handbook, section 5.1: the nominal infinite aperture has 1.096 times the light
    within 0.5 arcsec, whatever the filter. Other radii are not known.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.vega import vega_bands

__all__ = ["WFPC2_RADIUS_ARCSEC", "encircled_energy", "known_filters", "to_infinity_mag"]

Floats = NDArray[np.float64]

#: The one radius of which WFPC2's share is known: by definition.
WFPC2_RADIUS_ARCSEC = 0.5
_WFPC2_SHARE = 1 / 1.096
#: Radius within which all of the light is, by definition of the zero points.
_INFINITY_ARCSEC = {"acs_wfc": 5.5, "acs_hrc": 5.5, "wfc3_uvis": 6.0, "wfc3_ir": 6.0}

_RADII_ARCSEC: dict[str, Floats] = {
    "acs_wfc": np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 40]) * 0.05,
    "acs_hrc": np.array([2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 40, 80]) * 0.025,
    "wfc3_uvis": np.array(
        [0.20, 0.24, 0.28, 0.32, 0.36, 0.40, 0.51, 0.59, 0.71, 0.79, 0.99, 1.19, 1.50, 1.98]
    ),
}

#: Filter, then its share within each of the radii.
_ROWS = {
    "acs_wfc": """
F435W .330 .663 .792 .839 .863 .877 .887 .895 .902 .907 .941 .979
F475W .329 .670 .794 .842 .868 .883 .893 .901 .907 .912 .944 .979
F502N .328 .670 .794 .842 .869 .884 .894 .902 .909 .914 .945 .978
F555W .328 .668 .794 .841 .868 .885 .895 .903 .910 .915 .946 .977
F550M .328 .666 .794 .840 .867 .885 .896 .904 .910 .915 .947 .976
F606W .328 .661 .795 .839 .866 .885 .896 .904 .910 .916 .947 .975
F625W .330 .655 .795 .838 .864 .884 .896 .904 .911 .916 .948 .974
F658N .331 .651 .794 .838 .863 .883 .896 .904 .911 .916 .948 .973
F660N .331 .650 .794 .838 .863 .883 .896 .904 .911 .916 .948 .973
F775W .329 .625 .783 .836 .858 .877 .894 .904 .910 .916 .949 .972
F814W .322 .611 .770 .830 .853 .871 .889 .901 .908 .914 .949 .972
F892N .278 .546 .705 .787 .818 .840 .860 .877 .889 .897 .942 .970
F850LP .268 .532 .690 .776 .810 .833 .853 .871 .884 .893 .940 .970
""",
    "acs_hrc": """
F220W .518 .694 .755 .779 .799 .818 .833 .845 .857 .868 .948 .977
F250W .537 .715 .783 .813 .827 .842 .855 .865 .874 .884 .946 .980
F330W .549 .740 .804 .840 .853 .864 .875 .883 .891 .898 .943 .981
F344N .549 .742 .806 .842 .855 .866 .876 .885 .892 .899 .943 .981
F435W .547 .763 .817 .854 .873 .883 .891 .899 .905 .910 .944 .981
F475W .543 .767 .819 .855 .877 .888 .896 .903 .909 .914 .946 .980
F502N .540 .768 .820 .855 .879 .891 .898 .906 .912 .916 .947 .980
F555W .535 .766 .821 .854 .880 .893 .900 .908 .914 .919 .949 .980
F550M .532 .762 .822 .853 .880 .894 .901 .909 .915 .920 .949 .980
F606W .526 .755 .822 .851 .878 .894 .902 .909 .915 .920 .950 .979
F625W .519 .741 .821 .847 .874 .891 .901 .908 .914 .919 .950 .978
F658N .512 .729 .819 .844 .869 .888 .898 .905 .911 .917 .949 .977
F660N .512 .728 .818 .843 .869 .887 .898 .905 .911 .917 .949 .977
F775W .468 .650 .783 .807 .826 .847 .863 .871 .878 .884 .927 .964
F814W .444 .613 .756 .782 .800 .821 .838 .847 .855 .862 .910 .956
F892N .351 .502 .642 .683 .701 .720 .739 .754 .764 .773 .844 .925
F850LP .333 .484 .619 .664 .682 .700 .720 .736 .746 .756 .831 .919
""",
    "wfc3_uvis": """
F218W .7660 .7886 .8063 .8194 .8305 .8410 .8699 .8863 .9140 .9324 .9618 .9773 .9880 .9934
F225W .7800 .8015 .8180 .8303 .8409 .8508 .8762 .8909 .9152 .9310 .9576 .9736 .9870 .9931
F275W .7900 .8217 .8389 .8499 .8583 .8656 .8826 .8946 .9120 .9225 .9459 .9626 .9753 .9840
F300X .8100 .8303 .8439 .8541 .8625 .8697 .8881 .9002 .9174 .9279 .9512 .9675 .9850 .9921
F280N .8143 .8329 .8457 .8556 .8637 .8707 .8869 .8972 .9126 .9216 .9473 .9668 .9849 .9920
F336W .8398 .8581 .8717 .8815 .8887 .8944 .9074 .9134 .9243 .9317 .9468 .9616 .9802 .9905
F343N .8405 .8585 .8707 .8804 .8879 .8938 .9077 .9137 .9234 .9306 .9458 .9600 .9793 .9903
F373N .8394 .8577 .8704 .8796 .8875 .8979 .9074 .9140 .9215 .9296 .9452 .9559 .9761 .9893
F390M .8437 .8633 .8751 .8843 .8921 .8988 .9123 .9193 .9269 .9326 .9460 .9563 .9743 .9887
F390W .8478 .8661 .8789 .8891 .8972 .9033 .9161 .9222 .9295 .9347 .9473 .9580 .9740 .9887
F395N .8486 .8675 .8792 .8880 .8959 .9028 .9168 .9238 .9300 .9349 .9469 .9575 .9737 .9885
F410M .8368 .8637 .8787 .8881 .8960 .9029 .9180 .9247 .9322 .9361 .9468 .9571 .9728 .9880
F438W .8525 .8715 .8839 .8940 .9022 .9089 .9222 .9284 .9352 .9388 .9494 .9587 .9722 .9871
F467M .8509 .8730 .8861 .8959 .9035 .9096 .9241 .9307 .9384 .9415 .9502 .9594 .9711 .9857
F469N .8496 .8720 .8853 .8949 .9026 .9086 .9232 .9298 .9377 .9410 .9499 .9592 .9711 .9857
F475W .8507 .8710 .8841 .8939 .9024 .9094 .9237 .9302 .9373 .9409 .9501 .9590 .9708 .9853
F487N .8455 .8703 .8844 .8936 .9010 .9072 .9236 .9299 .9385 .9435 .9520 .9591 .9706 .9849
F200LP .8438 .8672 .8824 .8925 .9004 .9070 .9217 .9286 .9360 .9401 .9491 .9582 .9704 .9847
F502N .8499 .8732 .8874 .8970 .9051 .9113 .9264 .9325 .9406 .9444 .9517 .9595 .9702 .9844
F555W .8544 .8746 .8883 .8978 .9057 .9127 .9277 .9342 .9415 .9451 .9526 .9600 .9701 .9829
F547M .8480 .8706 .8866 .8965 .9043 .9113 .9261 .9328 .9408 .9450 .9522 .9596 .9701 .9823
F350LP .8429 .8639 .8786 .8893 .8977 .9044 .9190 .9259 .9340 .9387 .9492 .9582 .9701 .9804
F606W .8507 .8711 .8868 .8975 .9053 .9120 .9274 .9344 .9423 .9464 .9538 .9604 .9701 .9802
F621M .8466 .8673 .8864 .8983 .9053 .9116 .9268 .9351 .9428 .9474 .9552 .9605 .9699 .9790
F625W .8460 .8667 .8844 .8962 .9039 .9106 .9264 .9340 .9423 .9466 .9544 .9603 .9699 .9789
F631N .8389 .8607 .8811 .8945 .9015 .9070 .9230 .9322 .9421 .9484 .9579 .9631 .9698 .9787
F645N .8397 .8609 .8819 .8962 .9029 .9088 .9232 .9311 .9402 .9458 .9535 .9605 .9697 .9783
F656N .8324 .8535 .8743 .8894 .8973 .9032 .9203 .9279 .9374 .9427 .9534 .9599 .9695 .9780
F657N .8349 .8546 .8746 .8885 .8949 .9004 .9158 .9234 .9339 .9399 .9516 .9592 .9695 .9780
F658N .8341 .8540 .8739 .8882 .8952 .9003 .9153 .9227 .9328 .9373 .9493 .9583 .9695 .9779
F665N .8384 .8592 .8793 .8955 .9031 .9085 .9242 .9318 .9409 .9446 .9544 .9597 .9694 .9777
F673N .8392 .8587 .8786 .8947 .9024 .9074 .9230 .9298 .9405 .9449 .9561 .9616 .9693 .9774
F689M .8324 .8533 .8733 .8910 .9001 .9057 .9214 .9289 .9400 .9442 .9541 .9600 .9692 .9771
F680N .8387 .8586 .8775 .8944 .9034 .9087 .9243 .9311 .9410 .9449 .9545 .9603 .9692 .9771
F600LP .8421 .8595 .8744 .8875 .8980 .9063 .9249 .9331 .9421 .9467 .9547 .9602 .9682 .9762
F763M .8425 .8569 .8700 .8844 .8969 .9039 .9222 .9321 .9416 .9466 .9563 .9596 .9679 .9761
F775W .8419 .8572 .8703 .8841 .8962 .9039 .9225 .9318 .9407 .9452 .9539 .9598 .9678 .9760
F814W .8211 .8510 .8672 .8806 .8925 .9019 .9127 .9223 .9320 .9371 .9463 .9525 .9595 .9687
F845M .8211 .8510 .8672 .8806 .8925 .9019 .9127 .9223 .9320 .9371 .9463 .9525 .9595 .9687
F850LP .8211 .8510 .8672 .8806 .8925 .9019 .9127 .9223 .9320 .9371 .9463 .9525 .9595 .9687
F953N .8211 .8510 .8672 .8806 .8925 .9019 .9127 .9223 .9320 .9371 .9463 .9525 .9595 .9687
""",
}

_IR_WAVELENGTHS_ANGSTROM = np.arange(7000.0, 17001.0, 1000.0)
#: Radius (arcsec), then the share at each of the wavelengths.
_IR_ROWS = """
0.10 .575 .549 .524 .502 .484 .468 .453 .438 .426 .410 .394
0.15 .736 .714 .685 .653 .623 .596 .575 .558 .550 .539 .531
0.20 .802 .794 .780 .762 .739 .712 .683 .653 .631 .608 .590
0.25 .831 .827 .821 .813 .804 .792 .776 .756 .735 .708 .679
0.30 .850 .845 .838 .833 .828 .822 .816 .808 .803 .789 .770
0.40 .878 .876 .869 .859 .850 .845 .841 .838 .840 .836 .832
0.50 .899 .894 .889 .884 .878 .868 .858 .852 .854 .850 .848
0.60 .916 .913 .904 .897 .893 .889 .883 .875 .870 .863 .859
0.80 .937 .936 .929 .924 .918 .909 .903 .900 .903 .900 .895
1.00 .951 .951 .946 .941 .935 .930 .925 .920 .917 .912 .909
1.50 .967 .969 .967 .965 .963 .959 .954 .951 .952 .948 .943
2.00 .974 .977 .976 .975 .973 .972 .969 .967 .970 .967 .963
"""


def encircled_energy(detector: str, filter_name: str, radius_arcsec: float) -> float:
    """Share of a star's light within a circle.

    Parameters
    ----------
    detector : str
        Key of `hst_assets.detectors.DETECTORS`.
    filter_name : str
        Name of the filter.
    radius_arcsec : float
        Radius of the circle.

    Returns
    -------
    float
        From 0 to 1, interpolated in the logarithm of the radius (monotone cubic). Published values
        that are left out come back within 0.02 from 0.2 arcsec on, 0.07 below. NaN where it is not
        known: filters without a row, and radii below the smallest that is published.

    Raises
    ------
    UnusableInput
        If there is no such detector.
    """
    if detector not in DETECTORS:
        raise UnusableInput(f"no detector is called {detector!r}")
    if detector == "wfpc2":
        at_half = math.isclose(radius_arcsec, WFPC2_RADIUS_ARCSEC, rel_tol=1e-6)
        return _WFPC2_SHARE if at_half else math.nan
    radii, table = _tables()[detector]
    shares = table.get(filter_name.upper())
    if shares is None or not radius_arcsec >= radii[0] * (1 - 1e-9):
        return math.nan
    inside = min(max(radius_arcsec, radii[0]), radii[-1])
    return min(float(PchipInterpolator(np.log(radii), shares)(math.log(inside))), 1.0)


def to_infinity_mag(detector: str, filter_name: str, radius_arcsec: float) -> float:
    """What a magnitude within a radius becomes brighter by when all of the light is counted.

    Parameters
    ----------
    detector : str
        Key of `hst_assets.detectors.DETECTORS`.
    filter_name : str
        Name of the filter.
    radius_arcsec : float
        Radius within which the light was counted.

    Returns
    -------
    float
        2.5 lg(share), 0 or below, to be added to the magnitude; NaN where the share is not known.

    Raises
    ------
    UnusableInput
        If there is no such detector.
    """
    return 2.5 * math.log10(encircled_energy(detector, filter_name, radius_arcsec))


def known_filters(detector: str) -> tuple[str, ...]:
    """Filters of a detector that have a row; none for WFPC2, whose definition holds for all."""
    return tuple(_tables()[detector][1]) if detector in _tables() else ()


@functools.cache
def _tables() -> dict[str, tuple[Floats, dict[str, Floats]]]:
    """Radii and shares by filter of each detector, the end where all of the light is included."""
    found = {}
    for detector, text in _ROWS.items():
        table = {}
        for row in text.strip().splitlines():
            name, *shares = row.split()
            table[name] = np.array([*map(float, shares), 1.0])
        found[detector] = (np.append(_RADII_ARCSEC[detector], _INFINITY_ARCSEC[detector]), table)
    found["wfc3_ir"] = _of_wfc3_ir()
    return found


def _of_wfc3_ir() -> tuple[Floats, dict[str, Floats]]:
    rows = np.array([list(map(float, row.split())) for row in _IR_ROWS.strip().splitlines()])
    table = {}
    for (detector, name), band in vega_bands().items():
        if detector == "wfc3_ir":
            shares = [
                np.interp(band.pivot_angstrom, _IR_WAVELENGTHS_ANGSTROM, at) for at in rows[:, 1:]
            ]
            table[name] = np.array([*shares, 1.0])
    return np.append(rows[:, 0], _INFINITY_ARCSEC["wfc3_ir"]), table
