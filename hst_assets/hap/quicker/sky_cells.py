"""The sky cells that an exposure touches, found once for a file.

``processing_utils.add_skycell_to_header`` of drizzlepac 3.11 asks for them once for each chip of
the file, of the whole file; ``GridDefs._find_bands`` compares the table of bands with each of the
thousands of points of an outline, and ``SkyFootprint.get_edges_sky`` converts the same edge to the
sky again for each cell. Only child processes use this, through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["asked_once", "edges_once", "find_bands"]

_Edges = tuple[NDArray[np.float64], NDArray[np.float64]]


def find_bands(grid: Any, dec: ArrayLike) -> None:
    """In place of ``cell_utils.GridDefs._find_bands``.

    Parameters
    ----------
    grid : GridDefs
        drizzlepac's object; its ``bands`` are set to the rows that span all declinations.
    dec : array_like
        Degrees.
    """
    declinations = np.atleast_1d(np.asarray(dec, dtype=float))
    spans = (declinations.max() <= grid.rings.field("dec_max")) & (
        declinations.min() >= grid.rings.field("dec_min")
    )
    grid.bands = [grid.rings[index] for index in np.flatnonzero(spans)]


def edges_once(method: Callable[..., _Edges]) -> Callable[..., _Edges]:
    """A ``SkyFootprint.get_edges_sky`` that converts an edge to the sky once.

    Parameters
    ----------
    method : callable
        That of drizzlepac. The edge is traced when it is asked for first, and stays that of all
        exposures whichever member is named later (``find_corners`` runs once).
    """

    def get_edges_sky(footprint: Any, member: str = "total") -> _Edges:
        if footprint.edges_ra is None:
            return method(footprint, member=member)
        return footprint.edges_ra, footprint.edges_dec

    return get_edges_sky


def asked_once(method: Callable[..., Any]) -> Callable[..., Any]:
    """A ``cell_utils.get_sky_cells`` that remembers its last answer.

    Parameters
    ----------
    method : callable
        That of drizzlepac. A file that was written to since is asked of anew.
    """
    last: dict[tuple[tuple[str, int], ...], Any] = {}

    def get_sky_cells(visit_input: list[str]) -> Any:
        key = tuple((name, Path(name).stat().st_mtime_ns) for name in visit_input)
        if key not in last:
            last.clear()
            last[key] = method(visit_input)
        return last[key]

    return get_sky_cells
