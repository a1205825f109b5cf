"""Exposures robbed of their distortion, and the distortion tables that give it back."""

from __future__ import annotations

import shutil

import numpy as np
from astropy.io import fits

from hst_assets.simulate.distortion import GEOMETRIES

_LINEAR = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
_OF_THE_MODEL = ("A_", "B_", "IDC", "OCX", "OCY", "CPDIS", "D2IM", "DP", "NPOL")


def undistorted(source, destination, **primary):
    """Copy an exposure without its distortion: with the linear WCS that it came from."""
    shutil.copyfile(source, destination)
    with fits.open(destination, mode="update") as hdus:
        hdus[0].header.update(primary)
        for hdu in [hdu for hdu in hdus if hdu.name in ("D2IMARR", "WCSDVARR")]:
            hdus.remove(hdu)
        for header in [hdu.header for hdu in hdus if hdu.name == "SCI"]:
            for key in [key for key in header if key.startswith(_OF_THE_MODEL)]:
                del header[key]
            for key in _LINEAR:
                header[key] = header[f"{key}O"]
            header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
            header["WCSNAME"] = "OPUS"
    return destination


def distortion_table(path, detector_key, filter_name):
    """Write the IDCTAB that holds the simulator's distortion of a WFC3 detector."""
    geometry = GEOMETRIES[detector_key]
    rows = [
        _row(chip, scale) | {"FILTER": filter_name}
        for chip, scale in zip(geometry.chips, geometry.scales_arcsec, strict=True)
    ]
    columns = [
        fits.Column(name, _format(rows[0][name]), array=[row[name] for row in rows])
        for name in rows[0]
    ]
    table = fits.BinTableHDU.from_columns(columns)
    primary = fits.PrimaryHDU()
    primary.header.update(
        {"FILETYPE": "DISTORTION COEFFICIENTS", "INSTRUME": "WFC3", "NORDER": 4, "PARITY": 1}
        | {"DETECTOR": detector_key.partition("_")[2].upper()}
    )
    fits.HDUList([primary, table]).writeto(path)
    return path


def _format(value):
    return {str: "10A", int: "J"}.get(type(value), "D")


def _row(chip, scale):
    (ocx11, ocx10), (ocy11, ocy10) = chip.linear
    row = {
        "DETCHIP": int(chip.ccdchip),
        "DIRECTION": "FORWARD",
        "XSIZE": 1014,
        "YSIZE": 1014,
        "XREF": float(chip.reference_pixel[0]),
        "YREF": float(chip.reference_pixel[1]),
        "THETA": float(chip.theta_deg),
        "SCALE": float(scale),
        "V2REF": float(chip.v2v3_arcsec[0]),
        "V3REF": float(chip.v2v3_arcsec[1]),
    }
    a = {(p, q): value for p, q, value in chip.sip_a}
    b = {(p, q): value for p, q, value in chip.sip_b}
    row |= {"CX10": ocx10, "CX11": ocx11, "CY10": ocy10, "CY11": ocy11}
    for order in range(2, 5):
        for p in range(order + 1):
            powers = (p, order - p)
            sip = np.array([a.get(powers, 0.0), b.get(powers, 0.0)])
            row[f"CX{order}{p}"] = float(sip @ [ocx11, ocx10])
            row[f"CY{order}{p}"] = float(sip @ [ocy11, ocy10])
    return row
