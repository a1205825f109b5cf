"""Exposures of a few pixels, with headers that the pipeline reads, for tests with many of them."""

from __future__ import annotations

import functools
import io

import numpy as np
from astropy.io import fits
from astropy.time import Time

from hst_assets.detectors import DETECTORS

#: Elements in the filter wheels, in the order of their keywords.
ELEMENTS = {
    "wfc3_uvis": ("F606W",),
    "wfc3_ir": ("F160W",),
    "acs_wfc": ("F606W", "CLEAR2L"),
    "acs_hrc": ("CLEAR1S", "F814W"),
    "wfpc2": ("F555W", ""),
}
_SIDE_PIX = 16


def tiny_exposure(
    rootname,
    detector_key,
    ra_deg,
    dec_deg,
    *,
    elements=None,
    mjd=59000.25,
    exptime_s=400.0,
    proposal="12345",
    target_name="FIELD",
    side_pix=_SIDE_PIX,
    salt=0,
):
    """The files of one exposure of one small chip, as ``{name: bytes}``.

    Its centre lies at the position. Another `salt` gives other pixels, and so other content.
    """
    elements = elements or ELEMENTS[detector_key]
    hdus = fits.HDUList([_primary(detector_key)])
    cards = hdus[0].header
    cards["ROOTNAME"], cards["TARGNAME"] = rootname, target_name
    cards["EXPTIME"], cards["EXPSTART"] = exptime_s, mjd
    cards["EXPEND"] = mjd + exptime_s / 86400
    cards["DATE-OBS"], _, cards["TIME-OBS"] = Time(mjd, format="mjd").isot[:19].partition("T")
    cards["RA_TARG"], cards["DEC_TARG"] = ra_deg, dec_deg
    cards["PROPOSID"] = int(proposal)
    for keyword, element in zip(DETECTORS[detector_key].filter_keywords, elements, strict=True):
        cards[keyword] = element
    hdus.extend(_planes(detector_key, (ra_deg, dec_deg), side_pix, f"{rootname} {salt}"))
    suffix = DETECTORS[detector_key].suffix
    files = {f"{rootname}_{suffix}.fits": _as_bytes(hdus)}
    if DETECTORS[detector_key].has_separate_dq:
        files[f"{rootname}_c1m.fits"] = _companion(rootname, side_pix)
    return files


def _primary(detector_key):
    detector = DETECTORS[detector_key]
    hdu = fits.PrimaryHDU()
    hdu.header.update(
        {
            "INSTRUME": detector.instrument,
            "IMAGETYP": "EXT",
            "EXPFLAG": "NORMAL",
            "FGSLOCK": "FINE",
            "NEXTEND": 1 if detector.has_separate_dq else 3,
        }
    )
    if detector.has_separate_dq:
        hdu.header["MODE"] = "FULL"
    else:
        more = {"DETECTOR": detector.detector, "OBSTYPE": "IMAGING", "SUBARRAY": True}
        hdu.header.update(more)
    return hdu


def _planes(detector_key, centre, side_pix, seed_text):
    detector = DETECTORS[detector_key]
    rng = np.random.default_rng(list(seed_text.encode()))
    shape = (side_pix, side_pix)
    science = fits.ImageHDU(rng.normal(100, 10, shape).astype("float32"), name="SCI", ver=1)
    scale_deg = detector.pixel_scale_arcsec / 3600
    middle = (side_pix + 1) / 2
    science.header.update(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": centre[0],
            "CRVAL2": centre[1],
            "CRPIX1": middle,
            "CRPIX2": middle,
            "CD1_1": -scale_deg,
            "CD1_2": 0.0,
            "CD2_1": 0.0,
            "CD2_2": scale_deg,
            "WCSNAME": "IDC_tiny",
            "PHOTFLAM": 1e-19,
            "PHOTPLAM": 6000.0,
            "BUNIT": detector.science_units,
            "DETECTOR" if detector.has_separate_dq else "CCDCHIP": 1,
        }
    )
    if detector.has_separate_dq:
        return [science]
    error = fits.ImageHDU(np.ones(shape, "float32"), name="ERR", ver=1)
    return [science, error, fits.ImageHDU(np.zeros(shape, "int16"), name="DQ", ver=1)]


@functools.cache
def _companion(rootname, side_pix):
    quality = fits.ImageHDU(np.zeros((side_pix, side_pix), "int16"), name="SDQ", ver=1)
    hdus = fits.HDUList([fits.PrimaryHDU(), quality])
    hdus[0].header["ROOTNAME"] = rootname
    return _as_bytes(hdus)


def _as_bytes(hdus):
    written = io.BytesIO()
    hdus.writeto(written)
    return written.getvalue()
