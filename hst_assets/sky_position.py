"""A position on the sky, read from what people write."""

from __future__ import annotations

import re
import warnings

__all__ = ["parse_position"]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
#: Signs as they come out of papers.
_AS_TYPED = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-"})


def parse_position(text: str) -> tuple[float, float]:
    """Right ascension and declination (ICRS, degrees) from ``"ra,dec"``.

    Parameters
    ----------
    text : str
        Decimal degrees, or sexagesimal with colons, spaces or letters; right ascension is in
        hours where it is sexagesimal, unless it says degrees (``150d06m``). Without a comma, two
        words or six numbers.

    Raises
    ------
    ValueError
        If it is none of these, or out of range.

    Examples
    --------
    >>> parse_position("150.1, -2.5")
    (150.1, -2.5)
    >>> parse_position("10:00:24 +02:30:00")
    (150.1, 2.5)
    """
    ra_text, dec_text = _two_parts(text.translate(_AS_TYPED))
    try:
        ra = _degrees(ra_text, "deg" if "d" in ra_text.lower() else "hourangle")
        dec = _degrees(dec_text, "deg")
    except Exception as error:  # astropy raises what its parser does
        raise ValueError(f"not a position: {text!r} ({error})") from error
    if not (0.0 <= ra < 360.0 and -90.0 <= dec <= 90.0):
        raise ValueError(f"not on the sky: {text!r} is {ra:g}, {dec:+g} degrees")
    return round(ra, 9), round(dec, 9)


def _degrees(text: str, unit: str) -> float:
    """An angle in degrees: a number is taken as degrees, anything else is in `unit`."""
    if _NUMBER.fullmatch(text):
        return float(text)
    from astropy.coordinates import Angle  # takes longer than all else of a command

    with warnings.catch_warnings():
        # astropy only warns of 60 minutes and of 24 hours.
        warnings.simplefilter("error")
        return float(Angle(text, unit=unit).deg)


def _two_parts(text: str) -> tuple[str, str]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1:
        words = text.split()
        middle = len(words) // 2
        if len(words) in {2, 6}:
            parts = [" ".join(words[:middle]), " ".join(words[middle:])]
    if len(parts) != 2 or not all(parts):
        raise ValueError(
            f"not a position: {text!r}; write right ascension and declination with a comma"
        )
    return parts[0], parts[1]
