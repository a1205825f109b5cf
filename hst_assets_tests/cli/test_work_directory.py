"""Which work directory a command is about."""

from pathlib import Path

import pytest

from hst_assets.cli.work_directory import name_of_object, name_of_position, named_workdir
from hst_assets.failures import BadConfiguration
from hst_assets.identifiers import validate_target


def named(**options):
    given = {"work_dir": None, "target": None, "root": None, "otherwise": None}
    return named_workdir(**{**given, **options})


def test_the_folders_name_is_the_targets(tmp_path):
    workdir = named(work_dir=tmp_path / "runs" / "sn1", otherwise="J0")
    assert (workdir.root, workdir.target) == (tmp_path / "runs", "sn1")


def test_the_folder_may_be_relative(tmp_path, monkeypatch):
    (tmp_path / "sn1").mkdir()
    monkeypatch.chdir(tmp_path / "sn1")
    assert named(work_dir=Path()).base == tmp_path / "sn1"
    assert named(work_dir=Path("../sn2")).base == tmp_path / "sn2"


def test_a_name_lies_below_the_root(tmp_path):
    assert named(target="sn1", root=tmp_path, otherwise="J0").base == tmp_path / "sn1"
    assert named(root=tmp_path, otherwise="J0").base == tmp_path / "J0"


@pytest.mark.parametrize("folder", ["my run", ".hidden", "a,b"])
def test_a_folder_that_cannot_be_a_target_is_refused(tmp_path, folder):
    with pytest.raises(BadConfiguration, match="the folder's name is the target's"):
        named(work_dir=tmp_path / folder)


def test_the_root_of_the_file_system_is_no_work_directory():
    with pytest.raises(BadConfiguration, match="the folder's name"):
        named(work_dir=Path("/"))


def test_a_file_is_no_work_directory(tmp_path):
    (tmp_path / "sn1").touch()
    with pytest.raises(BadConfiguration, match="is a file"):
        named(work_dir=tmp_path / "sn1")
    with pytest.raises(BadConfiguration, match="is a file"):
        named(work_dir=tmp_path / "sn1" / "sn2")


@pytest.mark.parametrize("more", [{"target": "sn1"}, {"root": Path("x")}])
def test_a_folder_and_a_name_contradict(tmp_path, more):
    with pytest.raises(BadConfiguration, match="already sets root and target"):
        named(work_dir=tmp_path / "sn1", **more)


def test_something_must_name_it():
    with pytest.raises(BadConfiguration, match="no target"):
        named()


@pytest.mark.parametrize(
    ("position", "name"),
    [
        ((185.7339583, 15.8261611), "J122256.15+154934.2"),
        ((0.0, -0.5), "J000000.00-003000.0"),
        ((359.99999999, 90.0), "J000000.00+900000.0"),
    ],
)
def test_a_position_names_its_target(position, name):
    assert validate_target(name_of_position(position)) in {name, name.replace("J00", "J24")}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["NGC 104"], "NGC_104"),
        (["V* AE Aqr"], "V_AE_Aqr"),
        (["SN 2013fy.."], "SN_2013fy"),
        (["proposal", "12891", "13000"], "proposal_12891_13000"),
        (["[KC98]  2"], "KC98_2"),
    ],
)
def test_an_object_names_its_target(words, name):
    assert validate_target(name_of_object(words)) == name
