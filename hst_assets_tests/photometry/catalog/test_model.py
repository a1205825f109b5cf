import astropy.units as u
import numpy as np
import pytest
from astropy.wcs import WCS

from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.photometry.catalog.columns import CatalogColumns, CatalogImage
from hst_assets.photometry.catalog.model import AddedColumn, Catalog, wcs_origin_pixels
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog
from hst_assets_tests.photometry.catalog.reference_runs import CROWDED, needs_runs


def tangent_plane(ra=150.1, dec=2.2, cdelt=1.1e-5):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = 100.0, 200.0
    wcs.wcs.cdelt = -cdelt, cdelt
    return wcs


def at(x, y):
    catalog = made_catalog(1)
    catalog.data["x"][0], catalog.data["y"][0] = x, y
    return catalog


def test_the_middle_of_the_first_pixel_is_at_one_half():
    wcs = tangent_plane()
    found = at(0.5, 0.5).with_positions(wcs)
    expected = wcs.pixel_to_world(0, 0)
    assert found["ra"][0] == pytest.approx(expected.ra.deg, abs=1e-12)
    assert found["dec"][0] == pytest.approx(expected.dec.deg, abs=1e-12)


def test_the_reference_pixel_has_its_fits_number_less_one_half():
    found = at(99.5, 199.5).with_positions(tangent_plane())
    assert (found["ra"][0], found["dec"][0]) == pytest.approx((150.1, 2.2), abs=1e-12)


def test_right_ascensions_are_below_360():
    found = at(300.0, 199.5).with_positions(tangent_plane(ra=0.0005))
    assert 359.99 < found["ra"][0] < 360.0


def test_a_wcs_without_sky_is_told():
    with pytest.raises(UnusableInput, match="no sky"):
        made_catalog(1).with_positions(WCS(naxis=2))


def test_many_positions_are_those_of_one_at_a_time(monkeypatch):
    catalog, wcs = made_catalog(50), tangent_plane()
    whole = catalog.with_positions(wcs)
    monkeypatch.setattr("hst_assets.photometry.catalog.model._POSITIONS_AT_A_TIME", 7)
    np.testing.assert_array_equal(catalog.with_positions(wcs)["ra"], whole["ra"])


def test_values_are_addressed_by_quantity():
    catalog = made_catalog(5)
    assert catalog.values("chi") is catalog.data["chi"]
    assert catalog.values("chi", filter_name="F606W") is catalog.data["f606w_chi"]
    assert catalog.values("chi", image=1) is catalog.data["iaaa01q_flc_chip1_chi"]
    with pytest.raises(BadConfiguration, match="image 9 does not exist"):
        catalog.values("chi", image=9)


def test_a_magnitude_of_99_is_not_measured():
    catalog = made_catalog(60)
    measured = catalog.measured(filter_name="F606W")
    np.testing.assert_array_equal(measured, catalog.values("vega_mag", filter_name="F606W") < 99)
    assert 0 < measured.sum() < 60


def test_images_of_unknown_instruments_have_their_own_magnitude():
    columns = CatalogColumns((), (CatalogImage(1, "g1", "", 120.0),))
    catalog = made_catalog(4, columns)
    catalog.values("instrumental_mag", image=1)[:] = [20.0, 99.999, np.nan, 25.0]
    assert catalog.measured(image=1).tolist() == [True, False, False, True]


def test_rows_are_selected_in_every_column():
    catalog = made_catalog(9).with_positions(tangent_plane())
    chosen = catalog.select(catalog["object_type"] == 1)
    assert len(chosen) == (catalog["object_type"] == 1).sum() > 0
    assert chosen["ra"][0] == catalog["ra"][catalog["object_type"] == 1][0]


def test_tables_have_units_and_descriptions():
    table = made_catalog(3).to_table()
    assert table["x"].unit == u.pix
    assert table["f606w_counts"].unit == u.ct
    assert table["f606w_sky"].unit == u.ct / u.pix
    assert table["f606w_vega_mag"].unit == u.mag
    assert "F606W" in table["f606w_rate"].info.description
    assert table["position_angle"].dtype == np.int32
    assert table["position_angle"].unit == u.deg


def test_frames_have_units_in_their_attributes():
    frame = made_catalog(3, vega="none").to_pandas()
    assert frame.attrs["units"]["f606w_sky"] == "ct / pix"
    assert "snr" not in frame.attrs["units"]
    assert frame.attrs["meta"] == {"vega": "none"}
    assert set(frame.attrs["descriptions"]) == set(frame.columns)


def test_a_column_that_was_measured_is_not_replaced():
    catalog = made_catalog(3)
    with pytest.raises(UnusableInput, match="column chi cannot be added"):
        catalog.with_added({"chi": AddedColumn(np.zeros(3), "")})
    with pytest.raises(UnusableInput, match="column new cannot be added"):
        catalog.with_added({"new": AddedColumn(np.zeros(2), "")})


def test_a_catalogue_has_all_its_columns_at_the_same_length():
    catalog = made_catalog(3)
    data = dict(catalog.data)
    with pytest.raises(UnusableInput, match="different lengths"):
        Catalog(catalog.columns, {**data, "x": np.zeros(2)})
    del data["chi"]
    with pytest.raises(UnusableInput, match="lacks the columns chi"):
        Catalog(catalog.columns, data)


class TestReference:
    pytestmark = needs_runs

    def test_positions_of_bright_stars_are_those_that_were_simulated(self):
        truth = np.load(CROWDED.catalog.with_name("truth_sim.npz"))
        catalog = read_catalog(CROWDED.catalog)
        x, y = wcs_origin_pixels(catalog)
        brightest = np.argsort(catalog["snr"])[-100:]
        # The reference image has a margin of 12 pixels around what was simulated.
        off = [
            values[brightest, None] - truth[axis][None] - 12
            for values, axis in ((x, "x"), (y, "y"))
        ]
        nearest = np.argmin(np.hypot(*off), axis=1)
        rows = np.arange(100)
        # Their centroids agree to 0.01 pixel; another convention would be off by 0.5 or 1.
        for each in off:
            assert abs(np.median(each[rows, nearest])) < 0.01
