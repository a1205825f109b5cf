"""The mean of a filter from its images, as DOLPHOT makes it.

An image counts if its flag is below 8 and shares no bit with ``FlagMask``, with weight one over the
variance of its counts per second, before the aperture correction (the program's source). Rates are
taken back from the magnitudes, which have more digits than the rates: 0.0005 mag.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.catalog.columns import CatalogImage
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.quantities import MISSING_MAG, MISSING_MAG_ERROR

__all__ = [
    "MAG_PER_RELATIVE_ERROR",
    "FilterMean",
    "ImageRates",
    "mean_of_images",
    "rates_of_image",
]

#: 2.5 / ln 10, with the digits that DOLPHOT has of it.
MAG_PER_RELATIVE_ERROR = 1.0857362
_FIRST_EXTREME_FLAG = 8
#: From here on the decimal that is printed of counts is less than 0.1 % of them.
_SURE_COUNTS = 50.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FilterMean:
    """A filter's mean over its images, arrays of shape (n,).

    Attributes
    ----------
    rate, rate_error : ndarray
        Normalised count rate (1 for Vega); 0 and infinity where no image counts.
    mag, mag_error : ndarray
        Vega magnitude; 99.999 and 9.999 where it is not positive or nothing was measured.
    n_images : ndarray
        Images that count.
    """

    rate: NDArray[np.float64]
    rate_error: NDArray[np.float64]
    mag: NDArray[np.float64]
    mag_error: NDArray[np.float64]
    n_images: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImageRates:
    """What an image measured of each star, arrays of shape (n,).

    Attributes
    ----------
    rate, rate_error : ndarray
        Normalised count rate (1 for Vega), with the aperture correction and, where it was made, the
        correction for lost charge (CTE); it may be negative.
    per_count_per_s : ndarray
        Rate of a star of one count per second of the image.
    counting : ndarray of bool
        Whether the image counts for the star: it measured something, and no flag excludes it.
    """

    rate: NDArray[np.float64]
    rate_error: NDArray[np.float64]
    per_count_per_s: NDArray[np.float64]
    counting: NDArray[np.bool_]


def mean_of_images(catalog: Catalog, filter_name: str, *, flag_mask: int) -> FilterMean:
    """Combine the images of a filter.

    Parameters
    ----------
    catalog : Catalog
        With the columns of the images.
    filter_name : str
        A filter that has columns of its own.
    flag_mask : int
        ``FlagMask`` of the run (in its ``.param``): flags that exclude an image. DOLPHOT's own
        default is 4, that of hst_assets and hst123 is 7.

    Raises
    ------
    BadConfiguration
        If the catalogue has no such filter.
    """
    images = catalog.columns.images_of(filter_name)
    parts = [rates_of_image(catalog, image, flag_mask=flag_mask) for image in images]
    rate, rate_error, factor, counting = (
        np.stack([getattr(part, name) for part in parts])
        for name in ("rate", "rate_error", "per_count_per_s", "counting")
    )
    # The weights are those of count rates without aperture correction.
    sigma = np.where(counting, rate_error / factor, 1.0)
    weight = np.where(counting, 1.0 / sigma**2, 0.0)
    total = weight.sum(axis=0)
    any_counts = total > 0
    safe = np.where(any_counts, total, 1.0)
    mean = (rate * weight).sum(axis=0) / safe
    error = np.sqrt((np.where(counting, rate_error, 0.0) ** 2 * weight**2).sum(axis=0)) / safe
    counts_per_s = (np.where(counting, rate / factor, 0.0) * weight).sum(axis=0) / safe
    positive = any_counts & (mean > 0) & (counts_per_s > 0)
    relative = 1.0 / np.sqrt(safe) / np.where(positive, counts_per_s, 1.0)
    return FilterMean(
        np.where(any_counts, mean, 0.0),
        np.where(any_counts, error, np.inf),
        np.where(positive, -2.5 * np.log10(np.where(positive, mean, 1.0)), MISSING_MAG),
        np.where(
            positive,
            np.minimum(MAG_PER_RELATIVE_ERROR * relative, MISSING_MAG_ERROR),
            MISSING_MAG_ERROR,
        ),
        counting.sum(axis=0),
    )


def rates_of_image(catalog: Catalog, image: CatalogImage, *, flag_mask: int) -> ImageRates:
    """What an image measured of each star.

    Parameters
    ----------
    catalog : Catalog
        With the columns of the image.
    image : CatalogImage
        One whose filter is known.
    flag_mask : int
        Flags that exclude the image, as of `mean_of_images`.
    """
    printed, rate_error, flag, mag, counts, sky = (
        catalog.values(key, image=image.number)
        for key in ("rate", "rate_error", "flag", "vega_mag", "counts", "sky")
    )
    per_s = counts / image.exptime_s
    measured = mag < MISSING_MAG - 0.5
    bright = measured & (counts >= _SURE_COUNTS)
    from_mag = 10.0 ** (-0.4 * np.where(measured, mag, 0.0))
    own = np.where(bright, from_mag / np.where(bright, per_s, 1.0), np.nan)
    if not bright.any():
        some = (counts != 0) & (printed != 0)
        own = np.where(some, printed / np.where(some, per_s, 1.0), np.nan)
    # Of faint stars the printed counts tell less than the other stars of the image do.
    usual = float(np.nanmedian(own)) if np.isfinite(own).any() else 1.0
    factor = np.where(bright, own, usual)
    rate = np.where(measured, from_mag, per_s * factor)
    # Where counts and sky are both exactly 0 nothing was measured, and the error says nothing.
    counting = (flag < _FIRST_EXTREME_FLAG) & (flag & flag_mask == 0) & ((counts != 0) | (sky != 0))
    known = counting & (rate_error > 0) & np.isfinite(rate_error)
    return ImageRates(rate, rate_error, factor, known)
