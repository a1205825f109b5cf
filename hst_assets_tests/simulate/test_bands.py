import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.simulate.bands import BANDS, band_of


def test_every_band_is_a_filter_of_a_known_detector():
    assert set(BANDS) == set(DETECTORS)
    for key, bands in BANDS.items():
        assert bands
        assert all(DETECTORS[key].images_with(name) for name in bands)


@pytest.mark.parametrize("key", sorted(BANDS))
def test_zero_points_follow_from_the_definition_of_ab(key):
    # m_AB = -2.5 log10(f_nu) - 48.60, f_nu = f_lambda lambda_pivot^2 / c; the ST route of the
    # data handbooks rounds its constants to 1e-3 mag.
    for band in BANDS[key].values():
        f_nu = band.photflam * band.photplam**2 / 2.99792458e18
        assert band.zero_point_ab == pytest.approx(-2.5 * np.log10(f_nu) - 48.60, abs=2e-3)
        assert band.photfnu == pytest.approx(f_nu / 1e-23, rel=1e-3)


@pytest.mark.parametrize(
    ("key", "name", "published"),
    # WFC3 ISR 2020-08 and 2021-04, ACS zero point calculator (2015), rounded.
    [
        ("wfc3_uvis", "F606W", 26.08),
        ("wfc3_uvis", "F814W", 25.11),
        ("wfc3_ir", "F160W", 25.95),
        ("acs_wfc", "F606W", 26.50),
        ("acs_wfc", "F814W", 25.94),
    ],
)
def test_zero_points_are_the_published_ones(key, name, published):
    assert band_of(key, name).zero_point_ab == pytest.approx(published, abs=0.03)


def test_a_filter_without_figures_is_refused():
    with pytest.raises(BadConfiguration, match="F502N cannot be simulated on acs_wfc"):
        band_of("acs_wfc", "F502N")
    with pytest.raises(BadConfiguration, match="no detector 'nicmos'"):
        band_of("nicmos", "F110W")
