"""Outlines of the exposures on the sky as a picture of lines, north up and east to the left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from hst_assets.exposures.footprint import field_centre, parse_footprint
from hst_assets.failures import UnusableInput
from hst_assets.sky_geometry import TangentPlane

__all__ = ["Outline", "SkyChart", "sky_chart"]

Array = NDArray[np.float64]

_INKS = ("#1f4e79", "#c8553d", "#3a7d44", "#8a5a9e", "#b8860b", "#2f8f9d", "#a23b72", "#555b66")
_MARGIN = 0.08
_BARS_ARCSEC = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
#: The bar is the longest of these that takes at most this share of the width.
_BAR_SHARE = 0.3
#: Room below the outlines for the bar, over their height.
_FOOT = 0.1


@dataclass(frozen=True)
class Outline:
    """One chip: its corners as SVG's ``points``, its colour, and its description."""

    points: str
    ink: str
    label: str
    used: bool


@dataclass(frozen=True)
class SkyChart:
    """A chart in arcsec on the tangent plane, x to the west and y to the south.

    Attributes
    ----------
    left, top, width, height : float
        Of what is shown, arcsec.
    outlines : tuple of Outline
        Of every chip.
    bands : tuple of (str, str)
        Each band with its colour.
    cross : str
        SVG path of the target's cross; empty without a position.
    bar_arcsec : float
        Length of the bar.
    n_without : int
        Exposures that are not drawn: without a footprint, or far from the target.
    """

    left: float
    top: float
    width: float
    height: float
    outlines: tuple[Outline, ...]
    bands: tuple[tuple[str, str], ...]
    cross: str
    bar_arcsec: float
    n_without: int


def sky_chart(exposures: QTable, position: tuple[float, float] | None) -> SkyChart:
    """The chart of the exposures of a target.

    Parameters
    ----------
    exposures : QTable
        Of `hst_assets.exposures.columns.EXPOSURE_COLUMNS`.
    position : tuple of float or None
        RA and Dec of the target, degrees.

    Raises
    ------
    UnusableInput
        If no exposure has a footprint.
    """
    found = [(row, _polygons(str(row["footprint"]))) for row in exposures]
    known = [polygon for _, polygons in found for polygon in polygons]
    if not known:
        raise UnusableInput("no exposure has a footprint")
    plane = TangentPlane.about(np.array([position or field_centre(known)]), 1.0)
    drawn = [(row, polygons) for row, polygons in found if _is_near(plane, polygons)]
    if not drawn:
        raise UnusableInput("every exposure lies on the other side of the sky")
    names = sorted({_band(row) for row, _ in drawn})
    inks = {name: _INKS[n % len(_INKS)] for n, name in enumerate(names)}
    chips = [(row, _places(plane, polygon)) for row, polygons in drawn for polygon in polygons]
    outlines = [_outline(row, places, inks[_band(row)]) for row, places in chips]
    corners = [places for _, places in chips]
    at = _places(plane, np.array([position]))[0] if position else None
    everything = np.vstack([*corners, at[None, :]] if at is not None else corners)
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = _MARGIN * float((high - low).max())
    width, height = (high - low + 2 * margin).tolist()
    height *= 1.0 + _FOOT
    left, top = (low - margin).tolist()
    bars = [bar for bar in _BARS_ARCSEC if bar <= _BAR_SHARE * width]
    return SkyChart(
        left,
        top,
        width,
        height,
        tuple(outlines),
        tuple(inks.items()),
        _cross(at, 0.03 * max(width, height)),
        float(max(bars, default=_BARS_ARCSEC[0])),
        len(found) - len(drawn),
    )


def _polygons(text: str) -> list[Array]:
    try:
        return parse_footprint(text) if text else []
    except UnusableInput:
        return []


def _is_near(plane: TangentPlane, polygons: Sequence[Array]) -> bool:
    """Whether there is an outline, all of which the plane can have."""
    return bool(polygons) and all(np.isfinite(_places(plane, each)).all() for each in polygons)


def _places(plane: TangentPlane, positions: Array) -> Array:
    """Arcsec to the west and to the south: as a chart of the sky grows on a screen."""
    places: Array = plane.project(positions) * np.array([1.0, -1.0])
    return places


def _band(row: Any) -> str:
    return f"{row['detector_key']} {row['filter']}"


def _outline(row: Any, places: Array, ink: str) -> Outline:
    used = bool(row["used"])
    told = f"{row['rootname']} {_band(row)}"
    if not used:
        told += f" (not used: {row['reason']})"
    return Outline(" ".join(f"{x:.2f},{y:.2f}" for x, y in places), ink, told, used)


def _cross(at: Sequence[float] | Array | None, size: float) -> str:
    """Four strokes about a position, which itself stays free."""
    if at is None:
        return ""
    x, y = float(at[0]), float(at[1])
    return "".join(
        f"M{x + 0.4 * size * dx:.2f} {y + 0.4 * size * dy:.2f}"
        f"L{x + size * dx:.2f} {y + size * dy:.2f}"
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )
