"""The PSF of a band and chip, from what the tiles left."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hst_assets.photometry.psf import epsf_task, tile_task
from hst_assets.photometry.psf.epsf import EpsfFit, fit_epsf
from hst_assets.photometry.psf.measurement import Measurement, MeasureParameters
from hst_assets.photometry.psf.psf_stars import select_psf_stars
from hst_assets.photometry.psf.star_stamps import joined_stamps
from hst_assets.photometry.psf.tiles import ChipInMemory, plan_tiles
from hst_assets_tests.photometry.psf.small_fields import field, jittered, psf

SIDE = 160
N_CHOSEN = 40


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> tuple[Path, Measurement, list[str]]:
    """Four tiles of two images of one key and one of another, their bright stars found."""
    folder = tmp_path_factory.mktemp("round")
    x, y, counts = jittered(10, 16.0, faintest=3000, brightest=60_000)
    images = field(x, y, counts, side=SIDE, n_images=3).images
    keys = ["chip 1", "chip 2", "chip 1"]
    sources = [ChipInMemory(image, key) for image, key in zip(images, keys, strict=True)]
    how = MeasureParameters(tile_pix=100, cosmic_rays=False, max_psf_stars=N_CHOSEN)
    tiles = plan_tiles(sources, tile_pix=how.tile_pix)
    now = Measurement(sources, {"chip 1": psf(), "chip 2": psf()}, tiles, how)
    now.save(folder, 0)
    names = [f"tile{tile.number}" for tile in tiles]
    for tile, name in zip(tiles, names, strict=True):
        tile_task.find_bright_stars(str(folder), 0, tile.number, name)
    return folder, now, names


def left(folder: Path, key: str, names: list[str]) -> EpsfFit:
    epsf_task.fit_psf(str(folder), 0, key, names, "out")
    return pickle.loads((folder / "out").read_bytes())


def test_the_psf_is_that_of_the_stars_of_all_tiles_together(found) -> None:
    folder, now, names = found
    told = [pickle.loads((folder / name).read_bytes()) for name in names]
    places = [(t, at) for t, tile in enumerate(now.tiles) for at in tile.images if at != 1]
    stamps = joined_stamps([epsf_task.load_stamps(folder, names[t])[at] for t, at in places])
    snr, share, saturated = (
        np.concatenate([getattr(told[t], name)[at] for t, at in places])
        for name in ("snr", "neighbour_share", "saturated")
    )
    chosen = select_psf_stars(
        stamps.x, stamps.y, stamps.flux_e, snr, share, saturated,
        shape=(SIDE, SIDE), max_stars=N_CHOSEN,
    )  # fmt: skip
    assert len(chosen) == N_CHOSEN
    expected = fit_epsf(stamps.of(chosen), psf(), shape=(SIDE, SIDE))
    fitted = left(folder, "chip 1", names)
    np.testing.assert_array_equal(fitted.psf.coefficients, expected.psf.coefficients)
    assert fitted.remark == expected.remark


def test_stars_are_chosen_without_their_pixels(found) -> None:
    folder, _, names = found
    for name in names:
        told = pickle.loads((folder / name).read_bytes())
        for stamps, others in zip(told.stamps, epsf_task.load_stamps(folder, name), strict=True):
            assert stamps.values_e.size == 0
            assert others.values_e.dtype == np.float32
            np.testing.assert_array_equal(stamps.stars, others.stars)


def test_without_stars_that_will_do_the_prior_stays(found) -> None:
    folder, now, names = found
    few = replace(now, parameters=replace(now.parameters, max_psf_stars=0))
    few.save(folder, 1)
    epsf_task.fit_psf(str(folder), 1, "chip 2", names, "out")
    fitted = pickle.loads((folder / "out").read_bytes())
    np.testing.assert_array_equal(fitted.psf.coefficients, psf().coefficients)
    assert fitted.remark == "no PSF stars: prior PSF, its width known to 5%"
