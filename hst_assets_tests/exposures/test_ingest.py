import gzip
import os
import re
import shutil
import stat
import subprocess
import sys
import time

import pytest
from astropy.io import fits

from hst_assets.exposures import ingest as ingest_module
from hst_assets.exposures import sources as sources_module
from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.raw import check_raw, raw_ledger
from hst_assets.exposures.sources import fits_files_in
from hst_assets.failures import BadConfiguration, TransientFailure
from hst_assets.settings import load_settings


def names(files):
    return sorted(file.name for file in files)


def reasons(report):
    return {rejected.path.name: rejected.reason for rejected in report.rejected}


def raw_bytes(workdir):
    return {path.name: path.read_bytes() for path in workdir.raw.glob("*.fits")}


def spoil(path):
    """Other bytes, and still a good exposure."""
    path.chmod(0o644)
    fits.setval(path, "TARGNAME", value="OTHER")
    return path


# ------------------------------------------------------------------------------ the good way


def test_a_folder_is_searched_recursively(exposure_file, workdir, tmp_path):
    exposure_file("acs_hrc", folder=tmp_path / "in")
    exposure_file("wfc3_ir", folder=tmp_path / "in" / "deep" / "er")
    report = ingest([tmp_path / "in"], workdir)
    assert names(report.accepted) == ["ibbb02cdq_flt.fits", "jddd04ghq_flt.fits"]
    assert report.visits == ["ibbb02", "jddd04"]
    assert report.rejected == []


def test_the_ledger_tells_what_raw_holds(exposure_file, workdir):
    path = exposure_file()
    report = ingest([path], workdir)
    assert raw_ledger(workdir) == report.accepted
    assert check_raw(workdir, full=True) == report.accepted
    assert raw_bytes(workdir) == {path.name: path.read_bytes()}


def test_raw_files_are_read_only(exposure_file, workdir):
    (accepted,) = ingest([exposure_file()], workdir).accepted
    assert stat.S_IMODE((workdir.raw / accepted.name).stat().st_mode) == 0o444


def test_the_source_keeps_its_permissions_when_copied(exposure_file, workdir):
    path = exposure_file()
    path.chmod(0o640)
    ingest([path], workdir)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_source_is_not_touched(exposure_file, workdir):
    path = exposure_file()
    before = path.read_bytes(), path.stat().st_mtime_ns
    ingest([path], workdir)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_staging_is_empty_afterwards(exposure_file, workdir):
    ingest([exposure_file()], workdir)
    assert list(workdir.staging.iterdir()) == []


def test_a_wfpc2_pair_comes_together(exposure_file, workdir):
    path = exposure_file("wfpc2", n_chips=4)
    report = ingest([path], workdir)  # the c1m lies beside it
    assert names(report.accepted) == ["ueee05ijm_c0m.fits", "ueee05ijm_c1m.fits"]
    assert report.rejected == []


def test_a_companion_may_lie_in_another_folder(exposure_file, workdir, tmp_path):
    path = exposure_file("wfpc2", n_chips=4)
    other = tmp_path / "elsewhere"
    other.mkdir()
    shutil.move(quality_file(path), other)
    assert len(ingest([path.parent, other], workdir).accepted) == 2


def test_an_archive_tree_is_searched(exposure_file, workdir, tmp_path):
    exposure_file("acs_hrc", folder=tmp_path / "archive" / "ACS" / "HRC" / "150")
    exposure_file("wfc3_ir", folder=tmp_path / "archive" / "WFC3" / "IR" / "150")
    assert len(ingest([tmp_path / "archive"], workdir).accepted) == 2


def test_a_hap_name_becomes_the_archives(exposure_file, workdir):
    path = exposure_file(name="hst_11665_06_acs_hrc_f814w_jddd04gh_flt.fits")
    assert names(ingest([path], workdir).accepted) == ["jddd04ghq_flt.fits"]


def test_hidden_files_are_passed_over(exposure_file, workdir, tmp_path):
    path = exposure_file()
    path.rename(path.with_name(f".part.{path.name}"))
    exposure_file("wfc3_ir", folder=path.parent / ".hidden")
    assert fits_files_in(path.parent) == []


def test_links_are_kept_when_asked_for(exposure_file, workdir):
    path = exposure_file()
    (accepted,) = ingest([path], workdir, mode="symlink").accepted
    link = workdir.raw / accepted.name
    assert link.is_symlink()
    assert link.resolve() == path.resolve()
    assert check_raw(workdir, full=True)


@pytest.mark.parametrize("mode", ["copy", "symlink", "hardlink"])
def test_raw_that_is_reached_by_another_name_is_used_in_place(
    exposure_file, workdir, tmp_path, mode
):
    """raw/ is a link to a store, which is given as the source."""
    path = exposure_file(folder=tmp_path / "store")
    content = path.read_bytes()
    workdir.create().raw.rmdir()
    workdir.raw.symlink_to(path.parent)
    report = ingest([path.parent], workdir, mode=mode)
    assert names(report.accepted) == [path.name]
    assert not path.is_symlink()
    assert path.read_bytes() == content


def test_what_was_refused_does_not_stay_in_the_staging_folder(exposure_file, workdir, monkeypatch):
    paths = [exposure_file(), exposure_file("wfc3_ir", primary={"FILTER": "G102"})]
    left = []
    take = ingest_module._Ingest.take

    def take_and_look(job, unit):
        take(job, unit)
        left.append(list(job._staging.iterdir()))

    monkeypatch.setattr(ingest_module._Ingest, "take", take_and_look)
    assert len(ingest(paths, workdir).rejected) == 1
    assert left == [[], []]


def test_a_hard_link_shares_its_bytes(exposure_file, workdir):
    path = exposure_file()
    (accepted,) = ingest([path], workdir, mode="hardlink").accepted
    assert (workdir.raw / accepted.name).stat().st_ino == path.stat().st_ino


# --------------------------------------------------------------------------------- again


def test_the_same_bytes_again_are_unchanged(exposure_file, workdir):
    path = exposure_file("wfpc2", n_chips=4)
    first = ingest([path], workdir)
    before = {file.name: file.stat().st_mtime_ns for file in workdir.raw.iterdir()}
    again = ingest([path], workdir)
    assert again.accepted == []
    assert again.unchanged == first.accepted
    assert again.visits == ["ueee05"]
    assert {file.name: file.stat().st_mtime_ns for file in workdir.raw.iterdir()} == before


def test_known_bytes_are_not_copied_again(exposure_file, workdir, monkeypatch):
    path = exposure_file("wfpc2", n_chips=4)
    ingest([path], workdir)
    monkeypatch.setattr(ingest_module.shutil, "copyfile", None)  # calling it would fail
    assert len(ingest([path], workdir).unchanged) == 2


def test_of_two_copies_of_known_bytes_one_is_a_duplicate(exposure_file, workdir, tmp_path):
    path = exposure_file(folder=tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(path, tmp_path / "b")
    ingest([path], workdir)
    report = ingest([tmp_path / "a", tmp_path / "b"], workdir)
    assert names(report.unchanged) == [path.name]
    assert reasons(report)[path.name].endswith("identical bytes")


def test_a_lost_target_file_is_written_again(exposure_file, workdir):
    path = exposure_file()
    ingest([path], workdir)
    workdir.settings_file.unlink()
    assert len(ingest([path], workdir).unchanged) == 1
    assert load_settings(workdir).target.ra_deg == pytest.approx(150.1)


def test_the_companion_may_be_the_one_in_raw(exposure_file, workdir):
    path = exposure_file("wfpc2", n_chips=4)
    ingest([path], workdir)
    quality_file(path).unlink()
    assert len(ingest([path], workdir).unchanged) == 2


def test_other_bytes_are_refused(exposure_file, workdir):
    path = exposure_file()
    ingest([path], workdir)
    before = raw_bytes(workdir)
    report = ingest([spoil(path)], workdir)
    assert "holds exposure jddd04ghq with different content" in reasons(report)[path.name]
    assert raw_bytes(workdir) == before


def test_other_bytes_replace_on_demand(exposure_file, workdir):
    path = exposure_file()
    ingest([path], workdir)
    report = ingest([spoil(path)], workdir, replace=True)
    assert names(report.accepted) == [path.name]
    assert raw_bytes(workdir) == {path.name: path.read_bytes()}
    assert check_raw(workdir, full=True)


def test_a_new_companion_for_an_old_exposure_is_refused(exposure_file, workdir):
    path = exposure_file("wfpc2", n_chips=4)
    ingest([path], workdir)
    fits.setval(quality_file(path), "ROOTNAME", value="ueee05ijm", comment="touched")
    assert "c1m.fits holds exposure" in reasons(ingest([path], workdir))[path.name]


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_lost_raw_file_is_restored_from_the_same_bytes(exposure_file, workdir, damage):
    path = exposure_file()
    (first,) = ingest([path], workdir).accepted
    raw = workdir.raw / first.name
    raw.unlink()
    if damage == "changed":
        raw.write_bytes(b"something else")
    assert names(ingest([path], workdir).accepted) == [path.name]
    assert check_raw(workdir, full=True)


def test_a_file_put_into_raw_by_hand_is_not_overwritten(exposure_file, workdir):
    path = exposure_file()
    workdir.create()
    (workdir.raw / path.name).write_bytes(b"precious")
    report = ingest([path], workdir)
    assert "was put there by hand" in reasons(report)[path.name]
    assert (workdir.raw / path.name).read_bytes() == b"precious"


# -------------------------------------------------------------------------------- duplicates


def test_identical_copies_are_told_apart_from_others(exposure_file, workdir, tmp_path):
    path = exposure_file(folder=tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(path, tmp_path / "b")
    (tmp_path / "c").mkdir()
    spoil(shutil.copy(path, tmp_path / "c") and tmp_path / "c" / path.name)
    report = ingest([tmp_path / name for name in "abc"], workdir)
    assert names(report.accepted) == [path.name]
    told = {rejected.path.parent.name: rejected.reason for rejected in report.rejected}
    assert told["b"].endswith("the same exposure jddd04ghq, identical bytes")
    assert told["c"].endswith("the same exposure jddd04ghq, different content")


def test_of_an_archive_and_a_hap_product_the_archives_is_taken(exposure_file, workdir):
    hap = exposure_file(name="hst_1_06_acs_hrc_f814w_jddd04gh_flt.fits")
    archive = exposure_file(primary={"TARGNAME": "ARCHIVE"})
    report = ingest([hap.parent], workdir)
    assert raw_bytes(workdir) == {archive.name: archive.read_bytes()}
    assert "duplicate of" in reasons(report)[hap.name]


def test_the_same_file_given_twice_is_taken_once(exposure_file, workdir):
    path = exposure_file()
    report = ingest([path, path, path.parent], workdir)
    assert (len(report.accepted), report.rejected) == (1, [])


# ------------------------------------------------------------------------------- the bad ways


def test_damage_in_one_file_never_stops_the_rest(exposure_file, workdir, tmp_path):
    folder = tmp_path / "in"
    good = exposure_file("acs_hrc", folder=folder)
    exposure_file("wfc3_ir", folder=folder).write_bytes(b"")
    truncated = exposure_file("wfc3_uvis", folder=folder)
    truncated.write_bytes(truncated.read_bytes()[:9000])
    exposure_file("acs_wfc", folder=folder, primary={"FILTER1": "G800L"})
    quality_file(exposure_file("wfpc2", folder=folder)).unlink()
    (folder / "page_flt.fits").write_text("<html>")
    exposure_file("acs_hrc", folder=folder, name="jddd04ghq_drz.fits")
    (folder / "notes.txt").write_text("not looked at")
    (folder / "x_flt.fits.gz").write_bytes(b"\x1f\x8b")
    exposure_file("wfpc2", folder=folder, rootname="ueee05zzm").unlink()
    report = ingest([folder], workdir)
    assert names(report.accepted) == [good.name]
    told = reasons(report)
    expected = {
        "ibbb02cdq_flt.fits": "empty file (0 bytes)",
        "iaaa01abq_flc.fits": "truncated",
        "jccc03efq_flc.fits": "G800L is not an imaging filter",
        "ueee05ijm_c0m.fits": "companion _c1m.fits is missing",
        "page_flt.fits": "web page",
        "jddd04ghq_drz.fits": "a _drz product",
        "x_flt.fits.gz": "corrupt gzip",
        "ueee05zzm_c1m.fits": "without its _c0m.fits",
    }
    assert set(told) == set(expected)
    assert {name: expected[name] in reason for name, reason in told.items()} == dict.fromkeys(
        expected, True
    )


def test_a_refused_file_leaves_nothing_in_raw(exposure_file, workdir):
    path = exposure_file()
    path.write_bytes(path.read_bytes()[:9000])
    ingest([path], workdir)
    assert raw_bytes(workdir) == {}
    assert raw_ledger(workdir) == []


def test_a_dangling_link_is_refused(workdir, tmp_path):
    link = tmp_path / "in" / "iaaa01abq_flc.fits"
    link.parent.mkdir()
    link.symlink_to("nowhere")
    assert "not a file" in reasons(ingest([link.parent], workdir))[link.name]


def test_a_disk_that_is_full_refuses_the_file_and_goes_on(exposure_file, workdir, monkeypatch):
    first, second = exposure_file("acs_hrc"), exposure_file("wfc3_ir")
    copy = shutil.copyfile

    def full(source, target):
        if source == first:
            raise OSError(28, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(ingest_module.shutil, "copyfile", full)
    report = ingest([first, second], workdir)
    why = "the disk is full (No space left on device)"
    assert reasons(report) == {first.name: f"cannot be brought into raw/: {why}"}
    assert names(report.accepted) == [second.name]


def test_a_failed_publication_leaves_the_place_to_a_copy(
    exposure_file, workdir, tmp_path, monkeypatch
):
    path = exposure_file(folder=tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(path, tmp_path / "b")
    publish = ingest_module.publish
    calls = []

    def fails_once(source, destination):
        calls.append(source)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        return publish(source, destination)

    monkeypatch.setattr(ingest_module, "publish", fails_once)
    report = ingest([tmp_path / "a", tmp_path / "b"], workdir)
    assert names(report.accepted) == [path.name]
    assert [rejected.path.parent.name for rejected in report.rejected] == ["a"]


def test_an_unprintable_name_in_raw_is_refused(exposure_file, workdir):
    exposure_file(folder=workdir.raw, name="new\tline_flt.fits")
    report = ingest([workdir.raw], workdir)
    assert "characters that the ledger cannot store" in report.rejected[0].reason
    assert raw_ledger(workdir) == []


def test_an_unknown_mode_is_an_error(exposure_file, workdir):
    with pytest.raises(BadConfiguration, match=r"unknown ingest mode 'move'"):
        ingest([exposure_file()], workdir, mode="move")


def test_a_missing_source_is_an_error(workdir, tmp_path):
    with pytest.raises(BadConfiguration, match="no such file or folder"):
        ingest([tmp_path / "nowhere"], workdir)


def test_folders_that_are_not_looked_into_are_reported(
    exposure_file, workdir, tmp_path, monkeypatch
):
    folder = tmp_path / "mixed"
    for name in ("locked", "other/.hidden"):
        (folder / name).mkdir(parents=True)
    exposure_file("acs_hrc").rename(folder / "other" / "jddd04ghq_flt.fits")
    (folder / "linked").symlink_to(folder / "other")
    scan = os.scandir

    def refuses(path):
        if str(path).endswith("locked"):  # rights do not bind the user that tests may run as
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuses)
    report = ingest([folder], workdir)
    assert len(report.accepted) == 1
    assert report.passed_over == [
        (folder / "linked", "a link to a folder is not followed: name it among the sources"),
        (folder / "locked", "cannot be looked into: Permission denied"),
    ]


def test_an_empty_folder_accepts_nothing_and_makes_no_target(workdir, tmp_path):
    (tmp_path / "in").mkdir()
    report = ingest([tmp_path / "in"], workdir)
    assert (report.accepted, report.rejected, report.unchanged, report.visits) == ([], [], [], [])
    assert not workdir.settings_file.exists()


def test_a_damaged_ledger_stops_the_ingest(exposure_file, workdir):
    workdir.create()
    workdir.checksums.write_text("garbage")
    with pytest.raises(BadConfiguration, match="Remove the ledger"):
        ingest([exposure_file()], workdir)


def test_a_killed_ingest_is_taken_up_again(exposure_file, workdir, monkeypatch):
    path = exposure_file("wfpc2", n_chips=4)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest_module, "write_ledger", killed)
        with pytest.raises(KeyboardInterrupt):
            ingest([path], workdir)
    left_over = workdir.staging / "ingest.killed"
    left_over.mkdir()
    report = ingest([path], workdir)
    assert len(report.accepted) == 2
    assert check_raw(workdir, full=True)
    assert not left_over.exists()


_CHILD = """
import sys
from pathlib import Path
from hst_assets.exposures.ingest import ingest
from hst_assets.workdir import WorkDir
ingest([Path(sys.argv[1])], WorkDir(Path(sys.argv[2]), sys.argv[3]))
"""


@pytest.mark.slow
def test_concurrent_ingests_lose_nothing(exposure_file, workdir, tmp_path):
    halves = [tmp_path / "a", tmp_path / "b"]
    for half, letter in zip(halves, "ab", strict=True):
        for number in range(4):
            exposure_file(folder=half, rootname=f"jddd04{letter}{number}q")
    children = [
        subprocess.Popen([sys.executable, "-c", _CHILD, half, workdir.root, workdir.target])
        for half in halves
    ]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert len(check_raw(workdir, full=True)) == 8


_CHILD_TO_KILL = """
import sys
from contextlib import suppress
from pathlib import Path
from hst_assets.exposures.bounded_verification import begin_verification
from hst_assets.exposures.ingest import ingest
from hst_assets.failures import UnusableInput
from hst_assets.workdir import WorkDir
with suppress(UnusableInput):
    begin_verification(Path("nothing_flt.fits"))()  # its process is there from now on
print("ready", flush=True)
ingest([Path(sys.argv[1])], WorkDir(Path(sys.argv[2]), sys.argv[3]))
"""


@pytest.mark.slow
def test_killed_at_any_moment_raw_and_ledger_are_whole(exposure_file, workdir):
    for number in range(12):
        path = exposure_file(rootname=f"jddd04b{number:x}q")
    exposure_file("wfpc2", n_chips=4)
    originals = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    command = [sys.executable, "-c", _CHILD_TO_KILL, path.parent, workdir.root, workdir.target]
    for delay_s in (0.02, 0.1, 0.2, 0.35, 0.5):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(delay_s)
            child.kill()
        # Whatever stands in raw/ is whole, and whatever the ledger lists stands.
        for name, content in raw_bytes(workdir).items():
            assert content == originals[name]
        assert {file.name for file in raw_ledger(workdir)} <= set(raw_bytes(workdir))
        companions = {name for name in raw_bytes(workdir) if "_c1m" in name}
        assert {name for name in raw_bytes(workdir) if "_c0m" in name} <= {
            name.replace("_c1m", "_c0m") for name in companions
        }
    report = ingest([path.parent], workdir)
    assert report.rejected == []
    assert raw_bytes(workdir) == originals
    assert len(check_raw(workdir, full=True)) == 14
    assert list(workdir.staging.iterdir()) == []


# ---------------------------------------------------------------------------------- adoption


@pytest.fixture
def hst123_directory(exposure_file, workdir):
    """A work directory as hst123 leaves it: files in raw/, products elsewhere, no ledger."""
    raw = exposure_file("wfc3_ir", folder=workdir.raw)
    exposure_file("wfpc2", folder=workdir.raw, n_chips=4)
    exposure_file("wfc3_ir", folder=workdir.workspace, primary={"TARGNAME": "ALIGNED"})
    exposure_file("wfc3_ir", folder=workdir.drizzle, name="wfc3.f160w.ut200531_0001.drc.fits")
    return raw


def test_an_existing_raw_is_adopted_where_it_is(hst123_directory, workdir):
    before = {path.name: path.stat().st_ino for path in workdir.raw.glob("*.fits")}
    content = raw_bytes(workdir)
    report = ingest([workdir.raw], workdir)
    assert len(report.accepted) == 3
    assert {path.name: path.stat().st_ino for path in workdir.raw.glob("*.fits")} == before
    assert raw_bytes(workdir) == content
    assert stat.S_IMODE(hst123_directory.stat().st_mode) == 0o444
    assert ingest([workdir.raw], workdir).accepted == []


def test_of_a_whole_work_directory_only_raw_is_taken(hst123_directory, workdir):
    report = ingest([workdir.base], workdir)
    assert (len(report.accepted), report.rejected) == (3, [])


def test_a_hap_name_in_raw_keeps_its_name(exposure_file, workdir):
    exposure_file("wfc3_ir", folder=workdir.raw, name="ibbb02cd_flt.fits")
    (accepted,) = ingest([workdir.raw], workdir).accepted
    assert (accepted.name, accepted.rootname) == ("ibbb02cd_flt.fits", "ibbb02cdq")


def test_an_adopted_file_changed_later_is_refused(hst123_directory, workdir):
    ingest([workdir.raw], workdir)
    spoil(hst123_directory)
    told = reasons(ingest([workdir.raw], workdir))
    assert "different content" in told[hst123_directory.name]


# -------------------------------------------------------------------------------- the target


def test_the_position_is_the_median_of_the_headers(exposure_file, workdir):
    for number, ra in enumerate((150.0, 150.1, 150.4)):
        exposure_file(rootname=f"jddd04a{number}q", primary={"RA_TARG": ra, "DEC_TARG": -ra / 10})
    ingest([exposure_file().parent], workdir)
    target = load_settings(workdir).target
    # The fourth is at 150.1, 2.2.
    assert target.ra_deg == pytest.approx(150.1)
    assert target.dec_deg == pytest.approx(-15.005)


def test_the_median_does_not_mind_ra_zero(exposure_file, workdir):
    for number, ra in enumerate((359.9, 0.1, 0.2)):
        path = exposure_file(rootname=f"jddd04a{number}q", primary={"RA_TARG": ra})
    ingest([path.parent], workdir)
    assert load_settings(workdir).target.ra_deg == pytest.approx(0.1)


def test_a_given_position_wins(exposure_file, workdir):
    ingest([exposure_file()], workdir, ra_deg=12.5, dec_deg=-3.0)
    assert load_settings(workdir).target.ra_deg == 12.5


def test_a_known_position_stays(exposure_file, workdir):
    ingest([exposure_file("acs_hrc")], workdir, ra_deg=12.5, dec_deg=-3.0)
    ingest([exposure_file("wfc3_ir")], workdir)
    assert load_settings(workdir).target.ra_deg == 12.5


def test_settings_of_the_user_stay(exposure_file, workdir):
    workdir.create()
    workdir.settings_file.write_text("# mine\n[selection]\nkeep_short = true\n")
    ingest([exposure_file()], workdir)
    assert "# mine" in workdir.settings_file.read_text()
    assert load_settings(workdir).selection.keep_short


@pytest.mark.parametrize(("ra", "dec"), [(1.0, None), (None, 1.0), (360.0, 0.0), (0.0, 91.0)])
def test_an_impossible_position_is_an_error(exposure_file, workdir, ra, dec):
    with pytest.raises(BadConfiguration, match="not a position"):
        ingest([exposure_file()], workdir, ra_deg=ra, dec_deg=dec)


def test_nothing_asks_who_runs_it(exposure_file, workdir):
    """The current directory of the caller is neither used nor changed."""
    here = os.getcwd()  # noqa: PTH109
    ingest([exposure_file()], workdir)
    assert os.getcwd() == here  # noqa: PTH109


def test_exposures_of_several_fields_set_no_position(exposure_file, workdir):
    exposure_file(rootname="jddd04a0q")
    path = exposure_file(
        rootname="jddd05a0q", centre=(250.1, 2.2), primary={"RA_TARG": 250.1, "DEC_TARG": 2.2}
    )
    report = ingest([path.parent], workdir)
    assert len(report.accepted) == 2
    assert [len(field) for field in report.fields] == [1, 1]
    assert load_settings(workdir).target.ra_deg is None


def test_exposures_far_off_a_position_are_counted(exposure_file, workdir):
    report = ingest([exposure_file()], workdir, ra_deg=227.1, dec_deg=2.2)
    (other,) = report.elsewhere
    assert other.rootname == "jddd04ghq"
    assert other.distance_deg == pytest.approx(76.95, abs=0.1)  # 77 deg times cos 2.2 deg


def test_a_new_position_is_compared_with_files_that_are_known(exposure_file, workdir):
    path = exposure_file()
    assert ingest([path], workdir, ra_deg=150.1, dec_deg=2.2).elsewhere == []
    report = ingest([path], workdir, ra_deg=227.1, dec_deg=2.2)
    assert [other.rootname for other in report.elsewhere] == ["jddd04ghq"]
    assert names(report.unchanged) == [path.name]


# ------------------------------------------------------------------------- the trust boundary


def _card(path, keyword, value, ext=0):
    """Write a card as it stands, also one that astropy would not write."""
    content = path.read_bytes()
    with fits.open(path) as hdus:
        start, stop = hdus[ext].fileinfo()["hdrLoc"], hdus[ext].fileinfo()["datLoc"]
    header = content[start:stop]
    at = header.index(keyword.ljust(8).encode())
    card = f"{keyword:8}= {value}".ljust(80).encode()
    path.write_bytes(content[: start + at] + card + content[start + at + 80 :])
    return path


@pytest.mark.parametrize(
    ("keyword", "value", "ext", "reason"),
    [
        ("EXPSTART", "1E300", 0, "before it starts .MJD 1e.300"),
        ("EXPEND", "1E300", 0, "outside Hubble's life"),
        ("EXPTIME", "1E300", 0, "EXPTIME is 1e.300 s, longer than a day"),
        ("DEC_TARG", "1E300", 0, "RA_TARG and DEC_TARG are not on the sky: 150.1, 1e.300"),
        ("EXTVER", "-1E400", 1, "corrupt"),
        ("CRPIX1", "1E300", 1, "SCI,1: its WCS makes the chip .* arcsec large"),
    ],
)
def test_one_file_with_an_impossible_value_costs_itself(
    exposure_file, workdir, keyword, value, ext, reason
):
    good = exposure_file("wfc3_ir")
    bad = _card(exposure_file("acs_hrc"), keyword, value, ext)
    report = ingest([good.parent], workdir)
    assert names(report.accepted) == [good.name]
    assert re.search(reason, reasons(report)[bad.name])
    assert load_settings(workdir).target.dec_deg == pytest.approx(2.2)


def _compressed(hdus):
    hdus["ERR", 1] = fits.CompImageHDU(hdus["ERR", 1].data, name="ERR")


@pytest.mark.parametrize("damage", ["none", "ZTILE1", "tile"])
def test_compressed_planes_are_refused_and_never_unpacked(exposure_file, workdir, damage):
    path = exposure_file(edit=_compressed)
    if damage == "ZTILE1":
        _card(path, "ZTILE1", "0", ext=2)
    if damage == "tile":
        content = bytearray(path.read_bytes())
        with fits.open(path, disable_image_compression=True) as hdus:
            start = hdus[2].fileinfo()["datLoc"]
        content[start : start + 2000] = bytes(2000)
        path.write_bytes(content)
    report = ingest([path], workdir)
    assert "its HDU 2 is tile-compressed (fpack)" in reasons(report)[path.name]


def test_a_failure_of_the_machine_is_no_verdict(exposure_file, workdir, monkeypatch):
    def died(*_):
        raise TransientFailure("its verification was killed by signal 9")

    monkeypatch.setattr(ingest_module, "begin_verification", lambda *_: died)
    path = exposure_file()
    (rejected,) = ingest([path], workdir).rejected
    assert rejected.by_machine
    monkeypatch.undo()
    assert names(ingest([path], workdir).accepted) == [path.name]


# ------------------------------------------------------------------------------ packed files


def _packed(path):
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


@pytest.mark.parametrize("mode", ["copy", "symlink", "hardlink"])
def test_a_packed_exposure_is_unpacked(exposure_file, workdir, mode):
    path = exposure_file()
    content = path.read_bytes()
    packed = _packed(path)
    report = ingest([packed.parent], workdir, mode=mode)
    assert raw_bytes(workdir) == {path.name: content}
    assert packed.is_file()
    again = ingest([packed], workdir, mode=mode)
    assert (names(again.unchanged), again.accepted) == (names(report.accepted), [])


@pytest.mark.parametrize("which", ["both", "exposure", "companion"])
def test_a_packed_pair_comes_together(exposure_file, workdir, which):
    path = exposure_file("wfpc2", n_chips=4)
    if which != "exposure":
        _packed(quality_file(path))
    if which != "companion":
        _packed(path)
    report = ingest([path.parent], workdir)
    assert report.rejected == []
    assert names(report.accepted) == ["ueee05ijm_c0m.fits", "ueee05ijm_c1m.fits"]


def test_a_packed_file_of_raw_is_adopted(exposure_file, workdir):
    path = exposure_file(folder=workdir.raw)
    packed = _packed(path)
    assert names(ingest([packed], workdir).accepted) == [path.name]


def test_a_packed_copy_of_a_file_is_a_duplicate(exposure_file, workdir):
    path = exposure_file()
    content = path.read_bytes()
    packed = _packed(path)
    path.write_bytes(content)
    report = ingest([path.parent], workdir)
    assert names(report.accepted) == [path.name]
    assert reasons(report)[packed.name].endswith("identical bytes")


def test_a_packed_file_that_was_cut_short_is_refused(exposure_file, workdir):
    packed = _packed(exposure_file())
    packed.write_bytes(packed.read_bytes()[:-20])
    assert "corrupt gzip" in reasons(ingest([packed], workdir))[packed.name]


def test_a_file_that_unpacks_to_more_than_any_exposure_is_refused(
    exposure_file, workdir, monkeypatch
):
    packed = _packed(exposure_file())
    monkeypatch.setattr(sources_module, "LARGEST_BYTES", 10_000)
    assert "unpacks to more than" in reasons(ingest([packed], workdir))[packed.name]
    assert list(workdir.staging.iterdir()) == []


def test_a_file_larger_than_any_exposure_is_not_even_copied(exposure_file, workdir, monkeypatch):
    path = exposure_file()
    os.truncate(path, 500_000_000)  # sparse
    monkeypatch.setattr(ingest_module.shutil, "copyfile", None)  # calling it would fail
    assert "it has 500 MB" in reasons(ingest([path], workdir))[path.name]


def test_fpack_files_are_named_as_such(exposure_file, workdir):
    path = exposure_file()
    packed = path.rename(path.with_name(f"{path.name}.fz"))
    told = reasons(ingest([packed.parent], workdir))[packed.name]
    assert told.startswith("it is tile-compressed (fpack)")
