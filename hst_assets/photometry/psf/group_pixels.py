"""The pixels about a few stars on all images, with their light put back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.fitted_stars import Stars
from hst_assets.photometry.psf.image_stack import Optics
from hst_assets.photometry.psf.star_light import (
    add_stars,
    place_on_image,
    places_on_images,
    star_stamp,
)

__all__ = ["GroupPixels", "pixels_about"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GroupPixels:
    """Good pixels of an image about a group of stars.

    Attributes
    ----------
    optics : Optics
        Maps and PSFs.
    image : int
        Which image of the stack.
    exptime_s : float
        Of the image.
    corner : tuple of int
        X and Y of the first pixel of the rectangle about the group.
    shape : tuple of int
        (ny, nx) of it.
    rows, columns : ndarray of int, shape (pixels,)
        The pixels, from the corner.
    light, left, error : ndarray, shape (pixels,)
        Light of the group, what the fit left there, and the error of both, electrons.
    """

    optics: Optics
    image: int
    exptime_s: float
    corner: tuple[int, int]
    shape: tuple[int, int]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    light: Floats
    left: Floats
    error: Floats

    def star(self, x: float, y: float) -> tuple[Planes, tuple[int, int], Floats]:
        """A star of one electron at a place of the reference, out to the radius of its PSF.

        Returns
        -------
        stamp : ndarray of float32, shape (3, n, n)
            PSF, and its slopes with the place on the reference.
        first : tuple of int
            X and Y of its first pixel, from the corner.
        slopes : ndarray, shape (2, 2)
            Of X and of Y on the image with those on the reference.
        """
        optics, k = self.optics, self.image
        side = 2 * optics.radius_pix + 1
        stamp, work = np.empty((3, side, side), dtype=np.float32), np.empty((4, 4))
        first = np.zeros(2, dtype=np.int64)
        star_stamp(
            k, optics.lattice, optics.knots, optics.splines, optics.cells, optics.cell_pix,
            optics.origin, optics.middle, x, y, optics.radius_pix, stamp, first, work,
        )  # fmt: skip
        slopes = np.reshape(place_on_image(optics.lattice, optics.knots, k, x, y)[2:], (2, 2))
        return stamp, (int(first[0]) - self.corner[0], int(first[1]) - self.corner[1]), slopes


def pixels_about(
    fit: FieldFit, stars: Stars, variance: Planes, *, about_pix: float, share_of_light: float
) -> list[GroupPixels]:
    """Good pixels about a group on each image that has some.

    Parameters
    ----------
    fit : FieldFit
        The stars fitted, with what is left of the images.
    stars : Stars
        Those of the group.
    variance : ndarray of float32, shape (k, ny, nx)
        `FieldFit.variance_e2`.
    about_pix : float
        Pixels within so many of a star.
    share_of_light : float
        Error of the light of the group, which is added to that of the pixels.
    """
    stack = fit.stack
    xs, ys = places_on_images(stack.optics.lattice, stack.optics.knots, stars.x, stars.y)
    counts = np.ascontiguousarray(stars.rate[stack.band_of] * stack.exptime_s[:, None])
    reach = int(about_pix) + 1
    made = []
    for k, (ny, nx) in enumerate(stack.shapes.tolist()):
        x, y = xs[k], ys[k]
        corner = max(int(x.min()) - reach, 0), max(int(y.min()) - reach, 0)
        end = min(int(x.max()) + reach + 2, nx), min(int(y.max()) + reach + 2, ny)
        if end[0] <= corner[0] or end[1] <= corner[1]:
            continue
        part = k, slice(corner[1], end[1]), slice(corner[0], end[0])
        row, column = np.mgrid[part[1], part[2]]
        apart = np.hypot(column[..., None] - x, row[..., None] - y).min(axis=-1)
        use = (apart <= about_pix) & stack.good[part]
        if not use.any():
            continue
        light = _light_of(fit, stars, counts, k, corner, use.shape)
        error = np.sqrt(variance[part] + (share_of_light * light) ** 2)
        rows, columns = np.nonzero(use)
        made.append(
            GroupPixels(
                stack.optics,
                k,
                float(stack.exptime_s[k]),
                corner,
                use.shape,
                rows,
                columns,
                light[use].astype(float),
                fit.residual_e[part][use].astype(float),
                error[use].astype(float),
            )
        )
    return made


def _light_of(
    fit: FieldFit,
    stars: Stars,
    counts: Floats,
    k: int,
    corner: tuple[int, int],
    shape: tuple[int, ...],
) -> Planes:
    """Light of a group on a rectangle of an image, as the fit took it off."""
    optics, one, first = fit.stack.optics, slice(k, k + 1), np.array(corner, dtype=float)
    light = np.zeros((1, *shape), dtype=np.float32)
    add_stars(
        light, np.array([shape]), optics.lattice, optics.knots[one] - first,
        optics.splines, optics.cells[one], optics.cell_pix[one], optics.origin[one] + first,
        optics.middle, optics.profiles[one], stars.x, stars.y, counts[one],
        fit.faintest_e[one], fit.parameters.fit_radius_pix + 1,
    )  # fmt: skip
    of_image: Planes = light[0]
    return of_image
