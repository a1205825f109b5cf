"""Medians of masked images: numpy's, to the bit."""

import numpy as np
import pytest

from hst_assets.hap.quicker.masked_medians import by_partition


@pytest.fixture
def median():
    asked = []

    def numpys(*arguments, **options):
        asked.append(arguments)
        return np.ma.median(*arguments, **options)

    ask = by_partition(numpys)
    ask.asked = asked
    return ask


def _image(shape, dtype, share):
    rng = np.random.default_rng(4)
    image = rng.normal(0.0, 1.0, shape).astype(dtype)
    return np.ma.masked_array(image, mask=rng.random(shape) < share)


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (40, 33), (41, 33)])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_median_of_an_image_is_numpys(median, shape, dtype, share):
    image = _image(shape, dtype, share)
    expected, found = np.ma.median(image), median(image)
    assert found == expected
    assert type(found) is type(expected)
    assert median.asked == []


def test_an_image_without_a_mask_is_one_of_all_pixels(median):
    image = np.ma.masked_array(np.arange(9, dtype=np.float32))
    assert median(image) == 4.0


@pytest.mark.parametrize(
    "image",
    [
        np.ma.masked_array([1.0, np.nan, 2.0]),
        np.ma.masked_array([1.0, np.inf, 2.0]),
        np.ma.masked_array([1.0, 2.0], mask=True),
        np.ma.masked_array([1, 2, 4]),
        np.arange(3.0),
    ],
)
def test_anything_else_is_numpys_to_tell(median, image):
    median(image)
    assert len(median.asked) == 1


def test_medians_along_an_axis_are_numpys_to_tell(median):
    image = _image((5, 4), "f4", 0.2)
    np.testing.assert_array_equal(median(image, axis=0), np.ma.median(image, axis=0))
