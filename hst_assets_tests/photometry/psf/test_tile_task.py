"""What a tile's process does: cosmic rays, own stars, and what it leaves."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hst_assets.photometry.psf import tile_task
from hst_assets.photometry.psf.measurement import Measurement, MeasureParameters
from hst_assets.photometry.psf.tiles import ChipInMemory, plan_tiles
from hst_assets_tests.photometry.psf.small_fields import BAND, SmallField, field, jittered, psf

SIDE = 160


@pytest.fixture(scope="module")
def small() -> SmallField:
    x, y, counts = jittered(10, 16.0, faintest=3000, brightest=60_000)
    return field(x, y, counts, side=SIDE, n_images=4)


def planned(small: SmallField, folder: Path, **parameters) -> Measurement:
    sources = [ChipInMemory(image, BAND) for image in small.images]
    how = MeasureParameters(**{"tile_pix": 100, "cosmic_rays": False} | parameters)
    now = Measurement(sources, {BAND: psf()}, plan_tiles(sources, tile_pix=how.tile_pix), how)
    now.save(folder, 0)
    return now


def left(folder: Path, name: str):
    return pickle.loads((folder / name).read_bytes())


def test_bright_stars_of_a_tile_are_of_its_core(small: SmallField, tmp_path: Path) -> None:
    now = planned(small, tmp_path)
    numbers: list[int] = []
    shifted: list[int] = []
    places = []
    for tile in now.tiles:
        tile_task.find_bright_stars(str(tmp_path), 0, tile.number, f"{tile.number}")
        told = left(tmp_path, f"{tile.number}")
        stamps = told.stamps[0]
        shifted += list(told.shifts[0].stars)
        numbers += list(stamps.stars)
        places += list(zip(stamps.x, stamps.y, strict=True))
    assert len(now.tiles) == 4
    assert len(set(numbers)) == len(numbers)
    assert len(shifted) == len(set(shifted))
    assert set(shifted) <= set(numbers)
    # Each of 100 stars once; the first image is not dithered, some are at its very edge.
    apart = np.linalg.norm(np.array(places)[:, None] - np.array(places), axis=2)
    assert (apart[np.triu_indices(len(places), 1)] > 1.0).all()
    assert len(places) == pytest.approx(100, abs=4)


def test_pixels_of_cosmic_rays_are_not_fitted(small: SmallField, tmp_path: Path) -> None:
    data = small.images[2].data_e.copy()
    data[80, 40:52] += 3000.0
    images = [*small.images]
    images[2] = replace(images[2], data_e=data)
    planned(replace(small, images=images), tmp_path, cosmic_rays=True, tile_pix=1000)
    _, _, _, stack = tile_task._begun(str(tmp_path), 0, 0)
    assert (~stack.good[2, 80, 40:52]).sum() >= 10
    assert stack.good.mean() > 0.99  # stars stay


def test_cosmic_rays_are_looked_for_once(
    small: SmallField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(small, tmp_path, cosmic_rays=True, tile_pix=1000)
    first = tile_task._begun(str(tmp_path), 0, 0)[3].good

    def never(*args, **options):
        raise AssertionError

    monkeypatch.setattr(tile_task, "cosmic_ray_masks", never)
    np.testing.assert_array_equal(tile_task._begun(str(tmp_path), 0, 0)[3].good, first)


def test_a_tile_leaves_its_stars_on_its_images_and_no_scratch(
    small: SmallField, tmp_path: Path
) -> None:
    now = planned(small, tmp_path)
    tile_task.measure_tile(str(tmp_path), 0, 3, "out")
    told = left(tmp_path, "out")
    assert told.images == now.tiles[3].images
    assert told.stars.counts_e.shape == (len(told.images), len(told.stars))
    assert now.tiles[3].holds(told.stars.x, told.stars.y).all()
    assert not list(tmp_path.glob("*.part*"))


def test_single_stars_are_stars(small: SmallField, tmp_path: Path) -> None:
    planned(small, tmp_path, tile_pix=1000)
    tile_task.measure_tile(str(tmp_path), 0, 0, "out")
    stars = left(tmp_path, "out").stars
    bright = stars.counts_e[0] > 2000
    assert bright.sum() > 95
    assert (stars.object_type[bright] == 1).mean() > 0.95


def test_the_sky_under_a_star_is_that_of_the_image(small: SmallField, tmp_path: Path) -> None:
    planned(small, tmp_path, tile_pix=1000)
    tile_task.measure_tile(str(tmp_path), 0, 0, "out")
    stars = left(tmp_path, "out").stars
    on_it = stars.flag < 9
    assert stars.sky_e[on_it].mean() == pytest.approx(60.0, abs=1.5)
