"""What became of galaxies, and of stars that move, in a simulated field."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial import KDTree

from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets_tests.star_fields import StarField

#: Pixels about a galaxy's middle within which what is no star is a piece of it, and about a star.
_GALAXY_PIX, _STAR_PIX, _STAR_MAG = 8.0, 0.7, 0.75
#: Electrons in the nominal time from which a moving star is asked: S/N of 30 on four exposures.
_BRIGHT_E = 1000.0


def told(
    stars: MeasuredStars, flux_e: np.ndarray, snr: np.ndarray, sky: StarField, band: str
) -> Iterator[str]:
    """Lines on the galaxies and moving stars of a field.

    Parameters
    ----------
    stars : MeasuredStars
        What was measured, n stars.
    flux_e, snr : ndarray, shape (n,)
        Of the band in the nominal time, and its signal-to-noise ratio.
    sky : StarField
        With the truth.
    band : str
        The band.
    """
    true_e = sky.truth.rates[band] * sky.scene.nominal_s
    places = np.column_stack([stars.x, stars.y])
    distance, star = KDTree(np.column_stack([sky.truth.x, sky.truth.y])).query(places)
    off = abs(2.5 * np.log10(np.maximum(flux_e, 1e-3) / true_e[star]))
    real = (distance < _STAR_PIX) & (off < _STAR_MAG)
    if len(sky.truth.galaxies):
        yield from _of_galaxies(stars, snr, sky.truth.galaxies, real)
    elsewhere = _far_from(places, sky.truth.galaxies)
    labelled = real & elsewhere & (stars.object_type == 5)
    yield f"stars far from galaxies: {(real & elsewhere).sum()}, of type 5: {labelled.sum()}"
    if sky.scene.moving:
        yield from _of_moving(stars, flux_e, sky, true_e)


def _far_from(places: np.ndarray, galaxies: np.ndarray) -> np.ndarray:
    if not len(galaxies):
        return np.ones(len(places), dtype=bool)
    return KDTree(galaxies).query(places)[0] > 2 * _GALAXY_PIX


def _of_galaxies(
    stars: MeasuredStars, snr: np.ndarray, galaxies: np.ndarray, real: np.ndarray
) -> Iterator[str]:
    distance, which = KDTree(galaxies).query(np.column_stack([stars.x, stars.y]))
    piece = (distance < _GALAXY_PIX) & ~real
    extended = piece & (stars.object_type == 5)
    n = np.bincount(which[piece], minlength=len(galaxies))
    n_extended = np.bincount(which[extended], minlength=len(galaxies))
    wholly = (n > 1) & (n == n_extended)
    yield f"galaxies: {len(galaxies)}, in pieces: {(n > 1).sum()}, of these all of type 5: " + str(
        wholly.sum()
    )
    for least in (0, 10):
        bright = piece & (snr > least)
        yield (
            f"pieces above S/N {least}: {bright.sum()}, of type 5: {(extended & bright).sum()}, "
            f"of type 1: {(bright & (stars.object_type == 1)).sum()}"
        )


def _of_moving(
    stars: MeasuredStars, flux_e: np.ndarray, sky: StarField, true_e: np.ndarray
) -> Iterator[str]:
    truth = sky.truth
    ny, nx = sky.scene.shape
    speed = np.hypot(truth.motion_x, truth.motion_y)
    mjd = np.array([image.mjd for image in sky.images])
    way = speed * np.ptp(mjd) / 365.25
    inside = (truth.x > 12) & (truth.x < nx - 13) & (truth.y > 12) & (truth.y < ny - 13)
    asked = np.flatnonzero((speed > 0) & inside & (true_e > _BRIGHT_E))
    tree = KDTree(np.column_stack([stars.x, stars.y]))
    one, ratio, off = 0, [], []
    for star in asked:
        near = np.array(
            tree.query_ball_point([truth.x[star], truth.y[star]], way[star] / 2 + 1), dtype=int
        )
        near = near[flux_e[near] > 0.2 * true_e[star]]
        one += len(near) == 1
        if len(near):
            brightest = near[np.argmax(flux_e[near])]
            ratio.append(flux_e[brightest] / true_e[star])
            found = stars.motion_pix_yr[brightest] if stars.motion_pix_yr is not None else [0, 0]
            off.append(np.hypot(found[0] - truth.motion_x[star], found[1] - truth.motion_y[star]))
    yield (
        f"moving stars above {_BRIGHT_E:.0f} e-, by {way[asked].max():.2f} pixels: {len(asked)}, "
        f"found as one: {one}; median flux over the truth {np.median(ratio):.3f}, "
        f"median error of the motion {np.median(off):.3f} pixels a year"
    )
    yield f"stars said to move: {stars.n_moving}"
