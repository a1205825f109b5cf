"""DOLPHOT's file of warnings, line by line: what each is about, and how grave it is.

The program warns of few stars and of scatter, and goes on. An image whose alignment it could not
measure is a problem of the catalogue; few stars for the PSF or the aperture corrections make it
less exact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["RunWarning", "read_warnings"]

Kind = Literal[
    "few alignment stars",
    "few aperture stars",
    "few psf stars",
    "large alignment scatter",
    "no alignment stars",
    "other",
]

_IMAGE = r" (?:in|for) image (?P<image>\d+), (?P<name>.*)"
#: What the program writes (version 2.0), what it is, and whether the catalogue suffers.
_PATTERNS: tuple[tuple[str, Kind, bool], ...] = (
    (rf"No alignment stars (?:matched|trimmed){_IMAGE}", "no alignment stars", True),
    (rf"Only (?P<value>\d+) alignment stars used{_IMAGE}", "few alignment stars", True),
    (
        rf"Large alignment scatter \( ?(?P<value>[\d.]+) pix\){_IMAGE}",
        "large alignment scatter",
        True,
    ),
    (r"Only (?P<value>\d+) stars for alignment", "few alignment stars", False),
    (rf"Only (?P<value>\d+) stars for PSF measurement(?:{_IMAGE})?", "few psf stars", False),
    (rf"Only (?P<value>\d+) aperture stars{_IMAGE}", "few aperture stars", False),
)


@dataclass(frozen=True)
class RunWarning:
    """One warning.

    Attributes
    ----------
    kind : str
        What it is about; ``other`` where the line is not known.
    text : str
        The line.
    image : int or None
        Number of the image it is of, from 1; None if it is of the whole chip.
    name : str
        The image as DOLPHOT prints it: its file, filter and exposure time.
    value : float or None
        Number of stars, or scatter in pixels.
    is_problem : bool
        Whether positions or magnitudes of an image are in doubt.
    """

    kind: Kind
    text: str
    image: int | None = None
    name: str = ""
    value: float | None = None
    is_problem: bool = False


def read_warnings(path: Path) -> list[RunWarning]:
    """The warnings of a run, in the file's order.

    Parameters
    ----------
    path : `~pathlib.Path`
        ``dp0000.warnings``.

    Returns
    -------
    list of RunWarning
        Unknown lines are of kind ``other``, and problems.
    """
    lines = path.read_text(errors="replace").splitlines()
    return [_warning(line.strip()) for line in lines if line.strip()]


def _warning(line: str) -> RunWarning:
    for pattern, kind, is_problem in _PATTERNS:
        match = re.fullmatch(pattern, line)
        if match:
            found = match.groupdict()
            image, value = found.get("image"), found.get("value")
            return RunWarning(
                kind,
                line,
                image=None if image is None else int(image),
                name=found.get("name") or "",
                value=None if value is None else float(value),
                is_problem=is_problem,
            )
    return RunWarning("other", line, is_problem=True)
