"""Quality of stars over several images, and what kind of object each is, as DOLPHOT combines them.

All images count. The weights are those of the program DOLPHOT 2.0 (`eval`, `getround` and
`photsearch` of its source). Filters are combined where a catalogue is made
(`hst_assets.photometry.psf.catalog_files`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.star_quality import ProfileFit, StarQuality, largest_roundness

__all__ = ["EXTENDED", "CombinedQuality", "object_quality", "object_types"]

Floats = NDArray[np.float64]

_LIMIT = 9.999
_BRIGHT, _FAINT, _HOT_PIXEL, EXTENDED = 1, 2, 4, 5


@dataclass(frozen=True, eq=False)
class CombinedQuality:
    """The quality of n stars over images; NaN where no image counts.

    Attributes
    ----------
    chi, sharpness, roundness, position_angle_deg, crowding_mag : ndarray, shape (n,)
        As of `StarQuality`.
    image_roundness : ndarray, shape (k, n)
        Roundness of each image along the object's major axis, of either sign: what a catalogue
        gives as an image's roundness.
    flag : ndarray of int, shape (n,)
        Flags of the images that count, put together.
    """

    chi: Floats
    sharpness: Floats
    roundness: Floats
    position_angle_deg: Floats
    crowding_mag: Floats
    image_roundness: Floats
    flag: NDArray[np.int32]


def object_quality(
    images: Sequence[StarQuality], flux_e: Floats, flux_error_e: Floats, exptime_s: Floats
) -> CombinedQuality:
    """The quality of each star over all images.

    Chi is weighted by degrees of freedom, sharpness and crowding by the rate over its variance
    (its size for crowding; what is negative does not count for sharpness), roundness by flux over
    variance.

    Parameters
    ----------
    images : sequence of StarQuality
        Of k images, the same n stars in each.
    flux_e, flux_error_e : ndarray, shape (k, n)
        Electrons and their standard errors; infinite where nothing was measured.
    exptime_s : ndarray, shape (k,)
        Exposure times.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    flux, weight, rate_weight = _weights(images, flux_e, flux_error_e, exptime_s)
    positive = np.maximum(flux, 0.0)
    cosine = _mean([q.roundness_cos for q in images], positive * weight)
    sine = _mean([q.roundness_sin for q in images], positive * weight)
    roundness, angle = largest_roundness(cosine, sine)
    turned = np.deg2rad(2 * angle)
    along = [q.roundness_cos * np.cos(turned) + q.roundness_sin * np.sin(turned) for q in images]
    freedom = np.array([q.chi_weight for q in images])
    return CombinedQuality(
        chi=np.sqrt(_mean([q.chi**2 for q in images], freedom)),
        sharpness=_mean([q.sharpness for q in images], positive * rate_weight),
        roundness=roundness,
        position_angle_deg=angle,
        crowding_mag=_mean([q.crowding_mag for q in images], np.abs(flux) * rate_weight),
        image_roundness=np.clip(along, -_LIMIT, _LIMIT),
        flag=np.bitwise_or.reduce([q.flag for q in images]),
    )


def object_types(
    images: Sequence[StarQuality], *, min_snr: float = 5.0, stars_only: bool = False
) -> NDArray[np.int32]:
    """What each object is: 1 bright star, 2 faint star, 4 hot pixel, 5 extended.

    An object is a hot pixel if the narrow profile has a smaller chi over all images than the PSF
    and the broad profile, and extended if the broad profile has a smaller one than the PSF. Below
    `min_snr` of the profile chosen, it is a faint star.

    Parameters
    ----------
    images : sequence of StarQuality
        Of k images, the same n stars in each.
    min_snr : float, optional
        Signal-to-noise ratio over all images from which shapes are told (SigPSF).
    stars_only : bool, optional
        Only 1 and 2 (Force1).

    Returns
    -------
    ndarray of int, shape (n,)
        `hst_assets.photometry.catalog.quantities.OBJECT_TYPES`; 3 is never given.
    """
    freedom = np.array([q.chi_weight for q in images])
    star, narrow, broad = (
        _profile([getattr(q, name) for q in images], freedom)
        for name in ("star", "narrow", "broad")
    )
    kind = np.full(freedom.shape[1], _BRIGHT, np.int32)
    snr = star[1].copy()
    shapes = np.zeros(len(kind), bool) if stars_only else star[1] >= min_snr
    hot = shapes & (narrow[0] < star[0]) & (narrow[0] < broad[0])
    extended = shapes & ~hot & (broad[0] < star[0])
    kind[hot], snr[hot] = _HOT_PIXEL, narrow[1][hot]
    kind[extended], snr[extended] = EXTENDED, broad[1][extended]
    kind[~(snr >= min_snr)] = _FAINT
    return kind


def _profile(fits: Sequence[ProfileFit], freedom: Floats) -> tuple[Floats, Floats]:
    """Mean squared chi of a profile over images, and its signal-to-noise ratio."""
    flux = np.array([fit.flux_e for fit in fits])
    error = np.array([fit.flux_error_e for fit in fits])
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = np.where(error > 0, flux / error, 0.0)
        total = np.sqrt((snr**2).sum(axis=0))
        joint = np.where(total > 0, (np.sign(snr) * snr**2).sum(axis=0) / total, 0.0)
    return _mean([fit.chi**2 for fit in fits], freedom), joint


def _weights(
    images: Sequence[StarQuality], flux_e: Floats, flux_error_e: Floats, exptime_s: Floats
) -> tuple[Floats, Floats, Floats]:
    """Flux, 1 / variance of the flux, and that times the exposure time; 0 where unknown."""
    flux, error = np.asarray(flux_e, dtype=float), np.asarray(flux_error_e, dtype=float)
    shape = (len(images), len(images[0]) if images else 0)
    if flux.shape != shape or error.shape != shape or len(exptime_s) != shape[0]:
        raise ValueError("fluxes, errors and exposure times do not fit the images")
    known = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    weight = np.where(known, 1.0 / np.where(known, error, 1.0) ** 2, 0.0)
    # A rate over the variance of a rate is flux times exposure time over the variance of the flux.
    return np.where(known, flux, 0.0), weight, weight * np.asarray(exptime_s, dtype=float)[:, None]


def _mean(values: Sequence[Floats], weights: Floats) -> Floats:
    """Weighted mean over images; NaN where no image has a value and a weight."""
    stacked = np.asarray(values, dtype=float)
    weight = np.where(np.isfinite(stacked), weights, 0.0)
    total = weight.sum(axis=0)
    norm = np.where(total > 0, total, np.nan)
    mean: Floats = (np.where(weight > 0, stacked, 0.0) * weight).sum(axis=0) / norm
    return mean
