"""DOLPHOT's executable: found, told apart, with the data that it reads."""

import pytest

from hst_assets.failures import MissingTool
from hst_assets.photometry.dolphot.program import Program, find_program
from hst_assets.settings import DolphotSettings
from hst_assets.workdir import WorkDir


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path / "root", "t").create()


@pytest.fixture
def root(tmp_path):
    """Where DOLPHOT was built."""
    folder = tmp_path / "dolphot2.0"
    for name in (
        "param/dolphot.param",
        "wfc3/data/filters.dat",
        "wfc3/data/uvis_idctab.dat",
        "wfc3/data/F814W.uvis1.psf",
        "wfc3/data/F606W.uvis1.psf",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def executable(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def found(path, workdir, **more):
    return find_program(DolphotSettings.model_validate({"program": path, **more}), workdir)


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (b"\x7fELF\0UseCTE\0NegSk\0", "2"),
        (b"\x7fELF\0UseCTE\0InterpPSFlib\0", "3"),
        (b"#!/bin/sh\nexec /opt/dolphot/bin/dolphot # InterpPSFlib\0", "not known"),
    ],
)
def test_names_of_parameters_tell_the_version(workdir, tmp_path, content, version):
    program = found(executable(tmp_path / "bin" / "dolphot", content), workdir)
    assert program.version == version
    assert program.identity.startswith(f"DOLPHOT {version} (")


def test_the_folder_it_was_built_in_is_in_the_executable(workdir, tmp_path, root):
    content = b"\x7fELF\0/lib64/ld.so\0" + str(root).encode() + b"\0"
    assert found(executable(tmp_path / "a" / "b" / "dolphot", content), workdir).root == root


def test_it_is_else_the_one_above_the_executables_own(workdir, root):
    assert found(executable(root / "bin" / "dolphot", b"\x7fELF"), workdir).root == root


def test_the_users_word_is_the_first(workdir, tmp_path, root):
    path = executable(root / "bin" / "dolphot", b"\x7fELF")
    other = tmp_path / "other"
    other.mkdir()
    assert found(path, workdir, root=other).root == other
    with pytest.raises(MissingTool, match=r"dolphot\.root is no folder"):
        found(path, workdir, root=tmp_path / "nowhere")


def test_links_are_followed(workdir, tmp_path, root):
    path = executable(root / "bin" / "dolphot", b"\x7fELF")
    link = tmp_path / "conda" / "dolphot"
    link.parent.mkdir()
    link.symlink_to(path)
    assert (found(link, workdir).path, found(link, workdir).root) == (path, root)


def test_the_data_of_the_images_filters_are_listed(workdir, root):
    program = found(executable(root / "bin" / "dolphot", b"\x7fELF"), workdir)
    data = program.data_files([("WFC3", "F814W"), ("WFC3", "F555W")])
    assert {name for name, path in data.items() if path} == {
        "param/dolphot.param",
        "wfc3/data/F814W.uvis1.psf",
        "wfc3/data/uvis_idctab.dat",
        "wfc3/data/filters.dat",
    }
    assert [name for name, path in data.items() if path is None] == ["wfc3/data/*F555W*.psf"]


def test_what_is_no_executable_is_told(workdir, tmp_path):
    (tmp_path / "dolphot").write_text("x")
    with pytest.raises(MissingTool, match="no executable file"):
        found(tmp_path / "dolphot", workdir)


#: A filter's name, its colour, zero points, corrections, and how many transformations follow.
FILTERS_DAT = """3
F200LP
X
27.34 27.34 0.1 0.1
0
F606W
V
26.1065 26.1065 0.0530 0.0530
1
0 V 26.1 0.2 0.0 -0.5 1.5
FQ937N
X
20.9 20.9 0.1 0.1
0
"""


@pytest.mark.parametrize("prefix", ["", "WFC3_"])
def test_filters_are_in_the_order_of_dolphots_list(tmp_path, prefix):
    path = tmp_path / "wfc3" / "data" / "filters.dat"
    path.parent.mkdir(parents=True)
    path.write_text(FILTERS_DAT.replace("\nF", f"\n{prefix}F"))
    program = Program(tmp_path / "dolphot", "0", "2", tmp_path)
    assert program.filters("WFC3") == ("F200LP", "F606W", "FQ937N")
    assert program.filters("ACS") == ()
