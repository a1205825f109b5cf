"""What runs in child processes: a round of the measurement of one tile."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.aperture_correction import ApertureCorrection, aperture_correction
from hst_assets.photometry.psf.bright_stars import BrightStars, ShiftsOfStars, bright_stars
from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.combined_quality import EXTENDED, object_quality, object_types
from hst_assets.photometry.psf.cosmic_rays import cosmic_ray_masks
from hst_assets.photometry.psf.epsf_task import save_stamps
from hst_assets.photometry.psf.extended_objects import pieces_of_extended
from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.image_fluxes import ForcedFit, forced_fit
from hst_assets.photometry.psf.image_stack import ImageStack, image_stack
from hst_assets.photometry.psf.local_misfit import misfit_scale
from hst_assets.photometry.psf.measured_stars import DAYS_A_YEAR, MeasuredStars
from hst_assets.photometry.psf.measurement import Measurement, TileStars
from hst_assets.photometry.psf.moving_stars import join_moving
from hst_assets.photometry.psf.psf_error import enlarged, psf_error_scale
from hst_assets.photometry.psf.ray_pixels import (
    joined_rays,
    load_rays,
    pixel_numbers,
    rays_file,
    rays_on,
    save_rays,
)
from hst_assets.photometry.psf.residual_images import part_of_tile, write_parts
from hst_assets.photometry.psf.sky_mesh import SkyMesh
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.star_quality import StarQuality, star_quality
from hst_assets.photometry.psf.star_search import fit_field
from hst_assets.photometry.psf.struck_pixels import mask_struck
from hst_assets.photometry.psf.tiles import Tile, images_of

__all__ = ["find_bright_stars", "measure_tile"]

#: Numbers of a tile's stars begin with its own times this.
_STARS_A_TILE = 10_000_000
#: Sweeps over bright stars: they are near their places after a few.
_SWEEPS_OF_BRIGHT = 5
#: Sweeps once pixels that cosmic rays hit near stars are masked: few stars change.
_SWEEPS_WITHOUT_STRUCK = 4


def find_bright_stars(folder: str, round_number: int, tile_number: int, output: str) -> None:
    """Fit the stars of one search, and leave what the bright ones tell (`BrightStars`).

    Their stamps are in a file of their own (`hst_assets.photometry.psf.epsf_task`).

    Parameters
    ----------
    folder : str
        Of the measurement.
    round_number, tile_number : int
        Which round, which tile.
    output : str
        Name of the file to leave in the folder.
    """
    now, tile, _, stack = _begun(folder, round_number, tile_number)
    how = replace(now.parameters.fit, n_sweeps=_SWEEPS_OF_BRIGHT)
    fit = fit_field(stack, tile.box, how, bright_only=True)
    found = bright_stars(fit, first_star=tile_number * _STARS_A_TILE)
    told = save_stamps(Path(folder), output, _own(found, fit, tile))
    _leave(told, Path(folder) / output)


def measure_tile(folder: str, round_number: int, tile_number: int, output: str) -> None:
    """Find and measure all stars of a tile, and leave them (`TileStars`).

    Parameters
    ----------
    folder, round_number, tile_number, output
        As of `find_bright_stars`.
    """
    now, tile, images, stack = _begun(folder, round_number, tile_number)
    good = stack.good.copy()  # fewer are at the end
    fit = fit_field(stack, tile.box, now.parameters.fit)
    if now.parameters.cosmic_rays and mask_struck(fit):
        fit.sweep(_SWEEPS_WITHOUT_STRUCK)
        fit.render()
    forced = forced_fit(fit)
    if join_moving(fit, forced, date_mjd=_mean_date(now)):
        forced = forced_fit(fit)
    found = _measured(now, tile, fit, forced)
    if now.parameters.residuals:
        parts = [
            part_of_tile(image, left[: image.shape[0], : image.shape[1]], tile.core)
            for image, left in zip(images, forced.residual_e, strict=True)
        ]
        write_parts(parts, Path(folder) / f"tile{tile_number}.residuals.npz")
    left_out = _left_out(now, tile, good & ~fit.stack.good, fit, Path(folder))
    kept = replace(found, skies=_sky_meshes(now, tile, fit), left_out=left_out)
    _leave(kept, Path(folder) / output)


def _mean_date(now: Measurement) -> float:
    """When stars that move are at their places: one date for all tiles."""
    return float(np.mean([source.mjd for source in now.sources]))


def _begun(
    folder: str, round_number: int, tile_number: int
) -> tuple[Measurement, Tile, list[ChipImage], ImageStack]:
    now = Measurement.load(Path(folder), round_number)
    tile = now.tiles[tile_number]
    images = images_of(now.sources, tile)
    if now.parameters.cosmic_rays:
        images = _without_rays(images, now, tile, Path(folder))
    psfs = [now.psfs[now.sources[at].psf_key] for at in tile.images]
    return now, tile, images, image_stack(images, psfs, box=tile.box)


def _without_rays(
    images: Sequence[ChipImage], now: Measurement, tile: Tile, folder: Path
) -> list[ChipImage]:
    """Images with cosmic rays masked; they are looked for once."""
    kept = rays_file(folder, tile)
    if not kept.is_file():
        psfs = {now.sources[at].band: now.psfs[now.sources[at].psf_key] for at in tile.images}
        masks = [found.mask for found in cosmic_ray_masks(images, psfs=psfs)]
        save_rays(kept, [(each.origin, mask) for each, mask in zip(images, masks, strict=True)])
    # Parts of chips may begin a pixel elsewhere since: images were shifted.
    pixels = dict(zip(tile.images, load_rays(kept), strict=True))
    return [
        replace(image, good=image.good & ~rays_on(image, pixels[at]))
        for at, image in zip(tile.images, images, strict=True)
    ]


def _own(found: BrightStars, fit: FieldFit, tile: Tile) -> BrightStars:
    """What is of stars in the tile's core."""
    inside = tile.holds(fit.stars.x, fit.stars.y)
    keep = [inside[stamps.stars % _STARS_A_TILE] for stamps in found.stamps]
    return BrightStars(
        [stamps.of(kept) for stamps, kept in zip(found.stamps, keep, strict=True)],
        [values[kept] for values, kept in zip(found.snr, keep, strict=True)],
        [values[kept] for values, kept in zip(found.neighbour_share, keep, strict=True)],
        [values[kept] for values, kept in zip(found.saturated, keep, strict=True)],
        [_own_shifts(shifts, inside) for shifts in found.shifts],
        found.n_found,
    )


def _own_shifts(shifts: ShiftsOfStars, inside: NDArray[np.bool_]) -> ShiftsOfStars:
    kept = inside[shifts.stars % _STARS_A_TILE]
    return ShiftsOfStars(*(getattr(shifts, each.name)[kept] for each in fields(shifts)))


def _leave(found: Any, path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(pickle.dumps(found, protocol=pickle.HIGHEST_PROTOCOL))
    part.replace(path)


# ------------------------------------------------------------------------ all that is measured


def _measured(now: Measurement, tile: Tile, fit: FieldFit, forced: ForcedFit) -> TileStars:
    stars, stack = fit.stars, fit.stack
    psfs = [now.psfs[now.sources[at].psf_key] for at in tile.images]
    model = stack.data_e - fit.sky_e - forced.residual_e
    variance = fit.variance_e2()
    quality = [
        _quality_of(stack, k, psfs[k], forced, model[k], variance[k], now.parameters.noise_mult)
        for k in range(len(stack))
    ]
    of_object = object_quality(quality, forced.counts_e, forced.counts_error_e, stack.exptime_s)
    types = object_types(quality)
    types[pieces_of_extended(fit)] = EXTENDED
    own = tile.holds(stars.x, stars.y)
    rows = np.flatnonzero(own)
    misfit = misfit_scale(fit, tile.box, rows)[stack.band_of]
    scale = enlarged(misfit, psf_error_scale(fit, forced, psfs, rows))
    flag = np.array([each.flag for each in quality])
    off = ~np.isfinite(forced.counts_error_e) & (flag < 8)
    flag[off] = 9
    # A saturated star has a flux by its wings: it is flagged as saturated, not as worthless.
    by_wings = stars.wide & ((flag & 4) > 0) & np.isfinite(forced.counts_error_e) & (flag < 16)
    flag[by_wings & ~off] &= ~8
    # Of the brightest, light beyond the PSF went to the sky: they would miss it in the aperture.
    usable = (types == 1) & ~fit.with_halo()
    corrections = [
        _correction(now, tile, k, psfs[k], forced, variance[k], stack, usable & (flag[k] == 0))
        for k in range(len(stack))
    ]

    def image_values(get: Callable[[StarQuality], Any]) -> Any:
        return np.nan_to_num(np.array([get(each) for each in quality])[:, own])

    origin = stack.optics.origin
    found = MeasuredStars(
        x=stars.x[own],
        y=stars.y[own],
        x_error=np.sqrt(stars.place_covariance[own, 0]),
        y_error=np.sqrt(stars.place_covariance[own, 1]),
        object_type=types[own],
        motion_pix_yr=stars.motion[own] * DAYS_A_YEAR,
        counts_e=forced.counts_e[:, own],
        counts_error_e=forced.counts_error_e[:, own] * scale,
        sky_e=_sky_at(fit, forced)[:, own],
        chi=image_values(lambda each: each.chi),
        sharpness=image_values(lambda each: each.sharpness),
        roundness=np.nan_to_num(of_object.image_roundness[:, own]),
        position_angle_deg=image_values(lambda each: each.position_angle_deg),
        crowding_mag=image_values(lambda each: each.crowding_mag),
        flag=flag[:, own],
        image_names=stack.names,
        aperture_correction_mag=np.array([each.mag for each in corrections]),
        aperture_correction_error_mag=np.array([each.error_mag for each in corrections]),
        chip_x=forced.xs[:, own] + origin[:, :1],
        chip_y=forced.ys[:, own] + origin[:, 1:],
    )
    return TileStars(tile.images, found, corrections)


def _sky_meshes(now: Measurement, tile: Tile, fit: FieldFit) -> list[SkyMesh]:
    """What was added to the sky of each image."""
    meshes = []
    for k, source in enumerate(tile.images):
        mesh = SkyMesh.of_chip(now.sources[source].shape)
        ny, nx = fit.stack.shapes[k]
        mesh.add((fit.sky_e[k] - fit.stack.sky_e[k])[:ny, :nx], _origin(fit.stack, k))
        meshes.append(mesh)
    return meshes


def _left_out(
    now: Measurement, tile: Tile, dropped: NDArray[np.bool_], fit: FieldFit, folder: Path
) -> list[NDArray[np.int64]]:
    """Pixels that cosmic rays hit, and those that the fit left out."""
    pixels = [
        pixel_numbers(dropped[k, :ny, :nx], _origin(fit.stack, k))
        for k, (ny, nx) in enumerate(fit.stack.shapes)
    ]
    if not now.parameters.cosmic_rays:
        return pixels
    rays = load_rays(rays_file(folder, tile))
    return [joined_rays(each) for each in zip(pixels, rays, strict=True)]


def _quality_of(
    stack: ImageStack,
    k: int,
    psf: SplinePsf,
    forced: ForcedFit,
    model: NDArray[np.float32],
    variance: NDArray[np.float32],
    noise_mult: float,
) -> StarQuality:
    ny, nx = stack.shapes[k]
    part = (slice(0, ny), slice(0, nx))
    return star_quality(
        forced.residual_e[k][part],
        variance[part],
        stack.good[k][part],
        stack.saturated[k][part],
        psf,
        forced.xs[k],
        forced.ys[k],
        forced.counts_e[k],
        model_e=model[part],
        noise_mult=noise_mult,
        origin=_origin(stack, k),
    )


def _correction(
    now: Measurement,
    tile: Tile,
    k: int,
    psf: SplinePsf,
    forced: ForcedFit,
    variance: NDArray[np.float32],
    stack: ImageStack,
    usable: NDArray[np.bool_],
) -> ApertureCorrection:
    ny, nx = stack.shapes[k]
    part = (slice(0, ny), slice(0, nx))
    source = now.sources[tile.images[k]]
    return aperture_correction(
        forced.residual_e[k][part],
        variance[part],
        stack.good[k][part],
        psf,
        forced.xs[k],
        forced.ys[k],
        forced.counts_e[k],
        forced.counts_error_e[k],
        pixel_scale_arcsec=source.pixel_scale_arcsec,
        radius_arcsec=now.parameters.aperture_radius_arcsec,
        encircled_energy=source.encircled,
        usable=usable,
        min_stars=1,
        origin=_origin(stack, k),
    )


def _origin(stack: ImageStack, k: int) -> tuple[int, int]:
    x, y = stack.optics.origin[k]
    return int(x), int(y)


def _sky_at(fit: FieldFit, forced: ForcedFit) -> NDArray[np.float64]:
    """Sky under each star on each image; 0 off it."""
    sky = np.zeros(forced.xs.shape)
    for k, (ny, nx) in enumerate(fit.stack.shapes):
        x, y = np.rint(forced.xs[k]), np.rint(forced.ys[k])
        inside = (x >= 0) & (y >= 0) & (x < nx) & (y < ny)
        sky[k, inside] = fit.sky_e[k][y[inside].astype(int), x[inside].astype(int)]
    return sky
