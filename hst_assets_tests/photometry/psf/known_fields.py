"""Simulated fields with known stars, and the measurement that knows them: what is to be tested is
what is done with it later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.image_stack import image_stack
from hst_assets.photometry.psf.measure_parameters import MeasureParameters
from hst_assets.photometry.psf.measurement_file import KeptImage, MeasurementFile
from hst_assets.photometry.psf.pixel_map import PixelMap
from hst_assets.photometry.psf.restored_field import starlight
from hst_assets.photometry.psf.sky_mesh import SkyMesh
from hst_assets.photometry.psf.spline_psf import SplinePsf, spline_psf
from hst_assets.photometry.psf.tiles import ChipInMemory

SKY_E, READ_NOISE_E, RADIUS_PIX = 60.0, 3.0, 9
SHIFTS = ((0.0, 0.0), (3.3, -2.6), (-4.7, 1.4), (1.5, 5.2))
KEY = "wfc3_uvis F814W chip 1"


def gaussian_psf(sigma_pix: float = 0.8) -> SplinePsf:
    """A round PSF whose sum is 1."""
    steps = np.arange(-(RADIUS_PIX + 2) * 4, (RADIUS_PIX + 2) * 4 + 1) / 4
    x, y = np.meshgrid(steps, steps)
    values = np.exp(-(x**2 + y**2) / (2 * sigma_pix**2)) / (2 * np.pi * sigma_pix**2)
    return spline_psf(values, radius_pix=RADIUS_PIX)


@dataclass(frozen=True)
class KnownField:
    """Images, and what a measurement of them would keep."""

    sources: list[ChipInMemory]
    kept: MeasurementFile

    def with_stars(self, x: Any, y: Any, counts_e: Any) -> KnownField:
        """The same with a catalogue of these stars only."""
        kept = replace(
            self.kept, x=np.array(x, float), y=np.array(y, float), counts_e=np.array(counts_e)
        )
        return KnownField(self.sources, kept)


def known_field(
    x: Any,
    y: Any,
    counts_e: Any,
    *,
    shape: tuple[int, int] = (180, 200),
    seed: int = 1,
    n_images: int = 4,
    bands: tuple[str, ...] | None = None,
    left_over_sky_e: float = 0.0,
    bad: Any = None,
) -> KnownField:
    """Stars of counts_e (k, n) on k images with Poisson noise; all of them are known.

    `left_over_sky_e` is sky that no one knows of, electrons; `bad` marks bad pixels of all images.
    """
    psf, rng = gaussian_psf(), np.random.default_rng(seed)
    x, y = np.array(x, dtype=float), np.array(y, dtype=float)
    counts = np.broadcast_to(np.array(counts_e, dtype=float), (n_images, len(x)))
    empty = [_empty(k, shape, bands) for k in range(n_images)]
    box = (-24.0, shape[1] + 24.0, -24.0, shape[0] + 24.0)
    light = starlight(image_stack(empty, [psf] * n_images, box=box), x, y, counts)
    sources, images = [], []
    for image, shine in zip(empty, light, strict=True):
        mean = SKY_E + left_over_sky_e + np.maximum(shine, 0)
        data = rng.poisson(mean) + rng.normal(0, READ_NOISE_E, shape)
        good = np.ones(shape, dtype=bool) if bad is None else ~np.asarray(bad)
        made = replace(image, data_e=data.astype(np.float32), good=good)
        sources.append(ChipInMemory(made, KEY))
        mesh = SkyMesh.of_chip(shape)
        images.append(
            KeptImage(image.name, KEY, shape, (0.0, 0.0), 0.0, 0.0, mesh, np.empty(0, np.int64))
        )
    kept = MeasurementFile(
        tuple(images), {KEY: psf}, MeasureParameters(), x, y, np.array(counts), ("a remark",), "1"
    )
    return KnownField(sources, kept)


def _empty(k: int, shape: tuple[int, int], bands: tuple[str, ...] | None) -> ChipImage:
    dx, dy = SHIFTS[k % len(SHIFTS)]
    ny, nx = shape
    knots_x, knots_y = np.arange(-48, nx + 64, 16.0), np.arange(-48, ny + 64, 16.0)
    knots = np.stack(np.meshgrid(knots_x + dx, knots_y + dy), axis=-1)
    nothing = np.zeros(shape, dtype=np.float32)
    return ChipImage(
        name=f"image{k}.chip1",
        band="wfc3_uvis F814W" if bands is None else bands[k],
        data_e=nothing,
        good=np.ones(shape, dtype=bool),
        saturated=np.zeros(shape, dtype=bool),
        sky_e=nothing + np.float32(SKY_E),
        area=nothing + np.float32(1),
        read_noise_e=READ_NOISE_E,
        exptime_s=500.0,
        mjd=58000.0 + k,
        pixel_map=PixelMap(-48.0, -48.0, 16.0, knots),
    )
