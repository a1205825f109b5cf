"""How well stars fit: chi, sharpness, roundness, crowding and flags, by DOLPHOT's definitions.

All are measured on what is left of one image when the models of all stars have been subtracted.
The definitions are those of the program DOLPHOT 2.0 (Dolphin 2000, PASP 112, 1383; `eval1_fom`,
`get1round` and `star_flag` of its source), so that its cuts can be used as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.star_quality_loops import (
    FIT_COLUMNS,
    LARGEST,
    PROFILES,
    measure_stars,
)

__all__ = ["ProfileFit", "StarQuality", "largest_roundness", "star_quality"]

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ProfileFit:
    """A profile fitted to the light of n stars on one image, within the aperture.

    Attributes
    ----------
    flux_e, flux_error_e : ndarray, shape (n,)
        Scale of the profile, electrons; its standard error. Of the narrow and the broad profile
        only their ratio means anything: the profile's sum is not 1.
    chi : ndarray, shape (n,)
        As of `StarQuality`, for this profile.
    """

    flux_e: Floats
    flux_error_e: Floats
    chi: Floats


@dataclass(frozen=True, eq=False)
class StarQuality:
    """The fits of n stars on one image. NaN where nothing was measured (`chi_weight` is 0 there).

    Attributes
    ----------
    chi : ndarray, shape (n,)
        Square root of the mean squared residual in units of its error (noise and `noise_mult`
        times the model, added in quadrature); 1 where the PSF fits.
    chi_weight : ndarray, shape (n,)
        Degrees of freedom of `chi`: pixels within its aperture, less one.
    sharpness : ndarray, shape (n,)
        0 for a star, positive if narrower, negative if wider; within +-9.999.
    roundness : ndarray, shape (n,)
        0 if round; share of light that is along the major axis more than across it.
    position_angle_deg : ndarray, shape (n,)
        Of the major axis, from X towards Y, in steps of 5 degrees from 0 to 175.
    roundness_cos, roundness_sin : ndarray, shape (n,)
        Roundness at any angle a is cos(2 a) times one plus sin(2 a) times the other.
    crowding_mag : ndarray, shape (n,)
        How much brighter the star would be if its neighbours had not been subtracted.
    sky_e : ndarray, shape (n,)
        Clipped mean of the residuals around the aperture, electrons a pixel.
    flag : ndarray of int, shape (n,)
        Sum of 1 (the aperture leaves the chip), 2 (a third of it is bad), 4 (core saturated),
        8 (too little is left); 9 off the image.
    star, narrow, broad : ProfileFit
        The PSF, a hot pixel's profile and an extended one, fitted to the same pixels.
    """

    chi: Floats
    chi_weight: Floats
    sharpness: Floats
    roundness: Floats
    position_angle_deg: Floats
    roundness_cos: Floats
    roundness_sin: Floats
    crowding_mag: Floats
    sky_e: Floats
    flag: NDArray[np.int32]
    star: ProfileFit
    narrow: ProfileFit
    broad: ProfileFit

    def __len__(self) -> int:
        return len(self.chi)


def star_quality(
    residual_e: Image,
    variance_e2: Image,
    good: Mask,
    saturated: Mask,
    psf: SplinePsf,
    x: Floats,
    y: Floats,
    flux_e: Floats,
    *,
    model_e: Image,
    aperture_pix: float = 3.0,
    chi_aperture_pix: float = 2.0,
    noise_mult: float = 0.1,
    level_e: Floats | None = None,
    origin: tuple[int, int] = (0, 0),
) -> StarQuality:
    """How well n stars fit on one image.

    Parameters
    ----------
    residual_e : ndarray of float32, shape (ny, nx)
        Electrons: data less sky less the models of all stars.
    variance_e2 : ndarray of float32, shape (ny, nx)
        Variance of the data.
    good, saturated : ndarray of bool, shape (ny, nx)
        As of `hst_assets.photometry.psf.chip_image.ChipImage`.
    psf : SplinePsf
        The PSF; roundness is measured out to its radius.
    x, y : ndarray, shape (n,)
        Places of the stars, 0-based pixels of the image.
    flux_e : ndarray, shape (n,)
        Electrons of the models that were subtracted.
    model_e : ndarray of float32, shape (ny, nx)
        The light of all models: data less sky less residual.
    aperture_pix : float, optional
        Radius of the aperture (DOLPHOT's RAper).
    chi_aperture_pix : float, optional
        Radius of the aperture of chi (RChi).
    noise_mult : float, optional
        Error of the PSF, a share of the model (NoiseMult).
    level_e : ndarray, shape (n,), optional
        Sky under each star that is still in the residuals, electrons a pixel; it is subtracted.
        By default it is their mean around the aperture (`StarQuality.sky_e`), as with FitSky = 2;
        zeros if the sky of the image is to be believed. It decides the roundness of faint stars.
    origin : tuple of int, optional
        X and Y of the first pixel on the whole chip, where the PSF's place on the chip is known.

    Returns
    -------
    StarQuality
        In the order of the stars.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, or the PSF does not reach beyond the aperture.
    """
    shape = residual_e.shape
    if any(image.shape != shape for image in (variance_e2, good, saturated, model_e)):
        raise ValueError("images of one chip have different shapes")
    if psf.radius_pix < aperture_pix + 1:
        raise ValueError(f"a PSF of {psf.radius_pix} pixels is smaller than the aperture")
    x, y, flux_e = (np.ascontiguousarray(given, dtype=np.float64) for given in (x, y, flux_e))
    if not x.shape == y.shape == flux_e.shape:
        raise ValueError("x, y and flux_e have different lengths")
    n = len(x)
    level = np.full(n, np.nan)
    if level_e is not None:
        level[:] = level_e
    values = np.full((n, 7), np.nan)
    fits = np.full((n, 3, FIT_COLUMNS), np.nan)
    flag = np.empty(n, np.int32)
    measure_stars(
        np.ascontiguousarray(residual_e, dtype=np.float32),
        np.ascontiguousarray(variance_e2, dtype=np.float32),
        np.ascontiguousarray(model_e, dtype=np.float32),
        np.ascontiguousarray(good),
        np.ascontiguousarray(saturated),
        psf.coefficients,
        psf.cell_pix,
        psf.radius_pix,
        (float(origin[0]), float(origin[1])),
        x,
        y,
        flux_e,
        level,
        (float(aperture_pix), float(chi_aperture_pix), float(noise_mult)),
        values,
        fits,
        flag,
    )
    return _as_quality(values, fits, flag)


def _as_quality(values: Floats, fits: Floats, flag: NDArray[np.int32]) -> StarQuality:
    chi, weight, sharpness, cosine, sine, crowding, sky = values.T
    roundness, angle = largest_roundness(cosine, sine)
    star, narrow, broad = (ProfileFit(*fits[:, k].T) for k in PROFILES)
    return StarQuality(
        chi=chi,
        chi_weight=np.nan_to_num(weight),
        sharpness=sharpness,
        roundness=roundness,
        position_angle_deg=angle,
        roundness_cos=cosine,
        roundness_sin=sine,
        crowding_mag=crowding,
        sky_e=sky,
        flag=flag,
        star=star,
        narrow=narrow,
        broad=broad,
    )


def largest_roundness(cosine: Floats, sine: Floats) -> tuple[Floats, Floats]:
    """Roundness along the angle where it is largest, of steps of 5 degrees, and the angle.

    Parameters
    ----------
    cosine, sine : ndarray, shape (n,)
        `roundness_cos` and `roundness_sin` of `StarQuality`.

    Returns
    -------
    tuple of ndarray, shape (n,)
        Roundness, at most 9.999, and position angle, degrees from 0 to 175; NaN where they are.
    """
    angles = np.arange(0.0, 180.0, 5.0)
    turned = np.deg2rad(2 * angles)
    every = np.multiply.outer(cosine, np.cos(turned)) + np.multiply.outer(sine, np.sin(turned))
    known = np.isfinite(cosine)
    best = np.argmax(np.where(known[..., None], every, 0.0), axis=-1)
    largest = np.take_along_axis(every, best[..., None], axis=-1)[..., 0]
    return np.minimum(largest, LARGEST), np.where(known, angles[best], np.nan)
