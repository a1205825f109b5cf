"""Tiles: they cover the field once, and have the parts of images that reach into them."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.moved_image import MovedImage
from hst_assets.photometry.psf.pixel_map import PixelMap
from hst_assets.photometry.psf.tiles import (
    BYTES_A_PIXEL,
    MARGIN_PIX,
    ChipInMemory,
    Tile,
    images_of,
    memory_gb_of,
    part_of,
    plan_tiles,
)
from hst_assets_tests.photometry.psf.small_fields import field, shifted_map

SIDE = 200


@pytest.fixture(scope="module")
def sources() -> list[ChipInMemory]:
    nothing = np.empty(0)
    images = field(nothing, nothing, nothing, side=SIDE, n_images=3).images
    far = replace(images[2], pixel_map=shifted_map(-150.0, -40.0, 400))
    return [ChipInMemory(image, "key") for image in (*images[:2], far)]


@pytest.fixture(scope="module")
def tiles(sources: list[ChipInMemory]) -> list[Tile]:
    return plan_tiles(sources, tile_pix=120)


def test_every_place_is_in_one_tile(tiles: list[Tile]) -> None:
    assert len(tiles) > 4
    x, y = np.random.default_rng(1).uniform(-20, 260, (2, 5000))
    x[:2], y[:2] = tiles[-1].core[0], tiles[-1].core[2]  # on a border between tiles
    owners = sum(tile.holds(x, y).astype(int) for tile in tiles)
    np.testing.assert_array_equal(owners, 1)


def test_places_beyond_the_field_are_a_border_tiles(tiles: list[Tile]) -> None:
    far = np.array([-1e6]), np.array([-1e6])
    assert [bool(tile.holds(*far)[0]) for tile in tiles].count(True) == 1


def test_a_tile_is_measured_with_a_margin(tiles: list[Tile]) -> None:
    for tile in tiles:
        for at, sign in enumerate((1, -1, 1, -1)):
            if np.isfinite(tile.core[at]):
                assert (tile.core[at] - tile.box[at]) * sign == pytest.approx(MARGIN_PIX)


def test_tiles_are_no_larger_than_asked_for(tiles: list[Tile]) -> None:
    for first_x, last_x, first_y, last_y in (tile.box for tile in tiles):
        # A tenth more rather than one more row of tiles.
        assert last_x - first_x - 2 * MARGIN_PIX <= 1.1 * 120
        assert last_y - first_y - 2 * MARGIN_PIX <= 1.1 * 120


def test_a_small_field_is_one_tile(sources: list[ChipInMemory]) -> None:
    (tile,) = plan_tiles(sources, tile_pix=1000)
    assert tile.images == (0, 1, 2)
    assert tile.core == (-np.inf, np.inf, -np.inf, np.inf)


def test_images_are_of_those_tiles_that_they_reach_into(
    tiles: list[Tile], sources: list[ChipInMemory]
) -> None:
    for tile in tiles:
        reaching = tuple(
            at for at, source in enumerate(sources) if _has_a_pixel_in(source, tile.box)
        )
        assert tile.images == reaching


def _has_a_pixel_in(source: ChipInMemory, box: tuple[float, float, float, float]) -> bool:
    """By the chip's pixels themselves: the maps of these are shifts."""
    (shift_x,), (shift_y,) = source.pixel_map(np.zeros(1), np.zeros(1))
    x, y = np.arange(SIDE) - shift_x, np.arange(SIDE) - shift_y
    return bool(
        ((x >= box[0] - 1) & (x <= box[1])).any() and ((y >= box[2] - 1) & (y <= box[3])).any()
    )


def test_a_part_holds_all_pixels_of_a_box(sources: list[ChipInMemory]) -> None:
    box = (50.0, 90.0, 20.0, 70.0)
    rows, columns = part_of(sources[1], box)
    # Of the second image, dithered by (3.37, 1.62).
    assert (columns.start, columns.stop) == (53, 95)
    assert (rows.start, rows.stop) == (21, 73)


def test_no_part_of_an_image_that_is_elsewhere(sources: list[ChipInMemory]) -> None:
    assert part_of(sources[0], (300.0, 350.0, 0.0, 100.0)) is None


def test_a_part_of_a_turned_image_holds_the_corners_of_the_box() -> None:
    nothing = np.empty(0)
    image = field(nothing, nothing, nothing, side=SIDE, n_images=1).images[0]
    c, s = np.cos(0.5), np.sin(0.5)
    x, y = np.meshgrid(np.arange(0.0, 200, 16), np.arange(0.0, 200, 16))
    knots = np.stack([c * x - s * y + 60, s * x + c * y - 10], axis=-1)
    turned = ChipInMemory(replace(image, pixel_map=PixelMap(0.0, 0.0, 16.0, knots)), "key")
    rows, columns = part_of(turned, (60.0, 100.0, 60.0, 100.0))
    on_chip = turned.pixel_map(np.array([60.0, 100, 60, 100]), np.array([60.0, 60, 100, 100]))
    assert columns.start <= on_chip[0].min()
    assert on_chip[0].max() <= columns.stop
    assert rows.start <= on_chip[1].min()
    assert on_chip[1].max() <= rows.stop


def test_a_cut_image_has_its_stars_where_its_map_leads(sources: list[ChipInMemory]) -> None:
    whole = sources[1].image
    part = sources[1].cut(slice(20, 90), slice(30, 120))
    x, y = np.array([60.0]), np.array([50.0])
    (x_whole,), (y_whole,) = whole.pixel_map(x, y)
    (x_part,), (y_part,) = part.pixel_map(x, y)
    assert (x_part + 30, y_part + 20) == pytest.approx((x_whole, y_whole))
    np.testing.assert_array_equal(part.data_e, whole.data_e[20:90, 30:120])
    assert part.origin == (30, 20)


def test_the_images_of_a_tile_are_in_the_order_of_its_indices(
    tiles: list[Tile], sources: list[ChipInMemory]
) -> None:
    for tile in tiles:
        names = [image.name for image in images_of(sources, tile)]
        assert names == [sources[at].name for at in tile.images]


def test_the_box_of_a_chip_holds_all_its_pixels(sources: list[ChipInMemory]) -> None:
    first_x, last_x, first_y, last_y = sources[1].box
    assert first_x <= -3.37
    assert last_x >= SIDE - 1 - 3.37
    assert first_y <= -1.62
    assert last_y >= SIDE - 1 - 1.62


def test_a_source_can_be_given_to_a_process(sources: list[ChipInMemory]) -> None:
    again = pickle.loads(pickle.dumps(sources[0]))
    np.testing.assert_array_equal(again.image.data_e, sources[0].image.data_e)


def test_a_sliver_of_an_image_takes_no_part_in_a_tile(sources: list[ChipInMemory]) -> None:
    """No star is fitted on a few columns, and no cosmic ray is found there."""
    x_of_edge = -float(sources[0].pixel_map(np.zeros(1), np.zeros(1))[0][0])
    assert part_of(sources[0], (x_of_edge - 50, x_of_edge + 5, 0.0, 80.0)) is None
    assert part_of(sources[0], (x_of_edge - 50, x_of_edge + 40, 0.0, 80.0)) is not None


def test_an_image_that_was_shifted_out_of_its_tile_is_still_there(
    sources: list[ChipInMemory],
) -> None:
    """All that is kept of a tile is by the images it was planned with."""
    tiles = plan_tiles(sources, tile_pix=60)
    shifted = [MovedImage(source, -40.0, 0.0) for source in sources]
    for tile in tiles:
        images = images_of(shifted, tile)
        assert len(images) == len(tile.images)
        assert all(min(image.shape) >= 2 for image in images)


# ----------------------------------------------------------------------------- memory


def test_a_tile_that_needs_too_much_is_divided(sources: list[ChipInMemory]) -> None:
    (whole,) = plan_tiles(sources, tile_pix=1000)
    allowed = 0.8 * memory_gb_of(sources, whole)
    tiles = plan_tiles(sources, tile_pix=1000, memory_gb=allowed)
    assert len(tiles) > 1
    assert max(memory_gb_of(sources, tile) for tile in tiles) <= allowed
    assert [tile.number for tile in tiles] == list(range(len(tiles)))
    x, y = np.random.default_rng(1).uniform(-20, 400, (2, 2000))
    owners = sum(tile.holds(x, y).astype(int) for tile in tiles)
    np.testing.assert_array_equal(owners, 1)


def test_tiles_within_the_memory_are_as_without_a_limit(sources: list[ChipInMemory]) -> None:
    free = plan_tiles(sources, tile_pix=120)
    needed = max(memory_gb_of(sources, tile) for tile in free)
    assert plan_tiles(sources, tile_pix=120, memory_gb=needed) == free


def test_tiles_are_not_divided_without_end(sources: list[ChipInMemory]) -> None:
    tiles = plan_tiles(sources, tile_pix=1000, memory_gb=1e-9)
    sides = [tile.box[1] - tile.box[0] - 2 * MARGIN_PIX for tile in tiles]
    assert min(sides) >= 100


def test_memory_is_that_of_the_largest_part_for_each_image(sources: list[ChipInMemory]) -> None:
    (tile,) = plan_tiles(sources, tile_pix=1000)
    assert memory_gb_of(sources, tile) == 3 * SIDE**2 * BYTES_A_PIXEL / 1e9
