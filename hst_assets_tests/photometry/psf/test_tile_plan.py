"""Tiles: they cover the field once, and their stars are counted once."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hst_assets.failures import UnusableInput
from hst_assets.photometry.psf.tile_plan import (
    Tile,
    overlap_pix,
    plan_tiles,
    put_together,
    read_stars,
    write_stars,
)
from hst_assets_tests.photometry.psf.measured_stars import measured_stars


def chip(x_first, x_last, y_first, y_last, *, shape=(100, 100)):
    """What a plan needs of a chip."""
    outline = np.array(
        [(x_first, y_first), (x_last, y_first), (x_last, y_last), (x_first, y_last)], dtype=float
    )
    return SimpleNamespace(
        outline=outline, shape=shape, box=(float(x_first), float(x_last), float(y_first), y_last)
    )


def test_tiles_cover_what_the_chips_cover_of_the_reference_once():
    tiles = plan_tiles([chip(-50, 950, 100, 700)], (800, 900), side_pix=400, overlap=20)
    assert len(tiles) == 3 * 2
    assert [tile.number for tile in tiles] == list(range(1, 7))
    area = sum((t.core[1] - t.core[0]) * (t.core[3] - t.core[2]) for t in tiles)
    assert area == pytest.approx(900 * 600)  # the reference ends at -0.5 and 899.5
    assert max(t.core[1] - t.core[0] for t in tiles) <= 400
    assert tiles[0].box == (-20.5, tiles[0].core[1] + 20, 80, tiles[0].core[3] + 20)


def test_tiles_without_a_chip_are_left_out():
    far = [chip(0, 100, 0, 100), chip(900, 1000, 900, 1000)]
    assert len(plan_tiles(far, (1000, 1000), side_pix=250, overlap=5)) == 2
    with pytest.raises(UnusableInput, match="no chip lies on the reference"):
        plan_tiles([chip(2000, 2100, 0, 100)], (1000, 1000), side_pix=250, overlap=5)


def test_the_overlap_is_of_the_coarsest_detector():
    """Chips of 100 pixels a side that have 100 and 325 of the reference."""
    chips = [chip(0, 100, 0, 100), chip(0, 325, 0, 325)]
    assert overlap_pix(chips, 10) == 65


LEFT = Tile(1, (0.0, 50.0, 0.0, 100.0), (-9.0, 59.0, -9.0, 109.0))
RIGHT = Tile(2, (50.0, 100.0, 0.0, 100.0), (41.0, 109.0, -9.0, 109.0))


def at(x, counts=100.0, names=("a",), **more):
    """Stars at places along a line."""
    k, n = len(names), len(x)
    fluxes = np.broadcast_to(counts, (k, n))
    place = {"x": np.array(x, dtype=float), "y": np.full(n, 20.0)}
    return measured_stars(fluxes, np.full((k, n), 5.0), image_names=names, **place, **more)


def test_stars_of_the_overlap_are_the_other_tiles():
    whole = put_together([(LEFT, at([10, 45, 55])), (RIGHT, at([45, 55, 90]))], ["a"])
    assert sorted(whole.x) == [10, 45, 55, 90]


@pytest.mark.parametrize(("left", "right"), [(49.8, 50.2), (50.2, 49.8), (49.9, 49.9)])
def test_a_star_at_the_border_is_counted_once(left, right):
    whole = put_together([(LEFT, at([left], 100.0)), (RIGHT, at([right], 120.0))], ["a"])
    assert whole.x.tolist() == [right]


def test_neighbours_of_one_tile_stay_both():
    whole = put_together([(LEFT, at([20.0, 20.6])), (RIGHT, at([]))], ["a"])
    assert len(whole) == 2


def test_an_image_that_a_tile_has_not_is_off():
    remarks = {"remarks": ("no PSF stars",)}
    parts = [
        (LEFT, at([10], names=("b",), **remarks)),
        (RIGHT, at([90], names=("a", "b"), **remarks)),
    ]
    whole = put_together(parts, ["a", "b"])
    assert whole.image_names == ("a", "b")
    assert whole.flag.tolist() == [[9, 0], [0, 0]]
    assert whole.counts_error_e.tolist() == [[np.inf, 5], [5, 5]]
    assert whole.counts_e.tolist() == [[0, 100], [100, 100]]
    assert whole.remarks == ("no PSF stars",)


def test_aperture_corrections_are_means_by_their_errors():
    def corrected(mag, error):
        return at(
            [],
            aperture_correction_mag=np.array([mag]),
            aperture_correction_error_mag=np.array([error]),
        )

    whole = put_together([(LEFT, corrected(-0.1, 0.01)), (RIGHT, corrected(-0.2, 0.02))], ["a"])
    assert whole.aperture_correction_mag[0] == pytest.approx(-0.12)  # weights 4 and 1
    assert whole.aperture_correction_error_mag[0] == pytest.approx(0.01 / np.sqrt(1.25))


@pytest.mark.parametrize("n", [0, 2])
def test_stars_are_kept_in_a_file(tmp_path, n):
    stars = at(np.arange(n), names=("a", "b"), remarks=("one",))
    write_stars(stars, tmp_path / "tile.npz")
    back = read_stars(tmp_path / "tile.npz")
    assert (back.image_names, back.remarks, len(back)) == (("a", "b"), ("one",), n)
    assert np.array_equal(back.counts_e, stars.counts_e)
    assert back.flag.dtype == np.int32


def test_a_damaged_file_is_told(tmp_path):
    path = tmp_path / "tile.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(UnusableInput, match="no measured stars"):
        read_stars(path)
