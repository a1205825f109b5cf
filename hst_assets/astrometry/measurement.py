"""Measure a fit through the header it left, not through what the tool said."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.astrometry import matching, sources
from hst_assets.astrometry.field import Field
from hst_assets.astrometry.fit import Fit
from hst_assets.astrometry.gate import FitNumbers

__all__ = ["MATCH_UNITS", "measure"]

#: Columns of the table of matches that have a unit.
MATCH_UNITS = {
    "x": u.pix,
    "y": u.pix,
    "dx": u.pix,
    "dy": u.pix,
    "dra": u.mas,
    "ddec": u.mas,
    "ra": u.deg,
    "dec": u.deg,
}


def measure(
    field: Field,
    stars: Table,
    out: NDArray[np.bool_],
    reference_sky: NDArray[np.float64],
    fit: Fit,
    *,
    tolerance: float,
    search_pix: int,
) -> tuple[FitNumbers, Table]:
    """Measure a fit through the header it left, not through what the tool said.

    Returns
    -------
    numbers : FitNumbers
    matches : `~astropy.table.Table`
        One row a star of the fit and a held-out star found again: x, y (0-based pixels), extver,
        held_out, dx, dy (reference minus star, native pixels), dra, ddec (mas), ra, dec (deg, of
        the reference star).
    """
    after_wcs = sources.wcs_by_extver(fit.aligned)
    before = field.plane.project(sources.sky_positions(stars, field.wcs_of))
    after = field.plane.project(sources.sky_positions(stars, after_wcs))
    reference = field.plane.project(reference_sky)
    shift, rotation, scale = matching.rigid_motion(before, after)

    fitted = np.flatnonzero(~out)[fit.image_index]
    found, partner = matching.nearest(after[out], reference, tolerance)
    kept_out = np.flatnonzero(out)[found]
    star = np.concatenate([fitted, kept_out])
    match = np.concatenate([fit.reference_index, partner])
    residual = reference[match] - after[star]
    native = _to_native(field, stars[star], after_wcs, residual)
    is_out = np.arange(len(star)) >= len(fitted)
    ratio, _, _ = matching.contrast(after, reference, search=search_pix, radius=tolerance)
    rms, sky_rms = _rms(native[~is_out]), _rms(residual[~is_out]) * field.plane.scale_arcsec * 1e3
    numbers = FitNumbers(
        n_matches=len(fitted),
        rms_x=rms[0],
        rms_y=rms[1],
        reported_rms=max(fit.rms_x, fit.rms_y),
        rms_ra_mas=sky_rms[0],
        rms_dec_mas=sky_rms[1],
        shift_ra_arcsec=-shift[0] * field.plane.scale_arcsec,
        shift_dec_arcsec=shift[1] * field.plane.scale_arcsec,
        rotation_deg=rotation,
        scale=scale,
        n_held_out=len(kept_out),
        n_held_out_chance=matching.chance_pairs(
            after[out], reference, radius=tolerance, search=search_pix
        ),
        held_out_x=_median(native[is_out, 0]),
        held_out_y=_median(native[is_out, 1]),
        held_out_rms=float(np.max(np.std(native[is_out], axis=0))) if is_out.any() else math.nan,
        contrast=ratio,
    )
    matches = Table(
        {
            "x": np.asarray(stars["x"])[star],
            "y": np.asarray(stars["y"])[star],
            "extver": np.asarray(stars["extver"])[star],
            "held_out": is_out,
            "dx": native[:, 0],
            "dy": native[:, 1],
            "dra": -residual[:, 0] * field.plane.scale_arcsec * 1e3,
            "ddec": residual[:, 1] * field.plane.scale_arcsec * 1e3,
            "ra": reference_sky[match, 0],
            "dec": reference_sky[match, 1],
        },
        units=MATCH_UNITS,
    )
    return numbers, matches


def _to_native(
    field: Field, stars: Table, wcs_of: dict[int, WCS], residual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Residuals on the plane as residuals in the detector's pixels, by the local Jacobian."""
    step = 0.5

    def moved(dx: float, dy: float) -> NDArray[np.float64]:
        table = stars.copy()
        table["x"], table["y"] = np.asarray(stars["x"]) + dx, np.asarray(stars["y"]) + dy
        return field.plane.project(sources.sky_positions(table, wcs_of))

    if len(stars) == 0:
        return np.zeros((0, 2))
    along_x = moved(step, 0) - moved(-step, 0)
    along_y = moved(0, step) - moved(0, -step)
    jacobian = np.stack([along_x, along_y], axis=-1)
    return np.asarray(np.linalg.solve(jacobian, residual[..., None])[..., 0])


def _rms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) == 0:
        return np.full(2, math.nan)
    return np.asarray(np.sqrt(np.mean(values**2, axis=0)))


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else math.nan
