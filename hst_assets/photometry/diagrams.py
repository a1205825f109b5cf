"""Diagrams of a catalogue for the web UI: colours against magnitudes, completeness.

They are drawn on a canvas of their own: nothing of a notebook's pyplot is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.workdir import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hst_assets.photometry.artificial_stars.completeness import CompletenessCurve, Limit

__all__ = ["write_colour_magnitude_diagram", "write_completeness_diagram"]

Floats = NDArray[np.float64]

_SIZE_INCHES = (5.6, 4.6)
_DOTS_PER_INCH = 110
_KEPT, _CUT, _TARGET = "#1f4e79", "#b8bec6", "#d1495b"
_COLOURS = ("#1f4e79", "#d1495b", "#3a7d44", "#8a5a9e", "#b8860b", "#2f8f9d")
#: Magnitudes beyond which one star in two hundred lies do not stretch the axes.
_SHOWN_PERCENT = (0.5, 99.5)


def write_colour_magnitude_diagram(
    blue: Floats,
    red: Floats,
    kept: NDArray[np.bool_],
    path: Path,
    *,
    names: tuple[str, str],
    systems: tuple[str, str] = ("Vega", "Vega"),
) -> Path:
    """Draw the red magnitude against the colour, stars that pass the cuts over the others.

    Parameters
    ----------
    blue, red : ndarray of shape (n,)
        Magnitudes in two filters; NaN where a star is not seen.
    kept : ndarray of bool of shape (n,)
        Which stars pass the quality cuts.
    path : `~pathlib.Path`
        The PNG file; written in one step.
    names : tuple of str
        The two filters.
    systems : tuple of str, optional
        The systems of their magnitudes, which the axes name.

    Raises
    ------
    UnusableInput
        If no star was measured in both filters.
    """
    both = np.isfinite(blue) & np.isfinite(red)
    if not both.any():
        raise UnusableInput(f"no star was measured in both {names[0]} and {names[1]}")
    figure, (axes,) = _figure(1)
    colour = blue - red
    size = _dot_size(int(np.count_nonzero(both)))
    for chosen, ink, label in ((both & ~kept, _CUT, "cut"), (both & kept, _KEPT, "kept")):
        axes.plot(
            colour[chosen],
            red[chosen],
            ".",
            ms=size,
            mew=0,
            color=ink,
            rasterized=True,
            label=f"{label}: {np.count_nonzero(chosen)}",
        )
    axes.set_xlim(*_span(colour[both]))
    axes.set_ylim(*_span(red[both])[::-1])
    axes.set_xlabel(_colour_label(names, systems))
    axes.set_ylabel(f"{names[1]} ({systems[1]} mag)")
    axes.legend(frameon=False, handlelength=0.5, fontsize="small", markerscale=6.0 / size)
    return _save(figure, path)


def _colour_label(names: tuple[str, str], systems: tuple[str, str]) -> str:
    if len(set(systems)) == 1:
        return f"{names[0]} - {names[1]} ({systems[0]} mag)"
    return f"{names[0]} ({systems[0]}) - {names[1]} ({systems[1]}) (mag)"


def write_completeness_diagram(
    curves: Mapping[str, CompletenessCurve], limits: Mapping[str, Limit], path: Path
) -> Path:
    """Draw completeness with its binomial errors, and bias with scatter, against magnitude.

    Parameters
    ----------
    curves : mapping
        Filter to its curve.
    limits : mapping
        Filter to its 50 % limit, marked where there is one.
    path : `~pathlib.Path`
        The PNG file; written in one step.
    """
    figure, (upper, lower) = _figure(2)
    for (name, curve), ink in zip(curves.items(), _COLOURS * len(curves), strict=False):
        errors = [curve.completeness - curve.low, curve.high - curve.completeness]
        upper.errorbar(
            curve.centre, curve.completeness, np.abs(errors), fmt="o-", ms=3, color=ink, label=name
        )
        limit = limits.get(name)
        if limit is not None and np.isfinite(limit.magnitude):
            upper.axvline(limit.magnitude, color=ink, lw=0.8, ls=":")
        lower.errorbar(curve.centre, curve.bias, curve.scatter, fmt="o", ms=3, color=ink)
    upper.set_ylabel("completeness")
    upper.set_ylim(-0.02, 1.04)
    upper.legend(frameon=False, fontsize="small")
    lower.axhline(0.0, color=_CUT, lw=0.8)
    lower.set_ylabel("measured - true (mag)")
    lower.set_xlabel("true magnitude (Vega)")
    return _save(figure, path)


def _figure(n_rows: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(n_rows, 1, sharex=True, squeeze=False)
    return figure, [*rows[:, 0]]


def _dot_size(n_stars: int) -> float:
    """Points: a few stars are to be seen, many must not hide each other."""
    return float(np.clip(60.0 / np.sqrt(max(n_stars, 1)), 0.7, 5.0))


def _span(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(values, _SHOWN_PERCENT)
    margin = 0.05 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _save(figure: Figure, path: Path) -> Path:
    with write_atomically(path) as part:
        figure.savefig(part, format="png")
    return path
