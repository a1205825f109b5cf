import errno

import dagster as dg
import pytest

from hst_assets.orchestration.partition_keys import TARGET, VISIT
from hst_assets.settings import load_settings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.tiny_exposures import tiny_exposure


def test_a_folder_is_ingested_and_registered(cli, root, small_campaign):
    result = cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    assert result.code == 0
    assert "2 files ingested, 0 already present, 0 rejected; visits: isim01" in result.out
    with dg.DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions(TARGET) == ["sn1"]
        assert instance.get_dynamic_partitions(VISIT) == ["sn1/isim01"]


def test_ingesting_again_changes_nothing_and_succeeds(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    before = {p.name: p.stat().st_mtime_ns for p in (root / "sn1" / "raw").iterdir()}
    result = cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    assert result.code == 0
    assert "0 files ingested, 2 already present" in result.out
    assert {p.name: p.stat().st_mtime_ns for p in (root / "sn1" / "raw").iterdir()} == before


def test_bad_files_are_listed_with_reasons_and_do_not_stop_the_rest(cli, root, small_campaign):
    folder = root.parent / "mixed"
    folder.mkdir()
    good, other = small_campaign.exposure_files
    (folder / good.name).write_bytes(good.read_bytes())
    (folder / other.name).write_bytes(other.read_bytes()[:100_000])
    (folder / "iaaa01a0q_flc.fits").touch()
    result = cli("ingest", folder, "--target", "sn1")
    assert result.code == 0
    assert "1 files ingested, 0 already present, 2 rejected" in result.out
    assert result.err.count("rejected") == 2
    assert other.name in result.err
    assert "iaaa01a0q_flc.fits" in result.err


def test_files_that_the_machine_did_not_take_are_a_failure(cli, root, small_campaign, monkeypatch):
    """One file is taken; on the other the disk fails. The next time both are there."""
    from hst_assets.exposures import sources

    folder = root.parent / "some"
    folder.mkdir()
    for path in small_campaign.exposure_files:
        (folder / path.name).write_bytes(path.read_bytes())
    first = sorted(folder.iterdir())[0]
    copy = sources.shutil.copyfile

    def fails_once(source, target):
        if source == first:
            raise OSError(errno.EIO, "Input/output error")
        return copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(sources.shutil, "copyfile", fails_once)
        result = cli("ingest", folder, "--target", "sn1")
    assert result.code == 1
    assert "1 files ingested, 0 already present, 0 rejected, 1 not ingested" in result.out
    assert "not ingested" in result.err
    assert "error: " in result.err
    assert "1 file was not ingested: this machine failed" in result.err
    assert cli("ingest", folder, "--target", "sn1").code == 0


def test_a_folder_with_nothing_usable_fails(cli, root, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "iaaa01a0q_flc.fits").write_text("not FITS")
    result = cli("ingest", folder, "--target", "sn1")
    assert result.code == 1
    assert "no usable exposures" in result.err


@pytest.mark.parametrize(
    ("ra", "dec", "ra_deg", "dec_deg"),
    [
        ("184.7403", "29.2753", 184.7403, 29.2753),
        ("12:18:57.672", "+29:16:31.08", 184.7403, 29.2753),
        ("12h18m57.672s", "29d16m31.08s", 184.7403, 29.2753),
    ],
)
def test_positions_in_the_usual_notations(cli, root, small_campaign, ra, dec, ra_deg, dec_deg):
    folder = small_campaign.exposure_folder
    assert cli("ingest", folder, "--target", "sn1", "--ra", ra, "--dec", dec).code == 0
    target = load_settings(WorkDir(root, "sn1")).target
    assert target.ra_deg == pytest.approx(ra_deg, abs=1e-6)
    assert target.dec_deg == pytest.approx(dec_deg, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "a|b"], "not a target name"),
        (["--target", "../x"], "not a target name"),
        (["--target", "sn1", "--ra", "10"], "--ra and --dec must be given together"),
        (["--target", "sn1", "--ra", "x", "--dec", "y"], "not a position"),
        (["--target", "sn1", "--mode", "move"], "unknown mode 'move'"),
    ],
)
def test_a_wrong_call_says_so_and_leaves_nothing(cli, root, small_campaign, arguments, message):
    result = cli("ingest", small_campaign.exposure_folder, *arguments)
    assert result.code == 2
    assert message in result.err
    assert list(root.iterdir()) == []


def test_naming_no_source_is_a_wrong_call(cli):
    result = cli("ingest", "--target", "sn1")
    assert result.code == 2
    assert "nothing to ingest" in result.err


def test_an_archive_tree_is_searched_around_the_position(cli, root, tmp_path, small_campaign):
    near, far = tmp_path / "WFC3" / "UVIS" / "150", tmp_path / "WFC3" / "UVIS" / "10"
    near.mkdir(parents=True)
    far.mkdir(parents=True)
    for path in small_campaign.exposure_files:
        (near / path.name).write_bytes(path.read_bytes())
    result = cli(
        "ingest", "--archive", tmp_path, "--target", "sn1", "--ra", "150.1", "--dec", "2.2"
    )
    assert result.code == 0
    assert "2 files ingested" in result.out


def test_an_ingest_that_takes_nothing_changes_nothing(cli, root, small_campaign, tmp_path):
    folder = small_campaign.exposure_folder
    cli("ingest", folder, "--target", "sn1", "--ra", "150.1", "--dec", "2.2")
    before = WorkDir(root, "sn1").settings_file.read_bytes()
    empty = tmp_path / "empty"
    empty.mkdir()
    result = cli("ingest", empty, "--target", "sn1", "--ra", "1", "--dec", "2")
    assert result.code == 1
    assert WorkDir(root, "sn1").settings_file.read_bytes() == before


def test_the_position_in_force_is_told(cli, root, small_campaign):
    folder = small_campaign.exposure_folder
    result = cli("ingest", folder, "--target", "sn1", "--ra", "150.1", "--dec", "2.2")
    assert "target position: RA 150.100000 Dec 2.200000 deg (ICRS)" in result.out


def test_a_position_far_from_the_exposures_is_said(cli, root, small_campaign):
    plan = small_plan("wfc3_uvis")
    result = cli(
        *("ingest", small_campaign.exposure_folder, "--target", "sn1"),
        *("--ra", str(plan.ra_deg), "--dec", str(plan.dec_deg - 77.0)),
    )
    assert result.code == 0
    assert "2 of 2 exposures are of another field: the target is up to 77." in result.err
    assert "The selection rejects them" in result.err


def test_a_position_in_the_field_is_not_worth_a_word(cli, root, small_campaign):
    result = cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    assert "another field" not in result.err


def test_fields_far_apart_want_a_position(cli, root, tmp_path):
    folder = tmp_path / "two"
    folder.mkdir()
    for rootname, ra_deg in (("jddd04a0q", 150.1), ("jddd05a0q", 250.1)):
        for name, content in tiny_exposure(rootname, "acs_hrc", ra_deg, 2.2).items():
            (folder / name).write_bytes(content)
    result = cli("ingest", folder, "--target", "sn1")
    assert result.code == 0
    assert "the 2 exposures are of 2 fields, up to 99." in result.err  # 100 deg times cos Dec
    assert "no position was set" in result.err
    assert "1 like jddd04a0q at RA 150.1000, Dec 2.2000" in result.err
    workdir = WorkDir(root, "sn1")
    command = f"hst-assets ingest {workdir.raw} --target sn1 --ra RA --dec DEC"
    assert command in result.err
    assert load_settings(workdir).target.ra_deg is None
    refused = cli("materialize", "sn1")
    assert refused.code == 2
    assert command in refused.err
    # What is said works.
    place = ("--ra", "150.1", "--dec", "2.2")
    assert cli("ingest", workdir.raw, "--target", "sn1", *place).code == 0
    assert cli("status", "sn1").code == 0


def test_folders_that_are_not_looked_into_are_named(cli, root, small_campaign, tmp_path):
    folder = tmp_path / "mixed"
    (folder / "locked").mkdir(parents=True)
    for path in small_campaign.exposure_files:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "linked").symlink_to(small_campaign.exposure_folder)
    (folder / ".hidden").mkdir()
    result = cli("ingest", folder, "--target", "sn1")
    assert result.code == 0
    (line,) = [line for line in result.err.splitlines() if line.startswith("passed over ")]
    assert line.startswith(f"passed over {folder / 'linked'}: a link to a folder is not followed")
