"""Damaged files, full disks and killed processes cost nothing but themselves."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from astropy.io import fits

from hst_assets.exposures import ingest as ingest_module
from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.raw import check_raw, raw_ledger
from hst_assets.failures import BadConfiguration, TransientFailure
from hst_assets.settings import load_settings
from hst_assets_tests.exposures.ingested import names, raw_bytes, reasons

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


def test_a_file_that_cannot_be_put_into_place_leaves_the_place_to_a_copy(
    exposure_file, workdir, tmp_path, monkeypatch
):
    path = exposure_file(folder=tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(path, tmp_path / "b")
    move_into_place = ingest_module.move_into_place
    calls = []

    def fails_once(source, destination):
        calls.append(source)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        return move_into_place(source, destination)

    monkeypatch.setattr(ingest_module, "move_into_place", fails_once)
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
