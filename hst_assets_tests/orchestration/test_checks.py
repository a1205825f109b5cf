"""What the checks say of a step's facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hst_assets.exposure_account import Account, LeftOut, ProductCount
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.checks import Check, Finding
from hst_assets.provenance import FileStamp, Made, Record
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir


def judged(
    asset: str,
    name: str,
    facts: dict[str, Any],
    tmp_path: Path,
    outputs: dict[str, FileStamp] | None = None,
) -> Finding:
    (check,) = (check for check in ASSETS[asset].checks if check.name == name)
    record = Record(
        digest="0",
        recipe={},
        outputs=outputs or {},
        facts=facts,
        created="2026-11-21",
        hst_assets="0",
    )
    return check.find(Made(record, ran=True), WorkDir(tmp_path, "sn1").create())


def test_what_is_amiss_with_the_reference_is_said(tmp_path: Path) -> None:
    problems = ["the median failed", "the flat field is not at hand"]
    found = judged("reference_image", "reference_sane", {"problems": problems}, tmp_path)
    assert not found.passed
    assert found.severity == "WARN"
    assert found.text == "the median failed; the flat field is not at hand"


def test_a_reference_without_problems_passes(tmp_path: Path) -> None:
    facts = {"problems": [], "not_checked": []}
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


def test_a_reference_that_stands_in_for_a_better_choice_is_told(tmp_path: Path) -> None:
    facts = {"band": "acs_wfc.f606w", "n_exposures": 2, "passed_over": ["acs_wfc.f814w: trailed"]}
    found = judged("reference_image", "members_agree", facts, tmp_path)
    assert not found.passed
    assert found.text == "made of acs_wfc.f606w instead of acs_wfc.f814w: trailed"


# --------------------------------------------------------------------- nothing to compare

ALL_PASS = {"n_exposures": 2, "n_used": 2, "n_pass": 2}


@pytest.mark.parametrize(
    ("asset", "check", "facts", "why"),
    [
        ("reference_image", "reference_sane", {}, "of an earlier version"),
        ("reference_image", "reference_sane", {"band": "user"}, "the user's image"),
        ("reference_image", "reference_sane", {"not_checked": ["star fluxes: 1"]}, "star fluxes"),
        ("reference_image", "members_agree", {"band": "user"}, "the user's image"),
        ("reference_image", "members_agree", {"n_exposures": 1}, "made of one exposure"),
        (
            "reference_image",
            "members_agree",
            {"n_exposures": 2, "kept_a_priori": ["a_flc.fits"]},
            "exposures with the archive's WCS: a_flc.fits",
        ),
        ("aligned_exposures", "alignment_gate", {"n_exposures": 0, "n_used": 0}, "is in use"),
        ("aligned_exposures", "alignment_gate", {**ALL_PASS, "n_skipped": 1}, "skip_tweakreg"),
        ("aligned_exposures", "alignment_gate", ALL_PASS, "of an earlier version"),
        (
            "aligned_exposures",
            "alignment_gate",
            {**ALL_PASS, "n_anchor": 1},
            "1 of 2 exposures defines the frame",
        ),
        ("drizzled_stacks", "products_sane", {"n_products": 1}, "of an earlier version"),
        ("drizzled_stacks", "products_sane", {"note": "no exposure is in use"}, "is in use"),
        (
            "drizzled_stacks",
            "products_sane",
            {"n_products": 1, "not_checked": ["a.drc.fits: star fluxes: 2 stars"]},
            "a.drc.fits: star fluxes",
        ),
        (
            "epoch_differences",
            "differences_sane",
            {"n_differences": 1, "not_checked": ["a.fits: noise: too few"]},
            "a.fits: noise",
        ),
        ("archive_exposures", "cross_check", {"cross_checked": False}, "did not answer"),
    ],
)
def test_what_could_not_be_compared_is_neither_ok_nor_a_problem(
    asset: str, check: str, facts: dict[str, Any], why: str, tmp_path: Path
) -> None:
    found = judged(asset, check, facts, tmp_path)
    assert (found.passed, found.checked, found.severity) == (False, False, "WARN")
    assert found.text.startswith("not checked: ")
    assert found.text.count("not checked") == 1
    assert why in found.text


def test_files_of_an_archive_that_was_not_queried_are_not_said_to_be_there(tmp_path: Path) -> None:
    facts: dict[str, Any] = {}
    passed = judged("raw_exposures", "all_delivered", facts, tmp_path)
    assert passed.text == "does not apply: the archive is not queried"
    write_settings(WorkDir(tmp_path, "sn1"), {"archive": {"query": True, "object": "M 13"}})
    found = judged("raw_exposures", "all_delivered", facts, tmp_path)
    assert (found.passed, found.checked) == (False, False)
    assert "offline" in found.text


def test_problems_are_said_before_what_was_not_checked(tmp_path: Path) -> None:
    facts = {"n_products": 1, "problems": ["a: weights"], "not_checked": ["b: star fluxes"]}
    found = judged("drizzled_stacks", "products_sane", facts, tmp_path)
    assert (found.checked, found.text) == (True, "a: weights")


# ------------------------------------------------------------------ what did not pass, and why


def test_exposures_that_did_not_pass_are_told_with_reason_and_numbers(tmp_path: Path) -> None:
    told = "jaaa01a1q FAIL: 3 matches (minimum 10) (3 stars, RMS 0.31 and 0.52 px)"
    facts = {"n_exposures": 2, "n_used": 1, "n_pass": 1, "n_fail": 1, "not_passed": [told]}
    found = judged("aligned_exposures", "alignment_gate", facts, tmp_path)
    assert (found.passed, found.severity) == (False, "WARN")
    assert found.text.endswith(f"1 failed, 0 skipped (alignment.skip_tweakreg); {told}")
    assert judged("aligned_exposures", "some_exposures_aligned", facts, tmp_path).passed


def test_exposures_that_are_not_used_are_told_with_their_reasons(tmp_path: Path) -> None:
    refused = "jaaa01a1q: exposed 0.5 s, less than 1 s (keep_short is off)"
    facts = {"n_exposures": 2, "n_used": 1, "refusals": [refused]}
    found = judged("exposure_table", "some_exposures_used", facts, tmp_path)
    assert found.passed
    assert found.text == f"1 of 2 exposures are used; left out: {refused}"


@pytest.mark.parametrize(
    ("failures", "kind"),
    [
        ({"a": "DiskFull"}, "DiskFull"),
        ({"a": "DiskFull", "b": "TimedOut"}, "MachineFailure"),
        ({"a": "DiskFull", "b": "UnusableInput"}, "ToolFailed"),
        ({"a": "NoOverlap", "b": "TimedOut"}, "TimedOut"),
    ],
)
def test_a_band_that_is_missing_is_an_error_of_the_class_of_its_failure(
    failures: dict[str, str], kind: str, tmp_path: Path
) -> None:
    facts = {"n_products": 1, "failed": ["f606w: no room"], "failures": failures}
    found = judged("drizzled_stacks", "all_products_made", facts, tmp_path)
    assert (found.passed, found.severity, found.kind) == (False, "ERROR", kind)


def test_a_check_that_is_called_blocking_blocks(tmp_path: Path) -> None:
    blocking = [check for row in ASSETS for check in row.checks if check.blocking]
    assert {check.name for check in blocking} == {
        "raw_untouched",
        "some_exposures_aligned",
        "some_wcs_accepted",
    }
    mild = Check("mild", "", lambda _made, _workdir: Finding(passed=False, text=""), blocking=True)
    record = Record(
        digest="0", recipe={}, outputs={}, facts={}, created="2026-11-21", hst_assets="0"
    )
    assert mild.find(Made(record, ran=True), WorkDir(tmp_path, "sn1")).severity == "ERROR"


# ------------------------------------------------------- exposures that a product is made of


@pytest.mark.parametrize(
    ("reason", "known", "passes"),
    [
        ("FAIL: 3 matches (3 stars, RMS 0.31 and 0.52 px)", True, False),
        ("by hand: trailed", True, True),
        ("in use, but not yet in the product", False, False),
    ],
)
def test_a_stack_of_one_of_two_exposures_is_told(
    reason: str, known: bool, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = LeftOut("jaaa01a1q", "alignment", reason, "", is_wanted=passes)
    product = ProductCount("a.drc.fits", 1, 2, "OK", "", frozenset({"jaaa01a1q"}), of_visit=False)
    account = Account(2, 1, (lacking,) if known else (), (product,))
    monkeypatch.setattr("hst_assets.exposure_account.account_of", lambda _workdir: account)
    stamp = FileStamp(sha256="0", size=1, mtime_ns=1)
    outputs = {"drizzle/a.drc.fits": stamp}
    found = judged("drizzled_stacks", "all_exposures_combined", {}, tmp_path, outputs)
    assert found.text == f"a.drc.fits: 1 of 2 exposures; jaaa01a1q: {reason}"
    assert (found.passed, found.severity) == (passes, "WARN")


def test_what_the_catalogue_lacks_is_no_reason_for_what_a_stack_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmeasured = LeftOut("jaaa01a1q", "photometry", "does not hold the target", "")
    product = ProductCount("a.drc.fits", 1, 2, "OK", "", frozenset({"jaaa01a1q"}), of_visit=False)
    account = Account(2, 2, (unmeasured,), (product,))
    monkeypatch.setattr("hst_assets.exposure_account.account_of", lambda _workdir: account)
    outputs = {"drizzle/a.drc.fits": FileStamp(sha256="0", size=1, mtime_ns=1)}
    found = judged("drizzled_stacks", "all_exposures_combined", {}, tmp_path, outputs)
    assert "in use, but not yet in the product" in found.text


def shapes(tmp_path: Path, **counts: int) -> Finding:
    """What is said of the shapes of stars, by how many exposures came to what."""
    facts = {"n_exposures": sum(counts.values()), **{f"n_shapes_{k}": n for k, n in counts.items()}}
    return judged("aligned_exposures", "star_shapes", facts, tmp_path)


def test_good_shapes_of_all_exposures_pass(tmp_path: Path) -> None:
    found = shapes(tmp_path, good=3, not_checked=0)
    assert (found.passed, found.text) == (True, "3 good, 0 not, 0 not checked")


@pytest.mark.parametrize(
    "counts", [{"good": 0, "not_checked": 3}, {"good": 2, "not_checked": 1}, {"good": 0}]
)
def test_shapes_that_were_not_measured_are_not_ok(tmp_path: Path, counts: dict[str, int]) -> None:
    """Of all, of some, of a visit without exposures."""
    found = shapes(tmp_path, **counts)
    assert (found.passed, found.checked) == (False, False)
    assert found.text.startswith("not checked: ")


def test_a_record_that_tells_of_no_shapes_is_not_ok(tmp_path: Path) -> None:
    found = judged("aligned_exposures", "star_shapes", {"n_exposures": 2}, tmp_path)
    assert (found.passed, found.checked) == (False, False)


def test_bad_shapes_are_said_before_what_was_not_checked(tmp_path: Path) -> None:
    found = shapes(tmp_path, good=1, bad=1, not_checked=1)
    assert (found.passed, found.checked) == (False, True)
