"""How a walk ends: with what, and so with which exit status."""

import pytest
from rich.console import Console

from hst_assets.cli.run_target import RunSummary, _tell, raise_for
from hst_assets.failures import (
    AccessRefused,
    DiskFull,
    MachineFailure,
    NothingFound,
    TimedOut,
    ToolFailed,
    TransientFailure,
)
from hst_assets.orchestration.run_target import LevelResult
from hst_assets.workdir import WorkDir


@pytest.mark.parametrize(
    ("walked", "kind"),
    [
        (RunSummary(failures=["a: x"], kinds={"TransientFailure"}), TransientFailure),
        (RunSummary(failures=["a: x", "b: y"], kinds={"AccessRefused"}), AccessRefused),
        (RunSummary(kinds={"NothingFound"}), NothingFound),
        (RunSummary(failures=["a: x"], kinds={"UnusableInput"}), ToolFailed),
        (RunSummary(failures=["a"], kinds={"AccessRefused", "TransientFailure"}), ToolFailed),
        (RunSummary(failures=["a"], kinds={"AccessRefused"}, undelivered=["v"]), ToolFailed),
        (RunSummary(undelivered=["raw_exposures: 1 file lacks"]), ToolFailed),
        (RunSummary(errors=["drizzled_stacks: a band"]), ToolFailed),
        (RunSummary(errors=["drizzled_stacks: a band"], kinds={"TimedOut"}), TimedOut),
        (RunSummary(failures=["a: x"], kinds={"DiskFull"}), DiskFull),
        (RunSummary(failures=["a: x"], kinds={"DiskFull", "NoReply"}), MachineFailure),
        (RunSummary(failures=["a: x"], kinds={"DiskFull", "UnusableInput"}), ToolFailed),
    ],
)
def test_what_all_failures_share_is_passed_on(tmp_path, walked, kind):
    with pytest.raises(kind) as raised:
        raise_for(walked, WorkDir(tmp_path, "sn1"))
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("n_failed", "n_lacking", "words"),
    [
        (1, 0, "1 step failed"),
        (2, 0, "2 steps failed"),
        (0, 1, "1 visit is incomplete"),
        (3, 2, "3 steps failed, 2 visits are incomplete"),
    ],
)
def test_what_went_wrong_is_counted(tmp_path, n_failed, n_lacking, words):
    walked = RunSummary(failures=["a: x"] * n_failed, undelivered=["v"] * n_lacking)
    with pytest.raises(ToolFailed) as raised:
        raise_for(walked, WorkDir(tmp_path, "sn1"))
    assert raised.value.what == words


def test_the_listing_is_not_counted_among_what_was_made():
    walked = RunSummary()
    walked.add(LevelResult("target_archive", "sn1", made=("archive_exposures",)))
    assert (walked.archive_asked, walked.n_made, walked.n_unchanged) == (True, 0, 0)
    walked.add(LevelResult("visit_exposures", "sn1/a", ("raw_exposures",), ("exposure_table",)))
    assert (walked.archive_asked, walked.n_made, walked.n_unchanged) == (True, 1, 1)


def test_without_the_archive_nothing_was_asked():
    walked = RunSummary()
    walked.add(LevelResult("visit_exposures", "sn1/a", made=("raw_exposures",)))
    assert (walked.archive_asked, walked.n_made) == (False, 1)


def test_nothing_failed_nothing_raised(tmp_path):
    assert raise_for(RunSummary(n_made=3, n_unchanged=2), WorkDir(tmp_path, "sn1")) is None


def test_what_is_not_installed_is_to_be_installed(tmp_path):
    with pytest.raises(ToolFailed, match="install the missing tool"):
        raise_for(RunSummary(failures=["a: x"], kinds={"MissingTool"}), WorkDir(tmp_path, "sn1"))


def test_what_was_refused_is_not_promised_to_the_same_command(tmp_path):
    with pytest.raises(AccessRefused) as raised:
        raise_for(RunSummary(failures=["a: x"], kinds={"AccessRefused"}), WorkDir(tmp_path, "sn1"))
    assert "MAST_API_TOKEN" in str(raised.value)
    assert "the same command" not in str(raised.value)


def test_what_was_made_is_told_with_its_reasons():
    console = Console(record=True, width=120)
    outcome = LevelResult(
        "visit_images",
        "sn1/isim01",
        made=("aligned_exposures", "epoch_drizzles"),
        unchanged=("x",),
        reasons={
            "aligned_exposures": "input reference changed",
            "epoch_drizzles": "setting drizzle.parameters.final_pixfrac 0.8 → [1.0]",
        },
    )
    _tell(console, outcome)
    assert console.export_text().splitlines() == [
        "sn1/isim01               made: aligned_exposures, epoch_drizzles; up to date: x",
        "  aligned_exposures: input reference changed",
        "  epoch_drizzles: setting drizzle.parameters.final_pixfrac 0.8 → [1.0]",
    ]


def test_assets_that_share_a_reason_share_a_line():
    console = Console(record=True, width=120)
    made = ("raw_exposures", "exposure_table")
    _tell(
        console,
        LevelResult("visit_exposures", "x/y", made=made, reasons=dict.fromkeys(made, "a [b] c")),
    )
    assert console.export_text().splitlines()[1:] == ["  raw_exposures, exposure_table: a [b] c"]


def test_a_missing_band_is_a_failure_and_what_was_not_checked_is_not(capsys):
    lost, unknown = "drizzled_stacks: f606w: no room", "drizzled_stacks: not checked: 2 stars"
    outcome = LevelResult(
        "target_stacks", "sn1", warnings=(lost, unknown), errors=(lost,), unchecked=(unknown,)
    )
    _tell(Console(record=True, width=120), outcome)
    said = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert said == [f"failed {lost}", f"check {unknown}"]
