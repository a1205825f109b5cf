"""Convolved images against astropy's, to the last bit."""

from importlib import import_module

import numpy as np
import pytest
from astropy import convolution

from hst_assets.hap.quicker.convolution import by_rows

#: Its name is that of the function, too.
module = vars(import_module("astropy.convolution.convolve"))


@pytest.fixture
def ours(monkeypatch):
    """`astropy.convolution.convolve` with the replacement."""

    def convolve(*arguments, **options):
        with monkeypatch.context() as patch:
            patch.setitem(module, "_convolveNd_c", by_rows(module["_convolveNd_c"]))
            return convolution.convolve(*arguments, **options)

    return convolve


def _image(dtype):
    # Wider than what is summed side by side.
    return np.random.default_rng(5).normal(3.0, 40.0, (31, 583)).astype(dtype)


def _kernel(*shape):
    return np.random.default_rng(6).random(shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(15, 15), (5, 11), (1, 1)])
@pytest.mark.parametrize("normalize_kernel", [True, False])
def test_an_image_is_convolved_as_by_astropy(ours, dtype, shape, normalize_kernel):
    image, kernel = _image(dtype), _kernel(*shape)
    expected = convolution.convolve(image, kernel, normalize_kernel=normalize_kernel)
    made = ours(image, kernel, normalize_kernel=normalize_kernel)
    assert made.dtype == expected.dtype
    np.testing.assert_array_equal(made, expected)


def test_pixels_without_a_value_are_interpolated_as_by_astropy(ours):
    image, kernel = _image(np.float32), _kernel(7, 7)
    image[np.random.default_rng(7).random(image.shape) < 0.2] = np.nan
    image[:, 40:65] = np.nan  # more than the kernel spans
    with pytest.warns(match="NaN values detected post convolution"):
        expected = convolution.convolve(image, kernel)
    with pytest.warns(match="NaN values detected post convolution"):
        made = ours(image, kernel)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("boundary", [None, "extend", "wrap"])
def test_edges_are_treated_as_by_astropy(ours, boundary):
    image, kernel = _image(np.float64), _kernel(5, 5)
    expected = convolution.convolve(image, kernel, boundary=boundary)
    np.testing.assert_array_equal(ours(image, kernel, boundary=boundary), expected)
