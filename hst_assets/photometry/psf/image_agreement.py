"""Whether the images of a filter agree: the same stars must have the same magnitude on each.

The PSF of a filter is shared by its images, but each has an aperture correction of its own, and the
zero point of its header. A wrong one of either shifts all stars of the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.catalog_files import CatalogedImage
from hst_assets.photometry.psf.measured_stars import MeasuredStars

__all__ = ["disagreements"]

Floats = NDArray[np.float64]

#: Signal-to-noise ratio of the stars that are compared, and the fewest of them.
_LEAST_SNR, _FEWEST = 30.0, 20
#: Magnitudes by which images of a filter may differ: aperture corrections are good to 0.01 mag
#: where stars stand alone. Two real exposures of ACS/HRC in the core of 47 Tuc differed by 0.24.
_TOLERATED_MAG = 0.05
_MAG = 2.5 / np.log(10.0)


def disagreements(
    stars: MeasuredStars,
    images: Sequence[CatalogedImage],
    *,
    transfer_mag: Floats | None = None,
) -> list[str]:
    """What is to be said of images whose magnitudes are not those of the others of their filter.

    Each is compared with the first of its filter that shares enough bright stars with it; images
    that share too few with the others cannot be compared, which is said.

    Parameters
    ----------
    stars : MeasuredStars
        On k images.
    images : sequence of CatalogedImage
        The k images.
    transfer_mag : ndarray, shape (k, n), optional
        Added to magnitudes for lost charge (WFPC2).
    """
    mag, bright = _magnitudes(stars, images)
    if transfer_mag is not None:
        mag = mag + transfer_mag
    told = []
    for later, image in enumerate(images):
        others = [one for one in range(later) if images[one].filter_label == image.filter_label]
        shared = [int(np.count_nonzero(bright[one] & bright[later])) for one in others]
        if others and max(shared) < _FEWEST:
            told.append(
                f"{image.filter_label}: not checked whether {image.alias} agrees with the other "
                f"images of its filter: it shares {max(shared)} bright stars with them"
            )
        for earlier, n_shared in zip(others, shared, strict=True):
            if n_shared < _FEWEST:
                continue
            both = bright[earlier] & bright[later]
            off = float(np.median((mag[later] - mag[earlier])[both]))
            if abs(off) > _TOLERATED_MAG:
                told.append(
                    f"{image.filter_label}: {n_shared} stars are {abs(off):.2f} mag "
                    f"{'fainter' if off > 0 else 'brighter'} on {image.alias} than on "
                    f"{images[earlier].alias}: compare their aperture corrections "
                    f"({stars.aperture_correction_mag[later]:+.3f}, "
                    f"{stars.aperture_correction_mag[earlier]:+.3f}) and calibrations"
                )
            break
    return told


def _magnitudes(
    stars: MeasuredStars, images: Sequence[CatalogedImage]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Magnitudes, shape (k, n), up to one number for each filter, and where they are well known."""
    counts, error = stars.counts_e, stars.counts_error_e
    bright = (counts > _LEAST_SNR * error) & np.isfinite(counts) & (stars.flag == 0)
    bright &= stars.object_type == 1
    seconds = np.array([image.exptime_s * image.gain for image in images])
    zero_point = np.array([image.zero_point_mag for image in images])
    added = stars.aperture_correction_mag + np.where(np.isfinite(zero_point), zero_point, 0.0)
    mag = added[:, None] - _MAG * np.log(np.where(bright, counts, 1.0) / seconds[:, None])
    return mag, bright
