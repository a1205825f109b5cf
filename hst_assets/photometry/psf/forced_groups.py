"""Mean fluxes of forced photometry in groups of images: epochs, bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.catalog.quantities import FIRST_EXTREME_FLAG
from hst_assets.photometry.psf.forced import ForcedFluxes

__all__ = ["GroupedFluxes", "grouped_fluxes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GroupedFluxes:
    """Mean fluxes of n places in g groups of images, such as epochs or bands.

    Attributes
    ----------
    names : tuple of str
        The groups.
    rate_e_s, rate_error_e_s : ndarray, shape (g, n)
        Mean weighted by the inverse variance; NaN and infinite where no image counts. The error of
        the PSF's width, which the images have in common, is in it once.
    n_images : ndarray of int, shape (g, n)
        How many images count.
    chi2 : ndarray, shape (g, n)
        Of the images about their mean, with `n_images` - 1 degrees of freedom; without the error
        that they have in common.
    """

    names: tuple[str, ...]
    rate_e_s: Floats
    rate_error_e_s: Floats
    n_images: NDArray[np.int64]
    chi2: Floats


def grouped_fluxes(
    fluxes: ForcedFluxes, groups: Mapping[str, Sequence[int]], *, flag_mask: int = 7
) -> GroupedFluxes:
    """Mean fluxes in groups of images.

    Parameters
    ----------
    fluxes : ForcedFluxes
        On k images.
    groups : mapping
        Indices of images by the group's name: the epochs of a band, or all images of a band. An
        image may be in several groups; without groups there are no means.
    flag_mask : int, optional
        Images with any of these flags do not count, nor do those with 8 or more.
    """
    rows = []
    for images in groups.values():
        at = list(images)
        flag, rate, error = fluxes.flag[at], fluxes.rate_e_s[at], fluxes.rate_error_e_s[at]
        counts = np.isfinite(rate) & np.isfinite(error)
        counts &= (flag < FIRST_EXTREME_FLAG) & (flag & flag_mask == 0)
        error = np.where(counts, error, 1)
        # From counts to rates with the aperture correction, as the whole errors are.
        common = np.where(counts, fluxes.width_error_e[at] / fluxes.counts_error_e[at] * error, 0)
        weight = np.where(counts, 1 / (error**2 - common**2), 0)
        total = weight.sum(axis=0)
        any_counts = total > 0
        safe = np.where(any_counts, total, 1)
        mean = np.where(any_counts, (np.where(counts, rate, 0) * weight).sum(axis=0) / safe, np.nan)
        chi2 = np.where(counts, (rate - mean) ** 2 * weight, 0).sum(axis=0)
        once = (common * weight).sum(axis=0) / safe
        of_mean = np.where(any_counts, np.hypot(1 / np.sqrt(safe), once), np.inf)
        rows.append((mean, of_mean, counts.sum(0), chi2))
    shape = len(rows), len(fluxes)
    mean, error, n_images, chi2 = (
        np.array([row[at] for row in rows]).reshape(shape) for at in range(4)
    )
    return GroupedFluxes(tuple(groups), mean, error, n_images.astype(np.int64), chi2)
