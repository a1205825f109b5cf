import json

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.table import QTable

from hst_assets.failures import BadConfiguration, MissingProduct
from hst_assets.photometry.light_curve import product as product_module
from hst_assets.photometry.light_curve.product import make_light_curve
from hst_assets.photometry.light_curve.table import LIGHT_CURVE_COLUMNS
from hst_assets.products.columns import read_table
from hst_assets.provenance import Result
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.light_curve.measured_target import (
    DEC,
    MIDDLE_PIX,
    PIXEL_ARCSEC,
    RA,
    Stars,
    measured_target,
    write_alignment,
)

#: The last exposure has nothing, and by chance less than that.
FLUX = [[1.0], [1.2], [3.0], [-0.05]]
ERROR = 0.1


def made(workdir, **options):
    return make_light_curve(workdir, load_settings(workdir), **options)


def chosen(table, **values):
    keep = np.ones(len(table), dtype=bool)
    for name, value in values.items():
        keep &= np.asarray(table[name]) == value
    return table[keep]


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    workdir = measured_target(tmp_path_factory.mktemp("light_curve"), Stars(FLUX, ERROR))
    return workdir, made(workdir), read_table(workdir.light_curve)


def test_every_exposure_is_a_point_in_all_light(bright):
    _, _, table = bright
    exposures = chosen(table, level="exposure")
    # Printed counts, from which a negative flux follows, have one decimal.
    assert exposures["flux_ujy"].value == pytest.approx([1.0, 1.2, -0.05, 3.0], rel=2e-3, abs=1e-3)
    assert exposures["flux_error_ujy"].value == pytest.approx(4 * [ERROR], rel=1e-2)
    assert list(exposures["filter_name"]) == ["F606W", "F606W", "F606W", "F814W"]


def test_epochs_are_means_by_inverse_variance(bright):
    _, _, table = bright
    first, second = chosen(table, level="epoch", filter_name="F606W")
    assert first["flux_ujy"].value == pytest.approx(1.1, rel=2e-3)
    assert first["flux_error_ujy"].value == pytest.approx(ERROR / np.sqrt(2), rel=1e-2)
    assert first["scatter_ujy"].value == pytest.approx(0.2 / np.sqrt(2), rel=2e-2)
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert first["ab_mag"].value == pytest.approx(23.9 - 2.5 * np.log10(1.1), abs=2e-3)


def test_a_non_detection_is_kept_with_its_limit(bright):
    _, _, table = bright
    row = chosen(table, level="epoch", epoch=2)[0]
    assert row["flux_ujy"].value == pytest.approx(-0.05, rel=2e-2)
    assert np.isnan(row["ab_mag"].value)
    assert row["limit_3sigma_ab_mag"].value == pytest.approx(
        23.9 - 2.5 * np.log10(3 * ERROR), abs=0.01
    )


def test_the_star_is_told_with_its_offset(bright):
    _, product, table = bright
    assert product.facts["star"] == 1
    assert product.facts["offset_arcsec"] == pytest.approx(0, abs=1e-3)
    assert set(table["note"]) == {""}


def test_every_format_has_the_same(bright):
    workdir, product, table = bright
    frame = pd.read_parquet(workdir.light_curve.with_suffix(".parquet"))
    assert [*frame] == [spec.name for spec in LIGHT_CURVE_COLUMNS]
    np.testing.assert_array_equal(frame["flux_ujy"], table["flux_ujy"].value)
    assert frame.attrs["units"]["flux_ujy"] == "uJy"
    series = QTable.read(workdir.light_curve.with_suffix(".series.ecsv"), format="ascii.ecsv")
    assert len(series) == 3
    assert workdir.light_curve.with_suffix(".html").read_text().lstrip().startswith("<!")
    assert workdir.light_curve.with_suffix(".png").is_file()
    names = {workdir.dolphot / name for name in ("dp0000.phot", "dp0000.snana")}
    assert names <= {workdir.absolute(name) for name in product.record.outputs}


def test_facts_are_json(bright):
    _, product, _ = bright
    assert json.loads(json.dumps(product.facts))["n_points"] == 9


def test_what_is_up_to_date_is_not_made_again(bright):
    workdir, product, _ = bright
    again = made(workdir)
    assert not again.ran
    assert again.digest == product.digest


@pytest.mark.parametrize(
    "more",
    [
        {"light_curve": {"no_cuts": True}},
        {"embedded": {"find_snr": 4.0}},
        {"artificial_stars": {"seed": 7}},
        {"quality_cuts": {"preset": "gst"}},
        {"dolphot_inputs": {"add_crmask": True}},
        {"dolphot": {"FlagMask": 4}},
        {"target": {"ra_deg": RA + 1e-4}},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_decides_a_light_curve_is_in_its_recipe(tmp_path, monkeypatch, more):
    workdir = measured_target(tmp_path, Stars(FLUX, ERROR))
    monkeypatch.setattr(
        product_module, "_written", lambda workdir, _settings: Result((workdir.settings_file,))
    )
    first = made(workdir)
    assert set(first.record.recipe["code"]) == {"light_curve", "surroundings"}
    write_settings(workdir, more)
    assert made(workdir).digest != first.digest


def test_without_pyarrow_all_else_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(product_module, "_HAS_PARQUET", False)
    workdir = measured_target(tmp_path, Stars(FLUX, ERROR))
    product = made(workdir)
    assert any("pyarrow is not installed" in note for note in product.facts["notes"])
    assert not workdir.light_curve.with_suffix(".parquet").exists()
    assert workdir.light_curve.with_suffix(".series.ecsv").is_file()


def test_without_a_place_it_says_what_to_do(tmp_path):
    workdir = measured_target(tmp_path, Stars(FLUX, ERROR), settings="")
    with pytest.raises(BadConfiguration, match="hst-assets lightcurve sn RA DEC"):
        made(workdir)


def test_without_a_catalogue_it_names_what_is_missing(tmp_path):
    workdir = WorkDir(tmp_path, "sn").create()
    workdir.settings_file.write_text("[target]\nra_deg = 1.0\ndec_deg = 2.0\n")
    with pytest.raises(MissingProduct, match="Materialize dolphot_catalog"):
        made(workdir)


def test_a_neighbour_is_never_taken(tmp_path):
    """At ten pixels, within the radius, but four errors of the position away."""
    workdir = measured_target(tmp_path, Stars(FLUX, ERROR, x=[MIDDLE_PIX + 10]))
    product = made(workdir)
    table = read_table(workdir.light_curve)
    assert set(table["n_images"]) == {0}
    assert len(chosen(table, level="filter")) == 2
    assert product.facts["star"] == 0
    assert "the nearest object, 1, is 0.400 arcsec away (4.0 sigma)" in table["note"][0]
    assert "nan" in (workdir.dolphot / "dp0000.phot").read_text()


def test_a_cut_object_is_not_replaced_by_its_neighbour(tmp_path):
    stars = Stars(
        np.tile(FLUX, 2), ERROR, [MIDDLE_PIX, MIDDLE_PIX + 4], [MIDDLE_PIX] * 2, object_type=[2, 1]
    )
    workdir = measured_target(tmp_path, stars)
    product = made(workdir)
    assert product.facts["star"] == 0
    assert "left out by the cuts (faint star)" in product.facts["star_note"]
    write_settings(workdir, {"light_curve": {"no_cuts": True}})
    assert made(workdir).facts["star"] == 1


def test_the_brightest_is_taken_where_it_is_wanted(tmp_path):
    flux = np.column_stack([np.ravel(FLUX), 5 * np.ravel(FLUX)])
    stars = Stars(flux, ERROR, [MIDDLE_PIX, MIDDLE_PIX + 12], [MIDDLE_PIX] * 2, object_type=[1, 1])
    workdir = measured_target(tmp_path, stars)
    assert made(workdir).facts["star"] == 1
    write_settings(workdir, {"light_curve": {"brightest": True}})
    product = made(workdir)
    assert product.facts["star"] == 2
    assert product.facts["offset_arcsec"] == pytest.approx(12 * PIXEL_ARCSEC, abs=1e-3)
    assert "the brightest of 2 stars within 0.5 arcsec" in product.facts["star_note"]


def test_all_stars_around_have_files_of_their_own(tmp_path):
    n = 5
    stars = Stars(
        np.tile(FLUX, n), ERROR, MIDDLE_PIX + 10.0 * np.arange(n), [MIDDLE_PIX] * n, [1] * n
    )
    workdir = measured_target(tmp_path, stars)
    settings = {"scrape_all": True, "scrape_radius_arcsec": 1.3}
    write_settings(workdir, {"light_curve": settings})
    made(workdir)
    table = read_table(workdir.light_curve)
    assert sorted(set(table["source"])) == [0, 1, 2, 3]  # the fifth is 1.6 arcsec away
    assert (workdir.dolphot / "dp0000_3.phot").is_file()
    write_settings(workdir, {"light_curve": {"scrape_all": False}})
    made(workdir)
    assert not (workdir.dolphot / "dp0000_3.phot").exists()


def test_places_of_a_table_are_looked_at_too(tmp_path):
    workdir = measured_target(tmp_path, Stars(FLUX, ERROR))
    (workdir.base / "more.csv").write_text(
        f"ra,dec,name\n{RA},{DEC},again\n{RA},{DEC + 0.01},far\n"
    )
    write_settings(workdir, {"light_curve": {"positions": "more.csv"}})
    made(workdir)
    table = read_table(workdir.light_curve)
    again = chosen(table, name="again", level="filter", filter_name="F814W")[0]
    assert again["flux_ujy"].value == pytest.approx(3.0, rel=2e-3)
    assert set(chosen(table, name="far")["n_images"]) == {0}
    (workdir.base / "more.csv").write_text(f"ra,dec,name\n{RA},{DEC},other\n")
    assert made(workdir).ran


def test_the_errors_of_alignment_and_star_come_into_the_offset(tmp_path):
    workdir = measured_target(tmp_path, Stars(FLUX, ERROR, x=[MIDDLE_PIX + 5]))
    write_alignment(workdir, rms_mas=40.0, n_matches=4, fwhm_pix=2.0)
    made(workdir)
    row = chosen(read_table(workdir.light_curve), level="filter")[0]
    snr = np.sqrt(10**2 + 12**2 + 30**2)
    star = 2.0 * 0.03962 / 2.3548 / snr
    expected = 0.2 / np.sqrt(0.1**2 + 0.02**2 + star**2)
    assert row["offset_sigma"] == pytest.approx(expected, rel=2e-3)
    assert row["offset_arcsec"].to_value(u.arcsec) == pytest.approx(0.2, abs=1e-3)


def test_a_flagged_image_is_left_out_and_says_so(tmp_path):
    flags = np.array([[4], [0], [0], [9]], np.int32)
    workdir = measured_target(tmp_path, Stars(FLUX, ERROR, more={"flag": flags}))
    made(workdir)
    table = read_table(workdir.light_curve)
    first, second = chosen(table, level="exposure", filter_name="F606W")
    assert "quality flag 4" in first["note"]
    assert (first["n_images"], second["n_images"]) == (0, 1)
    assert chosen(table, level="epoch", epoch=1)["flux_ujy"].value == pytest.approx([1.2], rel=2e-3)
    assert not len(chosen(table, epoch=2))  # it is not on that image
