"""State that is damaged: remade, or refused with a line; never an error that nobody foresaw.

The kinds of files are the paths that `WorkDir` names, and the databases of the instance. An error
that is not of the vocabulary of failures would come out of `cli` as it was raised.
"""

import errno
import inspect
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from hst_assets.cli import deployment, main
from hst_assets.failures import DiskFull
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.tiny_exposures import tiny_exposure

VISIT = "iaaa01"
CHOSEN = "raw_exposures,exposure_table,target_exposures"
NOTE = '{"image": "a.ref_0001.drc.fits", "user": false}'


def _paths_of_workdir():
    """Names of the properties that are files, and of the methods that give those of a visit."""
    anywhere = WorkDir(Path("/root"), "sn1")
    found = []
    for name, member in inspect.getmembers(WorkDir):
        of_visit = inspect.isfunction(member) and [*inspect.signature(member).parameters] == [
            "self",
            "visit",
        ]
        if isinstance(member, property) or of_visit:
            path = _path(anywhere, name)
            if isinstance(path, Path) and path.suffix:
                found.append(name)
    return found


def _path(workdir, name):
    found = getattr(workdir, name)
    return found(VISIT) if callable(found) else found


def _write(content):
    def damage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    return damage


def _make_folder(path):
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


def _make_loop(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


DAMAGES = {
    "empty": _write(b""),
    "an object": _write(b"{}"),
    "a list": _write(b"[]"),
    "no text": _write(b"\xff\xfe\x00\x80" * 40),
    "a folder": _make_folder,
    "a loop": _make_loop,
    "gone": lambda path: path.unlink(missing_ok=True),
}


#: What no user is to see, and what one is told instead.
_UNFORESEEN = re.compile(r"Traceback|\b(Key|Type|Attribute|Value|Index|Assertion)Error\b")
_REFUSED = re.compile(r"error:|cannot be read|failed")


class State:
    """A root and an instance that are as they were whenever they are asked for."""

    def __init__(self, folder, cli):
        self.folder, self._cli = folder, cli
        self.workdir = WorkDir(folder / "root", "sn1")

    def restored(self):
        self._restore("root", shutil.copy2)
        self._restore("home", shutil.copy2)
        return self.workdir

    def _restore(self, name, copy):
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(self.folder / "kept" / name, self.folder / name, copy_function=copy)

    def unforeseen(self, paths, damage, *command):
        """What a command says of damage that nobody foresaw, by the file that was damaged.

        A command may mend it or go on without it; one that ends badly says why in a line.
        """
        found = {}
        for path in paths:
            self.restored()
            DAMAGES[damage](path)
            found |= self._unforeseen(path, *command)
        return found

    def unforeseen_by_status(self, paths, damage):
        """The same of what reads alone: it writes into no file that is there, and no instance."""
        self.restored()
        found = {}
        for path in paths:
            self._restore("root", os.link)
            if damage != "gone" or os.path.lexists(path):  # else it is as it was
                DAMAGES[damage](path)
                found |= self._unforeseen(path, "status", "sn1")
        return found

    def _unforeseen(self, path, *command):
        result = self._cli(*command)
        said = result.err + result.out
        is_told = not result.code or _REFUSED.search(result.err)
        return {} if is_told and not _UNFORESEEN.search(said) else {path: said}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with ``kept/``: a root and an instance, once something was made in them."""
    folder = tmp_path_factory.mktemp("damaged")
    for name in ("source", "root", "home"):
        (folder / name).mkdir()
    for name, content in tiny_exposure(f"{VISIT}a0q", "wfc3_uvis", 10.0, 20.0).items():
        (folder / "source" / name).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HST_ASSETS_ROOT", str(folder / "root"))
        patch.setenv("DAGSTER_HOME", str(folder / "home"))
        for command in (
            ("ingest", str(folder / "source"), "--target", "sn1"),
            ("materialize", "sn1", "--select", CHOSEN),
        ):
            patch.setattr("sys.argv", ["hst-assets", *command])
            with pytest.raises(SystemExit) as end:
                main()
            assert not end.value.code
    WorkDir(folder / "root", "sn1").reference_choice.write_text(NOTE)
    for name in ("root", "home"):
        shutil.copytree(folder / name, folder / "kept" / name)
    return folder


@pytest.fixture
def root(kept, monkeypatch):
    monkeypatch.setenv("HST_ASSETS_ROOT", str(kept / "root"))
    monkeypatch.setenv("DAGSTER_HOME", str(kept / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return kept / "root"


@pytest.fixture
def state(kept, root, cli):
    return State(kept, cli)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_files_of_the_work_directory(state, damage):
    files = [_path(state.workdir, name) for name in _paths_of_workdir()]
    assert len(files) > 30
    damaged = [*files, *map(WorkDir.record, files)]
    assert state.unforeseen_by_status(damaged, damage) == {}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_on_damaged_state(state, damage):
    workdir = state.workdir
    damaged = (
        workdir.checksums,
        workdir.settings_file,
        workdir.raw_manifest(VISIT),
        WorkDir.record(workdir.visit_exposures(VISIT)),
        workdir.runfiles / "scratch.lock",
        workdir.runfiles / f"exposure_table_{VISIT}.lock",
        workdir.overrides,
    )
    assert state.unforeseen(damaged, damage, "materialize", "sn1", "--select", CHOSEN) == {}


@pytest.mark.slow
def test_a_sample_of_both(state):
    workdir = state.workdir
    damaged = (workdir.checksums, workdir.reference_choice, workdir.last_comparison)
    for damage in DAMAGES:
        assert state.unforeseen_by_status(damaged, damage) == {}
    record = WorkDir.record(workdir.visit_exposures(VISIT))
    for damage in ("a list", "a folder"):
        assert state.unforeseen([record], damage, "materialize", "sn1", "--select", CHOSEN) == {}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_of_the_instance(state, damage):
    home = state.folder / "home"
    kept = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db", "dagster.yaml")
    damaged = [home / name for name in kept]
    assert state.unforeseen(damaged, damage, "target", "list") == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["history/runs.db", "history/runs/index.db"])
def test_a_damaged_database_of_the_instance_is_named(state, name):
    """In a process of its own: this one knows the databases that it has opened."""
    state.restored()
    damaged = state.folder / "home" / name
    damaged.write_bytes(bytes(range(256)) * 16)
    for log in damaged.parent.glob(f"{damaged.name}-*"):  # from which SQLite would mend it
        log.unlink()
    program = Path(sys.executable).parent / "hst-assets"
    command = [program, "materialize", "sn1", "--select", "exposure_table"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(f"error: {damaged}: ")
    assert "or remove it" in line
    damaged.unlink()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("disk I/O error", sqlite3.SQLITE_IOERR),
        ("unable to open database file", sqlite3.SQLITE_CANTOPEN),
        ("database is locked", sqlite3.SQLITE_BUSY),
        ("locking protocol", sqlite3.SQLITE_PROTOCOL),
    ],
)
def test_a_database_that_cannot_be_read_now_is_not_called_damaged(
    tmp_path, monkeypatch, said, code
):
    def refuse(*_arguments, **_options):
        error = sqlite3.OperationalError(said)
        error.sqlite_errorcode = code
        raise error

    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "runs.db").write_bytes(b"")
    monkeypatch.setattr(deployment.sqlite3, "connect", refuse)
    failure = deployment._not_ready(tmp_path, RuntimeError("it does not open"))
    assert failure.where == str(tmp_path)
    assert "remove" not in failure.next_step


def test_an_instance_on_a_full_disk_is_the_machines_failure(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "dagster.yaml"))
    assert isinstance(deployment._not_ready(tmp_path, error), DiskFull)


def test_a_database_of_a_folder_that_is_closed_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(path, **_options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "lstat", refuse)
    assert deployment._damaged_database(tmp_path) is None


def test_a_damaged_note_on_the_reference_is_named(cli, state):
    state.restored().reference_choice.write_bytes(b"\xff\xfe")
    result = cli("status", "sn1")
    assert f"{state.workdir.reference_choice}: the choice of the reference cannot be read" in (
        result.err
    )


def test_one_target_that_the_system_cannot_read_costs_itself(cli, state):
    state.restored()
    _make_folder(state.workdir.settings_file)
    shutil.copytree(state.folder / "kept" / "root" / "sn1", state.workdir.root / "sn2")
    listed = cli("target", "list")
    assert listed.code == 0
    assert "sn2" in listed.out
    # Cells are wrapped where a word ends, which depends on the folder's name.
    assert "Is a directory" in " ".join(listed.out.replace("│", " ").split())


def test_a_name_that_is_too_long_is_one_line(cli, root):
    result = cli("status", "--root", root / ("x" * 300))
    assert result.code != 0
    (line,) = result.err.strip().splitlines()
    assert line.startswith("error:")
