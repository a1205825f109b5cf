"""All images of a piece of the sky in arrays of one shape, as the compiled loops read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.compiling import compiled
from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.pixel_map import KNOT_STEP_PIX
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf

__all__ = ["ImageStack", "Optics", "image_stack"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Optics:
    """Where a star of the reference falls on k images, and with which PSF.

    Attributes
    ----------
    lattice : ndarray, shape (3,)
        X and Y of the first knot of the maps, and their distance (pixels of the reference).
    knots : ndarray, shape (k, ny, nx, 2)
        X and Y on each image at the knots.
    splines : ndarray of float32, shape (cells, 4, 4, m, m)
        Coefficients of all PSFs, cell by cell, sorted by phase: ``[cell, py, px, j, i]`` is the
        coefficient at row 4 j + py and column 4 i + px. Neighbours of one phase lie side by side.
    cells : ndarray of int, shape (k, 3)
        First cell of each image's PSF, cells in Y and in X.
    cell_pix, origin : ndarray, shape (k, 2)
        Width and height of a cell; X and Y of the image's first pixel on its chip.
    middle : int
        Index of the coefficient at the star's place (before the sorting).
    radius_pix : int
        The PSFs reach so far.
    profiles : ndarray, shape (k, radius_pix + 1)
        Largest value of each image's PSF by distance in pixels.
    kernels : dict of ndarray
        PSFs at whole pixels by cell and by place in a pixel (Y and X, quarters of it), remembered
        once they were asked for.
    """

    lattice: Floats
    knots: Floats
    splines: Planes
    cells: NDArray[np.int64]
    cell_pix: Floats
    origin: Floats
    middle: int
    radius_pix: int
    profiles: Floats
    kernels: dict[tuple[int, int, int], Planes] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ImageStack:
    """Images of k exposures; those that are smaller are filled up with pixels that are not good.

    Attributes
    ----------
    data_e, sky_e : ndarray of float32, shape (k, ny, nx)
        See `ChipImage`.
    good : ndarray of bool, shape (k, ny, nx)
        Pixels that are fitted.
    shapes : ndarray of int, shape (k, 2)
        Rows and columns of each image.
    saturated : ndarray of bool, shape (k, ny, nx)
        See `ChipImage`.
    read_noise_e, exptime_s : ndarray, shape (k,)
        See `ChipImage`.
    band_of : ndarray of int, shape (k,)
        Index of each image's band.
    bands, names : tuple of str
        The bands; the images.
    optics : Optics
        Maps and PSFs.
    mjd : ndarray, shape (k,)
        See `ChipImage`.
    """

    data_e: Planes
    sky_e: Planes
    good: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    shapes: NDArray[np.int64]
    read_noise_e: Floats
    exptime_s: Floats
    band_of: NDArray[np.int64]
    bands: tuple[str, ...]
    names: tuple[str, ...]
    optics: Optics
    mjd: Floats

    def __len__(self) -> int:
        return len(self.data_e)

    def variance_e2(self, sky_e: Planes, model_e: Planes) -> Planes:
        """Variance of the pixels by sky, stars and read noise, electrons squared.

        A flat field makes a uniform sky uniform, and so divides by the pixel area, too: data times
        pixel areas are the electrons that were detected, with their Poisson noise.
        """
        variance = np.empty_like(self.data_e)
        _variances(sky_e, model_e, self.read_noise_e, variance)
        return variance

    def weight(self, sky_e: Planes, model_e: Planes) -> Planes:
        """One over the variance; 0 of pixels that are not fitted."""
        weight = self.variance_e2(sky_e, model_e)
        _inverted(self.good, weight)
        return weight


@compiled
def _variances(sky: Any, model: Any, read_noise: Any, variance: Any) -> None:
    for k in range(sky.shape[0]):
        squared = np.float32(read_noise[k] ** 2)
        for j in range(sky.shape[1]):
            for i in range(sky.shape[2]):
                light = sky[k, j, i] + max(model[k, j, i], np.float32(0))
                variance[k, j, i] = max(light, np.float32(0)) + squared + np.float32(1e-3)


@compiled
def _inverted(good: Any, values: Any) -> None:
    """One over the value of good pixels, 0 of others, in place."""
    for k in range(values.shape[0]):
        for j in range(values.shape[1]):
            for i in range(values.shape[2]):
                one = np.float32(1) / values[k, j, i]
                values[k, j, i] = one if good[k, j, i] else np.float32(0)


def image_stack(
    images: Sequence[ChipImage],
    psfs: Mapping[str, SplinePsf] | Sequence[SplinePsf],
    *,
    box: tuple[float, float, float, float],
) -> ImageStack:
    """Put images of one piece of the sky into arrays.

    Parameters
    ----------
    images : sequence of ChipImage
        At least one.
    psfs : mapping or sequence of SplinePsf
        By band, or one for each image; all of one radius.
    box : tuple of float
        First and last X, first and last Y of the piece on the reference, 0-based pixels.
    """
    of_images = [
        psfs[image.band] if isinstance(psfs, Mapping) else psfs[at]
        for at, image in enumerate(images)
    ]
    bands = tuple(dict.fromkeys(image.band for image in images))
    shapes = np.array([image.shape for image in images], dtype=np.int64)
    ny, nx = shapes.max(axis=0)

    def filled(planes: Sequence[NDArray[Any]], value: float, kind: type) -> NDArray[Any]:
        stack = np.full((len(planes), ny, nx), value, dtype=kind)
        for whole, plane in zip(stack, planes, strict=True):
            whole[: plane.shape[0], : plane.shape[1]] = plane
        return stack

    finite = [np.isfinite(image.data_e) for image in images]
    good = [image.good & f for image, f in zip(images, finite, strict=True)]
    return ImageStack(
        data_e=filled(
            [np.where(f, i.data_e, 0) for f, i in zip(finite, images, strict=True)],
            0,
            np.float32,
        ),
        sky_e=filled([image.sky_e for image in images], 0, np.float32),
        good=filled(good, 0, np.bool_),
        saturated=filled([image.saturated for image in images], 0, np.bool_),
        shapes=shapes,
        read_noise_e=np.array([image.read_noise_e for image in images]),
        exptime_s=np.array([image.exptime_s for image in images]),
        band_of=np.array([bands.index(image.band) for image in images], dtype=np.int64),
        bands=bands,
        names=tuple(image.name for image in images),
        optics=_optics(images, of_images, box),
        mjd=np.array([image.mjd for image in images]),
    )


def _optics(
    images: Sequence[ChipImage],
    psfs: Sequence[SplinePsf],
    box: tuple[float, float, float, float],
) -> Optics:
    radius = {psf.radius_pix for psf in psfs}
    if len(radius) != 1:
        raise ValueError("all PSFs must have one radius")
    x, y = (
        np.arange(first, last + 2 * KNOT_STEP_PIX, KNOT_STEP_PIX)
        for first, last in (box[:2], box[2:])
    )
    grid = np.meshgrid(x, y)
    knots = np.stack([np.stack(image.pixel_map(*grid), axis=-1) for image in images])
    different = list({id(psf): psf for psf in psfs}.values())
    starts = np.cumsum([0, *(np.prod(psf.coefficients.shape[:2]) for psf in different)])
    first = {id(psf): start for psf, start in zip(different, starts, strict=False)}
    return Optics(
        lattice=np.array([x[0], y[0], KNOT_STEP_PIX]),
        knots=np.ascontiguousarray(knots),
        splines=np.concatenate([_by_phase(psf) for psf in different]),
        cells=np.array(
            [(first[id(psf)], *psf.coefficients.shape[:2]) for psf in psfs], dtype=np.int64
        ),
        cell_pix=np.array([psf.cell_pix for psf in psfs], dtype=float),
        origin=np.array([image.origin for image in images], dtype=float),
        middle=psfs[0].middle,
        radius_pix=psfs[0].radius_pix,
        profiles=_profiles(psfs),
    )


def _profiles(psfs: Sequence[SplinePsf]) -> Floats:
    known: dict[int, Floats] = {}
    return np.stack([known.setdefault(id(psf), psf.profile()) for psf in psfs])


def _by_phase(psf: SplinePsf) -> Planes:
    """Coefficients of all cells sorted by phase, shape (cells, 4, 4, m, m)."""
    n = psf.coefficients.shape[-1]
    m = -(-n // OVERSAMPLING)
    cells = psf.coefficients.reshape(-1, n, n)
    whole = np.zeros((len(cells), m * OVERSAMPLING, m * OVERSAMPLING), dtype=np.float32)
    whole[:, :n, :n] = cells
    parts = whole.reshape(len(cells), m, OVERSAMPLING, m, OVERSAMPLING)
    return np.ascontiguousarray(parts.transpose(0, 2, 4, 1, 3))
