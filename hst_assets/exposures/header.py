"""What the headers of one exposure say, read in one open of its file.

Positions are ICRS degrees (the headers' FK5 J2000 differs by less than 0.03 arcsec). What is said
of each chip is read in `hst_assets.exposures.chips`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.time import Time

from hst_assets.detectors import Detector, detector_for
from hst_assets.exposures import footprint
from hst_assets.exposures.charge import charge_injection, transfer_note
from hst_assets.exposures.chips import Chip, read_chip
from hst_assets.exposures.faults import faults_of
from hst_assets.exposures.keywords import number
from hst_assets.exposures.keywords import text as _text
from hst_assets.exposures.limits import refuse_other_times, sky_position
from hst_assets.exposures.photometry import Calibration, calibration_of
from hst_assets.exposures.planes import chips_with_data
from hst_assets.exposures.raw import suffix_of
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.identifiers import visit_of_rootname
from hst_assets.shown_text import plain_text

__all__ = [
    "Exposure",
    "exposure_from_hdus",
    "exposure_times",
    "read_exposure",
]


@dataclass(frozen=True)
class Exposure:
    """Everything the pipeline wants to know about one exposure before touching its pixels."""

    path: Path
    dq_path: Path | None
    rootname: str
    suffix: str
    detector: Detector
    subarray: bool
    filter: str
    filter_elements: tuple[str, ...]
    exptime_s: float
    mjd_start: float
    mjd_end: float
    expflag: str
    quality: str
    fgslock: str
    target_name: str
    ra_target_deg: float
    dec_target_deg: float
    calibration: Calibration
    charge_injection: str
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    chips: tuple[Chip, ...]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def visit(self) -> str:
        """IPPPSS visit id."""
        return visit_of_rootname(self.rootname)

    @property
    def mjd_mid(self) -> float:
        """Middle of the exposure."""
        return 0.5 * (self.mjd_start + self.mjd_end)

    @property
    def polygons(self) -> list[footprint.Array]:
        """Outline of each chip, in file order."""
        return [chip.polygon for chip in self.chips]

    @property
    def passband_polygons(self) -> list[footprint.Array]:
        """Outlines of what lies behind the exposure's own filter, chip by chip."""
        found = (chip.passband_polygon for chip in self.chips)
        return [polygon for polygon in found if polygon is not None]

    @property
    def field_centre_deg(self) -> tuple[float, float]:
        """RA and Dec of the middle of the field."""
        return footprint.field_centre(self.polygons)

    @property
    def pa_deg(self) -> float:
        """Position angle of the y axis of the first chip in the file."""
        return self.chips[0].pa_deg

    @property
    def wcsname(self) -> str:
        """Name of the WCS solution of the first chip in the file."""
        return self.chips[0].wcsname


def read_exposure(path: Path, dq_path: Path | None = None) -> Exposure:
    """Read the headers of one exposure, opening its file once.

    Parameters
    ----------
    path : `~pathlib.Path`
        A flt, flc or c0m file.
    dq_path : `~pathlib.Path`, optional
        Its c1m companion (WFPC2); only noted, not opened.

    Raises
    ------
    UnusableInput
        If the file is not such an exposure: a keyword is missing or of the wrong type, or its
        instrument, mode, filter or WCS cannot be used.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # card fixes of old headers; nothing we act on
            # By handle: astropy leaves files open that it fails to open by name.
            with (
                path.open("rb") as handle,
                fits.open(handle, memmap=False, lazy_load_hdus=True) as hdus,
            ):
                return exposure_from_hdus(hdus, path, dq_path)
    except (OSError, TypeError, fits.VerifyError) as error:
        raise UnusableInput(f"cannot be read as FITS: {error}", where=path) from error


def exposure_from_hdus(hdus: fits.HDUList, path: Path, dq_path: Path | None = None) -> Exposure:
    """As `read_exposure`, from a file that is already open."""
    try:
        return _exposure(hdus, path, dq_path)
    except UnusableInput as error:
        raise UnusableInput(error.what, where=path, next_step=error.next_step) from error


def _exposure(hdus: fits.HDUList, path: Path, dq_path: Path | None) -> Exposure:
    primary = hdus[0].header
    suffix = suffix_of(path.name) or ""
    detector = _detector(primary)
    _refuse_other_modes(primary, detector)
    science = [hdu for hdu in hdus[1:] if hdu.name == "SCI"]
    if not science:
        raise UnusableInput("it has no SCI extension")
    if len({hdu.ver for hdu in science}) < len(science):
        raise UnusableInput(f"its SCI extensions share EXTVER: {[hdu.ver for hdu in science]}")
    elements = _filter_elements(primary, detector)
    mjd_start, mjd_end, exptime_s = exposure_times(primary)
    rootname = _text(primary, "ROOTNAME").lower()
    _visit(rootname)
    filled = chips_with_data(science)
    chips = tuple(read_chip(hdu, hdus, primary, detector) for hdu in filled)
    ra_target, dec_target = _target(primary, chips)
    return Exposure(
        path=path,
        dq_path=dq_path,
        rootname=rootname,
        suffix=suffix,
        detector=detector,
        subarray=_is_subarray(primary, chips, len(science), detector),
        filter=detector.filter_of(elements, number(primary, "LRFWAVE", 0.0)),
        filter_elements=elements,
        exptime_s=exptime_s,
        mjd_start=mjd_start,
        mjd_end=mjd_end,
        expflag=_text(primary, "EXPFLAG", "").upper(),
        quality=_quality(primary),
        fgslock=_text(primary, "FGSLOCK", "").upper(),
        target_name=_text(primary, "TARGNAME", ""),
        ra_target_deg=ra_target,
        dec_target_deg=dec_target,
        calibration=calibration_of(primary),
        charge_injection=charge_injection(primary),
        faults=faults_of(
            primary,
            [hdu.header for hdu in filled],
            detector,
            behind=any(chip.passband_polygon is not None for chip in chips),
        ),
        notes=tuple(
            note
            for note in (
                *_notes(primary),
                *_notes_of_empty(science, filled),
                *_photometric_notes(chips),
                transfer_note(primary, detector),
            )
            if note
        ),
        chips=chips,
    )


# ------------------------------------------------------------------------- single keywords


def _flag(header: Mapping[str, Any], keyword: str) -> bool:
    """Whether a keyword is true, as a FITS logical or as the text T or TRUE."""
    value = header.get(keyword)
    if isinstance(value, str):
        return value.strip().upper() in {"T", "TRUE", "YES"}
    return value is True


def _visit(rootname: str) -> str:
    try:
        return visit_of_rootname(rootname)
    except BadConfiguration as error:
        raise UnusableInput(
            f"keyword ROOTNAME is {rootname!r}, not the name of one exposure"
        ) from error


# ------------------------------------------------------------------- instrument and filter


def _detector(primary: Mapping[str, Any]) -> Detector:
    instrument = _text(primary, "INSTRUME").upper()
    needs_detector = instrument in {"ACS", "WFC3"}
    detector = _text(primary, "DETECTOR") if needs_detector else str(primary.get("DETECTOR", ""))
    return detector_for(instrument, detector)


def _refuse_other_modes(primary: Mapping[str, Any], detector: Detector) -> None:
    for keyword, wanted in (("OBSTYPE", "IMAGING"), ("IMAGETYP", "EXT")):
        value = _text(primary, keyword, "").upper()
        if value and value != wanted:
            raise UnusableInput(f"it is not an image of the sky: {keyword} is {value}")
    scan = _text(primary, "SCAN_TYP", "N").upper()
    if scan not in {"", "N"}:
        raise UnusableInput(f"it is a spatial scan (SCAN_TYP is {scan}): its stars are trails")
    if detector.key == "wfpc2" and _text(primary, "MODE", "FULL").upper() != "FULL":
        raise UnusableInput(
            f"WFPC2 mode {primary['MODE']} is not supported", next_step="Supported: FULL"
        )


def _filter_elements(primary: Mapping[str, Any], detector: Detector) -> tuple[str, ...]:
    wheels = [_text(primary, keyword, "").upper() for keyword in detector.filter_keywords]
    if not any(wheels):
        raise UnusableInput(f"keyword {detector.filter_keywords[0]} is missing or empty")
    return tuple(element for element in wheels if element)


def _is_subarray(
    primary: Mapping[str, Any], chips: tuple[Chip, ...], n_science: int, detector: Detector
) -> bool:
    if any(chip.shape != detector.full_shape for chip in chips):
        return True
    return _flag(primary, "SUBARRAY") or n_science < detector.n_chips


def _notes(primary: Mapping[str, Any]) -> tuple[str, ...]:
    """Circumstances worth knowing that are no reason to reject an exposure."""
    notes = []
    if _flag(primary, "MTFLAG"):
        notes.append("moving target")
    lock = _text(primary, "FGSLOCK", "").upper()
    if lock and lock != "FINE":
        notes.append(f"guiding {lock}")
    quality = _quality(primary)
    if quality:
        notes.append(f"quality comment {quality}")
    return tuple(notes)


def _photometric_notes(chips: Sequence[Chip]) -> tuple[str, ...]:
    """What is wrong with the zero points, each thing once; it takes none of the pixels' worth."""
    faults = dict.fromkeys(chip.photometry.fault for chip in chips if chip.photometry.fault)
    unchecked = dict.fromkeys(
        chip.photometry.unchecked for chip in chips if chip.photometry.unchecked
    )
    return (
        *(f"no zero point: {fault}" for fault in faults),
        *(f"zero point not checked: {reason}" for reason in unchecked),
    )


def _quality(primary: Mapping[str, Any]) -> str:
    """What the observatory's staff or pipeline remarked on the exposure; empty if nothing."""
    quality = primary.get("QUALITY")
    remark = plain_text(quality).strip() if isinstance(quality, str) else ""
    return "" if remark.upper() in {"OK", "N/A"} else remark


def _notes_of_empty(science: Sequence[Any], filled: Sequence[Any]) -> list[str]:
    empty = [str(hdu.ver) for hdu in science if hdu not in filled]
    return [f"SCI,{extver} holds nothing: not used" for extver in empty]


# -------------------------------------------------------------------------- time and place


def exposure_times(primary: Mapping[str, Any]) -> tuple[float, float, float]:
    """Start and end (MJD, UTC) and exposure time (s) by a primary header.

    Raises
    ------
    UnusableInput
        If a keyword is missing or makes no sense.
    """
    exptime_s = number(primary, "EXPTIME")
    if exptime_s < 0:
        raise UnusableInput(f"keyword EXPTIME is {exptime_s}, below 0")
    # A date of 0 is one that was never written.
    start = number(primary, "EXPSTART", 0.0) or _start_of_dates(primary)
    end = number(primary, "EXPEND", 0.0) or start + exptime_s / 86400.0
    if end < start:
        raise UnusableInput(f"it ends (EXPEND {end}) before it starts (MJD {start})")
    refuse_other_times(start, end, exptime_s)
    return start, end, exptime_s


def _start_of_dates(primary: Mapping[str, Any]) -> float:
    moment = f"{_text(primary, 'DATE-OBS')}T{_text(primary, 'TIME-OBS')}"
    try:
        return float(Time(moment, format="isot", scale="utc").mjd)
    except ValueError as error:
        raise UnusableInput(f"DATE-OBS and TIME-OBS are not a date: {moment!r}") from error


def _target(primary: Mapping[str, Any], chips: tuple[Chip, ...]) -> tuple[float, float]:
    centre = footprint.field_centre([chip.polygon for chip in chips])
    keywords = ("RA_TARG", "DEC_TARG")
    ra, dec = (number(primary, keyword, own) for keyword, own in zip(keywords, centre, strict=True))
    return sky_position(ra, dec, keywords)
