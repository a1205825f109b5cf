"""What an aligned exposure's primary header says of its alignment.

The keywords are the hst123 guide's (TWEAKSUC; HST123 ALIGNOK, ALIGNMT, ALIGNRF) with the numbers
beside them. Every value fits its card: digests are cut to 40 hexadecimal digits.
"""

from __future__ import annotations

import math
from pathlib import Path

from astropy.io import fits

from hst_assets.astrometry.gate import FitNumbers

__all__ = ["ANCHOR", "SHORT_DIGEST", "alignment_cards", "write_cards"]

SHORT_DIGEST = 40
#: The method of an exposure that needs no fit because its own WCS is the reference frame.
ANCHOR = "anchor"
_LONGEST_TEXT = 45

Card = tuple[str, str | int | float | bool]

_NUMBERS = (
    ("ALIGNNM", "n_matches"),
    ("ALIGNRX", "rms_x"),
    ("ALIGNRY", "rms_y"),
    ("ALIGNDA", "shift_ra_arcsec"),
    ("ALIGNDD", "shift_dec_arcsec"),
    ("ALIGNRO", "rotation_deg"),
    ("ALIGNCT", "contrast"),
)


def alignment_cards(
    *, status: str, method: str, reference: str, recipe: str, numbers: FitNumbers | None
) -> list[Card]:
    """The cards for one exposure.

    Parameters
    ----------
    status : str
        PASS, COMPROMISED, FAIL or SKIPPED.
    method : str
        ``"tweakreg"``, `ANCHOR`, or ``"none"``.
    reference, recipe : str
        Digest of the reference and of this alignment's recipe.
    numbers : FitNumbers or None
        Of the fit that was judged, if there was one.
    """
    good = status in ("PASS", "COMPROMISED")
    cards: list[Card] = [("TWEAKSUC", 1)] if good and method != ANCHOR else []
    cards += [
        ("HIERARCH HST123 ALIGNOK", good),
        ("HIERARCH HST123 ALIGNST", status),
        ("HIERARCH HST123 ALIGNMT", method[:_LONGEST_TEXT]),
        ("HIERARCH HST123 ALIGNRF", reference[:SHORT_DIGEST]),
        ("HIERARCH HST123 ALIGNDG", recipe[:SHORT_DIGEST]),
    ]
    for key, name in _NUMBERS:
        value = getattr(numbers, name, math.nan)
        if math.isfinite(value):
            cards.append((f"HIERARCH HST123 {key}", round(value, 8)))
    return cards


def write_cards(path: Path, cards: list[Card]) -> None:
    """Set the cards in the primary header of a working copy; nothing else is touched.

    Those of an earlier alignment go first, as an adopted work directory's exposures have them.
    """
    with fits.open(path, mode="update", memmap=False) as hdus:
        header = hdus[0].header
        for key in ("TWEAKSUC", *(f"HST123 {key}" for key, _ in _NUMBERS)):
            header.remove(key, ignore_missing=True)
        for key, value in cards:
            header[key] = value
