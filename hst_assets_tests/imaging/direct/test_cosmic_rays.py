from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def engine() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hst_assets.imaging.direct import cosmic_rays as direct_cosmic_rays
    return direct_cosmic_rays


@pytest.mark.slow
def test_the_gradient_is_drizzlepacs(engine: Any) -> None:
    from drizzlepac.quickDeriv import qderiv

    image = np.random.default_rng(1).normal(50, 10, (37, 23)).astype(np.float32)
    assert np.array_equal(engine.gradient(image), qderiv(image))


@pytest.mark.slow
def test_a_mask_is_eroded_as_by_a_convolution(engine: Any) -> None:
    from scipy.signal import convolve2d

    mask = np.random.default_rng(2).random((31, 40)) < 0.9
    whole = convolve2d(mask, np.ones((3, 3)), boundary="symm", mode="same") >= 9
    assert np.array_equal(engine._eroded(mask), whole)
