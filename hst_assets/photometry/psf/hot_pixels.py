"""Hot pixels that no flag has: they stand out on all exposures of a chip, sharper than any star."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.cosmic_ray_loops import neighbour_shares
from hst_assets.photometry.psf.star_sharpness import StarShape, floor_variance

__all__ = ["hot_pixels"]

Mask = NDArray[np.bool_]

#: A hot pixel stands out so far on the sum of the exposures, and its neighbours have less than
#: this share of what a star gives them. Each exposure has this share of its mean rate.
_HOT_SIGMA, _HOT_SHARE = 10.0, 0.5


def hot_pixels(images: Sequence[ChipImage], shape: StarShape) -> list[Mask]:
    """Pixels of a chip that stand out on each of its exposures, sharper than any star."""
    chips: dict[tuple[object, ...], list[int]] = {}
    for index, image in enumerate(images):
        chip = (image.name.rpartition(".")[2], image.origin, image.shape)
        chips.setdefault(chip, []).append(index)
    masks = [np.zeros(image.shape, bool) for image in images]
    for members in chips.values():
        if len(members) > 1:
            spikes = _spikes([images[index] for index in members], shape)
            for index in members:
                masks[index] = spikes & images[index].good
    return masks


def _spikes(images: Sequence[ChipImage], shape: StarShape) -> Mask:
    """Pixels that are hot on all exposures of one chip, by at least half their mean rate.

    On the sum of the exposures they are sharper than any star, whose neighbours have a share.
    """
    good: Mask = np.logical_and.reduce([image.good for image in images])
    total = np.zeros(images[0].shape, np.float32)
    variance = np.zeros_like(total)
    for image in images:
        total += image.data_e - image.sky_e
        variance += floor_variance(image)
    noise = np.sqrt(variance)
    seconds = sum(image.exptime_s for image in images)
    y, x = (axis.astype(np.int32) for axis in np.nonzero(good & (total > _HOT_SIGMA * noise)))
    shares = neighbour_shares(x, y, total, good)
    known = np.asarray(np.isfinite(shares).all(axis=1), dtype=bool)
    mean = np.where(known[:, None], shares, 1.0).mean(axis=1)
    hot = np.asarray(known & (mean < _HOT_SHARE * np.mean(shape.shares)), dtype=bool)
    y, x = y[hot], x[hot]
    stays = np.ones(len(y), bool)
    for image in images:
        here = (image.data_e - image.sky_e)[y, x]
        least = _HOT_SHARE * total[y, x] * image.exptime_s / seconds
        stays &= here > np.maximum(least, 2 * np.sqrt(floor_variance(image)[y, x]))
    spikes = np.zeros_like(good)
    spikes[y[stays], x[stays]] = True
    return spikes
