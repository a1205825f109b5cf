"""Errors of artificial stars look as far as the catalogue's, on coarser pixels too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hst_assets.photometry.psf.artificial_stars import measure_artificial_stars
from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.image_fluxes import forced_fit
from hst_assets.photometry.psf.image_stack import image_stack
from hst_assets.photometry.psf.local_misfit import misfit_prior
from hst_assets.photometry.psf.measurement import MeasureParameters, measure_target
from hst_assets.photometry.psf.restored_field import RestoredTile, window
from hst_assets.photometry.psf.star_search import fit_field
from hst_assets.photometry.psf.tiles import ChipInMemory, Tile
from hst_assets.photometry.psf.window_misfit import piece_prior, window_misfit
from hst_assets_tests import star_fields
from hst_assets_tests.star_fields import StarField, make_field
from hst_assets_tests.star_scenes import CAMERAS, Scene, shots

SIDE, CELL = 352, 88
FLUX_E = 4000.0
#: Pixels of WFC3/UVIS between which IR's images are noisier: 5 to 12 of IR's pixels. A window
#: about an artificial star reaches to 12.
RING_PIX = (17.0, 38.0)


def middles() -> np.ndarray:
    """X and Y of sixteen places, shape (16, 2); every second one has a star."""
    line = CELL / 2 + CELL * np.arange(SIDE // CELL)
    return np.column_stack([each.ravel() for each in np.meshgrid(line, line)])


def noisy_about(field: StarField, rng: np.random.Generator) -> list[ChipInMemory]:
    """The images, those of IR with twice the noise in a ring about each place."""
    sources = []
    for image in field.images:
        data = image.data_e.astype(float)
        if image.band == CAMERAS["wfc3_ir"].band:
            xs, ys = image.pixel_map(*middles().T)
            gx, gy = np.meshgrid(np.arange(image.shape[1]), np.arange(image.shape[0]))
            scale = CAMERAS["wfc3_uvis"].pixel_arcsec / CAMERAS["wfc3_ir"].pixel_arcsec
            distance = np.hypot(gx[..., None] - xs, gy[..., None] - ys).min(axis=-1)
            ring = (distance > RING_PIX[0] * scale) & (distance < RING_PIX[1] * scale)
            data += ring * rng.normal(0, 1.7 * np.std(data[ring]), image.shape)
        sources.append(ChipInMemory(replace(image, data_e=data.astype(np.float32)), image.band))
    return sources


def test_what_is_left_beyond_the_window_enlarges_errors_of_coarse_pixels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = np.arange(len(middles())) % 2 == 0
    made = star_fields._stars

    def placed(scene: Scene, rng: np.random.Generator) -> star_fields.Truth:
        truth = made(scene, rng)
        x, y = middles()[real].T
        rates = {band: np.full(len(x), FLUX_E / scene.nominal_s) for band in truth.rates}
        still = np.zeros(len(x))
        return replace(truth, x=x, y=y, rates=rates, motion_x=still, motion_y=still)

    monkeypatch.setattr(star_fields, "_stars", placed)
    taken = (*shots(2), *shots(2, "wfc3_ir"))
    field = make_field(Scene(8, shots=taken, shape=(SIDE, SIDE)), 5)
    sources = noisy_about(field, np.random.default_rng(6))
    parameters = MeasureParameters(max_psf_stars=0, cosmic_rays=False)
    psfs = {each.psf_key: field.psf(each.band) for each in sources}
    stars = measure_target(sources, psfs, folder=tmp_path, parameters=parameters)
    apart = np.hypot(stars.x - middles()[real][:, :1], stars.y - middles()[real][:, 1:])
    catalogued = stars.counts_error_e[:, apart.argmin(axis=1)]
    x, y = middles()[~real].T
    counts = np.full((4, len(x)), FLUX_E)
    found = measure_artificial_stars(sources, stars.kept, x, y, counts, seed=(1,))
    assert found.recovered.all()
    errors = np.median(found.stars.counts_error_e, axis=1) / np.median(catalogued, axis=1)
    # Of eight rings each, whose noise scatters by 10 %. With the window alone, IR's were 0.6.
    assert errors == pytest.approx(1.0, abs=0.12)
    # By the photons alone they would be 123.
    assert (catalogued[2:] > 150).mean() > 0.9


PIECE = (0.0, 199.0, 0.0, 199.0)


def measured_piece(*, n_stars: int = 40, brightest_e: float = 5e4) -> tuple[FieldFit, RestoredTile]:
    """Stars on three exposures, fitted, and the piece as it is restored."""
    scene = Scene(
        n_stars, shots=shots(3), shape=(200, 200), faintest_e=500.0, brightest_e=brightest_e,
        slope=0.05,
    )  # fmt: skip
    sky = make_field(scene, 4)
    psfs = {sky.images[0].band: sky.psf(sky.images[0].band)}
    fit = fit_field(image_stack(sky.images, psfs, box=PIECE), PIECE)
    stack, n = replace(fit.stack, sky_e=fit.sky_e), np.arange(len(fit.stars))
    x, y, counts = fit.stars.x, fit.stars.y, forced_fit(fit).counts_e
    tile = Tile(0, PIECE, PIECE, (0, 1, 2))
    return fit, RestoredTile(tile, stack, [], n, x, y, counts, np.full(len(n), -1), n)


def left(
    fit: FieldFit, restored: RestoredTile, residual_e: np.ndarray
) -> tuple[FieldFit, RestoredTile]:
    """Both, with so much left on the images."""
    residual = np.where(fit.stack.good, residual_e, 0).astype(np.float32)
    data = np.where(fit.stack.good, fit.sky_e + restored.model_e + residual, fit.stack.data_e)
    stack = replace(restored.stack, data_e=data.astype(np.float32))
    model = restored.model_e
    return replace(fit, model_e=model, residual_e=residual), replace(restored, stack=stack)


def one_row_an_image(restored: RestoredTile, rows: np.ndarray, step: float) -> RestoredTile:
    """The piece with some of the stars moving along X, by `step` from one image to the next."""
    still = np.setdiff1d(np.arange(len(restored.x)), rows)
    k = len(restored.stack)
    order = np.concatenate([still, np.repeat(rows, k)])
    image = np.concatenate([np.full(len(still), -1), np.tile(np.arange(k), len(rows))])
    here = (image < 0) | (image == np.arange(k)[:, None])
    return replace(
        restored,
        rows=restored.rows[order],
        x=restored.x[order] + np.where(image < 0, 0, step * (image - (k - 1) / 2)),
        y=restored.y[order],
        counts_e=np.where(here, restored.counts_e[:, order], 0),
        only_on=image,
        star=restored.star[order],
    )


def test_stars_fitted_by_their_wings_do_not_tell_what_is_left_about_others() -> None:
    fit, restored = measured_piece(n_stars=150, brightest_e=3e6)
    wide = fit.stars.wide
    assert 10 < wide.sum() < 0.3 * len(wide)
    near = np.zeros(fit.residual_e.shape, dtype=bool)
    gy, gx = np.indices(near.shape[1:])
    for x, y in zip(*(each[:, wide] for each in fit.places()), strict=True):
        near |= (np.hypot(gx[..., None] - x, gy[..., None] - y) < 9).any(axis=-1)
    fit, restored = left(fit, restored, fit.residual_e * np.where(near, 5, 1))
    expected, found = misfit_prior(fit, PIECE), piece_prior(restored, fit.parameters)
    # Digits of 32-bit planes. Faint stars beside the saturated ones are fitted as others, and do.
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-3)


def test_a_star_that_moves_counts_once_where_it_is_in_the_mean() -> None:
    fit, restored = measured_piece()
    moving = one_row_an_image(restored, np.arange(0, len(fit.stars), 4), 0.8)
    half = np.where(np.arange(fit.residual_e.shape[2]) < 100, 3.0, 1.0)
    fit, moving = left(fit, moving, fit.residual_e * half)
    expected, found = misfit_prior(fit, PIECE), piece_prior(moving, fit.parameters)
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-3)


def test_a_star_that_moves_beyond_the_window_takes_its_share_of_the_noise_once() -> None:
    fit, restored = measured_piece()
    fit, restored = left(fit, restored, 3.0 * fit.residual_e)
    prior = piece_prior(restored, fit.parameters)
    middle = np.hypot(fit.stars.x - 100, fit.stars.y - 100).argmin()
    beside = np.flatnonzero(np.arange(len(fit.stars)) != middle)[0]
    x, y, reach = float(fit.stars.x[middle]), float(fit.stars.y[middle]), 2.0
    at_rest = replace(restored, x=restored.x.copy(), y=restored.y.copy())
    at_rest.x[beside], at_rest.y[beside] = x + 3.5, y
    moving = one_row_an_image(at_rest, np.array([beside]), 0.8)
    cut = window(restored.stack, x, y, reach, fit.parameters.fit_radius_pix + 1)
    assert cut is not None
    stack, *images = cut
    residual = window(replace(restored.stack, data_e=fit.residual_e), x, y, reach, 5)
    assert residual is not None
    small = FieldFit(
        stack, fit.stars.select(np.array([middle])), stack.sky_e, np.zeros_like(stack.data_e),
        residual[0].data_e, fit.parameters, sky_is_known=True,
    )  # fmt: skip
    scales = [
        window_misfit(piece, small, (x, y, reach), tuple(images), 0, prior)[0, 0]
        for piece in (at_rest, moving, restored)
    ]
    assert scales[1] == pytest.approx(scales[0], rel=1e-3)
    # It does take some: without it the ratio is another.
    assert abs(scales[2] / scales[0] - 1) > 0.004
