import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.vega import st_minus_ab, vega_band, vega_bands

#: Zero points in AB and in Vega of WFC3/IR: Kalirai et al. 2009, ISR WFC3 2009-30, table 3 (SMOV).
WFC3_IR_2009 = {
    "F098M": (25.6674, 25.1057),
    "F105W": (26.2687, 25.6236),
    "F110W": (26.8223, 26.0628),
    "F125W": (26.2303, 25.3293),
    "F140W": (26.4524, 25.3761),
    "F160W": (25.9463, 24.6949),
}
#: The same of ACS/WFC: Sirianni et al. 2005, PASP 117, 1049, table 10.
ACS_WFC_2005 = {
    "F435W": (25.673, 25.779),
    "F475W": (26.068, 26.168),
    "F555W": (25.718, 25.724),
    "F606W": (26.486, 26.398),
    "F625W": (25.898, 25.731),
    "F775W": (25.654, 25.256),
    "F814W": (25.937, 25.501),
    "F850LP": (24.862, 24.326),
}


@pytest.mark.parametrize("name", WFC3_IR_2009)
def test_offsets_of_wfc3_ir_are_those_of_its_zero_points_of_2009(name):
    in_ab, in_vega = WFC3_IR_2009[name]
    # Throughputs of the ground and of orbit differ; F105W is the farthest off.
    assert vega_band("wfc3_ir", name).ab_mag() == pytest.approx(in_ab - in_vega, abs=0.004)


@pytest.mark.parametrize("name", ACS_WFC_2005)
def test_offsets_of_acs_are_those_of_its_zero_points_of_2005(name):
    in_ab, in_vega = ACS_WFC_2005[name]
    # An earlier spectrum of Vega (Bohlin & Gilliland 2004), and earlier throughputs.
    new = vega_band("acs_wfc", name).ab_mag("alpha_lyr_stis_011")
    old = vega_band("acs_wfc", name).ab_mag("alpha_lyr_stis_005")
    assert old == pytest.approx(in_ab - in_vega, abs=0.017)
    assert new == pytest.approx(in_ab - in_vega, abs=0.012)


def test_the_two_spectra_differ_most_in_the_infrared_and_the_ultraviolet():
    differences = {
        key: band.ab_mag("alpha_lyr_stis_011") - band.ab_mag("alpha_lyr_stis_005")
        for key, band in vega_bands().items()
        # The Balmer lines of the spectra have different depths.
        if not key[1].endswith("N")
    }
    assert differences["wfc3_ir", "F160W"] == pytest.approx(0.023, abs=0.001)
    assert abs(differences["wfc3_uvis", "F606W"]) < 0.001
    assert max(map(abs, differences.values())) < 0.045


@pytest.mark.parametrize("key", DETECTORS)
def test_every_detector_has_its_wide_filters(key):
    names = {name for detector, name in vega_bands() if detector == key}
    assert {"F606W", "F814W"} <= names or {"F110W", "F160W"} <= names


def test_every_filter_is_one_of_its_detector():
    for detector, name in vega_bands():
        assert DETECTORS[detector].images_with(name), (detector, name)


def test_st_and_ab_agree_at_their_common_wavelength():
    # Both have 3.63e-9 erg/cm2/s/A there: sqrt(c 10^(-0.4 (48.60 - 21.10))) = 5475.4 A.
    assert st_minus_ab(5475.4) == pytest.approx(0.0, abs=1e-3)


def test_a_filter_that_is_not_known_is_told():
    with pytest.raises(UnusableInput, match="not known in F343N of wfc3_uvis"):
        vega_band("wfc3_uvis", "F343N")
