import math

import numpy as np
import pytest

from hst_assets.failures import UnusableInput
from hst_assets.photometry.encircled_energy import (
    WFPC2_RADIUS_ARCSEC,
    encircled_energy,
    known_filters,
    to_infinity_mag,
)

DETECTORS_WITH_TABLES = ("acs_wfc", "acs_hrc", "wfc3_uvis", "wfc3_ir")

#: Read off the sources themselves, not off the module: see its docstring.
PUBLISHED = (
    ("acs_wfc", "F606W", 0.5, 0.916),
    ("acs_wfc", "F850LP", 0.15, 0.690),
    ("acs_hrc", "F220W", 0.05, 0.518),
    ("acs_hrc", "F555W", 0.5, 0.919),
    ("wfc3_uvis", "F606W", 0.40, 0.91198),
    ("wfc3_uvis", "F275W", 0.51, 0.88260),
)
#: Bohlin 2011 (ISR ACS 2011-02), an earlier determination for ACS/WFC within 0.5 arcsec.
ACS_WFC_2011 = {"F435W": 0.909, "F606W": 0.916, "F814W": 0.914, "F850LP": 0.893}


@pytest.mark.parametrize(("detector", "name", "radius_arcsec", "share"), PUBLISHED)
def test_published_values_are_given_back(detector, name, radius_arcsec, share):
    # Four decimals are kept.
    assert encircled_energy(detector, name, radius_arcsec) == pytest.approx(share, abs=5.1e-5)


@pytest.mark.parametrize("name", ACS_WFC_2011)
def test_acs_is_near_an_earlier_determination(name):
    # 0.002 is what Bohlin (2016) changed at most in these filters.
    assert encircled_energy("acs_wfc", name, 0.5) == pytest.approx(ACS_WFC_2011[name], abs=0.0025)


def test_wfc3_ir_is_between_the_wavelengths_of_its_table():
    # F160W, pivot 1.537 micron: 0.840 at 1.5 and 0.836 at 1.6 micron.
    assert 0.836 < encircled_energy("wfc3_ir", "F160W", 0.4) < 0.840


@pytest.mark.parametrize("detector", DETECTORS_WITH_TABLES)
def test_shares_grow_with_the_radius_to_all_of_the_light(detector):
    for name in known_filters(detector):
        shares = [encircled_energy(detector, name, r) for r in np.arange(0.2, 7.0, 0.05)]
        assert (np.diff(shares) > -1e-12).all(), name
        # The interpolation rounds.
        assert shares[-1] == pytest.approx(1.0, abs=1e-12)


def test_wfpc2_is_known_at_half_an_arcsecond_only():
    assert WFPC2_RADIUS_ARCSEC == 0.5
    # A factor of 1.096, which the handbook calls 0.10 mag.
    assert to_infinity_mag("wfpc2", "F555W", 0.5) == pytest.approx(-0.10, abs=0.001)
    assert math.isnan(encircled_energy("wfpc2", "F555W", 0.4))


@pytest.mark.parametrize(
    ("detector", "name", "radius_arcsec"),
    [
        ("acs_wfc", "FR656N", 0.5),
        ("wfc3_uvis", "F475X", 0.5),
        ("wfc3_uvis", "F606W", 0.19),
        ("wfc3_ir", "F160W", math.nan),
    ],
)
def test_what_is_not_published_is_not_known(detector, name, radius_arcsec):
    assert math.isnan(encircled_energy(detector, name, radius_arcsec))
    assert math.isnan(to_infinity_mag(detector, name, radius_arcsec))


def test_correction_is_that_of_the_share():
    # 2.5 lg 0.916
    assert to_infinity_mag("acs_wfc", "F606W", 0.5) == pytest.approx(-0.0953, abs=1e-4)


def test_unknown_detector_is_named():
    with pytest.raises(UnusableInput, match="acs_sbc"):
        encircled_energy("acs_sbc", "F125LP", 0.5)
