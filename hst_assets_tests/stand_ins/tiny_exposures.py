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
#: The smallest that verification takes is 32.
SIDE_PIX = 40


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
    side_pix=SIDE_PIX,
    salt=0,
):
    """The files of one exposure of one small chip, as ``{name: bytes}``.

    Its centre lies at the position. Another `salt` gives other pixels, and so other content.
    """
    elements = elements or ELEMENTS[detector_key]
    content, pixels = _template(
        detector_key, ra_deg, dec_deg, elements, exptime_s, proposal, target_name, side_pix
    )
    start = Time(mjd, format="mjd").isot[:19]
    cards = {
        "ROOTNAME": rootname,
        "EXPSTART": mjd,
        "EXPEND": mjd + exptime_s / 86400,
        "DATE-OBS": start[:10],
        "TIME-OBS": start[11:],
    }
    written = bytearray(content)
    for keyword, value in cards.items():
        at = written.index(keyword.ljust(8).encode() + b"=")
        written[at : at + 80] = str(fits.Card(keyword, value)).encode()
    rng = np.random.default_rng(list(f"{rootname} {salt}".encode()))
    values = rng.normal(100, 10, side_pix**2).astype(">f4").tobytes()
    written[pixels : pixels + len(values)] = values
    files = {f"{rootname}_{DETECTORS[detector_key].suffix}.fits": bytes(written)}
    if DETECTORS[detector_key].has_separate_dq:
        files[f"{rootname}_c1m.fits"] = _companion(rootname, side_pix)
    return files


@functools.lru_cache(maxsize=256)
def _template(detector_key, ra_deg, dec_deg, elements, exptime_s, proposal, target_name, side_pix):
    """An exposure's bytes without its name, time and pixels; and where the pixels go."""
    hdus = fits.HDUList([_primary(detector_key)])
    hdus[0].header.update(
        {
            "ROOTNAME": "xxxxxxxxx",
            "TARGNAME": target_name,
            "EXPTIME": exptime_s,
            "EXPSTART": 0.0,
            "EXPEND": 0.0,
            "DATE-OBS": "2000-01-01",
            "TIME-OBS": "00:00:00",
            "RA_TARG": ra_deg,
            "DEC_TARG": dec_deg,
            "PROPOSID": int(proposal),
            **dict(zip(DETECTORS[detector_key].filter_keywords, elements, strict=True)),
        }
    )
    hdus.extend(_planes(detector_key, (ra_deg, dec_deg), side_pix))
    content = _as_bytes(hdus)
    with fits.open(io.BytesIO(content)) as written:
        return content, written[1].fileinfo()["datLoc"]


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


def _planes(detector_key, centre, side_pix):
    detector = DETECTORS[detector_key]
    shape = (side_pix, side_pix)
    science = fits.ImageHDU(np.zeros(shape, "float32"), name="SCI", ver=1)
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
