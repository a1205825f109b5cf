"""What measures simulated fields: the embedded photometer, and a trivial one to try the judge."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.psf.measurement import measure_target
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.tiles import ChipInMemory
from hst_assets_tests.star_scenes import camera_of

Psfs = dict[str, SplinePsf]
Engine = Callable[[list[ChipImage], Psfs, tuple[int, int]], MeasuredStars]


def sources_of(images: Sequence[ChipImage]) -> list[ChipInMemory]:
    """What the engine measures, with one PSF for each band and chip."""
    return [
        ChipInMemory(
            each,
            f"{each.band} {each.name.rpartition('.')[2] if '.' in each.name else ''}",
            pixel_scale_arcsec=camera_of(each.band).pixel_arcsec,
        )
        for each in images
    ]


def embedded(images: list[ChipImage], psfs: Psfs, shape: tuple[int, int]) -> MeasuredStars:
    """The engine, with PSFs of bands to begin with."""
    del shape
    sources = sources_of(images)
    priors = {each.psf_key: psfs[each.band] for each in sources}
    with tempfile.TemporaryDirectory() as folder:
        stars: MeasuredStars = measure_target(sources, priors, folder=Path(folder))
    return stars


def aperture(images: list[ChipImage], psfs: Psfs, _: tuple[int, int]) -> MeasuredStars:
    """A trivial estimator, so that the judge can be tried: peaks, and sums of 3 pixels about."""
    from scipy.ndimage import maximum_filter

    first = images[0]
    signal = np.where(first.good, first.data_e - first.sky_e, 0.0)
    noise = np.sqrt(np.maximum(first.sky_e, 1.0) + first.read_noise_e**2)
    peak = (signal == maximum_filter(signal, 3)) & (signal > 4 * noise)
    y, x = (each.astype(float) for each in np.nonzero(peak))
    counts, errors, xs, ys = [], [], [], []
    for image in images:
        i, j = image.pixel_map(x, y)
        total, error = _summed(image, i, j)
        share = psfs[image.band].at(*np.meshgrid(np.arange(-3.0, 4), np.arange(-3.0, 4))).sum()
        counts.append(total / share)
        errors.append(error / share)
        xs.append(i)
        ys.append(j)
    return _bare(images, x, y, np.array(counts), np.array(errors), np.array(xs), np.array(ys))


def _summed(image: ChipImage, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ny, nx = image.shape
    total, variance = np.zeros(len(x)), np.full(len(x), np.inf)
    signal = np.where(image.good, image.data_e - image.sky_e, 0.0)
    for k, (i, j) in enumerate(zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True)):
        if 3 <= i < nx - 3 and 3 <= j < ny - 3:
            part = np.s_[j - 3 : j + 4, i - 3 : i + 4]
            total[k] = signal[part].sum()
            variance[k] = np.abs(image.data_e[part]).sum() + 49 * image.read_noise_e**2
    return total, np.sqrt(variance)


def _bare(images, x, y, counts, errors, xs, ys) -> MeasuredStars:
    """Stars of which only places and counts are known."""
    k, n = counts.shape
    nothing = np.full((k, n), np.nan)
    shapes = np.array([image.shape for image in images])
    off = (xs < 0) | (ys < 0) | (xs > shapes[:, 1:] - 1) | (ys > shapes[:, :1] - 1)
    return MeasuredStars(
        x=x,
        y=y,
        x_error=np.full(n, np.nan),
        y_error=np.full(n, np.nan),
        object_type=np.ones(n, dtype=np.int32),
        counts_e=counts,
        counts_error_e=errors,
        sky_e=nothing,
        chi=nothing,
        sharpness=nothing,
        roundness=nothing,
        position_angle_deg=nothing,
        crowding_mag=nothing,
        flag=np.where(off, 9, 0).astype(np.int32),
        image_names=tuple(image.name for image in images),
        aperture_correction_mag=np.zeros(k),
        aperture_correction_error_mag=np.zeros(k),
    )


ENGINES: dict[str, Engine] = {"embedded": embedded, "aperture": aperture}
