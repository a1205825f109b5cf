"""Artificial stars: put into the images, and found and fitted from scratch as real ones are.

Each star is alone: it is put into a window about its place, with the photon noise of its own light,
and everything in the window is found and fitted again by the code and the parameters of the
measurement. Of the measurement itself are the PSFs, shifts, sky and masks of cosmic rays, and the
stars beyond the window, which do not notice.

The sky is not measured again, as one star hardly changes it (a mesh has 4096 pixels). That a real
star could be taken for a cosmic ray is not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.catalog.quantities import NOT_RECOVERED, OFF_IMAGE
from hst_assets.photometry.psf.combined_quality import EXTENDED, object_quality, object_types
from hst_assets.photometry.psf.extended_objects import pieces_of_extended
from hst_assets.photometry.psf.field_fit import FieldFit, finest_scale
from hst_assets.photometry.psf.image_fluxes import ForcedFit, forced_fit
from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.photometry.psf.misfit_prior import MisfitPrior
from hst_assets.photometry.psf.psf_error import enlarged, psf_error_scale
from hst_assets.photometry.psf.restored_field import (
    RestoredTile,
    restored_tile,
    starlight,
    window,
    within,
)
from hst_assets.photometry.psf.star_light import places_on_images
from hst_assets.photometry.psf.star_quality import StarQuality, star_quality
from hst_assets.photometry.psf.star_search import fit_field
from hst_assets.photometry.psf.tiles import ImageSource, Tile, plan_tiles
from hst_assets.photometry.psf.window_misfit import piece_prior, window_misfit

__all__ = ["ArtificialStarsFound", "measure_artificial_stars"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

#: Stars within so many fit radii of an artificial star are found and fitted anew. Beyond, stars
#: share no pixel with it, nor with any that does.
_RADII_FITTED = 3
#: A star found within this distance of the place is the one put in, pixels of the finest detector
#: (DOLPHOT's FakeMatch; which of them count as recovered is decided later, and more strictly).
_MATCH_PIX = 3.0
#: Pieces of the field that are read at a time, pixels of the reference.
_PIECE_PIX = 512
_FIRST_EXTREME_FLAG = 8


@dataclass(frozen=True, eq=False)
class ArtificialStarsFound:
    """What became of n artificial stars on k images.

    Attributes
    ----------
    on_image : ndarray of bool, shape (k, n)
        Whether the star's place is on the chip.
    recovered : ndarray of bool, shape (n,)
        Whether a star was found near its place.
    stars : MeasuredStars
        The n stars; of those that were not recovered, X and Y are -0.5 and flags
        `hst_assets.photometry.catalog.quantities.NOT_RECOVERED`.
    """

    on_image: NDArray[np.bool_]
    recovered: NDArray[np.bool_]
    stars: MeasuredStars


@dataclass(frozen=True, eq=False)
class _PutIn:
    """The list."""

    x: Floats
    y: Floats
    counts_e: Floats
    seed: tuple[int, ...]
    limit_e: Floats

    def generator(self, star: int) -> np.random.Generator:
        """Random numbers of one star's photons."""
        return np.random.default_rng([*self.seed, star])


def measure_artificial_stars(
    sources: Sequence[ImageSource],
    kept: MeasurementFile,
    x: Floats,
    y: Floats,
    counts_e: Floats,
    *,
    seed: Sequence[int],
    saturation_e: Floats | None = None,
    progress: Callable[[float], None] | None = None,
) -> ArtificialStarsFound:
    """Put in stars, one at a time, and measure them.

    Parameters
    ----------
    sources : sequence of ImageSource
        The k images of the measurement, unshifted.
    kept : MeasurementFile
        What it kept.
    x, y : ndarray, shape (n,)
        Where stars are put, 0-based pixels of the reference.
    counts_e : ndarray, shape (k, n)
        Electrons of each star in the whole exposure, before the aperture correction.
    seed : sequence of int
        Of the photon noise; each star's follows from it and its number in the list alone.
    saturation_e : ndarray, shape (k,), optional
        A pixel with so much is saturated, in the unit of `ChipImage.data_e`; by default none is.
    progress : callable, optional
        Is told which share is done.

    Raises
    ------
    UnusableInput
        If the images are not those of the measurement.
    """
    k, n = len(sources), len(x)
    limits = np.full(k, np.inf) if saturation_e is None else np.asarray(saturation_e, dtype=float)
    put_in = _PutIn(
        np.asarray(x, float), np.asarray(y, float), np.asarray(counts_e, float), (*seed,), limits
    )
    moved = kept.moved(sources)
    found = _nothing_found(k, n, kept)
    done = 0
    for piece in plan_tiles(moved, tile_pix=_PIECE_PIX):
        stars = np.flatnonzero(piece.holds(put_in.x, put_in.y))
        if stars.size:
            _measure_piece(moved, kept, piece, put_in, stars, found)
            done += len(stars)
            if progress is not None:
                progress(done / n)
    return found


def _nothing_found(k: int, n: int, kept: MeasurementFile) -> ArtificialStarsFound:
    def of_images(value: float, kind: type = float) -> NDArray[Any]:
        return np.full((k, n), value, dtype=kind)

    stars = MeasuredStars(
        x=np.full(n, -0.5),
        y=np.full(n, -0.5),
        x_error=np.full(n, np.inf),
        y_error=np.full(n, np.inf),
        object_type=np.ones(n, np.int32),
        counts_e=of_images(0),
        counts_error_e=of_images(np.inf),
        sky_e=of_images(0),
        chi=of_images(0),
        sharpness=of_images(0),
        roundness=of_images(0),
        position_angle_deg=of_images(0),
        crowding_mag=of_images(0),
        flag=of_images(NOT_RECOVERED, np.int32),
        image_names=tuple(image.name for image in kept.images),
        aperture_correction_mag=np.array([each.aperture_correction_mag for each in kept.images]),
        aperture_correction_error_mag=np.array(
            [each.aperture_correction_error_mag for each in kept.images]
        ),
        chip_x=of_images(np.nan),
        chip_y=of_images(np.nan),
    )
    return ArtificialStarsFound(np.zeros((k, n), bool), np.zeros(n, bool), stars)


def _measure_piece(
    sources: Sequence[ImageSource],
    kept: MeasurementFile,
    piece: Tile,
    put_in: _PutIn,
    stars: NDArray[np.int64],
    found: ArtificialStarsFound,
) -> None:
    """Measure the stars of one piece of the field."""
    for at, source in enumerate(sources):
        xs, ys = source.pixel_map(put_in.x[stars], put_in.y[stars])
        ny, nx = source.shape
        found.on_image[at, stars] = (xs >= -0.5) & (ys >= -0.5) & (xs < nx - 0.5) & (ys < ny - 0.5)
    radius = max(psf.radius_pix for psf in kept.psfs.values())
    restored = restored_tile(sources, kept, piece, least_reach_pix=2.0 * radius)
    if restored is None:
        return
    prior = piece_prior(restored, kept.parameters.fit)
    for star in stars:
        if found.on_image[:, star].any():
            _measure_star(restored, kept, prior, put_in, int(star), found)


def _measure_star(
    restored: RestoredTile,
    kept: MeasurementFile,
    prior: MisfitPrior,
    put_in: _PutIn,
    star: int,
    found: ArtificialStarsFound,
) -> None:
    fit_parameters = kept.parameters.fit
    scale = finest_scale(restored.stack)
    reach = _RADII_FITTED * fit_parameters.fit_radius_pix / scale
    x, y = put_in.x[star], put_in.y[star]
    cut = window(restored.stack, x, y, reach, fit_parameters.fit_radius_pix + 1)
    if cut is None:
        return
    empty, which, parts = cut
    box = (x - reach, x + reach, y - reach, y + reach)
    # What the stars beyond the box shine into the window is sky to it.
    near = within(restored.x, restored.y, box)
    beyond = -starlight(
        empty, restored.x[near], restored.y[near], restored.counts_e[np.ix_(which, near)]
    )
    for plane, k, (rows, columns) in zip(beyond, which, parts, strict=True):
        ny, nx = rows.stop - rows.start, columns.stop - columns.start
        plane[:ny, :nx] += restored.model_e[k, rows, columns]
    images = np.array(restored.tile.images)[which]
    stack = _with_star(replace(empty, sky_e=empty.sky_e + beyond), put_in, star, images)
    fit = fit_field(stack, box, fit_parameters, sky_is_known=True)
    if not len(fit.stars):
        return
    distance = np.hypot(fit.stars.x - x, fit.stars.y - y)
    nearest = int(np.argmin(distance))
    if distance[nearest] * scale <= _MATCH_PIX:
        psfs = [restored.psfs[k] for k in which]
        forced, row = forced_fit(fit), np.array([nearest])
        _keep(fit, forced, nearest, psfs, kept.parameters.noise_mult, images, star, found)
        # As of the catalogue's stars.
        misfit = window_misfit(restored, fit, (x, y, reach), (which, parts), nearest, prior)
        misfit = misfit[stack.band_of]
        wider = enlarged(misfit, psf_error_scale(fit, forced, psfs, row))
        found.stars.counts_error_e[images, star] *= wider[:, 0]
        found.stars.sky_e[images, star] = _at(empty.sky_e, empty.shapes, *_place(fit, nearest))


def _with_star(
    stack: ImageStack, put_in: _PutIn, star: int, images: NDArray[np.int64]
) -> ImageStack:
    """A window with the star in it.

    Data times pixel areas are the electrons that were detected, with their Poisson noise
    (`ImageStack.variance_e2`).
    """
    place = put_in.x[star : star + 1], put_in.y[star : star + 1]
    light = starlight(stack, *place, put_in.counts_e[images, star : star + 1])
    shines = light > 0
    light[shines] = put_in.generator(star).poisson(light[shines])
    data = stack.data_e + light
    limit = put_in.limit_e[images].astype(np.float32)[:, None, None]
    saturated = stack.saturated | (stack.good & (data >= limit))
    return replace(stack, data_e=data, good=stack.good & ~saturated, saturated=saturated)


def _keep(
    fit: FieldFit,
    forced: ForcedFit,
    which: int,
    psfs: Sequence[Any],
    noise_mult: float,
    images: NDArray[np.int64],
    star: int,
    found: ArtificialStarsFound,
) -> None:
    """Put what was measured of one star of a window where it belongs."""
    quality = _qualities(fit, forced, which, psfs, noise_mult)
    counts, error = forced.counts_e[:, [which]], forced.counts_error_e[:, [which]]
    of_object = object_quality(quality, counts, error, fit.stack.exptime_s)
    stars, into = found.stars, (images, star)
    found.recovered[star] = True
    stars.x[star], stars.y[star] = fit.stars.x[which], fit.stars.y[which]
    stars.x_error[star], stars.y_error[star] = np.sqrt(fit.stars.place_covariance[which, :2])
    # As of the catalogue's stars: one that was found with a galaxy's pieces is one of them.
    is_piece = pieces_of_extended(fit, about=which)[which]
    stars.object_type[star] = EXTENDED if is_piece else object_types(quality)[0]
    stars.flag[:, star] = OFF_IMAGE
    flag = np.array([each.flag[0] for each in quality])
    off = ~np.isfinite(error[:, 0]) & (flag < _FIRST_EXTREME_FLAG)
    flag[off] = OFF_IMAGE
    # A saturated star has a flux by its wings: it is flagged as saturated, not as worthless.
    by_wings = ((flag & 4) > 0) & np.isfinite(error[:, 0]) & (flag < NOT_RECOVERED)
    flag[by_wings & fit.stars.wide[which] & ~off] &= ~_FIRST_EXTREME_FLAG
    stars.flag[into] = flag
    stars.counts_e[into], stars.counts_error_e[into] = counts[:, 0], error[:, 0]
    for name in ("chi", "sharpness", "position_angle_deg", "crowding_mag"):
        values = np.array([getattr(each, name)[0] for each in quality])
        getattr(stars, name)[into] = np.nan_to_num(values)
    stars.roundness[into] = np.nan_to_num(of_object.image_roundness[:, 0])
    xs, ys = forced.xs[:, which], forced.ys[:, which]
    origin = fit.stack.optics.origin
    for name, places, first in (("chip_x", xs, origin[:, 0]), ("chip_y", ys, origin[:, 1])):
        getattr(stars, name)[into] = places + first


def _place(fit: FieldFit, which: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixel of a star on each image."""
    optics, one = fit.stack.optics, slice(which, which + 1)
    xs, ys = places_on_images(optics.lattice, optics.knots, fit.stars.x[one], fit.stars.y[one])
    return np.rint(xs[:, 0]).astype(np.int64), np.rint(ys[:, 0]).astype(np.int64)


def _at(
    planes: Planes, shapes: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64]
) -> Floats:
    """The value of a pixel of each image; 0 off it."""
    inside = (x >= 0) & (y >= 0) & (x < shapes[:, 1]) & (y < shapes[:, 0])
    values = np.zeros(len(planes))
    values[inside] = planes[np.flatnonzero(inside), y[inside], x[inside]]
    return values


def _qualities(
    fit: FieldFit, forced: ForcedFit, which: int, psfs: Sequence[Any], noise_mult: float
) -> list[StarQuality]:
    stack, variance = fit.stack, fit.variance_e2()
    model = stack.data_e - fit.sky_e - forced.residual_e
    one = slice(which, which + 1)
    return [
        star_quality(
            forced.residual_e[k, :ny, :nx],
            variance[k, :ny, :nx],
            stack.good[k, :ny, :nx],
            stack.saturated[k, :ny, :nx],
            psfs[k],
            forced.xs[k, one],
            forced.ys[k, one],
            forced.counts_e[k, one],
            model_e=model[k, :ny, :nx],
            noise_mult=noise_mult,
            origin=(int(stack.optics.origin[k, 0]), int(stack.optics.origin[k, 1])),
        )
        for k, (ny, nx) in enumerate(stack.shapes)
    ]
