import pytest

from hst_assets.cli.status import _told
from hst_assets.orchestration.target_summary import TargetSummary
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir


def test_an_empty_root_says_so(cli, root):
    result = cli("status")
    assert result.code == 0
    assert f"no targets in {root}" in result.out


def test_a_root_that_is_not_there_is_a_failure_with_a_remedy(cli, root):
    result = cli("status", "--root", root / "nowhere")
    assert result.code == 2
    assert f"{root / 'nowhere'}: no such folder of work directories" in result.err
    assert "--root or HST_ASSETS_ROOT" in result.err


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("target.toml", "[target\n", "Correct this file"),
        ("workspace/reference.json", "{", "Remove this file, then materialize reference_image"),
        ("workspace/reference.json", "{}", "Remove this file, then materialize reference_image"),
    ],
)
def test_a_target_that_cannot_be_read_costs_itself(cli, root, name, text, remedy):
    for target in ("sn1", "sn2"):
        write_settings(WorkDir(root, target).create(), {"target": {"ra_deg": 1.0, "dec_deg": 2.0}})
    (root / "sn1" / name).write_text(text)
    result = cli("status")
    assert result.code != 0
    assert "sn2" in result.out
    (line,) = [line for line in result.err.splitlines() if "cannot be read sn1: " in line]
    assert str(root / "sn1" / name) in line
    assert line.endswith(remedy) or f"{remedy}: " in line
    assert "1 of 2 targets cannot be read" in result.err
    assert cli("status", "sn1").code != 0


def test_a_record_that_cannot_be_read_is_named(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", "--select", "raw_exposures")
    record = WorkDir.record(WorkDir(root, "sn1").raw_manifest("isim01"))
    record.write_text("{")
    (line,) = [line for line in cli("status", "sn1").out.splitlines() if "raw_exposures" in line]
    assert f"invalid: record unreadable: workspace/{record.name}" in line


def test_what_a_run_would_fail_on_is_told_and_counted_by_itself(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    chosen = ("--select", "raw_exposures,exposure_table")
    overrides = root / "sn1" / "overrides.ecsv"
    overrides.write_text("rootname use reason\nisim01a0q False trailed\n")
    dry = cli("materialize", "sn1", "--dry-run", *chosen)
    assert dry.out.splitlines()[-1] == "1 would be made, 1 cannot be determined, 0 are up to date"
    (line,) = [line for line in dry.out.splitlines() if "cannot determine exposure_table" in line]
    assert f"{overrides}: cannot be read as ECSV" in line
    assert ".." not in line.replace("...", "")
    run = cli("materialize", "sn1", *chosen)
    assert run.code == 2 or "failed" in run.err
    assert "made: raw_exposures" in run.out


def test_an_impossible_choice_is_not_said_to_be_made(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    dry = cli("materialize", "sn1", "--dry-run", "--select", "drizzled_stacks")
    assert "cannot determine drizzled_stacks: never made: raw_exposures, exposure_table" in dry.out
    assert dry.out.splitlines()[-1] == "0 would be made, 1 cannot be determined, 0 are up to date"


def test_what_stands_is_told_from_what_does_not(cli, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", "--select", "raw_exposures")
    lines = cli("status", "sn1").out.splitlines()
    assert any("raw_exposures" in line and "up to date" in line for line in lines)
    assert any("exposure_table" in line and "missing" in line for line in lines)


def test_a_changed_product_is_noticed(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", "--select", "raw_exposures")
    (root / "sn1" / "workspace" / "isim01_raw.ecsv").write_text("edited")
    lines = cli("status", "sn1").out.splitlines()
    assert any("raw_exposures" in line and "invalid" in line for line in lines)


def test_a_changed_setting_is_named_and_what_would_be_made_is_told(cli, root, small_campaign):
    chosen = ("--select", "raw_exposures,exposure_table")
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", *chosen)
    assert any(
        "exposure_table" in line and "up to date" in line
        for line in cli("status", "sn1").out.splitlines()
    )
    cli("settings", "sn1", "selection.min_exptime_s=1")
    named = "setting selection.min_exptime_s 15.0 → 1.0"
    lines = cli("status", "sn1").out.splitlines()
    assert any("exposure_table" in line and f"stale: {named}" in line for line in lines)
    records = {path: path.read_bytes() for path in (root / "sn1").rglob("*.provenance.json")}

    dry = cli("materialize", "sn1", "--dry-run", *chosen)
    assert dry.code == 0
    assert dry.out.splitlines() == [
        f"sn1/isim01               would make exposure_table: {named}",
        "1 would be made, 1 are up to date",
    ]
    left = {path: path.read_bytes() for path in (root / "sn1").rglob("*.provenance.json")}
    assert left == records


def test_a_decision_by_hand_is_named(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("materialize", "sn1", "--select", "raw_exposures,exposure_table")
    (root / "sn1" / "overrides.ecsv").write_text(
        "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: rootname, datatype: string}\n"
        "# - {name: use, datatype: bool}\n# - {name: reason, datatype: string}\n"
        "rootname use reason\nisim01a0q False trailed\n"
    )
    lines = cli("status", "sn1").out.splitlines()
    named = "stale: override of isim01a0q: not decided → rejected"
    assert any("exposure_table" in line and named in line for line in lines)


def test_an_unknown_asset_of_a_dry_run_is_refused(cli, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    assert cli("materialize", "sn1", "--dry-run", "--select", "drizle").code == 2


@pytest.mark.parametrize(
    ("when", "states", "told"),
    [
        ("", {"up to date": 3}, "not checked"),
        ("2026-11-30T15:00:00", {}, "nothing to compare"),
        ("2026-11-30T15:00:00", {"not wanted": 2}, "nothing to compare"),
        ("2026-11-30T15:00:00", {"up to date": 3, "not wanted": 2}, "up to date"),
        ("2026-11-30T15:00:00", {"up to date": 3, "unknown": 1, "stale": 2}, "2 stale, 1 unknown"),
    ],
)
def test_a_target_is_up_to_date_if_something_was_compared_and_nothing_is_amiss(when, states, told):
    assert _told(TargetSummary("sn1", compared=when, states=states)) == told
