"""Fluxes of a simulated field's true stars, forced at their true places on the same exposures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from hst_assets.photometry.psf.forced import ForcedFluxes, forced_photometry
from hst_assets.photometry.psf.forced_groups import grouped_fluxes
from hst_assets.photometry.psf.measured_stars import DAYS_A_YEAR
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.photometry.psf.tiles import ImageSource
from hst_assets_tests.star_fields import StarField

__all__ = ["forced_at_truth"]

#: A catalogue's star so near to a true one is that one, found where noise has it. Fitted beside the
#: true place it has a part of the light: its place was chosen where that is most, so that the flux
#: is too low by more than its error. (As of faint sources of light curves.) Pixels.
_SAME_PIX = 1.5


def forced_at_truth(
    sources: Sequence[ImageSource],
    kept: MeasurementFile,
    sky: StarField,
    band: str,
    factor: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes of a band and their errors, electrons in the nominal time; NaN and infinite: none.

    PSFs, sky, masks and stars that are not true ones, such as a galaxy's pieces, are those of the
    measurement. All true stars are fitted together, found or not.

    Parameters
    ----------
    sources : sequence of ImageSource
        The k images.
    kept : MeasurementFile
        What their measurement left.
    sky : StarField
        The field.
    band : str
        Of which images the fluxes are.
    factor : ndarray, shape (k,)
        From electrons under the PSF to all electrons of a star, on each image.
    """
    at = [k for k, source in enumerate(sources) if source.band == band]
    found = _on_dates(sources, kept, sky)
    exptime_s = np.array([source.exptime_s for source in sources])
    rate = (factor / exptime_s)[:, None]
    whole = replace(
        found, rate_e_s=found.counts_e * rate, rate_error_e_s=found.counts_error_e * rate
    )
    mean = grouped_fluxes(whole, {band: at})
    nominal_s = sky.scene.nominal_s
    return mean.rate_e_s[0] * nominal_s, mean.rate_error_e_s[0] * nominal_s


def _on_dates(
    sources: Sequence[ImageSource], kept: MeasurementFile, sky: StarField
) -> ForcedFluxes:
    """Forced fluxes on each image, at the places of its date where stars move."""
    mjd, truth = np.array([source.mjd for source in sources]), sky.truth
    if not sky.scene.moving:
        return _forced(sources, kept, truth.x, truth.y)
    middle = np.mean([shot.mjd for shot in sky.scene.shots])
    whole: ForcedFluxes | None = None
    for date in np.unique(mjd):
        years = (date - middle) / DAYS_A_YEAR
        then = _forced(
            sources, kept, truth.x + truth.motion_x * years, truth.y + truth.motion_y * years
        )
        whole = then if whole is None else _with_images(whole, then, mjd == date)
    assert whole is not None  # a field has images
    return whole


def _forced(
    sources: Sequence[ImageSource], kept: MeasurementFile, x: np.ndarray, y: np.ndarray
) -> ForcedFluxes:
    distance, _ = KDTree(np.column_stack([x, y])).query(np.column_stack([kept.x, kept.y]))
    return forced_photometry(sources, kept.of(distance > _SAME_PIX), x, y)


def _with_images(whole: ForcedFluxes, other: ForcedFluxes, which: np.ndarray) -> ForcedFluxes:
    """Fluxes, of some images those of another date."""
    taken = {
        name: np.where(which[:, None], getattr(other, name), getattr(whole, name))
        for name in ("counts_e", "counts_error_e", "width_error_e", "flag")
    }
    return replace(whole, **taken)
