import numpy as np
import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.photometry.catalog.magnitudes import (
    ab_zero_point,
    detectors_of_bands,
    header_ab_magnitudes,
    with_ab_and_st,
    zero_points,
)
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets.photometry.catalog.run_info import parse_run_info, read_run_info
from hst_assets.photometry.catalog.vega import vega_band
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog, made_columns
from hst_assets_tests.photometry.catalog.reference_runs import CROWDED, TWO_FILTERS, needs_runs

DETECTORS = {"F606W": "acs_wfc", "F814W": "acs_wfc"}


def test_magnitudes_of_ab_are_those_of_vega_and_its_own():
    catalog = made_catalog(60)
    found = with_ab_and_st(catalog, DETECTORS)
    vega = catalog["f814w_vega_mag"]
    measured = vega < 99
    expected = vega[measured] + vega_band("acs_wfc", "F814W").ab_mag()
    np.testing.assert_allclose(found["f814w_ab_mag"][measured], expected)
    assert np.isnan(found["f814w_ab_mag"][~measured]).all()
    assert (~measured).any()


def test_the_spectrum_of_vega_is_told():
    found = with_ab_and_st(made_catalog(2), DETECTORS, spectrum="alpha_lyr_stis_011")
    assert found.meta["vega_spectrum"] == "alpha_lyr_stis_011"
    assert "alpha_lyr_stis_011" in found.described()["f606w_ab_mag"][1]


def test_a_filter_of_an_unknown_detector_has_no_such_magnitudes_and_it_is_told():
    found = with_ab_and_st(made_catalog(2), {"F814W": "acs_wfc"})
    assert set(found.added) == {"f814w_ab_mag", "f814w_st_mag"}
    assert found.meta["not_converted"] == {"F606W": "the detector of F606W is not known"}


def info_of(codes):
    """A run of images in F606W on chips of these codes."""
    paths = [image.path for image in made_columns().images]
    lines = [f"{len(codes)} sets of output data"]
    for path, _ in zip(paths, codes, strict=True):
        lines += [path, "  58000.00000000"]
    lines += ["", "EXTENSION 0 CHIP 1", "Limits", " 0 9 0 9", "* ACS-specific info"]
    lines += [f"* image {n}: F606W {code} 500.000000" for n, code in enumerate(codes, start=1)]
    lines += ["Alignment", *[" 0.000000" * 5] * len(codes)]
    lines += ["Aperture corrections", *["  -0.100000"] * len(codes), "", ""]
    return parse_run_info("\n".join(lines), "dp.info")


def test_a_filter_that_two_detectors_have_has_none():
    columns = made_columns().named_by(dict.fromkeys((1, 2, 3, 4), "ACS"))
    assert detectors_of_bands(columns, info_of((1, 2, 0, 0))) == {
        "F606W": "acs_wfc",
        "F814W": "acs_hrc",
    }
    assert "F606W" not in detectors_of_bands(columns, info_of((1, 0, 1, 1)))


def made_with(zero_point, losses=0.0):
    """Stars whose magnitudes are by this zero point, and an aperture correction of -0.1."""
    catalog = made_catalog(40)
    for image in (1, 2, 3, 4):
        counts = np.linspace(1e4, 1e5, 40).round(1)
        catalog.values("counts", image=image)[:] = counts
        catalog.values("snr", image=image)[:] = 100.0
        mag = zero_point - 2.5 * np.log10(counts / 500.0) - 0.1 - losses
        catalog.values("vega_mag", image=image)[:] = mag.round(3)
    catalog.data["extension"][:] = 0
    catalog.data["chip"][:] = 1
    return catalog


def test_the_zero_point_is_seen_in_the_catalogue():
    for found in zero_points(made_with(26.398), info_of((1, 1, 1, 1))):
        # Printed magnitudes have three decimals, of which 40 stars average some.
        assert found.mag == pytest.approx(26.398, abs=5e-4)
        assert (found.n_stars, found.unchecked) == (40, "")


def test_a_loss_of_charge_that_differs_from_star_to_star_is_no_zero_point():
    losses = np.linspace(0, 0.1, 40)
    for found in zero_points(made_with(26.398, losses), info_of((1, 1, 1, 1))):
        assert np.isnan(found.mag)
        assert "star to star" in found.unchecked


def test_a_chip_without_aperture_correction_is_not_checked():
    catalog = made_with(26.398)
    catalog.data["chip"][:] = 2
    for found in zero_points(catalog, info_of((1, 1, 1, 1))):
        assert np.isnan(found.mag)
        assert found.unchecked.startswith("0 stars")


def test_header_zero_points_are_those_of_the_handbook():
    # ACS Data Handbook 5.1.1, by figures of F814W: PHOTFLAM 7.0723e-20, PHOTPLAM 8059.9: 25.937.
    assert ab_zero_point(7.0723e-20, 8059.9) == pytest.approx(25.937, abs=0.01)
    with pytest.raises(BadConfiguration, match="are no zero point"):
        ab_zero_point(0.0, 8059.9)


def test_magnitudes_by_the_header_are_of_all_light():
    catalog = made_with(26.398)
    found = header_ab_magnitudes(
        catalog, 1, 26.5, aperture_correction_mag=-0.1, encircled_energy=0.9
    )
    by_hand = 26.5 - 2.5 * np.log10(catalog.values("counts", image=1) / 500 / 0.9) - 0.1
    np.testing.assert_allclose(found, by_hand)
    with pytest.raises(BadConfiguration, match="not a share"):
        header_ab_magnitudes(catalog, 1, 26.5, aperture_correction_mag=0, encircled_energy=1.1)


class TestReference:
    pytestmark = needs_runs

    @pytest.mark.parametrize("run", [TWO_FILTERS, CROWDED], ids=["two filters", "crowded"])
    def test_all_images_of_a_filter_have_one_zero_point(self, run):
        catalog = read_catalog(run.catalog)
        info = read_run_info(run.file(".info"))
        found = {each.image: each for each in zero_points(catalog, info)}
        assert all(each.unchecked == "" for each in found.values())
        for name in (each.label for each in catalog.columns.filters):
            values = [found[image.number].mag for image in catalog.columns.images_of(name)]
            # Rounding of 25 stars or more to 0.001 mag.
            assert np.ptp(values) < 5e-4

    def test_detectors_are_found(self):
        catalog = read_catalog(TWO_FILTERS.catalog)
        info = read_run_info(TWO_FILTERS.file(".info"))
        expected = {"F606W": "wfc3_uvis", "F814W": "wfc3_uvis"}
        assert detectors_of_bands(catalog.columns, info) == expected
