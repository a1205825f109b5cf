"""How far a run of DOLPHOT is, from what it prints.

The program says where it is ("Finding stars: ") and prints a dot after each search. The share of
each step in the time was measured on one run of 49 s (four WFC3/UVIS images of 400x400 pixels,
1302 stars); in crowded fields searches and writing take more of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hst_assets.progress import Progress

__all__ = ["TOOL", "ProgressReader"]

#: Its name where progress is told.
TOOL = "DOLPHOT"

#: Where each step ends, as a fraction of the time of one chip.
_ALIGNED = 0.15
_FOUND = 0.77
_SOLVED = 0.855
_CORRECTED = 0.86

_IMAGE_ALIGNED = re.compile(r"\d+ matched, \d+ used")
_DOTS = "Finding stars: "


class ProgressReader:
    """Turns what a run prints into its progress, which never goes back.

    Parameters
    ----------
    n_images : int
        Images that are measured.
    n_searches : int
        Dots of a search: SecondPass and two more.
    listen : callable
        Told of each change.
    """

    def __init__(self, n_images: int, n_searches: int, listen: Callable[[Progress], None]) -> None:
        self._n_images = max(n_images, 1)
        self._n_searches = max(n_searches, 1)
        self._listen = listen
        self._line = ""
        self._n_aligned = 0
        self._progress = Progress("reading images", 0.0, TOOL)

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self._progress

    def feed(self, text: str) -> None:
        """Take the next piece of what was printed; it may end anywhere."""
        for piece in text.splitlines(keepends=True):
            self._line += piece
            self._look()
            if piece.endswith("\n"):
                self._line = ""

    def _look(self) -> None:
        line = self._line
        if line.startswith(_DOTS):
            n_done = line.count(".", len(_DOTS))
            share = min(n_done / self._n_searches, 1.0)
            self._reach("finding stars", _ALIGNED + share * (_FOUND - _ALIGNED))
        elif not line.endswith("\n"):
            return
        elif line.startswith("** "):
            self._reach("aligning images", 0.01)
        elif _IMAGE_ALIGNED.search(line):
            self._n_aligned += 1
            share = min(self._n_aligned / self._n_images, 1.0)
            self._reach("aligning images", share * _ALIGNED)
        elif line.endswith(" found\n"):
            self._reach("measuring stars", _FOUND)
        elif line.startswith("Central pixel PSF"):
            self._reach("measuring stars", _SOLVED)
        elif line.startswith("Aperture corrections"):
            self._reach("writing the catalogue", _CORRECTED)
        elif " stars written; " in line:
            self._reach("done", 1.0)

    def _reach(self, step: str, fraction: float) -> None:
        reached = Progress(step, max(fraction, self._progress.fraction), TOOL)
        if reached != self._progress:
            self._progress = reached
            self._listen(reached)
