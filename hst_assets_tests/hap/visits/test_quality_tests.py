"""What the quality of a visit is judged by: its own tests, and nothing from before."""

import json

import pytest

from hst_assets.failures import MissingProduct, ToolFailed
from hst_assets.hap.quality.verdicts import Finding, KindOfQuality, QualityReport
from hst_assets.hap.visits import quality_tests as visit_quality
from hst_assets.hap.visits.hla_comparison import make_hap_hla_comparison
from hst_assets.hap.visits.quality_tests import make_hap_quality
from hst_assets.orchestration.hap_checks import ALL_TESTS_RUN
from hst_assets.provenance import Recipe, Result, make
from hst_assets.settings import load_settings
from hst_assets_tests.hap.recorded_visit import (
    VISIT,
    planned_visit,
    record_alignment,
    record_all,
    work_of,
)

ROOT = "hst_12345_01_wfc3_ir_f110w_iaaa01"


def quality(workdir):
    return make_hap_quality(workdir, VISIT, load_settings(workdir))


@pytest.fixture
def measured(monkeypatch):
    """The tests are done and leave nothing; no image is opened."""
    outcomes = dict.fromkeys(visit_quality._TEST_OF.values(), "done")
    monkeypatch.setattr(visit_quality, "_measured", lambda _work, _there: (outcomes, ()))
    monkeypatch.setattr(visit_quality, "quality_of", lambda folder: QualityReport(folder, {}))


def left_from_before(workdir, name):
    path = workdir.hap_visit(VISIT) / name
    path.write_text(json.dumps({"data": {}}))
    return path


def test_files_from_before_are_gone_where_the_tests_fail(tmp_path, monkeypatch):
    workdir = planned_visit(tmp_path)
    record_all(workdir)
    path = left_from_before(workdir, f"{ROOT}_svm_gaia_sources.json")

    def fail(_work, _there):
        raise ToolFailed("it hung")

    monkeypatch.setattr(visit_quality, "_measured", fail)
    with pytest.raises(ToolFailed):
        quality(workdir)
    assert not path.exists()


@pytest.mark.parametrize(
    ("make_it", "name"),
    [
        (make_hap_quality, f"{ROOT}_svm_wcs.json"),
        (make_hap_hla_comparison, f"{ROOT}_point-cat_svm_compare_sourcelists.json"),
    ],
)
def test_files_from_before_are_gone_where_there_are_no_catalogues(tmp_path, make_it, name):
    workdir = planned_visit(tmp_path)
    record_alignment(workdir)
    path = left_from_before(workdir, name)
    with pytest.raises(MissingProduct, match="no catalogues"):
        make_it(workdir, VISIT, load_settings(workdir))
    assert not path.exists()


@pytest.mark.usefixtures("measured")
def test_a_detector_without_catalogues_is_named(tmp_path):
    workdir = planned_visit(tmp_path)
    record_all(workdir, detectors=("uvis",))
    made = quality(workdir)
    assert made.facts["not_tested"] == ["ir: it has no catalogues"]
    assert not ALL_TESTS_RUN.find(made, workdir).checked
    record_all(workdir)
    made = quality(workdir)
    assert (made.ran, made.facts["not_tested"]) == (True, [])
    assert ALL_TESTS_RUN.find(made, workdir).passed


def test_a_filter_without_catalogues_is_named(tmp_path):
    workdir = planned_visit(tmp_path)
    record_all(workdir)
    work, plan = work_of(workdir), visit_quality.read_plan(workdir, VISIT)
    there = visit_quality.cataloged_detectors(work, plan)
    there[0].record.facts["measured"].remove(1)
    assert visit_quality._not_tested(plan, there) == ["ir f160w: it has no catalogues"]


def test_catalogues_that_have_changed_are_not_tested(tmp_path):
    workdir = planned_visit(tmp_path)
    record_all(workdir)
    (workdir.hap_visit(VISIT) / f"{ROOT}_point-cat.ecsv").write_text("of another run")
    there = visit_quality.cataloged_detectors(
        work_of(workdir), visit_quality.read_plan(workdir, VISIT)
    )
    assert [each.part.total.detector for each in there] == ["uvis"]


def test_a_comparison_of_other_catalogues_is_not_judged(tmp_path):
    workdir = planned_visit(tmp_path)
    record_all(workdir)
    work = work_of(workdir)
    there = visit_quality.cataloged_detectors(work, visit_quality.read_plan(workdir, VISIT))
    assert visit_quality._comparison(work, there)[1].endswith("is not made")
    path = workdir.hap_hla_comparison(VISIT)
    path.write_text("table")
    digests = {each.part.total.basename: each.record.digest for each in there}
    recipe = Recipe("hap_hla_comparison", inputs={**digests, there[0].part.total.basename: "old"})
    make(recipe, path, workdir, lambda: Result((path,)))
    record, told = visit_quality._comparison(work, there)
    assert (record, told) == (None, "not checked: hap_hla_comparison is older than the catalogues")
    recipe = Recipe("hap_hla_comparison", inputs=digests)
    made = make(recipe, path, workdir, lambda: Result((path,)))
    assert visit_quality._comparison(work, there)[0] == made.record


def test_files_of_a_comparison_that_is_not_made_are_not_judged(good_comparison):
    report, name = good_comparison
    (row,) = visit_quality._rows(report, {name: "not checked: it is not made"})
    assert row["verdict"] == "not checked"
    assert "it is not made" in row["reason"]
    (row,) = visit_quality._rows(report, {name: "see hap_hla_comparison"})
    assert row["verdict"] == "good"


@pytest.fixture
def good_comparison(tmp_path):
    """A report of one kind, whose files are good; and the kind."""
    name = "compare_sourcelists"
    finding = Finding("ir f110w point", tmp_path / "a.json", "good", "alike", {})
    return QualityReport(tmp_path, {name: KindOfQuality(name, "lists", (finding,))}), name
