"""Measure a fit through the header it left, not through what the tool said."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.astrometry import matching
from hst_assets.astrometry.cross_validation import CrossValidation, cross_validate, parts_of
from hst_assets.astrometry.exposure_field import Field
from hst_assets.astrometry.gate import FitNumbers
from hst_assets.astrometry.methods.fit import Fit
from hst_assets.detection import image_planes
from hst_assets.settings import GateSettings

__all__ = ["MATCH_UNITS", "ONE_PLACE_PIX", "measure", "remaining_tilt"]

#: Pairs that agree within this are at one place (pixels): what differs by more is two fits.
ONE_PLACE_PIX = 0.5
_FEWEST_FOR_TILT = 3
_FEWEST_FOR_ALL = 10

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
    reference_sky: NDArray[np.float64],
    fit: Fit,
    *,
    geometry: matching.Geometry,
    limits: GateSettings,
    tolerance: float,
    search_pix: int,
) -> tuple[FitNumbers, Table]:
    """Measure a fit through the header it left, not through what the tool said.

    Parameters
    ----------
    field : Field
        The exposure before the fit.
    stars : `~astropy.table.Table`
        Its stars, all of which could be fitted (x, y: 0-based pixels; extver).
    reference_sky : ndarray, shape (n, 2)
        RA and Dec (deg) of the reference's stars.
    fit : Fit
        The fit.
    geometry : {"shift", "rshift", "rscale", "general"}
        What it could change.
    limits : GateSettings
        The share of stars that is kept out at a time, and the range of the priors.
    tolerance, search_pix : float, int
        As the tool had them, in native pixels.

    Returns
    -------
    numbers : FitNumbers
    matches : `~astropy.table.Table`
        One row a star of the fit: x, y (0-based pixels), extver, predicted (whether a fit
        without it found it), dx, dy (reference minus star, native pixels), dra, ddec (mas), ra,
        dec (deg, of the reference star).
    """
    before = field.plane.project(image_planes.sky_positions(stars, field.wcs_of))
    after_wcs = image_planes.wcs_by_extver(fit.aligned)
    after = field.plane.project(image_planes.sky_positions(stars, after_wcs))
    reference = field.plane.project(reference_sky)
    check = cross_validate(
        before,
        after,
        reference,
        parts_of(len(stars), limits.held_out_fraction, field.rootname),
        geometry,
        search=search_pix,
        radius=tolerance,
    )
    numbers, native = _numbers(
        field, stars, (before, after), after_wcs, reference, fit, check, limits=limits,
        tolerance=tolerance, search=search_pix,
    )  # fmt: skip
    star, match = fit.image_index, fit.reference_index
    residual = reference[match] - after[star]
    matches = Table(
        {
            "x": np.asarray(stars["x"])[star],
            "y": np.asarray(stars["y"])[star],
            "extver": np.asarray(stars["extver"])[star],
            "predicted": np.isin(star, check.found),
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


def _numbers(
    field: Field,
    stars: Table,
    before_after: tuple[NDArray[np.float64], NDArray[np.float64]],
    wcs_of: dict[int, WCS],
    reference: NDArray[np.float64],
    fit: Fit,
    check: CrossValidation,
    *,
    limits: GateSettings,
    tolerance: float,
    search: int,
) -> tuple[FitNumbers, NDArray[np.float64]]:
    """The numbers, and the residuals of the fit's stars in native pixels."""
    scale_arcsec = field.plane.scale_arcsec
    before, after = before_after
    shift, rotation, scale = matching.rigid_motion(before, after)
    residual = reference[fit.reference_index] - after[fit.image_index]
    native = _to_native(field, stars[fit.image_index], wcs_of, residual)
    held_out = _to_native(field, stars[check.found], wcs_of, check.residual)
    rms, sky_rms = _rms(native), _rms(residual) * scale_arcsec * 1e3
    tilt, tilt_error = remaining_tilt(after, reference, tolerance)
    contrast, _, _ = matching.contrast(after, reference, search=search, radius=tolerance)
    reach = max(limits.max_shift_arcsec / scale_arcsec, search)
    numbers = FitNumbers(
        n_matches=len(native),
        rms_x=rms[0],
        rms_y=rms[1],
        reported_rms=max(fit.rms_x, fit.rms_y) * _pixel_ratio(native, residual),
        rms_ra_mas=sky_rms[0],
        rms_dec_mas=sky_rms[1],
        shift_ra_arcsec=-shift[0] * scale_arcsec,
        shift_dec_arcsec=shift[1] * scale_arcsec,
        rotation_deg=rotation,
        scale=scale,
        n_held_out=len(held_out),
        n_held_out_chance=matching.chance_pairs(after, reference, radius=tolerance, search=search),
        held_out_x=_median(held_out[:, 0]),
        held_out_y=_median(held_out[:, 1]),
        held_out_rms=float(np.max(np.std(held_out, axis=0))) if len(held_out) else math.nan,
        drift=check.drift,
        tilt=tilt,
        tilt_error=tilt_error,
        contrast=contrast,
        uniqueness=matching.uniqueness(after, reference, radius=ONE_PLACE_PIX, reach=reach),
    )
    return numbers, native


def remaining_tilt(
    after: NDArray[np.float64], reference: NDArray[np.float64], tolerance: float
) -> tuple[float, float]:
    """Rotation, scale and skew that remain between the pairs, in pixels, and the standard error.

    They are given as the median, over the stars, of the displacement that they cause: that by all
    linear terms (rotation, scale, skew, and a scale of one axis alone), or by rotation and scale if
    there are fewer than ten pairs.
    """
    a, b = matching.nearest(after, reference, tolerance)
    if len(a) < _FEWEST_FOR_TILT:
        return math.nan, math.nan
    all_terms = len(a) >= _FEWEST_FOR_ALL
    wanted = matching.fit_motion(after[a], reference[b], "general" if all_terms else "rscale")
    left = reference[b] - wanted(after[a])
    arms = after[a] - after[a].mean(axis=0)
    tilt = float(np.median(np.hypot(*(arms @ (wanted.matrix - np.eye(2))).T)))
    # Of the terms of one axis: sigma times the root of the leverage of the median star.
    freedom = 1 - (3 if all_terms else 2) / len(a)
    sigma = math.sqrt(float(np.mean(left**2)) / freedom)
    spread = arms.T @ arms if all_terms else np.eye(2) * float(np.sum(arms**2))
    leverage = np.sum((arms @ np.linalg.pinv(spread)) * arms, axis=1)
    return tilt, sigma * math.sqrt(float(np.median(leverage)))


def _to_native(
    field: Field, stars: Table, wcs_of: dict[int, WCS], residual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Residuals on the plane as residuals in the detector's pixels, by the local Jacobian."""
    step = 0.5

    def moved(dx: float, dy: float) -> NDArray[np.float64]:
        table = stars.copy()
        table["x"], table["y"] = np.asarray(stars["x"]) + dx, np.asarray(stars["y"]) + dy
        return field.plane.project(image_planes.sky_positions(table, wcs_of))

    if len(stars) == 0:
        return np.zeros((0, 2))
    along_x = moved(step, 0) - moved(-step, 0)
    along_y = moved(0, step) - moved(0, -step)
    jacobian = np.stack([along_x, along_y], axis=-1)
    return np.asarray(np.linalg.solve(jacobian, residual[..., None])[..., 0])


def _pixel_ratio(native: NDArray[np.float64], on_plane: NDArray[np.float64]) -> float:
    """Pixels of the stars' own chips over the detector's nominal ones (WFPC2's PC has smaller)."""
    total = float(np.sum(on_plane**2))
    return math.sqrt(float(np.sum(native**2)) / total) if total > 0 else 1.0


def _rms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) == 0:
        return np.full(2, math.nan)
    return np.asarray(np.sqrt(np.mean(values**2, axis=0)))


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else math.nan
