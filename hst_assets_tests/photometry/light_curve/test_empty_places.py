import numpy as np
import pytest

from hst_assets.photometry.light_curve.empty_places import empty_places

NONE = np.empty(0)


def test_the_nearest_of_a_grid_come_first_and_the_place_itself_is_none():
    x, y = empty_places(10, 20, NONE, NONE, step_pix=9, within_pix=75, n_places=60)
    far = np.hypot(x - 10, y - 20)
    assert len(x) == 60
    assert far.min() == pytest.approx(9)
    assert np.all(np.diff(far) >= -1e-6)


def test_they_keep_away_from_stars():
    rng = np.random.default_rng(1)
    stars = rng.uniform(-80, 80, (2, 60))
    x, y = empty_places(0, 0, *stars, step_pix=9, within_pix=75, n_places=60)
    distance = np.hypot(x[:, None] - stars[0], y[:, None] - stars[1])
    assert len(x) == 60
    assert distance.min() >= 9


def test_where_stars_are_dense_they_come_nearer():
    rng = np.random.default_rng(1)
    stars = rng.uniform(-80, 80, (2, 400))
    x, y = empty_places(0, 0, *stars, step_pix=9, within_pix=75, n_places=60)
    distance = np.hypot(x[:, None] - stars[0], y[:, None] - stars[1])
    assert len(x) > 30
    assert 4.5 <= distance.min() < 9


def test_there_are_no_more_than_there_is_room():
    x, _ = empty_places(0, 0, NONE, NONE, step_pix=9, within_pix=10, n_places=60)
    assert len(x) == 6


def test_about_a_place_that_is_nowhere_there_is_none():
    x, y = empty_places(
        np.nan, np.nan, np.zeros(3), np.zeros(3), step_pix=9, within_pix=75, n_places=60
    )
    assert len(x) == len(y) == 0
