import os
import shutil
import stat

import pytest
from astropy.io import fits

from hst_assets.exposures import ingest as ingest_module
from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.raw import check_raw, raw_ledger
from hst_assets.exposures.sources import fits_files_in
from hst_assets.failures import BadConfiguration
from hst_assets.settings import load_settings
from hst_assets_tests.exposures.ingested import names, raw_bytes, reasons, spoil

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
    assert "was not ingested and has different content" in reasons(report)[path.name]
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
