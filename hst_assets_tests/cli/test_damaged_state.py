"""State that is damaged: remade, or refused with a line; never an error that nobody foresaw.

The kinds of files are the paths that `WorkDir` names, and the databases of the instance. An error
that is not of the vocabulary of failures would come out of `cli` as it was raised.
"""

import inspect
import re
import shutil
from pathlib import Path

import pytest

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
        for name in ("root", "home"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            shutil.copytree(self.folder / "kept" / name, self.folder / name)
        return self.workdir

    def unforeseen(self, paths, damage, *command):
        """What a command says of damage that nobody foresaw, by the file that was damaged.

        A command may mend it or go on without it; one that ends badly says why in a line.
        """
        found = {}
        for path in paths:
            self.restored()
            DAMAGES[damage](path)
            result = self._cli(*command)
            said = result.err + result.out
            if _UNFORESEEN.search(said) or (result.code and not _REFUSED.search(result.err)):
                found[path] = said
        return found


@pytest.fixture
def state(tmp_path, root, cli):
    source = tmp_path / "source"
    source.mkdir()
    for name, content in tiny_exposure(f"{VISIT}a0q", "wfc3_uvis", 10.0, 20.0).items():
        (source / name).write_bytes(content)
    assert cli("ingest", source, "--target", "sn1").code == 0
    assert cli("materialize", "sn1", "--select", CHOSEN).code == 0
    WorkDir(root, "sn1").reference_choice.write_text(NOTE)
    for name in ("root", "home"):
        shutil.copytree(tmp_path / name, tmp_path / "kept" / name)
    return State(tmp_path, cli)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_files_of_the_work_directory(state, damage):
    files = [_path(state.workdir, name) for name in _paths_of_workdir()]
    assert len(files) > 30
    damaged = [*files, *map(WorkDir.record, files)]
    assert state.unforeseen(damaged, damage, "status", "sn1") == {}


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
        assert state.unforeseen(damaged, damage, "status", "sn1") == {}
    record = WorkDir.record(workdir.visit_exposures(VISIT))
    for damage in ("a list", "a folder"):
        assert state.unforeseen([record], damage, "materialize", "sn1", "--select", CHOSEN) == {}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_of_the_instance(state, damage):
    home = state.folder / "home"
    kept = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db", "dagster.yaml")
    damaged = [home / name for name in kept]
    assert state.unforeseen(damaged, damage, "target", "list") == {}


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
    assert "Is a directory" in listed.out


def test_a_name_that_is_too_long_is_one_line(cli, root):
    result = cli("status", "--root", root / ("x" * 300))
    assert result.code != 0
    (line,) = result.err.strip().splitlines()
    assert line.startswith("error:")
