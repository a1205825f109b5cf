"""Star lists as TweakReg reads them, for those who want to match by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

__all__ = ["star_list_name", "write_star_lists"]

_HEADER = (
    "x y flux held_out\n"
    "x and y count from 1 at the centre of the first pixel, as TweakReg counts (xcol=1, ycol=2);\n"
    "flux in the unit of the SCI plane; held_out: 1 if kept out of the fit to judge it"
)


def star_list_name(rootname: str, extver: int) -> str:
    """``<rootname>_sci<EXTVER>.coo``, TweakReg's own name for such a list."""
    return f"{rootname}_sci{extver}.coo"


def write_star_lists(
    stars: Table, held_out: NDArray[np.bool_], rootname: str, folder: Path
) -> list[Path]:
    """Write one list a SCI plane that has stars; return the files.

    Parameters
    ----------
    stars : `~astropy.table.Table`
        x, y (0-based pixels), flux, extver.
    held_out : ndarray of bool, shape (n,)
        Which of them were kept out of the fit.
    rootname : str
        Of the exposure.
    folder : `~pathlib.Path`
        Where to.
    """
    written = []
    for extver in np.unique(np.asarray(stars["extver"])):
        rows = np.asarray(stars["extver"]) == extver
        x, y, flux = (np.asarray(stars[name], float)[rows] for name in ("x", "y", "flux"))
        path = folder / star_list_name(rootname, int(extver))
        np.savetxt(
            path,
            np.column_stack([x + 1.0, y + 1.0, flux, held_out[rows]]),
            fmt=("%.6f", "%.6f", "%.8g", "%d"),
            header=_HEADER,
        )
        written.append(path)
    return written
