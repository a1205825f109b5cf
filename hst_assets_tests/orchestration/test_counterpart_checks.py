"""What the checks of a counterpart say of a step's facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.checks import Finding
from hst_assets.provenance import Made, Record
from hst_assets.settings import CounterpartSettings, Settings
from hst_assets.workdir import WorkDir

FACTS = {"unknown_terms": [], "error_mas": 5.25, "identification": "counterpart", "n_inside": 1}


def judged(name: str, facts: dict[str, Any], tmp_path: Path) -> Finding:
    (check,) = (each for each in ASSETS["counterpart"].checks if each.name == name)
    record = Record(
        digest="0", recipe={}, outputs={}, facts=facts, created="2026-11-29", hst_assets="0"
    )
    return check.find(Made(record, ran=True), WorkDir(tmp_path, "sn1").create())


def test_an_error_whose_parts_are_all_known_passes(tmp_path: Path) -> None:
    found = judged("error_circle_told", FACTS, tmp_path)
    assert found.passed
    assert "5.25 mas" in found.text


def test_an_error_with_an_unknown_part_is_not_checked(tmp_path: Path) -> None:
    facts = {**FACTS, "unknown_terms": ["frame: counterpart.frame_error_mas is not set"]}
    found = judged("error_circle_told", facts, tmp_path)
    assert not found.checked
    assert "frame_error_mas is not set" in found.text


@pytest.mark.parametrize(
    ("identification", "passes", "text"),
    [
        ("counterpart", True, "unlikely to be a chance coincidence"),
        ("none", True, "see the limits"),
        ("ambiguous", False, "3 sources"),
        ("chance", False, "may be a chance coincidence"),
    ],
)
def test_only_what_is_not_clear_is_warned_of(
    identification: str, passes: bool, text: str, tmp_path: Path
) -> None:
    facts = {**FACTS, "identification": identification, "n_inside": 3}
    found = judged("counterpart_clear", facts, tmp_path)
    assert found.passed is passes
    assert found.severity == "WARN"
    assert text in found.text


@pytest.mark.parametrize(
    ("identification", "text"),
    [("not covered", "no earlier exposure"), ("not decided", "is not known")],
)
def test_what_could_not_be_looked_for_is_not_checked(
    identification: str, text: str, tmp_path: Path
) -> None:
    found = judged("counterpart_clear", {**FACTS, "identification": identification}, tmp_path)
    assert not found.checked
    assert text in found.text


@pytest.mark.parametrize(("ra_deg", "wanted"), [(None, False), (0.0, True), (150.1, True)])
def test_it_is_wanted_where_a_position_is_set(ra_deg: float | None, wanted: bool) -> None:
    place = {} if ra_deg is None else {"ra_deg": ra_deg, "dec_deg": 2.2, "error_mas": 5.0}
    settings = Settings(counterpart=CounterpartSettings(**place))
    for job in ("target_counterpart", "target_photometry"):
        assert ASSETS.is_wanted(ASSETS.level_named(job), settings) is wanted
