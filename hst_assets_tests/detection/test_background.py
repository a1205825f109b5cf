import numpy as np
import pytest

from hst_assets.detection.background import background_of

FWHM = 2.0


@pytest.mark.parametrize("shape", [(301, 417), (60, 50)])
def test_the_background_is_that_of_photutils(shape):
    from astropy.stats import SigmaClip
    from photutils.background import Background2D, MedianBackground

    rng = np.random.default_rng(32)
    y, x = np.indices(shape)
    data = rng.normal(100 + 0.1 * x + 0.05 * y, 5)
    hidden = rng.random(shape) < 0.02
    sky, noise = background_of(data, hidden, FWHM)
    theirs = Background2D(
        data, min(50, *shape), mask=hidden, filter_size=3, exclude_percentile=90,
        sigma_clip=SigmaClip(sigma=3.0, maxiters=5), bkg_estimator=MedianBackground(),
    )  # fmt: skip
    # The splines' coefficients are rounded by 1e-9.
    np.testing.assert_allclose(sky, theirs.background, rtol=1e-7)
    np.testing.assert_allclose(noise, theirs.background_rms, rtol=1e-7)
