"""The sky of a chip in blocks."""

import numpy as np
import pytest

from hst_assets.photometry.psf.sky_mesh import BLOCK_PIX, SkyMesh

SHAPE = (150, 210)


def plane(shape=SHAPE):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (3 + 0.01 * columns - 0.02 * rows).astype(np.float32)


def test_a_slope_comes_back_between_the_middles_of_blocks():
    mesh = SkyMesh.of_chip(SHAPE)
    mesh.add(plane(), (0, 0))
    inner = slice(BLOCK_PIX, 136), slice(BLOCK_PIX, 200)
    assert mesh.at(*inner) == pytest.approx(plane()[inner], abs=1e-4)


def test_parts_that_overlap_make_the_whole():
    whole, left, right = (SkyMesh.of_chip(SHAPE) for _ in range(3))
    whole.add(plane(), (0, 0))
    left.add(plane()[:, :100], (0, 0))
    right.add(plane()[:, 75:], (75, 0))
    joined = left.joined(right)
    everywhere = slice(0, SHAPE[0]), slice(0, SHAPE[1])
    # Of a block that both saw, the mean leans to what was seen twice: a quarter of a block's slope.
    assert joined.at(*everywhere) == pytest.approx(whole.at(*everywhere), abs=0.08)
    assert joined.at(*everywhere)[:, :68] == pytest.approx(whole.at(*everywhere)[:, :68], abs=1e-4)


def test_beside_what_was_seen_it_is_that_of_the_nearest_block():
    mesh = SkyMesh.of_chip(SHAPE)
    mesh.add(np.full((32, 32), 7, np.float32), (64, 32))
    assert (mesh.at(slice(0, 150), slice(0, 210)) == 7).all()


def test_nothing_seen_is_nothing_added():
    assert (SkyMesh.of_chip(SHAPE).at(slice(3, 9), slice(0, 5)) == 0).all()
