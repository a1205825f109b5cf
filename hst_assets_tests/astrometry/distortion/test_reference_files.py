"""Where reference files are found, and what becomes of every way not to find one."""

import hashlib
import io
import multiprocessing
import socket
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.astrometry.distortion import reference_files
from hst_assets.astrometry.distortion.reference_files import ReferenceFiles, reference_name, verify
from hst_assets.failures import AccessRefused, MissingProduct, TransientFailure, UnusableInput
from hst_assets.settings import ReferenceFileSettings
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.crds import Crds

NAME = "w3m18525i_idc.fits"


def table_file(columns, *, rows=3000):
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, "D", array=np.arange(rows, dtype=float)) for name in columns]
    )
    return written(fits.HDUList([fits.PrimaryHDU(), table]))


def image_file():
    images = [fits.ImageHDU(np.ones((64, 64), "f4"), name=name) for name in ("DX", "DY")]
    return written(fits.HDUList([fits.PrimaryHDU(), *images]))


def written(hdus):
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()


IDC = table_file(("DETCHIP", "DIRECTION", "XREF", "YREF", "SCALE", "CX10", "CX11", "CY10", "CY11"))
OFF = table_file(("DETCHIP", "OBSDATE", "V2REF", "V3REF"))


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path / "root", "field").create()


@pytest.fixture
def crds(monkeypatch):
    monkeypatch.setattr(reference_files, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(reference_files, "_LONGEST_WAIT_S", 0.01)
    service = Crds()
    service.files[NAME] = IDC
    with service.running():
        yield service


def library(workdir, crds=None, environment=None, **settings):
    settings.setdefault("timeout_s", 5.0)
    url = {"fetch": False} if crds is None else {"crds_url": crds.url}
    return ReferenceFiles(ReferenceFileSettings(**{**url, **settings}), workdir, environment or {})


def put(folder, content=IDC, name=NAME):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


# --------------------------------------------------------------------------- header values


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("iref$w3m18525i_idc.fits", NAME),
        ("  iref$w3m18525i_idc.fits  ", NAME),
        ("/grp/hst/cdbs/iref/w3m18525i_idc.fits", NAME),
        ("nowhere$w3m18525i_idc.fits", NAME),
        ("w3m18525i_idc.fits", NAME),
        ("N/A", None),
        ("n/a", None),
        ("", None),
        ("   ", None),
        (None, None),
    ],
)
def test_a_header_value_is_a_name_or_none(value, name):
    assert reference_name(value) == name


@pytest.mark.parametrize(
    "value",
    ["iref$../../etc/x_idc.fits", "iref$..\\x_idc.fits", "/etc/passwd", "iref$", ".x_idc.fits",
     "iref$x idc.fits", "iref$x_idc.fits[1]"],
)  # fmt: skip
def test_what_is_no_name_of_a_file_is_refused(value):
    with pytest.raises(UnusableInput, match="does not name a reference file"):
        reference_name(value)


# ------------------------------------------------------------------------------- the order


def test_the_places_are_asked_in_order(workdir, crds, tmp_path):
    given, named, cache = tmp_path / "given", tmp_path / "named", tmp_path / "cache"
    for folder in (given, named, cache):
        put(folder)
    for expected in (given, named, cache):
        found = library(workdir, crds, {"iref": str(named)}, iref=given, cache=cache).find(
            NAME, "IDCTAB", "iref"
        )
        assert found.path == expected / NAME
        assert found.sha256 == hashlib.sha256(IDC).hexdigest()
        assert not crds.requests
        found.path.unlink()
    files = library(workdir, crds, {"iref": str(named)}, iref=given, cache=cache)
    assert files.find(NAME, "IDCTAB", "iref").path == cache / NAME
    assert crds.requests == [NAME]


@pytest.mark.parametrize("variable", ["iref", "jref", "uref"])
def test_each_variable_has_its_own_folder(workdir, tmp_path, variable):
    path = put(tmp_path / "mine")
    others = {"iref", "jref", "uref"} - {variable}
    assert library(workdir, **{variable: path.parent}).find(NAME, "IDCTAB", variable).path == path
    for other in others:
        with pytest.raises(MissingProduct):
            library(workdir, **{variable: path.parent}).find(NAME, "IDCTAB", other)


def test_relative_folders_are_from_the_work_directory(workdir):
    path = put(workdir.base / "mine")
    assert library(workdir, iref=Path("mine")).find(NAME, "IDCTAB", "iref").path == path
    cached = put(workdir.base / "kept", OFF, "s_off.fits")
    assert library(workdir, cache=Path("kept")).find("s_off.fits", "OFFTAB", "uref").path == cached


def test_what_is_fetched_is_kept_beside_the_targets(workdir, crds):
    found = library(workdir, crds).find(NAME, "IDCTAB", "iref")
    assert found.path == workdir.root / ".reference_files" / NAME
    assert found.path.read_bytes() == IDC
    assert library(workdir, crds).find(NAME, "IDCTAB", "iref") == found
    assert crds.requests == [NAME]
    assert not list(found.path.parent.glob(".part*"))


def test_without_fetching_no_connection_is_opened(workdir, crds, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(MissingProduct, match="fetch is false"):
        library(workdir, crds, fetch=False).find(NAME, "IDCTAB", "iref")
    assert not crds.requests


def test_a_file_is_looked_for_once_a_run(workdir, crds):
    crds.files.clear()
    files = library(workdir, crds)
    for _ in range(3):
        with pytest.raises(MissingProduct):
            files.find(NAME, "IDCTAB", "iref")
    assert len(crds.requests) == 1


# -------------------------------------------------------------------------------- the faults


@pytest.mark.parametrize("fault", ["503", "429", "reset", "truncate", "html"])
def test_a_passing_fault_is_tried_again(workdir, crds, fault):
    crds.faults = [fault, fault]
    assert library(workdir, crds, max_tries=3).find(NAME, "IDCTAB", "iref").path.is_file()
    assert len(crds.requests) == 3


@pytest.mark.parametrize("fault", ["503", "429", "reset", "truncate", "html"])
def test_a_lasting_fault_is_unreachable_and_leaves_nothing(workdir, crds, fault):
    crds.faults = [fault] * 9
    with pytest.raises(TransientFailure) as caught:
        library(workdir, crds, max_tries=2).find(NAME, "IDCTAB", "iref")
    assert crds.url in str(caught.value)
    assert len(crds.requests) == 2
    assert not list(workdir.reference_files.glob("*.fits"))
    assert not list(workdir.reference_files.glob(".part*"))


def test_a_silent_service_is_given_up_after_the_timeout(workdir, crds):
    crds.faults = ["stall"]
    with pytest.raises(TransientFailure, match="no answer"):
        library(workdir, crds, max_tries=1, timeout_s=0.2).find(NAME, "IDCTAB", "iref")


def test_nobody_at_the_address_is_unreachable(workdir):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(TransientFailure, match="no answer"):
        library(workdir, fetch=True, crds_url=url, max_tries=1).find(NAME, "IDCTAB", "iref")


def test_what_crds_does_not_have_is_missing_and_asked_for_once(workdir, crds, tmp_path):
    crds.files.clear()
    environment = {"iref": str(tmp_path / "named")}
    with pytest.raises(MissingProduct) as caught:
        library(workdir, crds, environment, iref=tmp_path / "given").find(NAME, "IDCTAB", "iref")
    message = str(caught.value)
    for place in (NAME, "given", "$iref", "named", ".reference_files", crds.url):
        assert place in message
    assert crds.requests == [NAME]


def test_what_is_not_the_file_is_refused_and_not_kept(workdir, crds):
    crds.faults = ["short"]
    with pytest.raises(UnusableInput, match="was rejected"):
        library(workdir, crds).find(NAME, "IDCTAB", "iref")
    assert crds.requests == [NAME]
    assert not list(workdir.reference_files.glob("*.fits"))


def test_a_refusal_of_the_service_is_no_missing_file(workdir, crds):
    crds.faults = ["403"]
    with pytest.raises(AccessRefused, match="403"):
        library(workdir, crds).find(NAME, "IDCTAB", "iref")


def test_a_spoilt_file_in_the_cache_is_fetched_again(workdir, crds):
    put(workdir.reference_files, IDC[:5000])
    path = library(workdir, crds).find(NAME, "IDCTAB", "iref").path
    assert path.read_bytes() == IDC


def test_a_spoilt_file_in_the_users_folder_is_refused(workdir, crds, tmp_path):
    put(tmp_path / "given", IDC[:5000])
    with pytest.raises(UnusableInput, match="given"):
        library(workdir, crds, iref=tmp_path / "given").find(NAME, "IDCTAB", "iref")


def refusal(path, keyword):
    """What `verify` says against a file; None if it accepts it."""
    try:
        verify(path, keyword)
    except UnusableInput as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("keyword", "content", "good"),
    [
        ("IDCTAB", IDC, True),
        ("IDCTAB", OFF, False),
        ("IDCTAB", image_file(), False),
        ("OFFTAB", OFF, True),
        ("OFFTAB", IDC, False),
        ("NPOLFILE", image_file(), True),
        ("D2IMFILE", image_file(), True),
        ("NPOLFILE", IDC, False),
    ],
)
def test_a_file_must_be_of_the_kind_asked_for(tmp_path, keyword, content, good):
    path = put(tmp_path, content)
    assert (refusal(path, keyword) is None) == good
    assert good or f"is no {keyword}" in refusal(path, keyword)


def test_the_real_tables_are_taken_for_what_they_are_and_nothing_else(real_data):
    tables = sorted((real_data / "reffiles").glob("*.fits"))
    assert tables
    keywords = ("IDCTAB", "OFFTAB", "NPOLFILE")
    kinds = {path.stem: [key for key in keywords if not refusal(path, key)] for path in tables}
    assert kinds == {name: ["OFFTAB" if name.endswith("_off") else "IDCTAB"] for name in kinds}


# ------------------------------------------------------------------------------- two at once


def fetch_in_child(root, url, start, answers):
    start.wait(30)
    settings = ReferenceFileSettings(crds_url=url, timeout_s=20)
    found = ReferenceFiles(settings, WorkDir(Path(root), "field"), {}).find(NAME, "IDCTAB", "iref")
    answers.put(found.sha256)


def test_two_processes_that_want_one_file_fetch_it_once(workdir, crds):
    crds.slow_s = 0.5
    context = multiprocessing.get_context("fork")
    start, answers = context.Event(), context.Queue()
    children = [
        context.Process(target=fetch_in_child, args=(str(workdir.root), crds.url, start, answers))
        for _ in range(2)
    ]
    for child in children:
        child.start()
    start.set()
    digests = {answers.get(timeout=60) for _ in children}
    for child in children:
        child.join()
    assert digests == {hashlib.sha256(IDC).hexdigest()}
    assert crds.requests == [NAME]
