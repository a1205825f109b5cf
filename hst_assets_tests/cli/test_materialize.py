import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from astropy.io import fits

from hst_assets.provenance import sha256_of_file
from hst_assets.workdir import WorkDir

PRODUCTS = {
    "raw_exposures",
    "exposure_table",
    "target_exposures",
    "reference_image",
    "aligned_exposures",
    "epoch_drizzles",
    "target_alignment",
    "drizzled_stacks",
    "epoch_differences",
}


def test_an_unknown_target_is_refused(cli):
    result = cli("materialize", "sn9")
    assert result.code == 2
    assert "hst-assets ingest FOLDER --target sn9" in result.err


def test_an_unknown_asset_is_refused(cli, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    result = cli("materialize", "sn1", "--select", "drizzle")
    assert result.code == 2
    assert "no asset drizzle. Did you mean epoch_drizzles or drizzled_stacks? " in result.err
    assert "Known: archive_exposures, raw_exposures, exposure_table" in result.err


def test_a_failure_ends_with_its_reason_and_exit_code_one(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("settings", "sn1", "selection.only_filter=['F225W']")
    result = cli("materialize", "sn1", "--select", "raw_exposures,exposure_table,target_exposures")
    assert result.code == 1
    assert "target_exposures" in result.err
    assert "F225W" in result.err


def test_what_the_settings_make_fail_is_not_to_be_tried_again(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("settings", "sn1", "selection.only_filter=['F225W']")
    refused = cli("materialize", "sn1", "--select", "target_exposures")
    assert refused.code == 1
    assert "the same command" in refused.err
    cli("settings", "sn1", "selection.only_filter=[]")
    cli("settings", "sn1", "reference.image='nowhere.fits'")
    made = ["raw_exposures", "exposure_table", "target_exposures", "reference_image"]
    refused = cli("materialize", "sn1", "--select", ",".join(made))
    assert refused.code == 1
    assert "the reference image does not exist" in refused.err
    assert "fix the settings, then rerun" in refused.err
    assert "the same command" not in refused.err


@pytest.mark.slow
def test_from_raw_exposures_to_stacks_and_again(cli, root, small_campaign):
    """The whole graph with the real tools; then nothing changed, one setting, one lost file."""
    workdir = WorkDir(root, "sn1")
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    raw = {path.name: sha256_of_file(path) for path in workdir.raw.iterdir()}

    first = cli("materialize", "sn1")
    assert first.code == 0, first.err
    made = {name.strip(" ;") for line in first.out.splitlines() for name in _listed(line, "made")}
    assert made >= PRODUCTS - {"raw_exposures"}
    (stack,) = workdir.drizzle.glob("*.ut*.drc.fits")
    with fits.open(stack) as hdus:
        assert [hdu.name for hdu in hdus[1:4]] == ["SCI", "WHT", "CTX"]
        assert hdus[0].header["NINPUT"] == 2
    assert {path.name: sha256_of_file(path) for path in workdir.raw.iterdir()} == raw

    stamps = _stamps(workdir)
    second = cli("materialize", "sn1")
    assert second.code == 0
    assert "made" not in second.out.replace("nothing made", "")
    assert _stamps(workdir) == stamps

    cli("settings", "sn1", "machine.max_cores=1")
    assert "made" not in cli("materialize", "sn1").out
    assert _stamps(workdir) == stamps

    stack.unlink()
    third = cli("materialize", "sn1")
    assert third.code == 0
    assert f"  drizzled_stacks: file gone: drizzle/{stack.name}" in third.out
    assert stack.is_file()
    assert {path.name: sha256_of_file(path) for path in workdir.raw.iterdir()} == raw


def _listed(line, verb):
    _, found, rest = line.partition(f"{verb}: ")
    return rest.split(";")[0].split(",") if found else []


def _stamps(workdir):
    return {
        str(path.relative_to(workdir.base)): path.stat().st_mtime_ns
        for path in workdir.base.rglob("*.fits*")
    }


@pytest.mark.slow
def test_dagsters_own_command_runs_the_same_assets(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    result = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize"),
            *("-m", "hst_assets.definitions", "--select", "raw_exposures,exposure_table"),
            *("--partition", "sn1/isim01"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert WorkDir(root, "sn1").visit_exposures("isim01").is_file()
    assert "nothing" not in cli("materialize", "sn1", "--select", "exposure_table").out


@pytest.mark.slow
def test_dg_launches_the_same_assets(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    result = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "dg"), "launch"),
            *("--assets", "raw_exposures", "--partition", "sn1/isim01"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    record = WorkDir.record(WorkDir(root, "sn1").raw_manifest("isim01"))
    assert json.loads(record.read_text())["recipe"]["stage"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_an_interrupted_run_ends_at_once_and_goes_on_later(
    cli, root, small_campaign, signal_number, code
):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    command = [str(Path(sys.executable).parent / "hst-assets"), "materialize", "sn1"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    workdir = WorkDir(root, "sn1")
    deadline = time.monotonic() + 120
    while not list(workdir.logs.glob("reference_image_*.log")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal_number)
    asked = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    assert "interrupted; run the same command again to continue" in err
    assert "failed" not in err
    assert "aligned_exposures" not in out
    assert time.monotonic() - asked < 30
    assert not [p for p in workdir.runfiles.iterdir() if p.is_dir()], "scratch was left behind"
    assert cli("materialize", "sn1", "--select", "reference_image").code == 0


def test_bad_settings_are_told_once_before_anything_runs(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    with WorkDir(root, "sn1").settings_file.open("a") as file:
        file.write("[drizle]\npixfrac = 0.5\n")
    result = cli("materialize", "sn1")
    assert result.code == 2
    assert result.err.count("unknown setting 'drizle'") == 1
    assert result.out == ""


def test_markup_in_a_name_is_shown_as_it_is(cli):
    result = cli("status", "[/foo]")
    assert result.code == 2
    assert "'[/foo]'" in result.err


@pytest.mark.slow
def test_what_was_cleaned_is_made_again_when_it_is_needed(cli, root, small_campaign):
    workdir = WorkDir(root, "sn1")
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("settings", "sn1", "drizzle.keep_artifacts=true")
    first = cli("materialize", "sn1", "--cleanup")
    assert first.code == 0, first.err
    assert "intermediate files of AstroDrizzle" in first.out
    assert not list(workdir.runfiles.glob("artifacts.*"))
    (stack,) = workdir.drizzle.glob("*.ut*.drc.fits")
    before = sha256_of_file(stack)
    raw = _stamps_of(workdir.raw)

    cleaned = cli("clean", "sn1", "--working-copies")
    assert cleaned.code == 0, cleaned.err
    assert "removed 2 aligned working copies" in cleaned.out
    assert "removed 1 drizzled images of visits" in cleaned.out
    assert not list(workdir.workspace.glob("*_flc.fits"))
    assert stack.is_file()

    again = cli("materialize", "sn1", "--redrizzle")
    assert again.code == 0, again.err
    assert len(list(workdir.workspace.glob("*_flc.fits"))) == 2
    assert list(workdir.workspace.glob("isim01.*.drc.fits"))
    assert sha256_of_file(stack) == before
    assert _stamps_of(workdir.raw) == raw


def _stamps_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_cleaning_waits_for_no_run_but_refuses(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    with WorkDir(root, "sn1").lock("drizzled_stacks"):
        result = cli("clean", "sn1")
    assert result.code == 4
    assert "a run is in flight (drizzled_stacks)" in result.err
    assert "freed" in cli("clean", "sn1").out


def test_a_run_that_failed_is_not_cleaned_up_after(cli, root, small_campaign):
    workdir = WorkDir(root, "sn1")
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    cli("settings", "sn1", "selection.only_filter=['F225W']")
    (workdir.runfiles / "artifacts.drizzle.x").mkdir(parents=True)
    assets = "raw_exposures,exposure_table,target_exposures"
    result = cli("materialize", "sn1", "--cleanup", "--select", assets)
    assert result.code == 1
    assert (workdir.runfiles / "artifacts.drizzle.x").is_dir()
