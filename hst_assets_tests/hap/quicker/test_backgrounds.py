"""Images of the background against photutils' and scipy's, to the last bit."""

import warnings

import numpy as np
import pytest
from photutils.background import Background2D
from scipy import ndimage

from hst_assets.hap.quicker.backgrounds import KeptBackground, enlarged, medians


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mesh_shape", [(5, 9), (38, 21)])
@pytest.mark.parametrize("factors", [(27, 27), (27, 13)])
def test_a_mesh_is_enlarged_as_by_scipy(mesh_shape, factors, dtype):
    mesh = np.random.default_rng(3).normal(10.0, 1.0, mesh_shape).astype(dtype)
    whole = ndimage.zoom(mesh, factors, mode="reflect", grid_mode=True)
    shape = (whole.shape[0] - 11, whole.shape[1] - 4)
    ours = enlarged(mesh, factors, shape)
    assert ours.dtype == whole.dtype
    np.testing.assert_array_equal(ours, whole[: shape[0], : shape[1]])


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
@pytest.mark.parametrize("size", [(3, 3), (5, 1)])
def test_medians_of_a_mesh_are_scipys(dtype, size):
    rng = np.random.default_rng(7)
    mesh = rng.normal(10.0, 1.0, (9, 13)).astype(dtype)
    mesh[rng.random(mesh.shape) < 0.2] = np.nan
    mesh[:5, :5] = np.nan  # a window without any value
    mesh[8, 3] = np.inf
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = ndimage.generic_filter(mesh, np.nanmedian, size=size, mode="constant", cval=np.nan)
        ours = medians(mesh, size)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("covered", [None, 40])
def test_a_background_that_is_kept_is_photutils_own(dtype, covered):
    image = np.random.default_rng(2).normal(10.0, 2.0, (90, 131)).astype(dtype)
    coverage = None
    if covered is not None:
        coverage = np.zeros(image.shape, dtype=bool)
        coverage[:covered] = True
    how = {"filter_size": 3, "coverage_mask": coverage, "exclude_percentile": 50}
    ours, theirs = KeptBackground(image, 27, **how), Background2D(image, 27, **how)
    for name in ("background", "background_rms"):
        expected = getattr(theirs, name)
        assert np.ptp(expected) > 0
        assert getattr(ours, name).dtype == expected.dtype
        np.testing.assert_array_equal(getattr(ours, name), expected)
        assert getattr(ours, name) is getattr(ours, name)


def test_a_background_without_structure_is_photutils_own():
    image = np.full((60, 60), 3.0, dtype=np.float32)
    np.testing.assert_array_equal(
        KeptBackground(image, 20).background, Background2D(image, 20).background
    )
