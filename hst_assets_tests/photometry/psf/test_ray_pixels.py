"""Pixels hit by cosmic rays, kept by their number on the chip."""

import numpy as np

from hst_assets.photometry.psf.ray_pixels import joined_rays, load_rays, rays_on, save_rays
from hst_assets_tests.photometry.psf.known_fields import known_field


def test_a_mask_is_put_on_a_part_that_begins_elsewhere(tmp_path):
    """Images are shifted after rays were found, so that a tile's part begins a pixel off."""
    image = known_field([], [], np.empty((1, 0)), n_images=1, shape=(40, 50)).sources[0]
    first = image.cut(slice(10, 30), slice(5, 45))
    mask = np.zeros(first.shape, dtype=bool)
    mask[3, 4] = mask[19, 39] = True
    save_rays(tmp_path / "rays.npz", [(first.origin, mask)])
    (pixels,) = load_rays(tmp_path / "rays.npz")
    later = image.cut(slice(11, 29), slice(4, 45))
    assert np.argwhere(rays_on(later, pixels)).tolist() == [[2, 5]]


def test_parts_are_joined_without_doubles():
    assert joined_rays([np.array([5, 3]), np.array([3, 9])]).tolist() == [3, 5, 9]
    assert joined_rays([]).tolist() == []
