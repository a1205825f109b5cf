"""The columns of the exposure tables: names, types, units and meanings."""

from __future__ import annotations

import astropy.units as u

from hst_assets.products.columns import ColumnSpec

__all__ = ["EXPOSURE_COLUMNS", "MANIFEST_COLUMNS"]

_N_CHIPS = 4


def _zero_points() -> list[ColumnSpec]:
    return [
        ColumnSpec(
            f"zp_{system}_{chip}",
            "float64",
            f"{system.upper()} magnitude of one BUNIT a second on chip {chip} "
            "(CCDCHIP; WFPC2: 1 is the PC); NaN if there is none",
            u.mag,
        )
        for chip in range(1, _N_CHIPS + 1)
        for system in ("ab", "st")
    ]


MANIFEST_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "File name in raw/"),
    ColumnSpec("rootname", "str", "ROOTNAME (IPPPSSOOT)"),
    ColumnSpec("visit", "str", "Visit id (IPPPSS)"),
    ColumnSpec("suffix", "str", "Kind of product: flc, flt, c0m or c1m"),
    ColumnSpec("size", "int64", "Size of the file", u.byte),
    ColumnSpec("sha256", "str", "SHA-256 of the file"),
)

EXPOSURE_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "File name in raw/"),
    ColumnSpec("rootname", "str", "ROOTNAME (IPPPSSOOT)"),
    ColumnSpec("visit", "str", "Visit id (IPPPSS)"),
    ColumnSpec(
        "epoch",
        "int64",
        "Epoch: same detector and filter, close in time; from 1 in time order; "
        "-1 if not used or not numbered yet",
    ),
    ColumnSpec("used", "bool", "Whether the exposure is used"),
    ColumnSpec("reason", "str", "Why it is not used; empty if it is"),
    ColumnSpec("override", "str", "Manual decision, if any, and the automatic selection"),
    ColumnSpec("note", "str", "Remarks that do not lead to a rejection"),
    ColumnSpec("instrument", "str", "INSTRUME"),
    ColumnSpec("detector", "str", "DETECTOR (WFPC2 for all of WFPC2)"),
    ColumnSpec("detector_key", "str", "Key in the registry of detectors"),
    ColumnSpec("subarray", "bool", "Whether less than the full detector was read"),
    ColumnSpec("n_chips", "int64", "Number of SCI extensions"),
    ColumnSpec(
        "filter",
        "str",
        "Filter; crossed elements, and the wavelength (Angstrom) of a ramp, follow a hyphen",
    ),
    ColumnSpec("filter_elements", "str", "Element in each filter wheel, including clears"),
    ColumnSpec("exptime", "float64", "Exposure time", u.s),
    ColumnSpec("mjd_start", "float64", "Start, MJD UTC", u.day),
    ColumnSpec("mjd_mid", "float64", "Middle, MJD UTC", u.day),
    ColumnSpec("mjd_end", "float64", "End, MJD UTC", u.day),
    ColumnSpec("expflag", "str", "EXPFLAG"),
    ColumnSpec("quality", "str", "QUALITY; empty where it is OK or missing"),
    ColumnSpec("fgslock", "str", "FGSLOCK: how the guide stars were held; empty if missing"),
    ColumnSpec("pa", "float64", "Position angle of the first chip's y axis, E of N", u.deg),
    ColumnSpec("ra", "float64", "Right ascension of the middle of the field (ICRS)", u.deg),
    ColumnSpec("dec", "float64", "Declination of the middle of the field (ICRS)", u.deg),
    ColumnSpec(
        "target_depth",
        "float64",
        "Distance of the target inside the footprint (of a quad filter: its quadrant); negative: "
        "outside; NaN: no position",
        u.arcsec,
    ),
    ColumnSpec("footprint", "str", "Outline of each chip on the sky: POLYGON ICRS ra dec ..."),
    ColumnSpec("wcsname", "str", "WCSNAME of the first chip"),
    *_zero_points(),
    ColumnSpec("dq_file", "str", "Data-quality file in raw/ (WFPC2), else empty"),
    ColumnSpec("sha256", "str", "SHA-256 of the file"),
)
