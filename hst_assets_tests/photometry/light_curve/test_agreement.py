import numpy as np
import pytest

from hst_assets.photometry.light_curve.agreement import compared
from hst_assets_tests.photometry.light_curve.test_points import point


def epoch(method, number, flux, error=0.1, **more):
    return point(flux, error, method=method, level="epoch", epoch=number, **more)


TEMPLATE = epoch("difference", 2, np.nan, np.inf, n_images=0, note="the template: it is relative")


def test_forced_and_catalog_are_compared_epoch_by_epoch():
    points = [epoch("catalog", 1, 1.0), epoch("forced", 1, 1.3), epoch("forced", 2, 0.1)]
    (one,) = compared(points)
    assert one.what == "forced and catalog"
    assert one.epoch == 1
    assert one.sigma == pytest.approx(0.3 / (0.1 * 2**0.5))


def test_a_difference_is_that_of_the_forced_fluxes():
    points = [
        epoch("forced", 1, 3.0),
        epoch("forced", 2, 1.0),
        epoch("difference", 1, 2.5, 0.2),
        TEMPLATE,
    ]
    (one,) = compared(points)
    assert one.difference_ujy == pytest.approx(0.5)
    assert one.error_ujy == pytest.approx((0.1**2 + 0.1**2 + 0.2**2) ** 0.5)


def test_what_one_method_did_not_measure_is_not_compared():
    nothing = epoch("forced", 1, np.nan, np.inf, n_images=0)
    points = [epoch("catalog", 1, 1.0), nothing, epoch("difference", 1, 2.0), TEMPLATE]
    assert compared(points) == []
    assert compared([epoch("forced", 1, 1.0), epoch("difference", 1, 1.0)]) == []
