"""Images with moved maps."""

import numpy as np
import pytest

from hst_assets.photometry.psf.moved_image import moved, shift_of
from hst_assets_tests.photometry.psf.known_fields import known_field


def test_shifts_of_all_moves_add_up():
    source = known_field([], [], np.empty((1, 0)), n_images=1).sources[0]
    twice = moved(moved(source, 0.1, -0.2), 0.05, 0.05)
    assert shift_of(source) == (0.0, 0.0)
    assert shift_of(twice) == pytest.approx((0.15, -0.15))
    place = np.array([50.0]), np.array([60.0])
    was, now = source.pixel_map(*place), twice.pixel_map(*place)
    assert [now[0] - was[0], now[1] - was[1]] == pytest.approx([0.15, -0.15])
    assert twice.cut(slice(5, 20), slice(7, 30)).pixel_map(*place)[0] == pytest.approx(now[0] - 7)
