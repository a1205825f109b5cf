"""What the checks of the advanced products say of a step's facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hst_assets.hap.quality.limits import KINDS_OF_QUALITY
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.checks import Finding
from hst_assets.provenance import Made, Record
from hst_assets.workdir import WorkDir

ALIGNED = {
    "n_exposures": 4,
    "n_fitted": 4,
    "n_detectors": 1,
    "n_detectors_usable": 1,
    "accepts_a_priori_wcs": False,
    "not_fitted": [],
    "failed": [],
}
NOT_ALIGNED = {**ALIGNED, "n_fitted": 3, "not_fitted": ["a_flt.fits: IDC_x"]}


def judged(asset: str, name: str, facts: dict[str, Any], tmp_path: Path) -> Finding:
    (check,) = (each for each in ASSETS[asset].checks if each.name == name)
    record = Record(
        digest="0", recipe={}, outputs={}, facts=facts, created="2026-11-30", hst_assets="0"
    )
    return check.find(Made(record, ran=True), WorkDir(tmp_path, "sn1").create())


@pytest.mark.parametrize(
    ("facts", "passes", "text"),
    [
        (ALIGNED, True, "4 of 4 exposures are fitted"),
        (NOT_ALIGNED, False, "not: a_flt.fits: IDC_x"),
        ({**ALIGNED, "n_fitted": 0, "failed": ["ir: killed"]}, False, "ir: killed"),
        ({**ALIGNED, "note": "HAP takes no exposure"}, False, "not checked"),
    ],
)
def test_exposures_that_are_not_fitted_are_warned_of(
    facts: dict[str, Any], passes: bool, text: str, tmp_path: Path
) -> None:
    found = judged("hap_aligned_exposures", "aligned_to_gaia", facts, tmp_path)
    assert (found.passed, found.severity) == (passes, "WARN")
    assert text in found.text


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"n_detectors_usable": 0}, False),
        ({"n_detectors": 2, "n_detectors_usable": 1}, True),
        ({"accepts_a_priori_wcs": True}, True),
    ],
)
def test_a_visit_with_no_detector_that_may_be_drizzled_stops(
    changes: dict[str, Any], passes: bool, tmp_path: Path
) -> None:
    facts = {**NOT_ALIGNED, **changes}
    found = judged("hap_aligned_exposures", "some_wcs_accepted", facts, tmp_path)
    assert (found.passed, found.severity) == (passes, "ERROR")


def test_what_hap_does_not_take_is_named(tmp_path: Path) -> None:
    facts = {
        "n_exposures": 2,
        "n_products": 3,
        "rejected": ["a_flt.fits: EXPTIME 0"],
        "ends_with": "",
    }
    found = judged("hap_plan", "all_exposures_taken", facts, tmp_path)
    assert not found.passed
    assert "1 of 2 exposures are taken; rejected by HAP: a_flt.fits: EXPTIME 0" in found.text


def test_a_visit_without_an_exposure_to_drizzle_says_so(tmp_path: Path) -> None:
    facts = {"n_exposures": 1, "n_products": 0, "rejected": [], "ends_with": "65: nothing"}
    found = judged("hap_plan", "all_exposures_taken", facts, tmp_path)
    assert not found.passed
    assert "65: nothing" in found.text


CATALOGS = {
    "n_catalogs": 1,
    "catalogs": [{"file": "a_point-cat.ecsv", "n_sources": 5}],
    "empty": [],
    "notes": [],
}


@pytest.mark.parametrize(
    ("changes", "passes", "checked", "text"),
    [
        ({}, True, True, "5 in a_point-cat.ecsv"),
        ({"empty": ["a_point-cat.ecsv"]}, False, True, "a_point-cat.ecsv: no source"),
        ({"notes": ["ir: found without a model of a star"]}, False, True, "without a model"),
        ({"note": "not wanted: hap.photometry is 'segment'"}, False, False, "not wanted"),
        ({"n_catalogs": 0, "catalogs": []}, False, False, "there is no catalogue"),
    ],
)
def test_an_empty_catalogue_says_so(
    changes: dict[str, Any], passes: bool, checked: bool, text: str, tmp_path: Path
) -> None:
    found = judged("hap_point_catalogs", "sources_found", {**CATALOGS, **changes}, tmp_path)
    assert (found.passed, found.checked) == (passes, checked)
    assert text in found.text


def test_a_test_of_quality_that_could_not_run_is_not_checked(tmp_path: Path) -> None:
    tests = [{"test": "a", "outcome": "done"}, {"test": "b", "outcome": "not checked: why"}]
    facts: dict[str, Any] = {"tests": tests, "not_tested": []}
    found = judged("hap_quality", "all_tests_run", facts, tmp_path)
    assert not found.checked
    assert "1 of 2 tests ran; b: not checked: why" in found.text
    facts["tests"] = tests[:1]
    assert judged("hap_quality", "all_tests_run", facts, tmp_path).passed


@pytest.mark.parametrize(
    ("tests", "not_tested"),
    [([], []), ([{"test": "a", "outcome": "done"}], ["ir: it has no catalogues"])],
)
def test_what_was_not_tested_is_not_checked(
    tests: list[Any], not_tested: list[str], tmp_path: Path
) -> None:
    facts = {"tests": tests, "not_tested": not_tested}
    found = judged("hap_quality", "all_tests_run", facts, tmp_path)
    assert not found.checked
    assert all(text in found.text for text in not_tested)


@pytest.mark.parametrize("kind", KINDS_OF_QUALITY)
@pytest.mark.parametrize(
    ("verdict", "passes", "checked"),
    [("good", True, True), ("doubtful", False, True), ("not checked", False, False)],
)
def test_each_kind_of_quality_has_its_verdict(
    kind: str, verdict: str, passes: bool, checked: bool, tmp_path: Path
) -> None:
    verdicts = [{"kind": name, "verdict": "good", "reason": "other"} for name in KINDS_OF_QUALITY]
    (own,) = [each for each in verdicts if each["kind"] == kind]
    own |= {"verdict": verdict, "reason": "the reason"}
    found = judged("hap_quality", f"quality_{kind}", {"verdicts": verdicts}, tmp_path)
    assert (found.passed, found.checked, found.severity) == (passes, checked, "WARN")
    assert found.text == f"{verdict}: the reason"


def test_a_kind_of_quality_of_a_visit_without_images_is_not_checked(tmp_path: Path) -> None:
    facts = {"verdicts": [], "note": "no exposure of the visit is drizzled"}
    assert not judged("hap_quality", "quality_wcs", facts, tmp_path).checked


@pytest.mark.parametrize(
    ("skipped", "outcomes", "passes", "text"),
    [
        ("", ["done", "done"], True, "2 of 2 catalogues are compared"),
        ("", ["done", "not checked: why"], False, "1 of 2 catalogues are compared; 1: not checked"),
        ("no such folder", ["not checked: no such folder"], False, "not checked: no such folder"),
    ],
)
def test_catalogues_without_a_counterpart_of_the_legacy_archive_are_not_checked(
    skipped: str, outcomes: list[str], passes: bool, text: str, tmp_path: Path
) -> None:
    facts = {
        "skipped": skipped,
        "n_compared": outcomes.count("done"),
        "compared": [{"catalog": str(n), "outcome": each} for n, each in enumerate(outcomes)],
    }
    found = judged("hap_hla_comparison", "compared_with_hla", facts, tmp_path)
    assert (found.passed, found.checked) == (passes, passes)
    assert text in found.text


@pytest.mark.parametrize(
    ("check", "fact"),
    [("all_exposures_in_mosaics", "left_out"), ("mosaics_aligned", "not_aligned")],
)
def test_exposures_that_are_not_in_mosaics_or_not_aligned_are_named(
    check: str, fact: str, tmp_path: Path
) -> None:
    facts: dict[str, Any] = {"left_out": [], "not_aligned": []}
    assert judged("hap_mosaics", check, facts, tmp_path).passed
    found = judged("hap_mosaics", check, {**facts, fact: ["a_flt.fits"]}, tmp_path)
    assert not found.passed
    assert "a_flt.fits" in found.text
    assert not judged("hap_mosaics", check, {**facts, "note": "no visit"}, tmp_path).checked


@pytest.mark.parametrize(
    ("code", "not_fitted", "lacking", "passes"),
    [(0, [], [], True), (1, [], [], False), (0, ["a"], [], False), (0, [], ["b_drz.fits"], False)],
)
def test_a_code_of_0_is_none_of_a_visit_that_is_not_aligned_or_not_whole(
    code: int, not_fitted: list[str], lacking: list[str], passes: bool, tmp_path: Path
) -> None:
    facts = {
        "return_code": code,
        "meaning": "",
        "problems": [],
        "not_fitted": not_fitted,
        "n_lacking": len(lacking),
        "lacking": lacking,
    }
    found = judged("hap_manifest", "return_code", facts, tmp_path)
    assert found.passed is passes
    assert all(name in found.text for name in lacking)
