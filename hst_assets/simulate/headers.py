"""Headers that stwcs, drizzlepac and HAP accept, and the FITS files around them.

Reference files are all 'N/A': the distortion is in the SIP cards, and nobody has to look for a
table. (`updatewcs` refuses such files, and must not be called on them.)
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray

from hst_assets.detectors import DETECTORS
from hst_assets.simulate.distortion import GEOMETRIES
from hst_assets.simulate.exposure import ChipExposure, ExposurePlan, RenderedExposure
from hst_assets.simulate.geometry import sip_keywords
from hst_assets.simulate.sensor import RAMP, SENSORS

__all__ = ["exposure_files"]

Cards = dict[str, Any]

_ACS_SECOND_WHEEL = {"F435W", "F660N", "F814W"}
_REFERENCE_FILES = (
    *("BPIXTAB", "CCDTAB", "OSCNTAB", "CRREJTAB", "DARKFILE", "PFLTFILE", "IMPHTTAB"),
    *("IDCTAB", "OFFTAB", "MDRIZTAB", "DGEOFILE", "NPOLFILE", "D2IMFILE"),
)
_DONE_SWITCHES = (
    *("DQICORR", "BLEVCORR", "DARKCORR", "FLATCORR"),
    *("PHOTCORR", "DRIZCORR", "EXPSCORR", "UNITCORR"),
)
_SERIOUS_DQ_BITS = 31743


def exposure_files(exposure: RenderedExposure) -> dict[str, bytes]:
    """The FITS files of an exposure by name: flt or flc, or c0m and c1m.

    The bytes depend on the plan alone: no date of today is in them, and no checksum, for
    drizzlepac would leave it stale in every working copy.
    """
    plan = exposure.plan
    detector = DETECTORS[plan.detector_key]
    name = f"{plan.rootname}_{detector.suffix}.fits"
    primary = _primary_header(plan, name)
    if not detector.has_separate_dq:
        hdus = [hdu for chip in exposure.chips for hdu in _imset(plan, chip)]
        return {name: _file(primary, hdus)}
    quality_name = f"{plan.rootname}_c1m.fits"
    science = [
        _image(_science(plan, chip), "SCI", chip.view.extver, _science_header(plan, chip))
        for chip in exposure.chips
    ]
    quality = [
        _image(
            chip.readout.quality,
            "SDQ",
            chip.view.extver,
            _names(plan) | {"DETECTOR": chip.view.chip.ccdchip},
        )
        for chip in exposure.chips
    ]
    quality_primary = primary | {"FILENAME": quality_name, "FILETYPE": "SDQ"}
    return {name: _file(primary, science), quality_name: _file(quality_primary, quality)}


def _file(primary: Cards, hdus: list[fits.ImageHDU]) -> bytes:
    header = fits.Header()
    for keyword, value in primary.items():
        header[keyword] = value
    header["NEXTEND"] = len(hdus)
    buffer = BytesIO()
    fits.HDUList([fits.PrimaryHDU(header=header), *hdus]).writeto(buffer)
    return buffer.getvalue()


def _image(data: NDArray[Any], extname: str, extver: int, cards: Cards) -> fits.ImageHDU:
    header = fits.Header()
    header["EXTNAME"], header["EXTVER"], header["INHERIT"] = extname, extver, True
    for keyword, value in cards.items():
        header[keyword] = value
    return fits.ImageHDU(data, header=header)


def _imset(plan: ExposurePlan, chip: ChipExposure) -> Iterator[fits.ImageHDU]:
    """SCI, ERR, DQ, and for WFC3/IR SAMP and TIME."""
    extver, readout = chip.view.extver, chip.readout
    units = {"BUNIT": DETECTORS[plan.detector_key].science_units}
    error = readout.error / _units_per_electron(plan)
    yield _image(_science(plan, chip), "SCI", extver, _science_header(plan, chip))
    yield _image(error.astype(np.float32), "ERR", extver, _names(plan) | units)
    yield _image(readout.quality, "DQ", extver, _names(plan) | {"BUNIT": "UNITLESS"})
    if DETECTORS[plan.detector_key].is_infrared:
        samples = np.full(chip.view.shape, 13, np.int16)
        yield _image(samples, "SAMP", extver, _names(plan) | {"BUNIT": "UNITLESS"})
        seconds = np.full(chip.view.shape, plan.exptime_s, np.float32)
        yield _image(seconds, "TIME", extver, _names(plan) | {"BUNIT": "SECONDS"})


def _units_per_electron(plan: ExposurePlan) -> float:
    """What divides electrons to give the unit of the image."""
    return plan.exptime_s if DETECTORS[plan.detector_key].rate_units else plan.count_unit_e


def _science(plan: ExposurePlan, chip: ChipExposure) -> NDArray[np.float32]:
    return (chip.readout.science / _units_per_electron(plan)).astype(np.float32)


def _names(plan: ExposurePlan) -> Cards:
    return {"ROOTNAME": plan.rootname, "EXPNAME": plan.rootname}


# --------------------------------------------------------------------------- primary header


def _primary_header(plan: ExposurePlan, name: str) -> Cards:
    detector = DETECTORS[plan.detector_key]
    start, end = Time(plan.mjd, format="mjd").isot, Time(plan.mjd_end, format="mjd").isot
    cards: Cards = {
        "ORIGIN": "hst_assets.simulate",
        "DATE": end[:10],
        "FILENAME": name,
        "FILETYPE": "SCI",
        "TELESCOP": "HST",
        "INSTRUME": detector.instrument,
        "EQUINOX": 2000.0,
        "ROOTNAME": plan.rootname,
        "IMAGETYP": "EXT",
        "PRIMESI": detector.instrument,
        "TARGNAME": plan.target_name,
        "RA_TARG": plan.target[0],
        "DEC_TARG": plan.target[1],
        "PROPOSID": plan.proposal_id,
        "LINENUM": f"{plan.rootname[4:6].upper()}.{int(plan.rootname[6:8], 36):03d}",
        "PR_INV_L": "Simulated",
        "PR_INV_F": " ",
        "PR_INV_M": " ",
        "SUNANGLE": 90.0,
        "MOONANGL": 90.0,
        "SUN_ALT": -20.0,
        "FGSLOCK": "FINE",
        "GYROMODE": "T",
        "REFFRAME": "ICRS",
        "MTFLAG": " ",
        "DATE-OBS": start[:10],
        "TIME-OBS": start[11:19],
        "EXPSTART": plan.mjd,
        "EXPEND": plan.mjd_end,
        "EXPTIME": plan.exptime_s,
        "DARKTIME": plan.exptime_s,
        "EXPFLAG": plan.expflag,
        "QUALITY": " ",
        "QUALCOM1": " ",
        "PA_V3": plan.pointing.pa_v3_deg % 360.0,
        "POSTARG1": 0.0,
        "POSTARG2": 0.0,
        "OPUS_VER": "SIMULATED",
        "CAL_VER": "SIMULATED",
        "PROCTIME": plan.mjd_end + 1.0,
        "OBSTYPE": "IMAGING",
        "OBSMODE": "MULTIACCUM" if detector.is_infrared else "ACCUM",
        "SCLAMP": "NONE",
        "NRPTEXP": 1,
        "SUBARRAY": plan.subarray is not None,
        "ASN_ID": "NONE",
        "ASN_TAB": "NONE",
        "ASN_MTYP": " ",
        "PATTERN1": "NONE",
        "FLASHDUR": 0.0,
        "FLASHCUR": "OFF",
        "SHUTRPOS": "A",
        "CCDAMP": _amplifiers(plan),
        "CCDGAIN": detector.gain_e_per_dn,
    }
    cards |= _calibration_switches(plan)
    cards |= dict.fromkeys(_REFERENCE_FILES, "N/A")
    for amplifier in "ABCD":
        cards["ATODGN" + amplifier] = detector.gain_e_per_dn
        # Of WFC3/IR it is that of a pair of reads.
        cards["READNSE" + amplifier] = detector.read_noise_e * (
            2.0**0.5 if detector.is_infrared else 1.0
        )
        cards["BIASLEV" + amplifier] = 0.0
    if detector.is_infrared:
        cards |= _photometry(plan)
    return cards | _INSTRUMENT_CARDS[detector.instrument](plan)


def _calibration_switches(plan: ExposurePlan) -> Cards:
    detector = DETECTORS[plan.detector_key]
    return dict.fromkeys(_DONE_SWITCHES, "COMPLETE") | {
        "CRCORR": "COMPLETE" if detector.is_infrared else "OMIT",
        "PCTECORR": "COMPLETE" if detector.suffix == "flc" else "OMIT",
    }


def _amplifiers(plan: ExposurePlan) -> str:
    if plan.subarray is not None:
        return "C" if plan.subarray.extver == 1 else "A"
    return "C" if plan.detector_key == "acs_hrc" else "ABCD"


def _acs_cards(plan: ExposurePlan) -> Cards:
    size = "S" if plan.detector_key == "acs_hrc" else "L"
    filters = (plan.filter_name, f"CLEAR2{size}")
    if plan.filter_name in _ACS_SECOND_WHEEL:
        filters = (f"CLEAR1{size}", plan.filter_name)
    aperture = DETECTORS[plan.detector_key].detector
    if plan.subarray is not None:
        aperture = "HRC-SUB1.8" if size == "S" else _subarray_name(plan, "WFC{chip}-{size}")
    return {
        "DETECTOR": DETECTORS[plan.detector_key].detector,
        "FILTER1": filters[0],
        "FILTER2": filters[1],
        "APERTURE": aperture,
        "PROPAPER": aperture,
        "LRFWAVE": 0.0,
        "CTEIMAGE": "NONE",
    }


def _wfc3_cards(plan: ExposurePlan) -> Cards:
    detector = DETECTORS[plan.detector_key]
    aperture = detector.detector
    if plan.subarray is not None:
        pattern = "IRSUB{pixels}" if detector.is_infrared else "UVIS{chip}-C{size}C-SUB"
        aperture = _subarray_name(plan, pattern)
    cards: Cards = {
        "DETECTOR": detector.detector,
        "FILTER": plan.filter_name,
        "APERTURE": aperture,
        "PROPAPER": aperture,
        "SCAN_TYP": "N",
        "CHINJECT": "NONE",
    }
    if detector.is_infrared:
        cards |= {"SAMP_SEQ": RAMP[0], "NSAMP": RAMP[1], "SAMPZERO": 2.911}
    return cards


def _subarray_name(plan: ExposurePlan, pattern: str) -> str:
    assert plan.subarray is not None
    pixels = max(plan.subarray.nx, plan.subarray.ny)
    size = "512" if pixels <= 513 else "1K" if pixels <= 1250 else "2K"
    return pattern.format(pixels=pixels, size=size, chip=2 if plan.subarray.extver == 1 else 1)


def _wfpc2_cards(plan: ExposurePlan) -> Cards:
    return {
        "FILTNAM1": plan.filter_name,
        "FILTNAM2": " ",
        "FILTER1": 30,
        "FILTER2": 0,
        "LRFWAVE": 0.0,
        "MODE": "FULL",
        "SHUTTER": "A",
        "SERIALS": "OFF",
        "ATODGAIN": DETECTORS["wfpc2"].gain_e_per_dn,
        "APERTURE": "WF3",
        "MTFLAG": False,
    } | _photometry(plan)


_INSTRUMENT_CARDS = {"ACS": _acs_cards, "WFC3": _wfc3_cards, "WFPC2": _wfpc2_cards}


# ------------------------------------------------------------------------- extension header


def _photometry(plan: ExposurePlan) -> Cards:
    detector, band = DETECTORS[plan.detector_key], plan.band
    mode = f"{detector.instrument} {detector.detector} {plan.filter_name}"
    if detector.has_separate_dq:
        mode = f"WFPC2,1,A2D7,{plan.filter_name},,CAL"
    return {
        "PHOTMODE": mode,
        "PHOTFLAM": band.photflam,
        "PHOTFNU": band.photfnu,
        "PHOTZPT": -21.10,
        "PHOTPLAM": band.photplam,
        "PHOTBW": band.photbw,
    }


def _science_header(plan: ExposurePlan, chip: ChipExposure) -> Cards:
    detector, view = DETECTORS[plan.detector_key], chip.view
    cards: Cards = _names(plan) | {"BUNIT": detector.science_units}
    if detector.has_separate_dq:
        cards |= {"DETECTOR": view.chip.ccdchip, "EXPTIME": plan.exptime_s}
    elif detector.n_chips > 1:
        cards["CCDCHIP"] = view.chip.ccdchip
    cards |= _wcs_cards(plan, chip) | _readout_cards(plan, chip) | _photometry(plan)
    if plan.detector_key == "wfc3_uvis":
        flam = plan.band.photflam
        cards |= {"PHTFLAM1": flam, "PHTFLAM2": flam, "PHTRATIO": 1.0}
    return cards | _statistics(plan, chip)


def _wcs_cards(plan: ExposurePlan, chip: ChipExposure) -> Cards:
    """The distorted WCS, the linear one it came from (OPUS), and the table's figures."""
    keys, geometry = chip.header_wcs, chip.view.chip
    (ocx11, ocx10), (ocy11, ocy10) = geometry.linear
    orientation = float(np.degrees(np.arctan2(keys["CD1_2"], keys["CD2_2"])))
    cards: Cards = {"WCSAXES": 2, **keys}
    cards |= {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CUNIT1": "deg"}
    cards |= {"CUNIT2": "deg", "RADESYS": "ICRS", "ORIENTAT": orientation}
    cards |= {"RA_APER": plan.pointing.ra_deg, "DEC_APER": plan.pointing.dec_deg}
    cards |= {"PA_APER": orientation, "VAFACTOR": plan.velocity_aberration}
    cards |= {"OCX10": ocx10, "OCX11": ocx11, "OCY10": ocy10, "OCY11": ocy11}
    cards |= {
        "IDCSCALE": chip.view.scale_arcsec,
        "IDCTHETA": geometry.theta_deg,
        "IDCXREF": geometry.reference_pixel[0],
        "IDCYREF": geometry.reference_pixel[1],
        "IDCV2REF": geometry.v2v3_arcsec[0],
        "IDCV3REF": geometry.v2v3_arcsec[1],
        "IDCTAB": "N/A",
    }
    cards |= sip_keywords(geometry)
    cards["WCSNAME"] = f"IDC_{GEOMETRIES[plan.detector_key].idctab}"
    cards |= {"WCSNAMEO": "OPUS", "WCSAXESO": 2, **{key + "O": keys[key] for key in keys}}
    cards |= {"CTYPE1O": "RA---TAN", "CTYPE2O": "DEC--TAN", "CUNIT1O": "deg", "CUNIT2O": "deg"}
    cards["RADESYSO"] = "ICRS"
    return cards


def _readout_cards(plan: ExposurePlan, chip: ChipExposure) -> Cards:
    view = chip.view
    # WFC3/IR counts its five reference pixels on each side.
    border = 5 if DETECTORS[plan.detector_key].is_infrared else 0
    return {
        "LTV1": -float(view.x0),
        "LTV2": -float(view.y0),
        "LTM1_1": 1.0,
        "LTM2_2": 1.0,
        "CENTERA1": view.x0 + view.nx // 2 + 1 + border,
        "CENTERA2": view.y0 + view.ny // 2 + 1 + border,
        "SIZAXIS1": view.nx + 2 * border,
        "SIZAXIS2": view.ny + 2 * border,
        "BINAXIS1": 1,
        "BINAXIS2": 1,
    }


def _statistics(plan: ExposurePlan, chip: ChipExposure) -> Cards:
    good = chip.readout.quality == 0
    values = chip.readout.science[good] / _units_per_electron(plan)
    dark_e = SENSORS[plan.detector_key].dark_e_per_s * plan.exptime_s
    cards: Cards = {
        "NCOMBINE": 1,
        "NGOODPIX": int(good.sum()),
        "SDQFLAGS": _SERIOUS_DQ_BITS,
        "GOODMIN": float(values.min()),
        "GOODMAX": float(values.max()),
        "GOODMEAN": float(values.mean()),
        "MEANDARK": dark_e,
        "MEANBLEV": 0.0,
        "MEANFLSH": 0.0,
    }
    if DETECTORS[plan.detector_key].is_infrared:
        cards |= {"SAMPNUM": RAMP[1] - 1, "SAMPTIME": plan.exptime_s, "DELTATIM": 25.0}
    return cards
