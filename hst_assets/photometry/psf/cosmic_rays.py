"""Cosmic rays and unflagged hot pixels on the exposures of a field, before stars are fitted.

Each image is compared with the others of its band. They are interpolated at its pixels, and a
pixel is struck if it is brighter than most of them allow. A star must never be: one on the middle
of a pixel has more light there than is interpolated from an exposure where it lies between pixels.
So a share of the local range of the other exposure is tolerated, which follows from the sharpness
of the PSF and from the fraction of a pixel by which the two differ. (``driz_cr`` of drizzlepac
tolerates a share of the slope for the same reason.) Found pixels are then taken out of the other
images, and all are compared again.

What one exposure only shows is looked at by L.A.Cosmic (van Dokkum 2001, PASP 113, 1420), and what
is as wide as a star is spared. A pixel that stands out on all exposures of a chip, sharper than any
star, is hot.

Shapes of stars come from the PSF, or of a Gaussian a tenth narrower than the detector's stars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hst_assets.detection.lacosmic import lacosmic
from hst_assets.detectors import DETECTORS, Detector
from hst_assets.failures import UnusableInput
from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.cosmic_ray_loops import (
    excess_over,
    grow,
    seen_at,
)
from hst_assets.photometry.psf.hot_pixels import hot_pixels
from hst_assets.photometry.psf.pixel_map import PixelMap
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.star_sharpness import (
    StarShape,
    floor_variance,
    like_stars,
    peaks_of,
)

__all__ = ["CosmicRays", "cosmic_ray_masks"]

Floats = NDArray[np.float64]
Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int32]
How = Literal["compared", "laplacian", "not done"]

#: A pixel is struck beyond the first, and beside a struck one beyond the second, standard
#: deviations. Of 1e6 pixels of noise, 3 are beyond 4.5.
_SEED_SIGMA = 4.5
_NEIGHBOUR_SIGMA = 2.0
#: Share of the local range that is tolerated whatever the fractions: a PSF that breathes, and maps
#: that are wrong by a fifth of a pixel.
_SLACK = 0.3
#: An exposure that much shorter is not asked: its noise, scaled, hides what is looked for.
_LONGEST_BY_SHORTEST = 8.0
#: Exposures farther apart are of other epochs. Between them stars move and supernovae come.
_EPOCH_DAYS = 10.0
#: Pixels between the knots of the map from a chip to another.
_KNOT_STEP_PIX = 16
#: Pixels that are compared at a time: bounds the memory, 12 bytes a pixel and image.
_AT_A_TIME = 1 << 18
#: Parts of an image that L.A.Cosmic looks at, and their margin.
_PART_PIX, _MARGIN_PIX = 32, 6
_ROUNDS = 4
#: Images are not compared rightly where more than the first share of bright peaks as wide as stars
#: is found, and more than the second of bright finds (at least so many) are as wide.
_MOST_STARS, _MANY_STARS, _FEWEST = 0.5, 0.1, 20
_VERY_BRIGHT_SIGMA = 20.0
#: A share of pixels that is worth a remark.
_WORTH_SAYING = 0.01


@dataclass(frozen=True, eq=False)
class CosmicRays:
    """What was found on one image.

    Attributes
    ----------
    mask : ndarray of bool, shape (ny, nx)
        Struck and hot pixels; pixels that are not good are not among them.
    n_struck : int
        Their number.
    how : str
        ``compared`` with other exposures of the band, ``laplacian`` where there is none, or
        ``not done``.
    remark : str
        What is to be said of it; may be empty.
    """

    mask: Mask
    n_struck: int
    how: How
    remark: str


@dataclass(frozen=True, eq=False)
class _Compared:
    """An image against the others.

    Attributes
    ----------
    excess : ndarray, shape (ny, nx)
        Standard deviations; NaN where no other reaches, -inf where there is nothing to ask.
    shown : ndarray, shape (ny, nx)
        The level of the others, electrons of the image above its sky.
    far : ndarray of bool, shape (ny, nx)
        Seen in another epoch only.
    """

    excess: Reals
    shown: Reals
    far: Mask


def cosmic_ray_masks(
    images: Sequence[ChipImage],
    *,
    psfs: Mapping[str, SplinePsf] | None = None,
) -> list[CosmicRays]:
    """Cosmic rays and unflagged hot pixels of the images of one field.

    Parameters
    ----------
    images : sequence of ChipImage
        Of any bands, exposure times and orientations. Only images of a band are compared.
    psfs : mapping, optional
        The PSF by band, for the sharpness of stars.

    Returns
    -------
    list of CosmicRays
        In the order of the images.

    Raises
    ------
    UnusableInput
        If a band's name does not begin with a detector of the registry.
    """
    psfs = psfs or {}
    found: dict[int, CosmicRays] = {}
    for band in dict.fromkeys(image.band for image in images):
        members = [index for index, image in enumerate(images) if image.band == band]
        detector = _detector_of(band)
        shape = StarShape.of(psfs.get(band), detector)
        masks = _of_band([images[index] for index in members], detector, shape)
        found.update(zip(members, masks, strict=True))
    return [found[index] for index in range(len(images))]


def _detector_of(band: str) -> Detector:
    key = band.split(maxsplit=1)[0] if band.strip() else ""
    if key not in DETECTORS:
        raise UnusableInput(f"the band {band!r} does not begin with a detector's name")
    return DETECTORS[key]


def _of_band(images: Sequence[ChipImage], detector: Detector, shape: StarShape) -> list[CosmicRays]:
    if not detector.clean_cosmic_rays:
        remark = "the ramps are cleaned in calibration"
        return [CosmicRays(np.zeros(i.shape, bool), 0, "not done", remark) for i in images]
    struck = [np.zeros(image.shape, bool) for image in images]
    compared: list[_Compared | None] = [None for _ in images]
    places = _Places(images)
    for _ in range(2):
        usable = [image.good & ~mask for image, mask in zip(images, struck, strict=True)]
        compared = [
            _compare(images, index, places, usable, shape, compared[index])
            for index in range(len(images))
        ]
        struck = [
            _struck_of(image, one, shape) if one is not None else np.zeros(image.shape, bool)
            for image, one in zip(images, compared, strict=True)
        ]
    hot = hot_pixels(images, shape)
    return [
        _verdict(image, one, mask | spikes, detector, shape)
        for image, one, mask, spikes in zip(images, compared, struck, hot, strict=True)
    ]


def _verdict(
    image: ChipImage,
    compared: _Compared | None,
    struck: Mask,
    detector: Detector,
    shape: StarShape,
) -> CosmicRays:
    """Add what L.A.Cosmic finds where no other exposure reaches, and say what was done."""
    remark = ""
    if compared is not None and _stars_among(image, compared, shape):
        compared, struck = None, np.zeros(image.shape, bool)
        remark = "the exposures of the band do not match: not compared"
    how: How = "laplacian" if compared is None else "compared"
    bright = image.good & (
        image.data_e - image.sky_e > _SEED_SIGMA * np.sqrt(floor_variance(image))
    )
    alone = bright if compared is None else bright & np.isnan(compared.excess)
    if alone.any():
        where = image.good if compared is None else image.good & np.isnan(compared.excess)
        struck = struck | _by_edges(image, alone, where, detector, shape)
    if compared is not None:
        share = int(np.count_nonzero(alone)) / max(int(np.count_nonzero(bright)), 1)
        if share > _WORTH_SAYING:
            remark = f"{share:.0%} of the bright pixels are seen once: judged by their edges"
    struck &= image.good
    return CosmicRays(struck, int(np.count_nonzero(struck)), how, remark)


class _Places:
    """Maps from the pixels of each image to those of the others, by way of the reference."""

    def __init__(self, images: Sequence[ChipImage]) -> None:
        self._images = images
        self._on_reference = [_on_reference(image) for image in images]

    def on(self, index: int, other: int) -> Floats | None:
        """Knots every `_KNOT_STEP_PIX` pixels; None where the two do not overlap."""
        x, y = self._images[other].pixel_map(*self._on_reference[index])
        ny, nx = self._images[other].shape
        # Between knots, the other may reach in by less than their distance.
        step = 2 * _KNOT_STEP_PIX
        inside = (x > -step) & (x < nx + step) & (y > -step) & (y < ny + step)
        return np.stack([x, y], axis=-1) if inside.any() else None


def _on_reference(image: ChipImage) -> tuple[Floats, Floats]:
    """Places on the reference of the knots of an image: its map, inverted.

    A linear map is fitted to the knots of the image's own map and corrected by what that map then
    says; each turn leaves a share of the error as large as the distortion's slope, 1e-2 at most.
    """
    ny, nx = image.shape
    knots = [_KNOT_STEP_PIX * np.arange(-(-(n - 1) // _KNOT_STEP_PIX) + 1.0) for n in (nx, ny)]
    for axis in knots:
        if len(axis) < 2:
            raise UnusableInput(f"{image.name} is too small to look for cosmic rays")
    wanted = np.stack(np.meshgrid(*knots), axis=-1)
    linear = _linear_inverse(image.pixel_map)
    flat = wanted.reshape(-1, 2)
    there = np.column_stack([flat, np.ones(len(flat))]) @ linear
    for _ in range(8):
        seen = np.column_stack(image.pixel_map(there[:, 0], there[:, 1]))
        there += (flat - seen) @ linear[:2]
    there = there.reshape(wanted.shape)
    return there[..., 0], there[..., 1]


def _linear_inverse(pixel_map: PixelMap) -> Floats:
    """(3, 2): a chip's x, y, 1 to the reference, least squares over the knots."""
    ny, nx = pixel_map.knots.shape[:2]
    x, y = np.meshgrid(
        pixel_map.x0 + pixel_map.step * np.arange(nx),
        pixel_map.y0 + pixel_map.step * np.arange(ny),
    )
    chip = np.column_stack([pixel_map.knots.reshape(-1, 2), np.ones(nx * ny)])
    solution: Floats = np.linalg.lstsq(chip, np.column_stack([x.ravel(), y.ravel()]), rcond=None)[0]
    return solution


def _compare(
    images: Sequence[ChipImage],
    index: int,
    places: _Places,
    usable: Sequence[Mask],
    shape: StarShape,
    before: _Compared | None,
) -> _Compared | None:
    """Compare an image with the others; None if none overlaps.

    What was found `before` stays where the pixels struck in the others leave nothing to compare
    with.
    """
    image = images[index]
    others = [
        (other, knots)
        for other in range(len(images))
        if other != index
        and image.exptime_s <= _LONGEST_BY_SHORTEST * images[other].exptime_s
        and (knots := places.on(index, other)) is not None
    ]
    if not others:
        return None
    height, floor = image.data_e - image.sky_e, floor_variance(image)
    # A pixel no brighter than this is not struck whatever others show, unless that is negative.
    asked = image.good & ~(height < 1.5 * np.sqrt(floor))
    excess = np.full(image.shape, -np.inf, np.float32)
    shown, far = np.zeros(image.shape, np.float32), np.zeros(image.shape, bool)
    near = np.array([abs(images[o].mjd - image.mjd) < _EPOCH_DAYS for o, _ in others])
    weight = np.array([_weight(image, images[o]) for o, _ in others])
    rows, columns = np.nonzero(asked)
    for start in range(0, len(rows), _AT_A_TIME):
        y = rows[start : start + _AT_A_TIME].astype(np.int32)
        x = columns[start : start + _AT_A_TIME].astype(np.int32)
        seen = [_seen(image, images[o], usable[o], knots, (x, y), shape) for o, knots in others]
        level, tolerance, variance = (np.stack(part) for part in zip(*seen, strict=True))
        excess[y, x], shown[y, x], far[y, x] = excess_over(
            height[y, x], floor[y, x], level, tolerance, variance,
            weight, near, _SEED_SIGMA,
        )  # fmt: skip
    if before is not None:
        lost = asked & np.isnan(excess) & (before.excess > _SEED_SIGMA)
        for plane, earlier in (
            (excess, before.excess),
            (shown, before.shown),
            (far, before.far),
        ):
            plane[lost] = earlier[lost]
    return _Compared(excess, shown, far)


def _weight(image: ChipImage, other: ChipImage) -> float:
    """Of another image: the inverse variance of the difference where there are no stars."""
    scale = image.exptime_s / other.exptime_s
    variances = [
        float(np.median(each.sky_e[::16, ::16])) + float(each.read_noise_e) ** 2
        for each in (image, other)
    ]
    return 1.0 / max(variances[0] + scale**2 * variances[1], 1e-6)


def _seen(
    image: ChipImage,
    other: ChipImage,
    usable: Mask,
    knots: Floats,
    pixels: tuple[Indices, Indices],
    shape: StarShape,
) -> tuple[Reals, Reals, Reals]:
    """Level, tolerance and variance that another image gives to pixels x, y of an image."""
    level, tolerance, variance = seen_at(
        *pixels,
        knots,
        float(_KNOT_STEP_PIX),
        (other.data_e, other.sky_e, usable, other.saturated),
        other.read_noise_e,
        image.exptime_s / other.exptime_s,
        shape.attenuation,
        _SLACK,
    )
    return level, tolerance, variance


def _struck_of(image: ChipImage, compared: _Compared, shape: StarShape) -> Mask:
    """Pixels that stand out, and their neighbours; what may be a star that varies is spared.

    Such a star is as wide as stars are, and others show one there; or no exposure of its epoch
    shows the place.
    """
    struck: Mask = grow(compared.excess, _SEED_SIGMA, _NEIGHBOUR_SIGMA)
    height = image.data_e - image.sky_e
    x, y = peaks_of(struck, height)
    noise = np.sqrt(floor_variance(image)[y, x])
    star_there = compared.shown[y, x] > _SEED_SIGMA * noise
    doubtful = compared.far[y, x] | star_there
    doubtful &= like_stars(image, height, x, y, shape)
    return _spared(struck, x[doubtful], y[doubtful])


def _spared(struck: Mask, x: Indices, y: Indices) -> Mask:
    """Without the pixels within 2 of x, y."""
    left = struck.copy()
    for column, row in zip(x.tolist(), y.tolist(), strict=True):
        left[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = False
    return left


def _stars_among(image: ChipImage, compared: _Compared, shape: StarShape) -> bool:
    """Whether stars are found: the maps are wrong, or the images of other fields.

    Of the bright peaks as wide as stars most are found, and they are many among the finds. (Of
    cosmic rays alone few are so wide; of an image of stars rightly compared none is found.)
    """
    height = image.data_e - image.sky_e
    found = compared.excess > _VERY_BRIGHT_SIGMA
    bright = image.good & (height > 2 * _VERY_BRIGHT_SIGMA * np.sqrt(floor_variance(image)))
    x, y = peaks_of(bright, height)
    stars = like_stars(image, height, x, y, shape)
    struck = found[y, x]
    if np.count_nonzero(struck) < _FEWEST or not stars.any():
        return False
    return bool(struck[stars].mean() > _MOST_STARS and stars[struck].mean() > _MANY_STARS)


def _by_edges(
    image: ChipImage, asked: Mask, where: Mask, detector: Detector, shape: StarShape
) -> Mask:
    """What L.A.Cosmic finds in the parts of an image that hold pixels asked about, stars spared."""
    electrons = replace(
        detector,
        gain_e_per_dn=1.0,
        read_noise_e=image.read_noise_e,
        saturation_e=max(detector.saturation_e, 1e5),
    )
    found = np.zeros(image.shape, bool)
    ignored = ~image.good
    data = np.where(ignored, image.sky_e, image.data_e)
    for inner, outer, offset in _parts(asked):
        struck, _ = lacosmic(data[outer], ignored[outer], electrons, rounds=_ROUNDS)
        found[inner] = np.asarray(struck, bool)[offset]
    found &= where
    height = image.data_e - image.sky_e
    x, y = peaks_of(found, height)
    stars = like_stars(image, height, x, y, shape)
    return _spared(found, x[stars], y[stars])


_Slices = tuple[slice, slice]


def _parts(asked: Mask) -> list[tuple[_Slices, _Slices, _Slices]]:
    """Parts that hold what is asked, those with a margin, and the former within the latter.

    The whole image, if the parts would be more than a third of it.
    """
    ny, nx = asked.shape
    parts: list[tuple[_Slices, _Slices, _Slices]] = []
    n_all = 0
    for top in range(0, ny, _PART_PIX):
        for left in range(0, nx, _PART_PIX):
            n_all += 1
            inner = np.s_[top : min(top + _PART_PIX, ny), left : min(left + _PART_PIX, nx)]
            if not asked[inner].any():
                continue
            y, x = max(top - _MARGIN_PIX, 0), max(left - _MARGIN_PIX, 0)
            outer = np.s_[y : inner[0].stop + _MARGIN_PIX, x : inner[1].stop + _MARGIN_PIX]
            offset = np.s_[top - y : inner[0].stop - y, left - x : inner[1].stop - x]
            parts.append((inner, outer, offset))
    if 3 * len(parts) > n_all:
        whole = np.s_[0:ny, 0:nx]
        return [(whole, whole, whole)]
    return parts
