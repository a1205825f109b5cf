"""The registry of detectors: one frozen row each, and the imaging filters they carry.

Everything in the project that depends on the detector asks here. Filters are those of the
instrument handbooks (ACS IHB chapter 5, WFC3 IHB chapters 6 and 7, WFPC2 IHB chapter 3);
drizzle bits, scales and tolerances are those of the hst123 study of each detector.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from hst_assets.failures import UnusableInput
from hst_assets.filter_names import is_ramp, without_wavelength

__all__ = [
    "DETECTORS",
    "WFPC2_READ_MODES",
    "Detector",
    "detector_for",
    "detector_of_file",
]

_CLEAR = re.compile(r"CLEAR\w*|N/A|")
_FILTER_KEYWORDS = {
    "ACS": ("FILTER1", "FILTER2"),
    "WFC3": ("FILTER",),
    "WFPC2": ("FILTNAM1", "FILTNAM2"),
}


@dataclass(frozen=True)
class Detector:
    """What the pipeline has to know about one detector.

    Attributes
    ----------
    key : str
        ``<instrument>_<detector>``, lower case, as in `DETECTORS`.
    instrument, detector : str
        As INSTRUME and DETECTOR spell them (WFPC2 has no DETECTOR in its primary header).
    suffix : str
        Suffix of its calibrated exposures: flc, flt or c0m.
    pixel_scale_arcsec : float
        Nominal scale of a native pixel.
    flat_scales_arcsec : tuple of float
        Of each chip, by its number (CCDCHIP; DETECTOR of WFPC2) from 1: side of the pixel to
        which flat field and zero point refer, that of the undistorted plane (SCALE of the IDCTAB,
        IDCSCALE of headers). Of ACS/HRC it is 11 % smaller in area than the pixels are.
    drizzle_scale_arcsec : float
        Scale of drizzled products unless set otherwise.
    full_shape : tuple of int
        (ny, nx) of one full-frame chip.
    n_chips : int
        Chips of a full-frame exposure.
    science_units : str
        BUNIT of the SCI planes.
    rate_units : bool
        Whether SCI is per second (WFC3/IR).
    drizzle_good_bits : int
        DQ bits that AstroDrizzle treats as good.
    dq_bad : int
        DQ bits of pixels that must not contribute to a source's centroid.
    dq_saturated, dq_cosmic_ray : int
        DQ bits of saturation and of cosmic rays found by calibration or AstroDrizzle.
    fwhm_pix : float
        FWHM of a star in native pixels, for source finding.
    widest_star_pix : float
        Largest FWHM of good stars in any filter (`hst_assets.detection.star_shapes`), native pixel:
        a third above simulated ones in F814W (WFC3/IR: F160W), for the red halos beyond.
    match_tolerance_pix : float
        Matching tolerance of the first alignment try, in native pixels.
    read_noise_e, gain_e_per_dn, typical_dark_e_per_s : float
        Typical figures (WFC3/IR: of one read). Dark current by WFC3 IHB 5.4 and 5.7; ACS IHB table
        3.1 (of WFC the highest, 2025's); WFPC2 Data Handbook 4.3.1 (0.002 to 0.01).
    saturation_e : float
        Full well in electrons; of WFPC2 what its converter counts at gain 7.
    clean_cosmic_rays : bool
        Whether single exposures hold cosmic rays (WFC3/IR ramps are cleaned in calibration).
    lacosmic : tuple of float
        (sigclip, sigfrac, objlim) of L.A.Cosmic (van Dokkum 2001). With the usual objlim of 5 peaks
        of undersampled stars are taken for cosmic rays; with 20, on simulated ACS and WFC3/UVIS
        exposures, 98 % of them stay and 98 % of the cosmic rays go.
    driz_cr_snr, driz_cr_scale : tuple of float
        How far (in noise, and in slopes of the median image) a pixel must stand out, at a first
        look and beside a found one, for AstroDrizzle to reject it as a cosmic ray. The figures
        of the archive's pipelines, with slopes wide enough that the cores of stars survive an
        offset of 0.1 pixel between exposures. Those of WFPC2 (5.5, 3.5) are for a noise that was
        up to 14 times too small (`hst_assets.imaging.wfpc2_gain`): it has those of the other CCDs.
    filters : frozenset of str
        Imaging filters by exact name.
    filter_patterns : tuple of str
        Regular expressions for families: ramps, quads, polarizers.
    chip_patterns : tuple of str
        Those whose passband or polarizer is another one before each chip.
    """

    key: str
    instrument: str
    detector: str
    suffix: str
    pixel_scale_arcsec: float
    flat_scales_arcsec: tuple[float, ...]
    drizzle_scale_arcsec: float
    full_shape: tuple[int, int]
    n_chips: int
    science_units: str
    rate_units: bool
    drizzle_good_bits: int
    dq_bad: int
    dq_saturated: int
    dq_cosmic_ray: int
    fwhm_pix: float
    widest_star_pix: float
    match_tolerance_pix: float
    read_noise_e: float
    gain_e_per_dn: float
    typical_dark_e_per_s: float
    saturation_e: float
    clean_cosmic_rays: bool
    lacosmic: tuple[float, float, float]
    driz_cr_snr: tuple[float, float]
    driz_cr_scale: tuple[float, float]
    filters: frozenset[str]
    filter_patterns: tuple[str, ...] = ()
    chip_patterns: tuple[str, ...] = ()

    @property
    def is_infrared(self) -> bool:
        """Whether this is WFC3/IR."""
        return self.key == "wfc3_ir"

    @property
    def has_separate_dq(self) -> bool:
        """Whether data quality lies in a file of its own (WFPC2 c1m)."""
        return self.suffix == "c0m"

    def images_with(self, filter_name: str) -> bool:
        """Whether `filter_name` (one wheel's element) is an imaging filter of this detector."""
        name = filter_name.upper()
        return name in self.filters or any(
            re.fullmatch(pattern, name) for pattern in self.filter_patterns
        )

    @property
    def filter_keywords(self) -> tuple[str, ...]:
        """Primary-header keywords of the filter wheels."""
        return _FILTER_KEYWORDS[self.instrument]

    def has_passband(self, name: str) -> bool:
        """Whether a passband, named as by `filter_of`, is of this detector's imaging filters.

        Crossed elements are joined with a hyphen (``F606W-POL0V``), in any order.
        """
        elements = without_wavelength(name).split("-")
        fits_in = len(elements) <= len(self.filter_keywords)
        return fits_in and all(self.images_with(element) for element in elements)

    def optical_elements(self, elements: Iterable[str]) -> list[str]:
        """The elements in the wheels, clears left out."""
        names = [name.strip().upper() for name in elements]
        return [name for name in names if not _CLEAR.fullmatch(name)]

    def filter_of(self, elements: Iterable[str], wavelength: float = 0.0) -> str:
        """The name of the passband from the elements in all wheels, clears left out.

        Two crossed elements are joined with a hyphen in alphabetical order, the broad-band one
        first where the other is a polarizer: ``F606W-POL0V``. A ramp has another passband at each
        wavelength, which is part of the name: ``FR656N-6710``.

        Parameters
        ----------
        elements : iterable of str
            As the headers name them.
        wavelength : float, optional
            Of a ramp, in Angstrom (LRFWAVE); 0 where it is not known.

        Raises
        ------
        UnusableInput
            If an element is not an imaging filter of this detector, or there is none at all.
        """
        names = self.optical_elements(elements)
        for name in names:
            if not self.images_with(name):
                raise UnusableInput(
                    f"{name} is not an imaging filter of {self.instrument}/{self.detector}"
                )
        if not names:
            raise UnusableInput(f"no filter in the wheels of {self.instrument}/{self.detector}")
        if wavelength > 0:
            names = [f"{name}-{wavelength:.0f}" if is_ramp(name) else name for name in names]
        return "-".join(sorted(set(names)))

    def flat_scale_arcsec(self, header: Mapping[str, Any]) -> float:
        """Of the chip whose SCI header this is (see `flat_scales_arcsec`)."""
        number = header.get("DETECTOR" if self.has_separate_dq else "CCDCHIP")
        if isinstance(number, int) and 1 <= number <= self.n_chips:
            return self.flat_scales_arcsec[number - 1]
        return self.flat_scales_arcsec[-1]

    def figures(self, names: Iterable[str]) -> dict[str, Any]:
        """Some of this row's figures as JSON, for the recipe of a stage that reads them.

        Parameters
        ----------
        names : iterable of str
            Fields of the row, and ``read_modes`` for WFPC2's `WFPC2_READ_MODES`.

        Returns
        -------
        dict
            By name. A figure that has its field's default is left out: a new field with a
            neutral default makes nothing again.
        """
        defaults = {each.name: each.default for each in fields(self) if each.default is not MISSING}
        found: dict[str, Any] = {}
        for name in sorted(names):
            if name == "read_modes":
                if self.has_separate_dq:
                    found[name] = [[mode, *row] for mode, row in WFPC2_READ_MODES.items()]
                continue
            value = getattr(self, name)
            if name not in defaults or value != defaults[name]:
                found[name] = list(value) if isinstance(value, tuple) else value
        return found

    def band(self, filter_name: str) -> str:
        """``<inst>_<det>.<filter>`` in lower case: names products of this detector and filter."""
        return f"{self.key}.{filter_name.lower()}"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ACS_POLARIZERS = r"POL(?:0|60|120)(?:UV|V)"

_ACS_WFC_FILTERS = _names(
    "F435W F475W F502N F550M F555W F606W F625W F658N F660N F775W F814W F850LP F892N"
)
_ACS_WFC_RAMPS = (
    r"FR(?:388N|423N|459M|462N|505N|551N|601N|647M|656N|716N|782N|853N|914M|931N|1016N)"
)
_ACS_HRC_FILTERS = _ACS_WFC_FILTERS | _names("F220W F250W F330W F344N")
_ACS_HRC_RAMPS = r"FR(?:388N|459M|505N|656N|914M)"
_UVIS_FILTERS = _names(
    """F200LP F218W F225W F275W F280N F300X F336W F343N F350LP F373N F390M F390W F395N F410M
    F438W F467M F469N F475W F475X F487N F502N F547M F555W F600LP F606W F621M F625W F631N F645N
    F656N F657N F658N F665N F673N F680N F689M F763M F775W F814W F845M F850LP F953N"""
)
_UVIS_QUADS = (
    r"FQ(?:232N|243N|378N|387N|422M|436N|437N|492N|508N|575N|619N|634N|672N|674N|727N|750N"
    r"|889N|906N|924N|937N)"
)
_IR_FILTERS = _names(
    """F098M F105W F110W F125W F126N F127M F128N F130N F132N F139M F140W F153M F160W F164N
    F167N"""
)
_WFPC2_FILTERS = _names(
    """F122M F130LP F160AW F160BW F165LP F170W F185W F218W F255W F300W F336W F343N F375N F380W
    F390N F410M F437N F439W F450W F467M F469N F487N F502N F547M F555W F569W F588N F606W F622W
    F631N F656N F658N F673N F675W F702W F785LP F791W F814W F850LP F953N F1042M"""
)
#: Elements with another passband, or another polarizer, before each chip.
_WFPC2_QUADS = (
    r"FQUVN(?:33)?",
    r"FQCH4N?(?:W\d)?(?:[NP]?\d+)?",
    r"POLQ(?:[NP]\d+)?",
)
_WFPC2_FAMILIES = (
    r"F160[AB]N15",
    r"FR(?:418|533|680|868)[NP]?\d*",
    *_WFPC2_QUADS,
)

DETECTORS: dict[str, Detector] = {
    row.key: row
    for row in (
        Detector(
            key="wfc3_uvis",
            instrument="WFC3",
            detector="UVIS",
            suffix="flc",
            pixel_scale_arcsec=0.03962,
            flat_scales_arcsec=(0.03962, 0.03962),
            drizzle_scale_arcsec=0.04,
            full_shape=(2051, 4096),
            n_chips=2,
            science_units="ELECTRONS",
            rate_units=False,
            drizzle_good_bits=112,
            dq_bad=4 + 8 + 128 + 256 + 512 + 1024,
            dq_saturated=256,
            dq_cosmic_ray=4096 + 8192,
            fwhm_pix=2.0,
            widest_star_pix=3.2,
            match_tolerance_pix=1.0,
            read_noise_e=3.1,
            gain_e_per_dn=1.0,
            typical_dark_e_per_s=0.0022,
            saturation_e=70000.0,
            clean_cosmic_rays=True,
            lacosmic=(4.0, 0.3, 20.0),
            driz_cr_snr=(3.5, 3.0),
            driz_cr_scale=(2.0, 1.5),
            filters=_UVIS_FILTERS,
            filter_patterns=(_UVIS_QUADS,),
        ),
        Detector(
            key="wfc3_ir",
            instrument="WFC3",
            detector="IR",
            suffix="flt",
            pixel_scale_arcsec=0.12825,
            flat_scales_arcsec=(0.12825,),
            drizzle_scale_arcsec=0.128,
            full_shape=(1014, 1014),
            n_chips=1,
            science_units="ELECTRONS/S",
            rate_units=True,
            drizzle_good_bits=576,
            dq_bad=1 + 2 + 4 + 8 + 16 + 32 + 256,
            dq_saturated=256,
            dq_cosmic_ray=4096 + 8192,
            fwhm_pix=1.3,
            widest_star_pix=2.5,
            match_tolerance_pix=1.0,
            read_noise_e=14.6,
            gain_e_per_dn=2.5,
            typical_dark_e_per_s=0.048,
            saturation_e=80000.0,
            clean_cosmic_rays=False,
            lacosmic=(4.0, 0.3, 20.0),
            driz_cr_snr=(5.0, 4.0),
            driz_cr_scale=(3.0, 2.4),
            filters=_IR_FILTERS,
        ),
        Detector(
            key="acs_wfc",
            instrument="ACS",
            detector="WFC",
            suffix="flc",
            pixel_scale_arcsec=0.05,
            flat_scales_arcsec=(0.05, 0.05),
            drizzle_scale_arcsec=0.05,
            full_shape=(2048, 4096),
            n_chips=2,
            science_units="ELECTRONS",
            rate_units=False,
            drizzle_good_bits=96,
            dq_bad=4 + 8 + 128 + 256 + 512 + 1024,
            dq_saturated=256,
            dq_cosmic_ray=4096 + 8192,
            fwhm_pix=2.0,
            widest_star_pix=3.0,
            match_tolerance_pix=1.0,
            read_noise_e=4.4,
            gain_e_per_dn=1.0,
            typical_dark_e_per_s=0.0161,
            saturation_e=70000.0,
            clean_cosmic_rays=True,
            lacosmic=(4.0, 0.3, 20.0),
            driz_cr_snr=(3.5, 3.0),
            driz_cr_scale=(2.0, 1.5),
            filters=_ACS_WFC_FILTERS,
            filter_patterns=(_ACS_WFC_RAMPS, _ACS_POLARIZERS),
        ),
        Detector(
            key="acs_hrc",
            instrument="ACS",
            detector="HRC",
            suffix="flt",
            pixel_scale_arcsec=0.027,
            flat_scales_arcsec=(0.025,),
            drizzle_scale_arcsec=0.025,
            full_shape=(1024, 1024),
            n_chips=1,
            science_units="ELECTRONS",
            rate_units=False,
            drizzle_good_bits=0,
            dq_bad=4 + 8 + 128 + 256 + 512 + 1024,
            dq_saturated=256,
            dq_cosmic_ray=4096 + 8192,
            fwhm_pix=2.5,
            widest_star_pix=3.8,
            match_tolerance_pix=1.0,
            read_noise_e=4.7,
            gain_e_per_dn=1.0,
            typical_dark_e_per_s=0.0058,
            saturation_e=130000.0,
            clean_cosmic_rays=True,
            lacosmic=(4.0, 0.3, 20.0),
            driz_cr_snr=(3.5, 3.0),
            driz_cr_scale=(2.0, 1.5),
            filters=_ACS_HRC_FILTERS,
            filter_patterns=(_ACS_HRC_RAMPS, _ACS_POLARIZERS),
        ),
        Detector(
            key="wfpc2",
            instrument="WFPC2",
            detector="WFPC2",
            suffix="c0m",
            pixel_scale_arcsec=0.0996,
            flat_scales_arcsec=(0.045532, 0.09959, 0.09957, 0.099618),
            drizzle_scale_arcsec=0.046,
            full_shape=(800, 800),
            n_chips=4,
            science_units="COUNTS",
            rate_units=False,
            drizzle_good_bits=1032,
            dq_bad=1 + 2 + 4 + 8 + 16 + 32 + 128 + 256 + 512,
            dq_saturated=8,
            dq_cosmic_ray=4096 + 8192,
            fwhm_pix=1.6,
            widest_star_pix=2.4,
            match_tolerance_pix=1.0,
            read_noise_e=5.3,
            gain_e_per_dn=7.0,
            typical_dark_e_per_s=0.005,
            saturation_e=27000.0,
            clean_cosmic_rays=True,
            lacosmic=(4.0, 0.3, 20.0),
            driz_cr_snr=(3.5, 3.0),
            driz_cr_scale=(2.0, 1.5),
            filters=_WFPC2_FILTERS,
            filter_patterns=_WFPC2_FAMILIES,
            chip_patterns=_WFPC2_QUADS,
        ),
    )
}

#: WFPC2's ATODGAIN to electrons per DN and read noise (electrons), means of its four chips
#: (WFPC2 IHB, table 4.2).
WFPC2_READ_MODES: dict[float, tuple[float, float]] = {7.0: (7.06, 5.29), 15.0: (14.10, 7.54)}


def detector_for(instrument: str, detector: str | None) -> Detector:
    """The registry row for INSTRUME and DETECTOR as headers spell them.

    Raises
    ------
    UnusableInput
        If the project does not support it (spectrographs, ACS/SBC, ...).
    """
    inst = instrument.strip().upper()
    key = "wfpc2" if inst == "WFPC2" else f"{inst}_{(detector or '').strip()}".lower()
    try:
        return DETECTORS[key]
    except KeyError:
        supported = ", ".join(
            row.instrument if row.key == "wfpc2" else f"{row.instrument}/{row.detector}"
            for row in DETECTORS.values()
        )
        raise UnusableInput(
            f"{inst}/{detector or '?'} is not supported", next_step=f"Supported: {supported}"
        ) from None


_INSTRUMENT_OF_LETTER = {"i": "WFC3", "j": "ACS", "u": "WFPC2"}


def detector_of_file(name: str) -> Detector | None:
    """The registry row of an exposure's file by its name alone; None if it does not tell.

    The first letter of a rootname is the instrument's, and of each instrument's detectors only one
    has calibrated exposures of a suffix. A WFPC2 exposure's c1m file is its c0m's companion.
    """
    stem = name.lower().partition(".")[0]
    suffix = "c0m" if stem.endswith("_c1m") else stem[-3:]
    instrument = _INSTRUMENT_OF_LETTER.get(stem[:1])
    rows = [
        row for row in DETECTORS.values() if (row.instrument, row.suffix) == (instrument, suffix)
    ]
    return rows[0] if len(rows) == 1 else None
