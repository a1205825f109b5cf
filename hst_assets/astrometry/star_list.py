"""Star lists as TweakReg reads them, for those who want to match by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table

__all__ = ["star_list_name", "write_star_lists"]

_HEADER = (
    "x y flux\n"
    "x and y count from 1 at the centre of the first pixel, as TweakReg counts (xcol=1, ycol=2);\n"
    "flux in the unit of the SCI plane"
)


def star_list_name(rootname: str, extver: int) -> str:
    """``<rootname>_sci<EXTVER>.coo``, TweakReg's own name for such a list."""
    return f"{rootname}_sci{extver}.coo"


def write_star_lists(stars: Table, rootname: str, folder: Path) -> list[Path]:
    """Write one list a SCI plane that has stars; return the files.

    Parameters
    ----------
    stars : `~astropy.table.Table`
        x, y (0-based pixels), flux, extver.
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
            np.column_stack([x + 1.0, y + 1.0, flux]),
            fmt=("%.6f", "%.6f", "%.8g"),
            header=_HEADER,
        )
        written.append(path)
    return written
