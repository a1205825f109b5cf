"""When a kept comparison of a target still stands."""

import os

import pytest

from hst_assets.orchestration.target_summary import _stamp_of
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path / "root", "sn1").create()


def changed(path):
    """Its modification time is another."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 2_000_000_000))


def test_it_stands_while_nothing_changes(workdir):
    assert _stamp_of(workdir) == _stamp_of(workdir)


def test_it_falls_with_a_file_that_a_setting_names(workdir, tmp_path):
    image = tmp_path / "reference_drc.fits"
    image.write_bytes(b"pixels")
    write_settings(workdir, {"reference": {"image": str(image)}})
    before = _stamp_of(workdir).digest
    changed(image)
    assert _stamp_of(workdir).digest != before


@pytest.mark.parametrize("name", ["dolphot/inputs", "hap/iaaa01/aligned"])
def test_it_falls_with_what_is_in_folders_below(workdir, name):
    folder = workdir.base / name
    folder.mkdir(parents=True)
    (folder / "chip.fits").write_bytes(b"pixels")
    before = _stamp_of(workdir).digest
    (folder / "chip.fits").unlink()
    changed(folder)
    assert _stamp_of(workdir).digest != before
