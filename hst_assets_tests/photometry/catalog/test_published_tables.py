import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.catalog.published_tables import (
    read_matched_artificial_stars,
    read_pipeline_table,
)
from hst_assets.photometry.quality_cuts import PRESETS
from hst_assets_tests.photometry.catalog.reference_runs import SHARED

PUBLISHED = SHARED / "real" / "dolphot_catalogs"
TABLE = PUBLISHED / "philrosenfield_9891_NGC1644_F555W-F814W_gst.fits"
MATCHED = PUBLISHED / "philrosenfield_9891_NGC1644.gst.matchfake.head200"

needs_published = [
    pytest.mark.real_data,
    pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"no published catalogues in {PUBLISHED}"),
]


def test_a_table_of_something_else_is_told(tmp_path):
    path = tmp_path / "other.fits"
    column = fits.Column(name="FLUX", format="D", array=np.zeros(3))
    fits.BinTableHDU.from_columns([column]).writeto(path)
    with pytest.raises(UnusableInput, match="no positions"):
        read_pipeline_table(path)


def test_a_file_without_a_table_is_told(tmp_path):
    path = tmp_path / "other.fits"
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(UnusableInput, match="cannot be read"):
        read_pipeline_table(path)


def test_a_missing_table_is_missing(tmp_path):
    with pytest.raises(MissingProduct):
        read_pipeline_table(tmp_path / "none.fits")


def test_stars_that_were_not_recovered_have_no_difference(tmp_path):
    path = tmp_path / "dp.matchfake"
    path.write_text("22.45 22.35 -0.04 99.99\n18.59 16.25 0.01 0.02\n")
    table = read_matched_artificial_stars(path, ("F555W", "F814W"))
    assert np.isnan(table["f814w_difference_mag"].value).tolist() == [True, False]
    assert table["f555w_mag_in"].value.tolist() == [22.45, 18.59]


class TestPublished:
    pytestmark = needs_published

    def test_stars_obey_the_limits_of_the_preset_and_reach_them(self):
        table, gst = read_pipeline_table(TABLE), PRESETS["gst"]
        assert len(table) == 15292
        for name in ("f555w", "f814w"):
            good = np.isfinite(table[f"{name}_vega_mag"].value)
            sharpness = np.asarray(table[f"{name}_sharpness"])[good]
            crowding = table[f"{name}_crowding"].value[good]
            # Printed to 0.001, of a sharpness of up to 0.45.
            limit = gst.max_sharpness_squared["acs_wfc"]
            assert limit - 0.001 < (sharpness**2).max() <= limit
            assert 0.95 < crowding.max() / gst.max_crowding_mag["acs_wfc"] <= 1
            assert np.asarray(table[f"{name}_snr"])[good].min() == gst.min_snr

    def test_stars_are_good_in_a_filter_and_need_not_be_in_all(self):
        table = read_pipeline_table(TABLE)
        good = [np.isfinite(table[f"{name}_vega_mag"].value) for name in ("f555w", "f814w")]
        # 28 of them are in none, with rates all the same.
        assert np.any(good, axis=0).mean() > 0.998
        assert np.all(good, axis=0).mean() < 0.5
        assert np.isfinite(np.asarray(table["f814w_rate"])).all()

    def test_magnitudes_are_those_of_the_rates(self):
        table = read_pipeline_table(TABLE)
        good = np.isfinite(table["f814w_vega_mag"].value)
        mag = -2.5 * np.log10(np.asarray(table["f814w_rate"])[good])
        # Rates are printed with three digits: 0.5 % at most.
        np.testing.assert_allclose(mag, table["f814w_vega_mag"].value[good], atol=0.006)

    def test_artificial_stars_are_read(self):
        table = read_matched_artificial_stars(MATCHED, ("F555W", "F814W"))
        lost = np.isnan(table["f555w_difference_mag"].value)
        assert len(table) == 200
        assert 0 < lost.sum() < 200
        assert np.abs(table["f555w_difference_mag"].value[~lost]).max() < 5
