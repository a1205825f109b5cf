"""What the manifest of a visit takes for made, by the records of the products."""

import pytest

from hst_assets.hap.visits.manifest import make_hap_manifest
from hst_assets.orchestration.hap_checks import RETURN_CODE
from hst_assets.provenance import Recipe, Result, make
from hst_assets.settings import load_settings, write_settings
from hst_assets_tests.hap.recorded_visit import (
    VISIT,
    planned_visit,
    record_alignment,
    record_all,
)

TABLES = (
    "hap_aligned_exposures",
    "hap_filter_products",
    "hap_exposure_products",
    "hap_total_products",
    "hap_point_catalogs",
    "hap_segment_catalogs",
)


@pytest.fixture
def workdir(tmp_path):
    """A visit of which everything was made."""
    workdir = planned_visit(tmp_path)
    record_all(workdir)
    for name in TABLES:
        path = getattr(workdir, name)(VISIT)
        path.write_text(name)
        facts = {"failed": [], "not_fitted": []}
        make(Recipe(name), path, workdir, lambda path=path, facts=facts: Result((path,), facts))
    return workdir


def listed(workdir):
    return make_hap_manifest(workdir, VISIT, load_settings(workdir))


def test_what_stands_is_listed(workdir):
    made = listed(workdir)
    # 3 headerlets; of 3 exposures and 3 filters 2 and 3 files, of 2 totals 2; 5 x 2 catalogues.
    assert made.facts["n_products"] == 3 + 3 * 3 + 3 * 2 + 2 * 2 + 5 * 2
    assert (made.facts["lacking"], made.facts["problems"]) == ([], [])
    assert RETURN_CODE.find(made, workdir).passed
    assert not listed(workdir).ran


def test_products_from_before_another_alignment_are_not_made(workdir, monkeypatch):
    listed(workdir)
    monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", "http://elsewhere.org/stars")
    record_alignment(workdir)
    made = listed(workdir)
    assert made.ran
    # The headerlets are new, all the others are there and old.
    assert made.facts["n_products"] == 3
    old = [text for text in made.facts["problems"] if "older than what it is made from" in text]
    assert len(old) == 3 + 3 + 2 + 2  # filters, exposures, totals, catalogues
    assert made.facts["return_code"] == 1
    text = (workdir.hap_visit(VISIT) / "wfc3_aaa_01_manifest.txt").read_text()
    assert all(name.endswith("_hlet.fits") for name in text.split())


def test_products_of_an_alignment_that_no_longer_stands_are_old(workdir, monkeypatch):
    monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", "http://elsewhere.org/stars")
    made = listed(workdir)
    assert made.facts["n_products"] == 0
    assert not RETURN_CODE.find(made, workdir).passed


def test_a_product_that_is_gone_fails_the_check_by_its_name(workdir):
    (workdir.hap_visit(VISIT) / "hst_12345_01_wfc3_uvis_f606w_iaaa01_drc.fits").unlink()
    finding = RETURN_CODE.find(listed(workdir), workdir)
    assert not finding.passed
    assert "missing: " in finding.text
    assert "uvis_f606w_iaaa01_drc.fits" in finding.text


def test_catalogues_that_are_not_wanted_do_not_lack(workdir, monkeypatch):
    before = listed(workdir).facts["n_products"]
    monkeypatch.setenv("SVM_CATALOG_UVIS", "no")
    made = listed(workdir)
    assert made.ran
    assert made.facts["n_products"] == before - 4
    assert made.facts["lacking"] == []


def test_a_kind_of_catalogue_that_is_not_wanted_is_not_listed(workdir):
    write_settings(workdir, {"hap": {"photometry": "aperture"}})
    assert not [name for name in listed(workdir).facts["lacking"] if "segment" in name]
