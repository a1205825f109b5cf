"""`hst-assets run`: hst123's command line, against a stand-in of MAST."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hst_assets.exposures.raw import raw_ledger
from hst_assets.settings import load_settings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir

PLACE = ("10:00:24.0", "+02:12:00")
#: Fetching alone.
FETCHING = ("--select", "archive_exposures,raw_exposures")
FETCH = (*PLACE, "--download", "--target", "sn1", *FETCHING)
FILES = {"iaaa01aaq_flc.fits", "iaaa01abq_flc.fits", "iaaa02aaq_flt.fits", "iaaa02abq_flt.fits"}
SECRET = "s3cr3t-0f-the-archive"


def raw_names(root, target="sn1"):
    return {file.name for file in raw_ledger(WorkDir(root, target))}


# --------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("word", "reason"),
    [("--no-nan", "the weight maps"), ("--hierarchical-test", "there is no test mode")],
)
def test_what_is_not_there_is_refused_with_its_own_reason(cli, root, word, reason):
    result = cli("run", *PLACE, "--work-dir", root / "sn1", word)
    assert result.code == 2
    assert reason in result.err
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no target"),
        (["10:00:24"], "not a position"),
        (["10:00:24", "+95:00:00"], "not on the sky"),
        (["NGC", "104"], "not a position"),
        ([*PLACE, "--name", "NGC 104"], "not both"),
        ([*PLACE, "--only-filter", "F999X"], "no detector has an imaging filter F999X"),
        ([*PLACE, "--before", "2013-01-01", "--after", "2014-01-01"], "before must be later"),
        ([*PLACE, "--before", "yesterday"], "not a date"),
        ([*PLACE, "--instrument", "NICMOS"], "archive.instruments"),
        ([*PLACE, "--detector", "nicmos"], "not a detector"),
        ([*PLACE, "--proposal", "GO-12891"], "proposals are numbers"),
        ([*PLACE, "--radius", "90"], "archive.radius_arcmin"),
        ([*PLACE, "--align-with", "astrometry"], "alignment.align_with"),
        ([*PLACE, "--dry-run", "--align-with", "foo"], "error: --align-with: alignment.align_with"),
        ([*PLACE, "--dry-run", "--drizzle-dim", "0"], "error: --drizzle-dim: drizzle.size_pix"),
        (["M101"], "--name M101"),
        ([*PLACE, "--raw-dir", "/nowhere"], "no such folder"),
        ([*PLACE, "--archive", "/nowhere"], "no such folder"),
        ([*PLACE, "--work-dir", "my run"], "the folder's name is the target's"),
        ([*PLACE, "--drizle-all"], "--drizle-all"),
        ([*PLACE, "--download", "--token", ""], "empty"),
    ],
)
def test_a_wrong_call_says_so_and_leaves_nothing(cli, root, words, message):
    result = cli("run", *words)
    assert result.code == 2
    assert message in result.err
    assert list(root.iterdir()) == []


def test_a_work_directory_that_is_a_file_is_refused(cli, root):
    (root / "sn1").touch()
    result = cli("run", *PLACE, "--work-dir", root / "sn1")
    assert result.code == 2
    assert "is a file" in result.err


def test_without_download_nothing_is_asked_and_nothing_found(cli, root, mast):
    result = cli("run", "12:30:00", "-45.0", "--work-dir", root / "sn1")
    assert result.code == 3
    assert "--download" in result.err
    assert mast.count() == 0
    assert load_settings(WorkDir(root, "sn1")).target.position() == {
        "ra_deg": 187.5,
        "dec_deg": -45.0,
    }


def test_options_stay_in_the_settings(cli, root, mast):
    folder = root / "sn1"
    cli("run", *PLACE, "--work-dir", folder, "--only-filter", "f606w", "--fix-zpt", "-2.5")
    cli("run", "--work-dir", folder, "--max-cores", "3")
    settings = load_settings(WorkDir(root, "sn1"))
    assert settings.selection.only_filter == ("F606W",)
    assert settings.drizzle.fix_zero_point == -2.5
    assert settings.machine.max_cores == 3
    assert settings.target.ra_deg == pytest.approx(150.1)
    assert not settings.archive.query


# ---------------------------------------------------------------------------------- fetching


def test_a_position_is_asked_fetched_and_tabled(cli, root, mast):
    result = cli("run", *FETCH)
    assert result.code == 0, result.err
    assert raw_names(root) == FILES
    assert "4 files of 2 visits, 4 new" in result.out
    assert "archive queried; assets: 2 made, 0 up to date" in result.out
    settings = load_settings(WorkDir(root, "sn1"))
    assert settings.archive.query
    downloads = mast.count("download.*")
    again = cli("run", *FETCH, "--refresh")
    assert again.code == 0, again.err
    assert "4 files of 2 visits, 0 new" in again.out
    assert "archive queried; assets: 0 made, 2 up to date" in again.out
    assert mast.count("download.*") == downloads


def test_a_choice_of_assets_does_not_keep_from_fetching(cli, root, mast):
    result = cli("run", *PLACE, "--download", "--target", "sn1", "--select", "exposure_table")
    assert result.code == 0, result.err
    assert raw_names(root) == FILES


def test_a_run_asks_the_archive_once(cli, root, mast):
    cli("run", *FETCH, "--refresh")
    assert mast.count("caom.products") == 1


def test_a_dry_run_names_the_settings_of_the_target_in_a_failure(cli, root, mast):
    workdir = WorkDir(root, "sn1").create()
    workdir.settings_file.write_text('[archive]\ninstruments = ["NICMOS"]\n')
    result = cli("run", *PLACE, "--target", "sn1", "--dry-run")
    assert result.code == 2
    assert str(workdir.settings_file) in result.err.replace("\n", "")


def test_the_name_is_made_of_what_is_asked(cli, root, mast):
    assert cli("run", *PLACE, "--download", *FETCHING).code == 0
    assert raw_names(root, "J100024.00+021200.0") == FILES


@pytest.mark.slow
def test_exposures_that_are_not_asked_for_any_more_are_named(cli, root, mast):
    cli("run", *FETCH)
    result = cli("run", *FETCH, "--detector", "wfc3_uvis")
    assert result.code == 0, result.err
    told = " ".join(result.err.split())
    # Whether they are used, the selection says, which the same options may change.
    assert "the archive query does not include: iaaa02; they are kept, and used unless" in told


def test_a_folder_that_cannot_be_written_is_one_line(cli, root, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.EROFS, "Read-only file system", str(root / "sn1"))

    monkeypatch.setattr("hst_assets.cli.run.write_settings", refuse)
    result = cli("run", *PLACE, "--work-dir", root / "sn1")
    assert result.code == 1
    assert f"{root / 'sn1'}: Read-only file system" in result.err


@pytest.mark.slow
def test_a_name_is_resolved_once(cli, root, mast):
    assert cli("run", "--name", "SN 2031a", "--download", *FETCHING).code == 0
    assert raw_names(root, "SN_2031a") == FILES
    assert load_settings(WorkDir(root, "SN_2031a")).archive.object == "SN 2031a"
    asked = mast.count("sesame")
    assert cli("run", "--name", "SN 2031a", "--download", *FETCHING).code == 0
    assert mast.count("sesame") == asked > 0


def test_a_proposal_alone_is_enough(cli, root, mast):
    result = cli("run", "--proposal", "777", "--download", *FETCHING)
    assert result.code == 0, result.err
    assert raw_names(root, "proposal_777") == {name for name in FILES if "iaaa02" in name}


def test_a_dry_run_tells_and_leaves_nothing(cli, root, mast):
    result = cli("run", *PLACE, "--dry-run", "--instrument", "WFC3", "--target", "sn1")
    assert result.code == 0, result.err
    assert "to be fetched: 4 files" in result.out
    assert [path.name for path in root.iterdir()] == ["settings.toml"]
    assert mast.count("download.*") == 0


@pytest.mark.slow
def test_a_dry_run_counts_what_is_there(cli, root, mast):
    cli("run", *FETCH, "--proposal", "777")
    before = (root / "sn1" / "target.toml").read_bytes()
    result = cli("run", *PLACE, "--dry-run", "--target", "sn1", "--proposal", "12345,777")
    assert "the archive holds 4 files" in result.out
    assert "to be fetched: 2 files" in result.out
    assert (root / "sn1" / "target.toml").read_bytes() == before


def test_an_archive_command_shows_visits_and_what_was_left_out(cli, root, mast):
    cli("run", *FETCH)
    shown = cli("archive", "sn1", "--offline")
    assert shown.code == 0
    assert "to be fetched: nothing" in shown.out
    assert "iaaa01" in shown.out
    assert "excluded" in shown.out
    each = cli("archive", "sn1", "--excluded")
    assert each.out.count("excluded") > shown.out.count("excluded")


# ------------------------------------------------------------------- what cannot be delivered


def test_nothing_there_is_told_apart(cli, root, mast):
    result = cli("run", "10:00:24", "-02:12:00", "--download", "--target", "sn1", *FETCHING)
    assert result.code == 3
    assert "error: sn1: no exposures in the archive match" in result.err


def test_an_unknown_name_is_told_apart(cli, root, mast):
    result = cli("run", "--name", "SN 1900zz", "--download", *FETCHING)
    assert result.code == 3
    assert "SN 1900zz" in result.err
    assert [path.name for path in root.iterdir()] == ["settings.toml"]


def test_an_archive_that_does_not_answer_is_told_apart(cli, root, mast):
    with mast.down():
        result = cli("run", *FETCH)
        unresolved = cli("run", "--name", "SN 2031a", "--download", *FETCHING)
    assert result.code == 4
    assert unresolved.code == 4
    assert cli("run", *FETCH).code == 0
    assert raw_names(root) == FILES


@pytest.mark.slow
def test_files_under_exclusive_access_want_a_token(cli, root, mast):
    mast.holdings.change("iaaa02", dataRights="EXCLUSIVE_ACCESS")
    public = cli("run", *FETCH)
    assert public.code == 0
    assert len(raw_names(root)) == 2
    refused = cli("run", *FETCH, "--data-rights", "all")
    assert refused.code == 5
    assert "not delivered iaaa02: iaaa02aaq_flt.fits" in refused.err
    wrong = cli("run", *FETCH, "--data-rights", "all", "--token", "bad")
    assert wrong.code == 5
    right = cli("run", *FETCH, "--data-rights", "all", "--token", "good")
    assert right.code == 0, right.err
    assert raw_names(root) == FILES


@pytest.mark.slow
def test_one_file_that_does_not_come_is_named_and_the_rest_is_delivered(cli, root, mast):
    mast.files.always["iaaa01abq_flc.fits"] = "503"
    result = cli("run", *FETCH)
    assert result.code == 1
    assert raw_names(root) == FILES - {"iaaa01abq_flc.fits"}
    assert "not delivered iaaa01: iaaa01abq_flc.fits" in result.err
    mast.heal()
    assert cli("run", *FETCH).code == 0
    assert raw_names(root) == FILES


@pytest.mark.slow
def test_failures_of_several_kinds_are_failures(cli, root, mast):
    mast.files.always["iaaa01abq_flc.fits"] = "503"
    mast.holdings.change("iaaa02", dataRights="EXCLUSIVE_ACCESS")
    assert cli("run", *FETCH, "--data-rights", "all").code == 1


@pytest.mark.slow
def test_an_outage_leaves_what_is_there_usable(cli, root, mast):
    cli("run", *FETCH)
    with mast.down():
        result = cli("run", *FETCH, "--refresh")
        offline = cli("run", "--target", "sn1", *FETCHING)
    assert result.code == 4
    assert offline.code == 0, offline.err


# ------------------------------------------------------------------------ other sources, folders


@pytest.mark.slow
def test_exposures_of_a_folder_are_ingested_first(cli, root, mast, tmp_path):
    cli("run", *FETCH)
    result = cli(
        "run",
        *("--raw-dir", root / "sn1" / "raw", "--target", "sn2"),
        *("--select", "raw_exposures,exposure_table"),
    )
    assert result.code == 0, result.err
    assert raw_names(root, "sn2") == FILES


def test_files_of_a_work_directory_are_verified_and_used_in_place(cli, root, small_campaign):
    """What every user of hst123 tries first: a folder whose raw/ is full of files."""
    plan = small_plan("wfc3_uvis")
    raw = root / "old" / "raw"
    shutil.copytree(small_campaign.exposure_folder, raw)
    (raw / "iaaa09aaq_flc.fits").write_text("not FITS")
    inodes = {path.name: path.stat().st_ino for path in raw.glob("*_flc.fits")}
    words = (str(plan.ra_deg), str(plan.dec_deg), "--work-dir", root / "old")
    result = cli("run", *words, "--select", "raw_exposures,exposure_table")
    assert result.code == 0, result.err
    assert "3 files not verified yet" in result.out
    assert "2 files ingested, 0 already present, 1 rejected" in result.out
    assert raw_names(root, "old") == {path.name for path in small_campaign.exposure_files}
    assert {path.name: path.stat().st_ino for path in raw.glob("*_flc.fits")} == inodes


def test_a_work_directory_without_a_usable_file_says_so(cli, root, mast):
    raw = root / "old" / "raw"
    raw.mkdir(parents=True)
    (raw / "iaaa09aaq_flc.fits").write_text("not FITS")
    result = cli("run", *PLACE, "--work-dir", root / "old")
    assert result.code == 3
    assert "iaaa09aaq_flc.fits: not a FITS file" in result.err
    assert "no usable exposures found" in result.err


@pytest.mark.slow
def test_an_archive_tree_is_filled_and_then_serves(cli, root, mast, tmp_path):
    tree = tmp_path / "tree"
    assert cli("run", *FETCH, "--archive", tree).code == 0
    assert {path.name for path in tree.rglob("*.fits")} == FILES
    with mast.down():
        words = (*PLACE, "--archive", tree, "--target", "sn2")
        result = cli("run", *words, "--select", "raw_exposures,exposure_table")
        skipped = cli("run", *PLACE, "--archive", tree, "--skip-copy", "--target", "sn3")
    assert result.code == 0, result.err
    assert raw_names(root, "sn2") == FILES
    assert skipped.code == 3


@pytest.mark.slow
def test_a_folder_of_another_field_is_refused(cli, root, mast):
    cli("run", *FETCH)
    result = cli("run", "10:00:24", "-02:12:00", "--download", "--target", "sn1")
    assert result.code == 2
    assert "another field" in result.err
    assert load_settings(WorkDir(root, "sn1")).target.dec_deg == pytest.approx(2.2)
    again = cli("run", "150.1", "2.2", "--target", "sn1", *FETCHING)
    assert again.code == 0, again.out + again.err


@pytest.mark.slow
def test_a_mistyped_position_may_be_mended(cli, root, mast):
    assert cli("run", "10:00:24", "-02:12:00", "--download", "--target", "sn1").code == 3
    assert cli("run", *FETCH).code == 0


@pytest.mark.slow
def test_a_name_that_is_taken_in_another_folder_is_refused(cli, root, mast, tmp_path):
    cli("run", *FETCH)
    result = cli("run", *PLACE, "--work-dir", tmp_path / "elsewhere" / "sn1")
    assert result.code == 2
    assert str(root / "sn1") in result.err


# ------------------------------------------------------------------------- token, interruption


@pytest.mark.slow
def test_the_token_is_written_nowhere(cli, root, mast, tmp_path):
    mast.files.tokens = {SECRET}
    mast.holdings.change("iaaa02", dataRights="EXCLUSIVE_ACCESS")
    mast.files.always["iaaa01abq_flc.fits"] = "503"  # failures are written down as well
    result = cli("run", *FETCH, "--data-rights", "all", "--token", SECRET)
    assert "iaaa02aaq_flt.fits" in raw_names(root)
    sent = [each for each in mast.asked("download.*") if SECRET in str(each.headers)]
    assert sent, "the token reached the service"
    assert SECRET not in result.out + result.err
    written = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(written) > 20
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_an_interrupted_download_goes_on_where_it_was(cli, root, mast, monkeypatch):
    name = "iaaa01abq_flc.fits"
    mast.files.always[name] = "stall:9000"
    command = [str(Path(sys.executable).parent / "hst-assets"), "run", *FETCH]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    staging = WorkDir(root, "sn1").staging
    deadline = time.monotonic() + 60
    while not _has_bytes(staging, name) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, out + err
    assert "interrupted; run the same command again to continue" in err
    mast.heal()
    result = cli("run", *FETCH)
    assert result.code == 0, result.err
    assert raw_names(root) == FILES
    ranges = [each.headers.get("range") for each in mast.asked("download.*") if name in each.path]
    assert ranges[-1] is not None, "the bytes that had come were not asked for again"
    assert json.loads(WorkDir(root, "sn1").origins.read_text())


def _has_bytes(folder, name):
    return any(path.stat().st_size > 0 for path in folder.rglob(f"*{name}*part*"))
