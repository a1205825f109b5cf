"""What the checks of the photometry say of a step's facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.checks import Finding
from hst_assets.provenance import Made, Record
from hst_assets.workdir import WorkDir

PREPARED = {"n_exposures": 4, "n_chips": 4, "chips_left_out": 4, "rejected": []}
MEASURED = {
    "warnings": [],
    "remarks": [],
    "libraries_not_found": [],
    "n_objects": 100,
    "n_stars": 60,
    "cuts": [{"cut": "object type", "limit": "1", "removed_first": 40, "removed_alone": 40}],
}
LIMIT = {"filter": "F814W", "share": 0.5, "magnitude": 26.1234, "error": 0.02, "note": ""}


def judged(name: str, facts: dict[str, Any], tmp_path: Path) -> Finding:
    found = next(
        check for row in ASSETS if row.wanted for check in row.checks if check.name == name
    )
    record = Record(
        digest="0", recipe={}, outputs={}, facts=facts, created="2026-11-29", hst_assets="0"
    )
    return found.find(Made(record, ran=True), WorkDir(tmp_path, "sn1").create())


def test_exposures_that_are_ready_pass(tmp_path: Path) -> None:
    found = judged("all_exposures_prepared", PREPARED, tmp_path)
    assert found.passed
    assert found.text == ("4 chips of 4 exposures are ready; 4 chips without the target left out")


@pytest.mark.parametrize(
    ("facts", "severity", "kind"),
    [
        ({"rejected": ["iaaa01aaq: the file is damaged"]}, "WARN", ""),
        (
            {"rejected": ["iaaa01aaq: full"], "failures": {"a": "DiskFull"}},
            "ERROR",
            "DiskFull",
        ),
        ({"n_chips": 0}, "ERROR", "NothingFound"),
    ],
)
def test_exposures_that_are_not_ready_are_told(
    facts: dict[str, Any], severity: str, kind: str, tmp_path: Path
) -> None:
    found = judged("all_exposures_prepared", {**PREPARED, **facts}, tmp_path)
    assert (found.passed, found.severity, found.kind) == (False, severity, kind)
    assert all(each in found.text for each in facts.get("rejected", []))


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "no warnings"),
        (
            {
                "warnings": [
                    {"text": "No alignment stars matched in image 2, b", "is_problem": True},
                    {"text": "Only 60 stars for alignment", "is_problem": False},
                ]
            },
            "No alignment stars matched in image 2, b",
        ),
        ({"remarks": ["Poorly converging PSF"]}, "Poorly converging PSF"),
        ({"libraries_not_found": ["wfc3/F814W"]}, "no PSF library found: wfc3/F814W"),
    ],
)
def test_what_dolphot_warned_of_is_said(facts: dict[str, Any], text: str, tmp_path: Path) -> None:
    found = judged("photometer_warnings", {**MEASURED, **facts}, tmp_path)
    assert found.passed is not bool(facts)
    assert found.text == text


def test_libraries_that_nobody_could_look_for_are_not_ok(tmp_path: Path) -> None:
    facts = {**MEASURED, "libraries_not_found": None}
    found = judged("photometer_warnings", facts, tmp_path)
    assert (found.passed, found.checked) == (False, False)


def test_how_many_stars_each_cut_removed_is_said(tmp_path: Path) -> None:
    found = judged("stars_left", MEASURED, tmp_path)
    assert found.passed
    assert found.text == "60 of 100 objects pass the cuts; removed by object type 1: 40"
    assert not judged("stars_left", {**MEASURED, "n_stars": 0}, tmp_path).passed


def test_an_alignment_alone_has_no_stars_to_check(tmp_path: Path) -> None:
    facts = {"n_objects": 0, "n_stars": 0}
    assert not judged("stars_left", facts, tmp_path).checked


def test_a_list_that_failed_is_an_error_of_its_class(tmp_path: Path) -> None:
    facts = {"n_stars": 250, "n_found": 200, "n_mentioned": 240, "failed": ["list 2: killed"]}
    facts["failures"] = {"chunk_00002.fake": "OutOfMemory"}
    found = judged("all_lists_measured", facts, tmp_path)
    assert (found.severity, found.kind, found.text) == ("ERROR", "OutOfMemory", "list 2: killed")
    well = judged("all_lists_measured", {**facts, "failed": [], "failures": {}}, tmp_path)
    assert well.passed
    assert well.text == "250 artificial stars, 200 found, 10 on no image"


def test_a_limit_that_was_not_reached_is_not_checked(tmp_path: Path) -> None:
    found = judged("limits_reached", {"limits": [LIMIT]}, tmp_path)
    assert (found.passed, found.text) == (True, "F814W 50% at 26.12")
    lacking = {**LIMIT, "magnitude": None, "note": "put in fainter ones"}
    found = judged("limits_reached", {"limits": [LIMIT, lacking]}, tmp_path)
    assert (found.passed, found.checked) == (False, False)
    assert "F814W 50%: put in fainter ones" in found.text
