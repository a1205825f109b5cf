"""A target measured by tiles: the same in one or many, side by side, and after an interruption."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from hst_assets.failures import HstAssetsError, ToolFailed, UnusableInput
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.psf.measurement import (
    MeasureParameters,
    in_this_process,
    measure_target,
)
from hst_assets.photometry.psf.moved_image import moved
from hst_assets.photometry.psf.prior_width import of_known_error
from hst_assets.photometry.psf.tiles import ChipInMemory
from hst_assets_tests.photometry.psf.small_fields import (
    BAND,
    SmallField,
    field,
    jittered,
    matched,
    psf,
)

SIDE = 200
KNOWN_PSF = MeasureParameters(tile_pix=110, max_psf_stars=0, cosmic_rays=False)


@pytest.fixture(scope="module")
def small() -> SmallField:
    """400 stars in 200 x 200 pixels on two images."""
    x, y, counts = jittered(20, 10.0, faintest=800, brightest=40_000)
    return field(x, y, counts, side=SIDE)


def measured(
    small: SmallField, folder: Path, parameters=KNOWN_PSF, *, known_pix2=1e-9, **how
) -> MeasuredStars:
    """By the true PSF, which tells that its width is known."""
    sources = [ChipInMemory(image, image.band) for image in small.images]
    folder.mkdir(exist_ok=True)
    true = replace(psf(), width_error_pix2=known_pix2)
    return measure_target(
        sources, {source.psf_key: true for source in sources},
        folder=folder, parameters=parameters, **how,
    )  # fmt: skip


def assert_same(one: MeasuredStars, other: MeasuredStars) -> None:
    for each in fields(MeasuredStars):
        if each.name != "kept":
            np.testing.assert_array_equal(getattr(one, each.name), getattr(other, each.name))
    assert one.kept is not None
    assert other.kept is not None
    for first, second in zip(one.kept.images, other.kept.images, strict=True):
        assert (first.name, first.shift_pix) == (second.name, second.shift_pix)
        np.testing.assert_array_equal(first.sky.total_e, second.sky.total_e)


@pytest.fixture(scope="module")
def in_tiles(small: SmallField, tmp_path_factory) -> tuple[MeasuredStars, Path]:
    folder = tmp_path_factory.mktemp("tiles")
    return measured(small, folder), folder


def test_no_star_of_many_tiles_is_lost_or_doubled(small: SmallField, in_tiles) -> None:
    stars, folder = in_tiles
    assert len(list(folder.glob("*.measure_tile.pickle"))) == 4
    found = matched(stars.x, stars.y, small.x, small.y)
    assert (found >= 0).mean() > 0.99
    # Stars nearer than 0.6 pixels are one within a tile; across borders this holds them to it.
    assert len(KDTree(np.column_stack([stars.x, stars.y])).query_pairs(0.6)) == 0


def test_at_the_borders_of_tiles_stars_are_as_in_one(
    small: SmallField, in_tiles, tmp_path: Path
) -> None:
    one = measured(small, tmp_path, replace(KNOWN_PSF, tile_pix=1000))
    many = in_tiles[0]
    of_one, of_many = (matched(s.x, s.y, small.x, small.y) for s in (one, many))
    both = (of_one >= 0) & (of_many >= 0)
    assert both.mean() > 0.98
    difference = many.counts_e[:, of_many[both]] - one.counts_e[:, of_one[both]]
    pulls = np.abs(difference / one.counts_error_e[:, of_one[both]])
    # The sky is measured in each tile, and faint neighbours differ: far less than an error.
    assert np.median(pulls) < 0.1
    assert np.quantile(pulls, 0.95) < 0.6


def test_fluxes_agree_with_the_truth(small: SmallField, in_tiles) -> None:
    stars = in_tiles[0]
    found = matched(stars.x, stars.y, small.x, small.y)
    known = found >= 0
    pulls = (stars.counts_e[0, found[known]] - small.counts[known]) / stars.counts_error_e[
        0, found[known]
    ]
    assert np.median(pulls) == pytest.approx(0.0, abs=0.2)  # 3 standard errors
    assert 1.4826 * np.median(np.abs(pulls)) == pytest.approx(1.05, abs=0.2)


def test_places_on_the_chips_are_those_of_the_maps(small: SmallField, in_tiles) -> None:
    stars = in_tiles[0]
    for k, image in enumerate(small.images):
        x, y = image.pixel_map(stars.x, stars.y)
        on_it = stars.flag[k] < 9
        dx, dy = stars.kept.images[k].shift_pix
        np.testing.assert_allclose(stars.chip_x[k, on_it], x[on_it] + dx, atol=1e-6)
        np.testing.assert_allclose(stars.chip_y[k, on_it], y[on_it] + dy, atol=1e-6)


def test_a_star_off_an_image_is_flagged_and_has_no_error(small: SmallField, tmp_path: Path) -> None:
    half = ChipInMemory(small.images[1], BAND).cut(slice(0, SIDE), slice(0, 90))
    stars = measured(replace(small, images=[small.images[0], half]), tmp_path)
    beyond = stars.chip_x[1] > 100
    beyond |= ~np.isfinite(stars.chip_x[1])
    assert beyond.sum() > 150
    assert (stars.flag[1, beyond] == 9).all()
    assert np.isinf(stars.counts_error_e[1, beyond]).all()


# --------------------------------------------------------------------------- going on


class Interrupted(Exception):
    """As of a machine that is turned off."""


def dies_after(n: int):
    """Measures n tiles, then no more."""

    def run(task, arguments):
        for at, outcome in in_this_process(task, arguments):
            if task.endswith(":measure_tile") and at == n:
                raise Interrupted
            yield at, outcome

    return run


def test_an_interrupted_measurement_goes_on_from_the_tiles_that_are_done(
    small: SmallField, in_tiles, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        measured(small, tmp_path, run=dies_after(1))
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.measure_tile.pickle")}
    assert len(done) == 2
    run = []

    def counted(task, arguments):
        run.extend(arguments)
        return in_this_process(task, arguments)

    stars = measured(small, tmp_path, run=counted)
    assert len(run) == 2
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert_same(stars, in_tiles[0])


def test_a_tile_that_was_half_written_is_measured_again(
    small: SmallField, in_tiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(path: Path, data: bytes) -> int:
        if ".measure_tile.pickle" in path.name:
            with path.open("wb") as opened:
                opened.write(data[: len(data) // 2])
            raise Interrupted
        with path.open("wb") as opened:
            return opened.write(data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", half)
        with pytest.raises(Interrupted):
            measured(small, tmp_path)
    assert not list(tmp_path.glob("*.measure_tile.pickle"))
    assert_same(measured(small, tmp_path), in_tiles[0])


def test_tiles_run_in_any_order(small: SmallField, in_tiles, tmp_path: Path) -> None:
    def backwards(task, arguments):
        for at in reversed(range(len(arguments))):
            for _, outcome in in_this_process(task, arguments[at : at + 1]):
                yield at, outcome

    assert_same(measured(small, tmp_path, run=backwards), in_tiles[0])


@pytest.mark.slow
def test_two_processes_give_the_same_as_one(small: SmallField, in_tiles, tmp_path: Path) -> None:
    assert_same(measured(small, tmp_path, run=two_processes), in_tiles[0])


def two_processes(task, arguments):
    module, _, name = task.partition(":")
    function = getattr(import_module(module), name)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(function, **each) for each in arguments]
        for at, future in enumerate(futures):
            yield at, future.result()


# ------------------------------------------------------------------------- PSFs and shifts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("max_psf_stars", "said"), [(60, f"{BAND}: PSF of "), (0, "PSFs are not corrected by stars")]
)
def test_shifts_come_from_the_bright_stars_whatever_makes_the_psf(
    tmp_path: Path, max_psf_stars: int, said: str
) -> None:
    x, y, counts = jittered(10, 20.0, faintest=3000, brightest=60_000)
    errors = ((0.0, 0.0), (0.12, -0.08))
    crooked = field(x, y, counts, side=SIDE, errors=errors)
    stars = measured(crooked, tmp_path, replace(KNOWN_PSF, max_psf_stars=max_psf_stars))
    # The common places follow the mean; the second image is moved against the first.
    first, second = (np.array(image.shift_pix) for image in stars.kept.images)
    np.testing.assert_allclose(second - first, errors[1], atol=0.01)
    assert any(remark.startswith(said) for remark in stars.remarks)


def test_without_correction_by_stars_errors_hold_what_is_not_known_of_the_prior(
    tmp_path: Path,
) -> None:
    x, y = np.array([30.2, 70.9]), np.array([40.0, 61.4])
    two = field(x, y, np.array([900.0, 800.0]), side=100)
    known = measured(two, tmp_path / "known")
    stars = measured(two, tmp_path / "prior", known_pix2=0.0)
    assert len(stars) == len(known) >= 2
    told = np.sqrt(stars.counts_error_e**2 - known.counts_error_e**2) / stars.counts_e
    # 5 % of the FWHM are 3 to 5 % of a faint flux.
    assert (told > 0.02).all()
    assert (told < 0.06).all()
    error = stars.kept.psfs[BAND].width_error_pix2
    assert error == of_known_error(psf()).width_error_pix2 > 0


def test_too_few_stars_for_a_shift_are_told(tmp_path: Path) -> None:
    x, y = np.array([30.2, 70.9]), np.array([40.0, 61.4])
    two = field(x, y, np.array([9000.0, 8000.0]), side=100)
    stars = measured(two, tmp_path, replace(KNOWN_PSF, max_psf_stars=60))
    assert sum("its shift was not measured" in remark for remark in stars.remarks) == 2


def test_a_moved_image_is_moved_in_its_parts_too(small: SmallField) -> None:
    source = ChipInMemory(small.images[0], BAND)
    twice = moved(moved(source, 0.2, -0.1), 0.05, 0.0)
    again = pickle.loads(pickle.dumps(twice))
    (x,), (y,) = again.cut(slice(10, 50), slice(20, 60)).pixel_map(
        np.array([40.0]), np.array([30.0])
    )
    assert (x, y) == pytest.approx((40.0 - 20 + 0.25, 30.0 - 10 - 0.1))
    assert again.name == source.name


def test_the_tiles_with_most_stars_are_begun_first(tmp_path: Path) -> None:
    x, y, counts = jittered(20, 10.0, faintest=3000, brightest=40_000)
    dense_corner = ((x > 100) & (y > 100)) | (np.arange(len(x)) % 8 == 0)
    crowded = field(x[dense_corner], y[dense_corner], counts[dense_corner], side=SIDE)
    begun: list[tuple[str, int]] = []

    def noted(task, arguments):
        begun.extend((task.rpartition(":")[2], each["tile_number"]) for each in arguments)
        yield from in_this_process(task, arguments)

    measured(crowded, tmp_path, run=noted)
    order = [tile for task, tile in begun if task == "measure_tile"]
    assert sorted(order) == [0, 1, 2, 3]
    assert order[0] == 3


# --------------------------------------------------------------------------------- memory


def test_what_a_tile_needs_beyond_its_memory_is_told(small: SmallField, tmp_path: Path) -> None:
    parameters = replace(KNOWN_PSF, tile_pix=1000, tile_memory_gb=1e-4)
    stars = measured(small, tmp_path, parameters)
    assert any("more than embedded.tile_memory_gb" in remark for remark in stars.remarks)


# ------------------------------------------------------------------------------- failures


def test_a_field_without_stars_is_a_failure(tmp_path: Path) -> None:
    nothing = np.empty(0)
    empty = field(nothing, nothing, nothing, side=64)
    fit = replace(KNOWN_PSF.fit, first_snr=8.0, final_snr=8.0)
    with pytest.raises(UnusableInput, match="no star was found"):
        measured(empty, tmp_path, replace(KNOWN_PSF, fit=fit))


def test_what_a_tiles_process_raised_is_raised(small: SmallField, tmp_path: Path) -> None:
    failure = ToolFailed("the process of the tile was killed")

    def fails(task, arguments):
        yield 0, failure

    with pytest.raises(HstAssetsError) as raised:
        measured(small, tmp_path, run=fails)
    assert raised.value is failure


def test_a_tile_that_leaves_nothing_is_a_failure(small: SmallField, tmp_path: Path) -> None:
    def idle(task, arguments):
        yield 0, None

    with pytest.raises(UnusableInput, match=r"left no 0\.tile\d\.find_bright_stars"):
        measured(small, tmp_path, run=idle)


@pytest.mark.slow
def test_progress_goes_from_nothing_to_all(small: SmallField, tmp_path: Path) -> None:
    shares: list[float] = []
    bright = field(*jittered(5, 20.0, faintest=3000, brightest=60_000), side=100)
    measured(
        bright, tmp_path, replace(KNOWN_PSF, max_psf_stars=20),
        progress=lambda step, share: shares.append(share),
    )  # fmt: skip
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == pytest.approx(1.0)
