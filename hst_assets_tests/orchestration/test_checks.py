"""What the checks say of a step's facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.checks import Finding
from hst_assets.provenance import Made, Record
from hst_assets.workdir import WorkDir


def judged(asset: str, name: str, facts: dict[str, Any], tmp_path: Path) -> Finding:
    (check,) = (check for check in ASSETS[asset].checks if check.name == name)
    record = Record(
        digest="0", recipe={}, outputs={}, facts=facts, created="2026-11-21", hst_assets="0"
    )
    return check.judge(Made(record, ran=True), WorkDir(tmp_path, "sn1"))


def test_what_is_amiss_with_the_reference_is_said(tmp_path: Path) -> None:
    problems = ["the median failed", "the flat field is not at hand"]
    found = judged("reference_image", "reference_sane", {"problems": problems}, tmp_path)
    assert not found.passed
    assert found.severity == "WARN"
    assert found.text == "the median failed; the flat field is not at hand"


@pytest.mark.parametrize("facts", [{"problems": []}, {}])
def test_a_reference_without_problems_passes(facts: dict[str, Any], tmp_path: Path) -> None:
    assert judged("reference_image", "reference_sane", facts, tmp_path).passed


def test_a_frame_that_is_not_the_catalogues_is_said_with_the_reason(tmp_path: Path) -> None:
    tie = {"catalogue": "Gaia DR3", "reason": "2 stars", "absolute": False}
    found = judged("reference_image", "absolute_frame", {"tie": tie}, tmp_path)
    assert not found.passed
    assert found.severity == "WARN"
    assert found.text == "the frame is not that of Gaia DR3: 2 stars"


@pytest.mark.parametrize(
    "facts", [{}, {"tie": {"catalogue": "Gaia DR3", "reason": "40 stars", "absolute": True}}]
)
def test_an_absolute_frame_or_one_not_asked_for_passes(
    facts: dict[str, Any], tmp_path: Path
) -> None:
    assert judged("reference_image", "absolute_frame", facts, tmp_path).passed
