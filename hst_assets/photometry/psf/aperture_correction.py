"""Aperture corrections: from the flux under the PSF to that within a radius, and to all light.

A PSF is known within some pixels, and its sum is as good as the stars it was made of. Bright stars
without bright neighbours tell what an aperture holds beside it, image by image, once the models of
all other stars have been subtracted. What lies beyond the aperture is taken from tables of
encircled energy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hst_assets.photometry.psf.spline_psf import SplinePsf

__all__ = [
    "ApertureCorrection",
    "aperture_correction",
    "combined_correction",
    "corrections_of_one_psf",
]

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Magnitudes a relative error.
_MAG = 2.5 / np.log(10.0)
#: A star is used if the PSF is measured to this signal-to-noise ratio, and if its neighbours have
#: less than this share of its light; no more stars than this are used, the best. Chosen so that a
#: crowded field still has stars; the test against simulated exposures shows what they are worth.
_MIN_SNR, _MAX_NEIGHBOURS, _MAX_STARS = 30.0, 0.1, 200
#: Pixels beyond the aperture from which neighbours count.
_NEIGHBOUR_REACH_PIX = 3.0
#: Share of the aperture's pixels that may be bad; the model stands in for them. None near the core.
_MAX_BAD, _CORE_PIX = 0.05, 1.5
#: With fewer stars alone the least crowded others are taken, up to this number; and the light of
#: neighbours over the star's that they have at most.
_ENOUGH_STARS, _MOST_CROWDED = 20, 1.0
#: Error that no star is better than, mag: errors of the flat field and of the PSF's variation.
_FLOOR_MAG = 0.005
#: Standard deviations beyond which a star is left out, and rounds of it.
_CLIP_SIGMA, _CLIP_ROUNDS = 3.0, 10
#: The same for pixels of the ring. Counts are skewed, and left-overs of cosmic rays and faint stars
#: are bright: without what is 3 standard deviations off, the mean is 0.03 electrons a pixel too
#: low, which is 10 electrons in an aperture of WFC3/UVIS, 1 % of a star of S/N 30; from 4 on it is
#: not (residuals of benchmarks/two_decades.py at 1500 places an image: 7 to 12 electrons, 0 to 2).
_RING_CLIP_SIGMA = 5.0
#: Stray light on each pixel of the apertures, which all stars of an image share, electrons: less
#: than this in two cases of three. Simulated exposures of WFC3/UVIS, 350 s, have 0.2 left where
#: cosmic rays are flagged, 0.3 to 0.5 % of a star of 20,000 electrons (benchmarks/two_decades.py).
#: Where the ring is rougher than its noise, as in a crowd, this share of the excess is added.
_STRAY_E, _STRAY_SHARE = 0.3, 0.1
#: By how much the corrections of images that share a PSF differ, mag, for the telescope's focus
#: differs. Two exposures of ACS/HRC 46 minutes apart (47 Tuc, F606W, proposal 9019) have 0.674 and
#: 0.656 of the light within 5 pixels within 2: 0.03 mag, by apertures on stars that are alone.
_BREATHING_MAG = 0.03


@dataclass(frozen=True)
class ApertureCorrection:
    """What is added to the magnitudes by the PSF of one image.

    Attributes
    ----------
    mag : float
        To all light if `to_infinity_mag` is known, else to the radius; 0 if not measured.
    error_mag : float
        Standard error of the measured part; infinite if not measured.
    to_radius_mag : float
        To the light within the radius: measured.
    to_infinity_mag : float
        From there to all light, by the table of encircled energy; NaN if not known.
    n_stars : int
        Stars used.
    remark : str
        What is to be said; empty if all is well.
    stars : ndarray, shape (n, 3), optional
        What each star says: `mag`, its error, and by how much one standard deviation of stray light
        makes it brighter.
    """

    mag: float
    error_mag: float
    to_radius_mag: float
    to_infinity_mag: float
    n_stars: int
    remark: str = ""
    stars: Floats = field(default_factory=lambda: np.zeros((0, 3)), compare=False, repr=False)


def aperture_correction(
    residual_e: Image,
    variance_e2: Image,
    good: Mask,
    psf: SplinePsf,
    x: Floats,
    y: Floats,
    flux_e: Floats,
    flux_error_e: Floats,
    *,
    pixel_scale_arcsec: float,
    radius_arcsec: float = 0.4,
    annulus_arcsec: tuple[float, float] = (0.6, 1.0),
    encircled_energy: Callable[[float], float] | None = None,
    usable: Mask | None = None,
    min_stars: int = 5,
    origin: tuple[int, int] = (0, 0),
) -> ApertureCorrection:
    """The aperture correction of one image from its bright, isolated stars.

    Parameters
    ----------
    residual_e, variance_e2 : ndarray of float32, shape (ny, nx)
        Data less sky less the models of all stars, electrons; variance of the data. Bright stars'
        models are to be subtracted out to the PSF's radius: what is not is counted twice.
    good : ndarray of bool, shape (ny, nx)
        Pixels that can be used.
    psf : SplinePsf
        The PSF that the models were made with.
    x, y : ndarray, shape (n,)
        Places of all stars, 0-based pixels of the image.
    flux_e, flux_error_e : ndarray, shape (n,)
        Electrons of their models, and the standard errors.
    pixel_scale_arcsec : float
        Of the image.
    radius_arcsec : float, optional
        Of the aperture. DOLPHOT's own is 0.5 for WFC3 (`wfc3_apsize` of its source).
    annulus_arcsec : tuple of float, optional
        Where the sky that is left is measured. The default is DOLPHOT's apsky of 15 to 25 pixels
        of WFC3/UVIS.
    encircled_energy : callable, optional
        Share of all light within a radius in arcsec; NaN if not known.
    usable : ndarray of bool, shape (n,), optional
        Stars that may be used: of type 1, unflagged and so on; by default all.
    min_stars : int, optional
        With fewer the correction is not measured.
    origin : tuple of int, optional
        X and Y of the first pixel on the whole chip, where the PSF's place on the chip is known.

    Returns
    -------
    ApertureCorrection
        0 with an infinite error and a remark if there are too few stars.
    """
    radius = radius_arcsec / pixel_scale_arcsec
    ring = annulus_arcsec[0] / pixel_scale_arcsec, annulus_arcsec[1] / pixel_scale_arcsec
    model_arcsec = psf.radius_pix * pixel_scale_arcsec
    beyond, wings = _by_table(encircled_energy, radius_arcsec, annulus_arcsec, model_arcsec)
    chosen = _bright_and_alone(x, y, flux_e, flux_error_e, radius, usable)
    measured: list[tuple[float, float, float]] = []
    for k in chosen:
        if len(measured) == _MAX_STARS:
            break
        light = _aperture_light(
            residual_e, variance_e2, good, psf, (x[k], y[k]), flux_e[k], radius, ring, origin
        )
        if light is not None and light[0] > 0:
            held, error, stray = light
            mag = -_MAG * np.log(held / flux_e[k])
            measured.append((mag, _MAG * error / held, _MAG * stray / held))
    if len(measured) < min_stars:
        remark = f"aperture correction not measured: {len(measured)} stars, {min_stars} are needed"
        return ApertureCorrection(0.0, np.inf, 0.0, np.nan, len(measured), remark)
    stars = np.array(measured)
    stars[:, 0] += (beyond if np.isfinite(beyond) else 0.0) - wings
    remark = "" if np.isfinite(beyond) else f"no table of light beyond {radius_arcsec} arcsec"
    return _of_stars(stars, beyond, remark)


def _of_stars(stars: Floats, beyond: float, remark: str) -> ApertureCorrection:
    mean, error, n_used = _level_beside_stray_light(*stars.T)
    to_radius = mean - (beyond if np.isfinite(beyond) else 0.0)
    return ApertureCorrection(mean, error, to_radius, beyond, n_used, remark, stars)


def _by_table(
    encircled_energy: Callable[[float], float] | None,
    radius: float,
    annulus: tuple[float, float],
    model: float,
) -> tuple[float, float]:
    """Magnitudes from the radius to all light, and what the star's light in the annulus takes.

    Within `model` the star's light is subtracted with its model, and takes nothing.
    """
    if encircled_energy is None:
        return np.nan, 0.0
    within = encircled_energy(radius)
    if not 0 < within <= 1:
        return np.nan, 0.0
    first = min(max(annulus[0], model), annulus[1])
    ring = encircled_energy(annulus[1]) - encircled_energy(first)
    taken = ring * radius**2 / (annulus[1] ** 2 - annulus[0] ** 2)
    wings = -_MAG * np.log1p(-taken / within) if 0 <= taken < within else 0.0
    return float(_MAG * np.log(within)), float(wings)


def _bright_and_alone(
    x: Floats,
    y: Floats,
    flux: Floats,
    error: Floats,
    radius: float,
    usable: Mask | None,
) -> NDArray[np.int64]:
    """Indices of the stars to use, the most significant first."""
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(flux) & (error > 0)
    snr = np.where(known, flux / np.where(known, error, 1.0), 0.0)
    bright = (snr >= _MIN_SNR) & (np.ones(len(x), bool) if usable is None else usable)
    chosen = np.flatnonzero(bright)
    if not len(chosen):
        return chosen
    others = np.flatnonzero(known & (flux > 0))
    tree = cKDTree(np.column_stack([x[others], y[others]]))
    near = tree.query_ball_point(
        np.column_stack([x[chosen], y[chosen]]), radius + _NEIGHBOUR_REACH_PIX
    )
    beside = np.array([flux[others[found]].sum() for found in near]) - flux[chosen]
    share = beside / flux[chosen]
    alone = share < _MAX_NEIGHBOURS
    if alone.sum() < _ENOUGH_STARS:
        # A crowded field has no star alone: the least crowded then, whose neighbours are off.
        least = np.argsort(share, kind="stable")[:_ENOUGH_STARS]
        alone[least[share[least] < _MOST_CROWDED]] = True
    chosen = chosen[alone]
    return chosen[np.argsort(-snr[chosen], kind="stable")]


def _aperture_light(
    residual: Image,
    variance: Image,
    good: Mask,
    psf: SplinePsf,
    place: tuple[float, float],
    flux: float,
    radius: float,
    ring: tuple[float, float],
    origin: tuple[int, int],
) -> tuple[float, float, float] | None:
    """Electrons within the aperture, their error, and what stray light there may be (see below).

    The error holds the residuals' noise: the PSF's flux is of the same photons, and what both
    share is no error of their ratio. None if too much of the aperture is off or bad.
    """
    x, y = place
    half = int(np.ceil(max(radius + 1, ring[1])))
    ix, iy = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    ny, nx = residual.shape
    inner = int(np.ceil(radius + 1))
    if not (inner <= ix < nx - inner and inner <= iy < ny - inner):
        return None
    rows = slice(max(iy - half, 0), min(iy + half + 1, ny))
    columns = slice(max(ix - half, 0), min(ix + half + 1, nx))
    dy, dx = np.mgrid[rows, columns] - np.array([y, x])[:, None, None]
    distance = np.hypot(dx, dy)
    left, usable = np.asarray(residual[rows, columns], dtype=float), good[rows, columns]
    share = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    in_ring = usable & (distance > ring[0]) & (distance <= ring[1])
    bad = ~usable & (share > 0)
    too_bad = bad.sum() > _MAX_BAD * (share > 0).sum() or (bad & (distance < _CORE_PIX)).any()
    if too_bad or in_ring.sum() < 10:
        return None
    level, level_error = _clipped_mean(left[in_ring])
    cell = psf.cell_of(x + origin[0], y + origin[1])
    known = (np.abs(np.rint(dx)) <= psf.radius_pix) & (np.abs(np.rint(dy)) <= psf.radius_pix)
    model = flux * np.where(known, psf.at(dx, dy, cell=cell), 0.0)
    light = (model * share).sum() + ((left - level) * share)[usable].sum()
    noise = (np.asarray(variance[rows, columns], dtype=float) * share**2)[usable].sum()
    spread = _spread(left[in_ring] - np.median(left[in_ring]))
    beyond_noise2 = max(spread**2 - float(np.median(variance[rows, columns][in_ring])), 0.0)
    stray = share.sum() * np.hypot(_STRAY_E, _STRAY_SHARE * np.sqrt(beyond_noise2))
    return float(light), float(np.sqrt(noise + (share.sum() * level_error) ** 2)), float(stray)


def _clipped_mean(values: Floats) -> tuple[float, float]:
    """Mean without outliers, and its standard error."""
    kept = values
    for _ in range(_CLIP_ROUNDS):
        middle = np.median(kept)
        spread = _spread(kept - middle)
        inside = kept[np.abs(kept - middle) <= _RING_CLIP_SIGMA * spread]
        if len(inside) in (0, len(kept)):
            break
        kept = inside
    return float(kept.mean()), float(kept.std() / np.sqrt(len(kept)))


def _spread(deviations: Floats) -> float:
    """Standard deviation by the median of absolute deviations."""
    return float(1.4826 * np.median(np.abs(deviations)))


def _robust_mean(mags: Floats, errors: Floats) -> tuple[float, float, int]:
    """Weighted mean of what is left when outliers are not, its error, and how many are left.

    The error is the larger of that by the errors and that by the scatter.
    """
    sigma = np.hypot(errors, _FLOOR_MAG)
    used = np.ones(len(mags), bool)
    for _ in range(_CLIP_ROUNDS):
        off = mags - np.median(mags[used])
        limit = _CLIP_SIGMA * np.maximum(sigma, _spread(off[used]))
        inside = np.abs(off) <= limit
        if (inside == used).all():
            break
        used = inside
    weight = 1.0 / sigma[used] ** 2
    mean = float(np.average(mags[used], weights=weight))
    n = int(used.sum())
    formal = 1.0 / np.sqrt(weight.sum())
    chi2 = (weight * (mags[used] - mean) ** 2).sum() / max(n - 1, 1)
    return mean, float(formal * max(1.0, np.sqrt(chi2))), n


def _level_beside_stray_light(
    mags: Floats, errors: Floats, stray_mags: Floats
) -> tuple[float, float, int]:
    """`_robust_mean` of what the magnitudes would be without light that is not the star's.

    What is left of cosmic rays and of stars that nobody found adds the same electrons to each
    aperture in the mean: much to a faint star, little to a bright one. How much is fitted with the
    level, beside what is known beforehand; where stars are of one brightness, it is in the error.
    """
    level, _, _ = _robust_mean(mags, errors)
    sigma = np.hypot(errors, _FLOOR_MAG)
    used = np.abs(mags - level) <= _CLIP_SIGMA * np.maximum(sigma, _spread(mags - level))
    design = np.column_stack([np.ones(used.sum()), -stray_mags[used]]) / sigma[used, None]
    covariance = np.linalg.inv(design.T @ design + np.diag([0.0, 1.0]))
    fitted = covariance @ (design.T @ (mags[used] / sigma[used]))
    n = int(used.sum())
    chi2 = ((mags[used] / sigma[used] - design @ fitted) ** 2).sum() / max(n - 1, 1)
    return float(fitted[0]), float(np.sqrt(covariance[0, 0] * max(1.0, chi2))), n


def combined_correction(
    parts: Sequence[ApertureCorrection], *, min_stars: int = 5
) -> ApertureCorrection:
    """The correction of an image from those of its parts, each measured with one star or more.

    Parameters
    ----------
    parts : sequence of ApertureCorrection
        Of one image, with `min_stars` of 1.
    min_stars : int, optional
        With fewer in all parts together the correction is not measured.

    Returns
    -------
    ApertureCorrection
        By all stars of all parts together; as of `aperture_correction`.
    """
    known = [part for part in parts if len(part.stars)]
    n_stars = sum(len(part.stars) for part in known)
    if n_stars < min_stars:
        remark = f"aperture correction not measured: {n_stars} stars, {min_stars} are needed"
        return ApertureCorrection(0.0, np.inf, 0.0, np.nan, n_stars, remark)
    stars = np.concatenate([part.stars for part in known])
    return _of_stars(stars, known[0].to_infinity_mag, known[0].remark)


def corrections_of_one_psf(own: Sequence[ApertureCorrection]) -> list[ApertureCorrection]:
    """The corrections of images that share a PSF, by what all of them say.

    A correction that is known well stays as it was measured. Where stars stand so close that no
    aperture holds one alone, that of an image may be off by a tenth of a magnitude: what the
    others have is then the better knowledge, since images of one PSF differ by their focus only.

    Parameters
    ----------
    own : sequence of ApertureCorrection
        As measured on each image; with an infinite error where it was not.

    Returns
    -------
    list of ApertureCorrection
        The means of their values given all measurements, and their errors, where the true values
        have a normal distribution of 0.03 mag about an unknown mean. One that was not measured
        has the mean of the others. Without any measurement they are returned as they are.
    """
    known = [each for each in own if np.isfinite(each.error_mag)]
    if not known:
        return list(own)
    breathing = _BREATHING_MAG**2
    weights = np.array([1.0 / (each.error_mag**2 + breathing) for each in known])
    mean = float(np.average([each.mag for each in known], weights=weights))
    mean_variance = 1.0 / weights.sum()

    def together(one: ApertureCorrection) -> ApertureCorrection:
        if not np.isfinite(one.error_mag):
            remark = f"{one.remark}; the mean of {len(known)} other images of its PSF is taken"
            return replace(
                known[0],
                mag=mean,
                error_mag=float(np.sqrt(breathing + mean_variance)),
                to_radius_mag=mean - (known[0].mag - known[0].to_radius_mag),
                n_stars=0,
                remark=remark,
            )
        others = one.error_mag**2 / (one.error_mag**2 + breathing)
        mag = one.mag + others * (mean - one.mag)
        variance = others * breathing + others**2 * mean_variance
        return replace(
            one,
            mag=mag,
            error_mag=float(np.sqrt(variance)),
            to_radius_mag=one.to_radius_mag + mag - one.mag,
        )

    return [together(one) for one in own]
