"""A detector of which no filter was drizzled is named by every asset after that."""

import pytest

from hst_assets.hap.visits.catalogs import make_hap_point_catalogs
from hst_assets.hap.visits.exposure_images import make_hap_exposure_products
from hst_assets.hap.visits.total_images import make_hap_total_products
from hst_assets.orchestration.checks import ALL_PRODUCTS_MADE
from hst_assets.orchestration.hap_checks import ALL_FILTERS_COMBINED
from hst_assets.products.columns import read_table
from hst_assets.settings import load_settings
from hst_assets_tests.hap.recorded_visit import (
    VISIT,
    planned_visit,
    record_alignment,
    record_all,
)

MAKE = {
    "exposures": make_hap_exposure_products,
    "totals": make_hap_total_products,
    "points": make_hap_point_catalogs,
}


@pytest.fixture
def workdir(tmp_path):
    """All filters failed, of both detectors: nothing can be run after them."""
    workdir = planned_visit(tmp_path)
    record_alignment(workdir)
    return workdir


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        ("exposures", ["ir f110w", "ir f160w", "uvis f606w"]),
        ("totals", ["ir total", "uvis total"]),
        ("points", ["ir total", "ir f110w", "ir f160w", "uvis total", "uvis f606w"]),
    ],
)
def test_what_is_made_of_filters_that_failed_has_failed(workdir, name, failed):
    made = MAKE[name](workdir, VISIT, load_settings(workdir))
    assert [text.partition(":")[0] for text in made.facts["failed"]] == failed
    assert all("what it is made of was not drizzled" in text for text in made.facts["failed"])
    assert "note" not in made.facts
    assert not ALL_PRODUCTS_MADE.find(made, workdir).passed
    assert not MAKE[name](workdir, VISIT, load_settings(workdir)).ran


def test_filters_of_a_lost_detector_are_not_combined(workdir):
    made = make_hap_total_products(workdir, VISIT, load_settings(workdir))
    finding = ALL_FILTERS_COMBINED.find(made, workdir)
    assert not finding.passed
    assert finding.text == "made without ir f110w; ir f160w; uvis f606w"
    table = read_table(workdir.hap_total_products(VISIT))
    assert list(table["status"]) == ["FAIL", "FAIL"]


def test_a_detector_that_is_lost_is_named_beside_one_that_is_there(tmp_path):
    workdir = planned_visit(tmp_path)
    record_all(workdir, detectors=("uvis",))
    made = make_hap_point_catalogs(workdir, VISIT, load_settings(workdir))
    assert [text.partition(":")[0] for text in made.facts["failed"]] == [
        "ir total",
        "ir f110w",
        "ir f160w",
    ]
    assert made.facts["n_products"] == made.facts["n_catalogs"] == 2


def test_the_check_of_catalogues_counts_them(tmp_path):
    workdir = planned_visit(tmp_path)
    record_all(workdir)
    made = make_hap_point_catalogs(workdir, VISIT, load_settings(workdir))
    assert ALL_PRODUCTS_MADE.find(made, workdir).text == "5 products up to date"


def test_catalogues_that_are_not_wanted_are_not_lost(workdir, monkeypatch):
    for name in ("IR", "UVIS"):
        monkeypatch.setenv(f"SVM_CATALOG_{name}", "no")
    made = make_hap_point_catalogs(workdir, VISIT, load_settings(workdir))
    assert (made.facts["failed"], made.facts["n_products"]) == ([], 0)
    assert "SVM_CATALOG" in made.facts["note"]
