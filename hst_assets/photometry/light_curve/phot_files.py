"""Light curves as hst123's ``.phot`` and as SNANA reads them: means of epochs and of filters.

A ``.phot`` file has lines of ``# key = value`` about the star, then a row an epoch, then under
``# Average Photometry`` a row a filter. Where nothing is seen, the magnitude is ``nan`` and the
limit says how faint it could have been. SNANA's fluxes have the zero point 27.5 (AB); they may be
negative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from hst_assets.detectors import DETECTORS
from hst_assets.photometry.light_curve.points import AB_ZERO_POINT_UJY
from hst_assets.settings.light_curve import MagnitudeSystem
from hst_assets.workdir import write_atomically

__all__ = ["SNANA_ZERO_POINT", "phot_text", "snana_text", "write_light_curve_texts"]

#: AB magnitude of SNANA's unit of flux (Kessler et al. 2009, PASP 121, 1028).
SNANA_ZERO_POINT = 27.5
_UJY_TO_SNANA = 10 ** (0.4 * (SNANA_ZERO_POINT - AB_ZERO_POINT_UJY))
#: The first of these that measured anything at a place is what its files hold.
_PREFERRED = ("catalog", "forced")
_HEADER = ("MJD", "Instrument", "Filter", "Exposure", "Magnitude", "Uncertainty", "Limit")


def write_light_curve_texts(
    table: QTable, base: Path, system: MagnitudeSystem, sources: Iterable[int]
) -> list[Path]:
    """Write ``.phot`` and ``.snana`` of places.

    Parameters
    ----------
    table : QTable
        Of `hst_assets.photometry.light_curve.table.LIGHT_CURVE_COLUMNS`.
    base : `~pathlib.Path`
        The catalogue: the target's files are ``dp0000.phot`` and ``dp0000.snana``, those of place n
        ``dp0000_n.phot`` and so on.
    system : {"ab", "st", "vega"}
        Of the magnitudes in ``.phot``.
    sources : iterable of int
        Numbers of the places.

    Returns
    -------
    list of `~pathlib.Path`
        The files.
    """
    paths = []
    of_sources = np.asarray(table["source"])
    for source in sources:
        rows = _of_best_method(table[of_sources == source])
        stem = base.name if source == 0 else f"{base.name}_{source}"
        for suffix, text in ((".phot", phot_text(rows, system)), (".snana", snana_text(rows))):
            path = base.with_name(f"{stem}{suffix}")
            with write_atomically(path) as part:
                part.write_text(text)
            paths.append(path)
    return paths


def _of_best_method(rows: QTable) -> QTable:
    """The points of the catalogue's star, or forced ones where it has none."""
    method = np.asarray(rows["method"])
    measured = np.asarray(rows["n_images"]) > 0
    for each in _PREFERRED:
        if (measured & (method == each)).any():
            return rows[method == each]
    return rows[method == _PREFERRED[0]]


def phot_text(rows: QTable, system: MagnitudeSystem = "ab") -> str:
    """The ``.phot`` file of one place and method.

    Parameters
    ----------
    rows : QTable
        Rows of a light curve; those of single exposures are left out.
    system : {"ab", "st", "vega"}, optional
        Of magnitudes and limits.
    """
    lines = [f"# {key} = {value}" for key, value in _about(rows, system)]
    lines.append("# " + _columns(_HEADER))
    levels = np.asarray(rows["level"])
    lines += [_phot_line(row, system) for row in _in_time(rows[levels == "epoch"])]
    lines.append("# Average Photometry")
    lines += [_phot_line(row, system) for row in rows[levels == "filter"]]
    return "".join(f"{line}\n" for line in lines)


def _about(rows: QTable, system: MagnitudeSystem) -> Iterator[tuple[str, object]]:
    if not len(rows):
        return
    first = rows[0]
    yield "object", _one_line(first["name"])
    yield "ra", f"{first['ra'].to_value(u.deg):.8f}"
    yield "dec", f"{first['dec'].to_value(u.deg):.8f}"
    yield "magsystem", f"{system}mag"
    yield "method", first["method"]
    yield "separation", f"{first['offset_arcsec'].to_value(u.arcsec):.4f} arcsec"
    yield "separation_sigma", f"{first['offset_sigma']:.2f}"
    yield "limit", "3 sigma"
    notes = dict.fromkeys(_one_line(note) for note in rows["note"] if note)
    yield from (("note", note) for note in notes)


def _phot_line(row: Any, system: MagnitudeSystem) -> str:
    detector = DETECTORS[str(row["detector"])]
    added = 0.0 if system == "ab" else float(row[f"{system}_minus_ab_mag"].to_value(u.mag))
    return "  " + _columns(
        (
            f"{row['mjd'].to_value(u.day):7.5f}",
            f"{detector.instrument}/{detector.detector}",
            str(row["filter_name"]),
            f"{row['exptime_s'].to_value(u.s):7.4f}",
            f"{row['ab_mag'].to_value(u.mag) + added:3.4f}",
            f"{row['ab_mag_error'].to_value(u.mag):3.4f}",
            f"{row['limit_3sigma_ab_mag'].to_value(u.mag) + added:3.4f}",
        )
    )


def _columns(words: Iterable[str]) -> str:
    return " ".join(f"{word: <14}" for word in words).rstrip()


def snana_text(rows: QTable) -> str:
    """The SNANA file of one place and method: its epochs, in fluxes of zero point 27.5.

    Parameters
    ----------
    rows : QTable
        Rows of a light curve.
    """
    epochs = [
        row
        for row in _in_time(rows[np.asarray(rows["level"]) == "epoch"])
        if math.isfinite(row["flux_ujy"].value)
    ]
    first = rows[0] if len(rows) else None
    lines = ["SURVEY: HST"]
    if first is not None:
        lines += [
            f"SNID: {'_'.join(str(first['name']).split())}",
            f"RA: {first['ra'].to_value(u.deg):.8f}",
            f"DECL: {first['dec'].to_value(u.deg):.8f}",
        ]
    lines += [
        f"NOBS: {len(epochs)}",
        "NVAR: 6",
        "VARLIST: MJD FLT FLUXCAL FLUXCALERR MAG MAGERR",
        *(_observation(row) for row in epochs),
        "END:",
    ]
    return "".join(f"{line}\n" for line in lines)


def _observation(row: Any) -> str:
    detector = DETECTORS[str(row["detector"])]
    flux, error = (
        row[name].to_value(u.uJy) * _UJY_TO_SNANA for name in ("flux_ujy", "flux_error_ujy")
    )
    return (
        f"OBS: {row['mjd'].to_value(u.day):.5f} "
        f"{detector.instrument}/{detector.detector}-{row['filter_name']} {flux:.4f} {error:.4f} "
        f"{row['ab_mag'].to_value(u.mag):.4f} {row['ab_mag_error'].to_value(u.mag):.4f}"
    )


def _in_time(rows: QTable) -> QTable:
    return rows[np.argsort(rows["mjd"].to_value(u.day), kind="stable")]


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
