import numpy as np
import pytest

from hst_assets.medians import median_error


@pytest.mark.parametrize("n_values", [25, 400])
def test_medians_of_normal_values_scatter_as_much(n_values):
    values = np.random.default_rng(1).normal(5.0, 2.0, (4000, n_values))
    # The scatter of 4000 medians is known to 1 %; of 25 values it is 1 % below the limit for many.
    assert np.std(np.median(values, axis=1)) == pytest.approx(median_error(2.0, n_values), rel=0.05)
