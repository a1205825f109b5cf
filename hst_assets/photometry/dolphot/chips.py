"""One chip a file, as ``splitgroups`` leaves them; and whether the target is on it.

A chip's file has one HDU with the cards of the primary header and those of the extension, which
win, as DOLPHOT looks for all of them in one place. It reads the linear terms and SIP polynomials of
the WCS; cards that point to look-up tables, which the file has not, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, NoConvergence

from hst_assets.photometry.dolphot.detector_rules import ReadMode
from hst_assets.photometry.dolphot.masks import MaskedImage, Plane
from hst_assets.sky_geometry import separation_deg

__all__ = ["chip_cards", "joined_header", "position_on_chip", "write_chip"]

_STRUCTURE = frozenset(
    {"EXTEND", "NEXTEND", "XTENSION", "PCOUNT", "GCOUNT", "INHERIT", "BSCALE", "BZERO", "BLANK"}
)
#: Cards of look-up tables (NPOL, D2IM), and of their old form.
_LOOK_UP = re.compile(r"(CPDIS|CPERR|DP|D2IMDIS|D2IMERR|D2IM|AXISCORR|DQ)\d?(\..*)?")
_COMMENTARY = frozenset({"", "COMMENT", "HISTORY", "CONTINUE"})
#: A position that is found on a chip must be on the sky where it was looked for.
_ROUND_TRIP_ARCSEC = 0.01
_ARCSEC_PER_DEG = 3600.0

_MATRIX = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
#: What says the same in other words.
_OTHER_MATRIX = re.compile(r"PC\d_\d|CDELT\d|CROTA\d")


def position_on_chip(
    wcs: WCS, shape: tuple[int, int], ra_deg: float, dec_deg: float
) -> tuple[float, float, bool]:
    """Where a position of the sky is on a chip, by all of its distortion.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        With SIP polynomials and look-up tables.
    shape : tuple of int
        (ny, nx).
    ra_deg, dec_deg : float
        ICRS.

    Returns
    -------
    x, y : float
        0-based pixels; NaN farther off than the chip is large, where the distortion is not known.
    inside : bool
        Whether a pixel of the chip contains it.
    """
    near = np.array(wcs.wcs_world2pix(ra_deg, dec_deg, 0), dtype=float)
    size = np.array(shape[::-1])
    # The solver is made for what the polynomials are made for: the chip, and some way about it.
    if not ((near > -size) & (near < 2 * size)).all():
        return np.nan, np.nan, False
    try:
        x, y = (float(each) for each in wcs.all_world2pix(ra_deg, dec_deg, 0, tolerance=1e-5))
    except (NoConvergence, ValueError):
        return np.nan, np.nan, False
    back = wcs.all_pix2world(x, y, 0)
    apart = separation_deg(np.array([[float(each) for each in back]]), (ra_deg, dec_deg))
    if not float(apart[0]) * _ARCSEC_PER_DEG < _ROUND_TRIP_ARCSEC:
        return np.nan, np.nan, False
    return x, y, -0.5 <= x < shape[1] - 0.5 and -0.5 <= y < shape[0] - 0.5


def joined_header(primary: fits.Header, science: fits.Header) -> fits.Header:
    """The cards of the primary header with those of an extension over them.

    Parameters
    ----------
    primary, science : Header
        Of an exposure or a drizzled image.

    Returns
    -------
    Header
        Without what describes the structure of the file, comments, and look-up tables; with the
        matrix CD, the only one that DOLPHOT reads.
    """
    joined = fits.Header()
    for header in (primary, science):
        # Without SIMPLE, BITPIX, NAXIS and their kin.
        for card in header.copy(strip=True).cards:
            keyword = card.keyword
            if keyword in _COMMENTARY or keyword in _STRUCTURE or _LOOK_UP.fullmatch(keyword):
                continue
            try:
                name = f"HIERARCH {keyword}" if len(keyword) > 8 else keyword
                joined[name] = (card.value, card.comment)
            except (fits.VerifyError, ValueError):
                continue  # a card that is not FITS is not handed on
    if "CTYPE1" in joined and not any(name in joined for name in _MATRIX):
        matrix = WCS(joined, naxis=2).pixel_scale_matrix
        joined.update({name: float(each) for name, each in zip(_MATRIX, matrix.flat, strict=True)})
        for name in [name for name in joined if _OTHER_MATRIX.fullmatch(name)]:
            del joined[name]
    return joined


def chip_cards(
    masked: MaskedImage,
    mode: ReadMode,
    *,
    exptime_s: float,
    mjd: float,
    tag: tuple[str, int] | None,
    offset: tuple[int, int] = (0, 0),
    n_combined: int = 1,
) -> dict[str, tuple[Any, str]]:
    """The cards that DOLPHOT reads beside the WCS, by the names of its ``fits.param``.

    Parameters
    ----------
    masked : MaskedImage
        Its limits.
    mode : ReadMode
        Gain and read noise.
    exptime_s : float
        Exposure time of all that was combined, seconds.
    mjd : float
        The middle of the exposure.
    tag : (str, int) or None
        Keyword and value that tell instrument and chip; None for an image of none that is known.
    offset : tuple of int, optional
        Columns and rows of the full chip before the first pixel.
    n_combined : int, optional
        Exposures in it.
    """
    cards: dict[str, tuple[Any, str]] = {
        "GAIN": (mode.gain, "Gain (electrons/ADU)"),
        "EXPTIME": (exptime_s, "Exposure time (s)"),
        "RDNOISE": (mode.read_noise_e, "Read noise (electrons)"),
        "BADPIX": (masked.min_value, "Low bad data value (DN)"),
        "SATURATE": (masked.max_value, "High bad data value (DN)"),
        "MJD-OBS": (mjd, "Epoch (MJD)"),
        "AIRMASS": (0.0, "Air mass"),
        "EXPTIME0": (exptime_s / n_combined, "Single image exposure time (s)"),
    }
    if tag is not None:
        cards[tag[0]] = (tag[1], "DOLPHOT tag")
    for keyword, pixels in zip(("DOL_OFFX", "DOL_OFFY"), offset, strict=True):
        if pixels:
            cards[keyword] = (pixels, "Origin of subarray relative to full chip")
    return cards


def write_chip(
    path: Path, data: Plane, header: fits.Header, cards: Mapping[str, tuple[Any, str]]
) -> None:
    """Write an image of one HDU with DOLPHOT's cards over those of its header."""
    hdu = fits.PrimaryHDU(np.asarray(data, dtype=np.float32), header.copy())
    for keyword, (value, comment) in cards.items():
        hdu.header[keyword] = (value, comment)
    # DOLPHOT would look for extensions otherwise.
    hdu.header["NEXTEND"] = (0, "Number of standard extensions")
    hdu.writeto(path, output_verify="silentfix+ignore", overwrite=True)
