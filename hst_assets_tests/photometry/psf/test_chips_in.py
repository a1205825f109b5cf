"""Chips as they are measured: electrons, masks, areas and places, from what was prepared."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detection.image_planes import read_wcs
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.dolphot.inputs import make_dolphot_inputs
from hst_assets.photometry.psf.chips_in import open_images, reference_shape
from hst_assets.photometry.psf.tiles import images_of, plan_tiles
from hst_assets.settings import MachineSettings, Settings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.dolphot.prepared_targets import DEC, RA, prepare_target
from hst_assets_tests.simulated_once import SimulatedOnce

KEYS = ("wfc3_uvis", "acs_wfc", "wfc3_ir", "wfpc2")


def settings(key: str) -> Settings:
    """The sky in blocks: how it is measured is tested by itself."""
    return Settings(
        target={"ra_deg": RA, "dec_deg": DEC},
        dolphot_inputs={"sky": {key: (15, 35, -32, 2.25, 2.0)}},
        machine=MachineSettings(max_cores=2, tool_timeout_s=300),
    )


@pytest.fixture(scope="module", params=KEYS)
def target(
    request: pytest.FixtureRequest,
    simulated: SimulatedOnce,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, WorkDir]:
    key = request.param
    folder = simulated(small_plan(key, n_exposures=2)).exposure_folder
    suffix = {"wfc3_ir": "flt", "wfpc2": "c0m"}.get(key, "flc")
    exposures = sorted(folder.glob(f"*_{suffix}.fits"))[:1]
    workdir = prepare_target(WorkDir(tmp_path_factory.mktemp(key), "sn1"), exposures)
    make_dolphot_inputs(workdir, settings(key))
    return key, workdir


def opened(key: str, workdir: WorkDir):
    return open_images(workdir, read_input_images(workdir), settings(key).dolphot_inputs)


def whole_of(chip):
    ny, nx = chip.shape
    return chip.cut(slice(0, ny), slice(0, nx))


def test_pixels_are_electrons_times_areas(target):
    """SCI of the exposure, its gain and time by hand; areas from ratios of the WCS."""
    key, workdir = target
    (chip, *_) = opened(key, workdir)
    image = whole_of(chip)
    with fits.open(aligned_file(workdir)) as hdus:
        science = [hdu for hdu in hdus if hdu.name == "SCI"][chip.image.chip - 1]
        factor = {"wfpc2": 7.0, "wfc3_ir": float(hdus[0].header["EXPTIME"])}.get(key, 1.0)
        expected = science.data * factor * image.area
    assert image.shape == expected.shape
    assert image.good.mean() > 0.8
    # Single precision, rounded three times.
    assert np.allclose(image.data_e[image.good], expected[image.good], rtol=1e-6)
    assert not image.good[image.saturated].any()
    rest = ~image.good & ~image.saturated
    assert np.array_equal(image.data_e[rest], image.sky_e[rest])
    assert abs(np.median(image.data_e[image.good]) / np.median(image.sky_e) - 1) < 0.1


def test_places_are_those_of_the_full_distortion(target):
    key, workdir = target
    (chip, *_) = opened(key, workdir)
    image = whole_of(chip)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, image.shape[1] - 1, 300), rng.uniform(0, image.shape[0] - 1, 300)
    with fits.open(aligned_file(workdir)) as hdus:
        science = [hdu for hdu in hdus if hdu.name == "SCI"][chip.image.chip - 1]
        sky = read_wcs(science.header, hdus).all_pix2world(x, y, 0)
    reference, *_ = read_input_images(workdir)
    with fits.open(reference.path) as hdus:
        on_reference = read_wcs(hdus[0].header, hdus).all_world2pix(*sky, 0)
    found = image.pixel_map(*on_reference)
    # Between knots the map is bilinear: 2e-4 pixel by its own account, 1e-3 beside steps of D2IM.
    assert np.abs(np.subtract(found, (x, y))).max() < 2e-3


def test_a_part_is_the_same_part_of_the_whole(target):
    key, workdir = target
    (chip, *_) = opened(key, workdir)
    whole = whole_of(chip)
    there = slice(37, 97), slice(101, 181)
    part = chip.cut(*there)
    assert part.shape == (60, 80)
    assert part.origin == (101, 37)
    for plane in ("data_e", "good", "saturated", "sky_e"):
        assert np.array_equal(getattr(part, plane), getattr(whole, plane)[there])
    assert np.allclose(part.area, whole.area[there], rtol=1e-6)
    place = np.array([200.0]), np.array([150.0])
    assert np.allclose(
        np.add(np.ravel(part.pixel_map(*place)), part.origin), np.ravel(whole.pixel_map(*place))
    )


def test_tiles_are_cut_of_what_was_told_to_another_process(target):
    key, workdir = target
    chips = pickle.loads(pickle.dumps(opened(key, workdir)))
    tiles = plan_tiles(chips, tile_pix=150)
    assert len(tiles) > 4
    images = images_of(chips, tiles[len(tiles) // 2])
    assert 0 < images[0].data_e.size < 0.5 * np.prod(chips[0].shape)


def test_what_is_said_of_a_chip(target):
    key, workdir = target
    (chip, *_) = opened(key, workdir)
    assert chip.band.startswith(f"{key} F")
    assert chip.psf_key.startswith(f"{chip.band} chip {chip.chip_code}")
    assert (" from " in chip.psf_key) is (chip.shape != chip.image.detector.full_shape)
    assert chip.name == f"{chip.image.exposure}.chip{chip.image.chip}"
    assert chip.photometry.flam > 0
    assert chip.photometry.fault == ""
    assert (chip.gain == 7.0) is (key == "wfpc2")
    assert reference_shape(read_input_images(workdir)) == (300, 400)


@pytest.fixture
def changed(target, tmp_path: Path) -> tuple[str, WorkDir]:
    """A copy that a test may change."""
    key, workdir = target
    shutil.copytree(workdir.root, tmp_path / "root")
    return key, WorkDir(tmp_path / "root", workdir.target)


def aligned_file(workdir: WorkDir) -> Path:
    image = read_input_images(workdir)[1]
    return workdir.aligned(image.path.name.replace(f".chip{image.chip}.", "."))


def test_without_the_aligned_exposure_nothing_is_measured(changed):
    key, workdir = changed
    aligned_file(workdir).unlink()
    with pytest.raises(MissingProduct, match="full distortion"):
        opened(key, workdir)


def test_an_exposure_that_was_aligned_anew_is_not_that_of_the_pixels(changed):
    key, workdir = changed
    with fits.open(aligned_file(workdir), mode="update") as hdus:
        for hdu in hdus[1:]:
            if hdu.name == "SCI":
                hdu.header["CRVAL1"] += 1e-6
    with pytest.raises(UnusableInput, match="not that of the aligned exposure"):
        opened(key, workdir)
