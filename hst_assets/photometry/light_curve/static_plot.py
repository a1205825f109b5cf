"""A picture of a light curve, for where no page can be shown: the web UI's metadata."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable

from hst_assets.photometry.light_curve.table import time_series
from hst_assets.workdir import write_atomically

__all__ = ["write_static_plot"]

_SIZE_INCHES = (6.4, 4.4)
_DOTS_PER_INCH = 110
_COLOURS = ("#1f4e79", "#d1495b", "#3a7d44", "#8a5a9e", "#b8860b", "#2f8f9d", "#555b66")
_MARKERS = {"catalog": "o", "forced": "s", "difference": "^"}
#: Fainter fluxes are drawn as limits.
_SEEN_SNR = 3.0


def write_static_plot(table: QTable, path: Path, *, source: int = 0) -> Path:
    """Draw AB magnitudes of the epochs of a place against time, with limits where nothing is seen.

    Parameters
    ----------
    table : QTable
        Of `hst_assets.photometry.light_curve.table.LIGHT_CURVE_COLUMNS`.
    path : `~pathlib.Path`
        The PNG file; written in one step.
    source : int, optional
        Number of the place.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    chosen = (np.asarray(table["source"]) == source) & (np.asarray(table["level"]) == "epoch")
    rows = table[chosen & (np.asarray(table["n_images"]) > 0)]
    bands = list(dict.fromkeys(zip(rows["detector"], rows["filter_name"], strict=True)))
    for at, (detector, filter_name) in enumerate(bands):
        ink = _COLOURS[at % len(_COLOURS)]
        of_band = (np.asarray(rows["detector"]) == detector) & (
            np.asarray(rows["filter_name"]) == filter_name
        )
        for method in dict.fromkeys(rows["method"][of_band]):
            part = time_series(rows[of_band & (np.asarray(rows["method"]) == method)])
            mjd = part["mjd"].to_value(u.day)
            seen = np.asarray(part["snr"]) >= _SEEN_SNR
            axes.errorbar(
                mjd[seen],
                part["ab_mag"].to_value(u.mag)[seen],
                part["ab_mag_error"].to_value(u.mag)[seen],
                fmt=_MARKERS[method],
                ms=4,
                color=ink,
                mfc=ink if method == "catalog" else "none",
                label=f"{filter_name} ({detector}, {method})",
            )
            limit = part["limit_3sigma_ab_mag"].to_value(u.mag)[~seen]
            axes.plot(mjd[~seen], limit, "v", ms=6, mfc="none", color=ink)
    axes.invert_yaxis()
    axes.set_xlabel("MJD (UTC)")
    axes.set_ylabel("AB magnitude (triangles down: 3 sigma limits)")
    if bands:
        axes.legend(frameon=False, fontsize="x-small")
    else:
        axes.text(0.5, 0.5, "nothing was measured", ha="center", transform=axes.transAxes)
    with write_atomically(path) as part_path:
        figure.savefig(part_path, format="png")
    return path
