"""Alternate WCSs of a header: earlier solutions, each under a letter of its own.

Each tool that writes a new solution files the one before under a free letter, and fails where all
26 are taken.
"""

from __future__ import annotations

import re
import string

from astropy.io import fits

__all__ = ["drop_alternates", "free_letters"]

#: Keywords of alternate WCSs: those of the primary one with a letter at the end.
_ALTERNATE = re.compile(
    r"(?:WCSNAME|WCSTYPE|WCSAXES|CRPIX[12]|CRVAL[12]|CTYPE[12]|CUNIT[12]|CD[12]_[12]|RADESYS"
    r"|LATPOLE|LONPOLE|RESTFRQ|RESTWAV|MJDREF|EQUINOX|CRDER[12]|NMATCH|RMS_(?:RA|DEC)|FITNAME"
    r"|SIPNAME|NPOLNAME)([A-Z])"
)
#: The WCS that the exposure came with from the telescope's pointing; tools keep it.
_ORIGINAL = "O"


def drop_alternates(header: fits.Header, letters: str = string.ascii_uppercase) -> None:
    """Remove the alternate WCSs under some letters from a header; all of them by default."""
    for keyword in list(header):
        match = _ALTERNATE.fullmatch(keyword)
        if match and match[1] in letters:
            header.remove(keyword, ignore_missing=True, remove_all=True)


def free_letters(headers: list[fits.Header], at_least: int) -> str:
    """Remove alternate WCSs until so many letters are free in all of a file's headers.

    The last ones go first: archive files have their own solutions under the first letters, and
    later tools added theirs. The one from the pointing stays.

    Returns
    -------
    str
        The letters that were freed; empty where there were enough.
    """
    taken = {
        match[1]
        for header in headers
        for keyword in header
        if (match := _ALTERNATE.fullmatch(keyword))
    }
    surplus = max(len(taken) + at_least - len(string.ascii_uppercase), 0)
    removable = sorted(taken - {_ORIGINAL}, reverse=True)
    letters = "".join(sorted(removable[:surplus]))
    for header in headers:
        drop_alternates(header, letters)
    return letters
